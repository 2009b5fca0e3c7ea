//! Authorities, and the certificates of servers and clients.

use std::ops::Range;
use std::path::{Path, PathBuf};

use lab::{Algorithm, Authority, Certificate, Subject};

use super::{Gate, Scene};

/// The name in clients' certificates, which may be any role.
pub(crate) const CLIENT: &str = "alice";

/// Authorities, and what both sides know of them.
pub(crate) struct Certificates {
    pub directory: PathBuf,
    pub root: Authority,
    pub stranger: Authority,
}

impl Certificates {
    pub(crate) fn of(scene: &Scene) -> Self {
        let directory = scene.directory();
        let [root, stranger] = ["root", "stranger"].map(|name| Authority::new(&directory, name).unwrap());
        Self { directory, root, stranger }
    }

    pub(crate) fn gate<'a>(&self, scene: &'a Scene<'a>) -> Gate<'a> {
        self.gate_but_for(scene, &[])
    }

    /// A server that lets everybody in who comes from the root, but for some.
    pub(crate) fn gate_but_for<'a>(&self, scene: &'a Scene<'a>, clients: &[&Certificate]) -> Gate<'a> {
        Gate::new(scene, self.root.file(), self.root.revoke("clients", clients).unwrap())
    }

    pub(crate) fn server(&self, names: &[&str]) -> Certificate {
        self.root.issue(&Subject { common_name: "server", names, ..Subject::default() }).unwrap()
    }

    pub(crate) fn server_valid(&self, valid: Range<i64>) -> Certificate {
        self.root
            .issue(&Subject {
                common_name: "server",
                names: &["localhost", "127.0.0.1", "::1"],
                valid,
                ..Subject::default()
            })
            .unwrap()
    }

    pub(crate) fn client(&self, algorithm: Algorithm) -> Certificate {
        self.root.issue(&Subject { common_name: CLIENT, algorithm, ..Subject::default() }).unwrap()
    }
}

/// The name of a file, as a parameter has it.
pub(crate) fn text(file: &Path) -> &str {
    file.to_str().unwrap()
}
