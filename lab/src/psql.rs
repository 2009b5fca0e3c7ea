//! Runs the psql of a generation.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::generation::Generation;

impl Generation {
    /// A command for the psql of this generation, with nothing of this process's environment. It runs as this process
    /// does, in the host's own file system, also if it comes out of a prepared suite: files and users mean the same to
    /// it as to others.
    pub fn psql(&self) -> Command {
        let program = format!("usr/lib/postgresql/{}/bin/psql", self.postgres_major());
        let mut command = match self.root() {
            None => Command::new(Path::new("/").join(program)),
            Some(root) => {
                let architecture = std::env::consts::ARCH;
                let libraries = root.join(format!("usr/lib/{architecture}-linux-gnu"));
                let mut command = Command::new(loader(root, &libraries));
                command.arg("--library-path").arg(libraries).arg(root.join(program));
                command
            }
        };
        command.env_clear().env("LANG", "C.UTF-8").env("PSQL_HISTORY", "/dev/null");
        command
    }
}

/// The suite's dynamic loader: its programs need the libraries that it finds, not the host's.
fn loader(root: &Path, libraries: &Path) -> PathBuf {
    let directories = [root.join("lib64"), root.join("lib"), libraries.to_owned()];
    let files = directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    files
        .map(|file| file.path())
        .find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
        .expect("a suite with PostgreSQL has a dynamic loader")
}
