//! Installs the packages of a generation that this machine does not have.
//!
//! A Debian suite is installed by debootstrap into `target/lab/<suite>`, and its PostgreSQL runs from there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::fs::FlockOperation;

use crate::generation::Generation;
use crate::log::end_of;

/// A Debian suite, each of which carries another generation of PoWA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: PostgreSQL 15 with PoWA 4.1.
    Bookworm,
    /// Debian 13: PostgreSQL 17 with PoWA 5.0.
    Trixie,
    /// Unstable: PostgreSQL 18 with the newest PoWA.
    Sid,
}

impl Suite {
    /// All suites, oldest first.
    pub const ALL: [Suite; 3] = [Suite::Bookworm, Suite::Trixie, Suite::Sid];

    /// Debian's name of the suite.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
            Suite::Sid => "sid",
        }
    }

    fn postgres_major(self) -> u32 {
        match self {
            Suite::Bookworm => 15,
            Suite::Trixie => 17,
            Suite::Sid => 18,
        }
    }

    fn packages(self) -> String {
        let postgres = format!("postgresql-{}", self.postgres_major());
        let extensions = ["powa", "pg-qualstats", "pg-stat-kcache", "pg-wait-sampling", "hypopg", "pg-track-settings"];
        let extensions = extensions.map(|extension| format!("{postgres}-{extension}"));
        format!("{postgres},{}", extensions.join(","))
    }

    /// The directory of this suite when it is there; only complete ones are.
    pub(crate) fn prepared_root(self) -> Option<PathBuf> {
        let root = prepared_suites().join(self.name());
        root.is_dir().then_some(root)
    }
}

/// `target/lab` of the workspace, whatever CARGO_TARGET_DIR says: a suite is worth keeping across builds.
fn prepared_suites() -> PathBuf {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.parent().expect("lab is a directory of the workspace").join("target/lab")
}

/// Installs `suite` into `target/lab/<suite>`, which takes about a minute, unless it is already there.
///
/// An interrupted run leaves nothing that could be taken for a finished one. Several runs at once wait for each
/// other.
///
/// # Errors
/// Not root, no debootstrap on the machine, or debootstrap failed; then the end of its output is in the message.
pub fn prepare(suite: Suite) -> Result<Generation> {
    let root = prepared_suites().join(suite.name());
    if !root.is_dir() {
        install(suite, &root)?;
    }
    Generation::installed_under(Some(&root))?
        .pop()
        .with_context(|| format!("{} holds no PostgreSQL with PoWA; remove it and try again", root.display()))
}

fn install(suite: Suite, root: &Path) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "preparing {} takes root: debootstrap makes device files and changes owners",
        suite.name(),
    );
    let suites = prepared_suites();
    fs::create_dir_all(&suites).with_context(|| format!("making {}", suites.display()))?;
    let lock = File::create(suites.join("lock")).context("making the lock of the prepared suites")?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).context("waiting for another preparation")?;
    if root.is_dir() {
        // The one that we waited for has made it.
        return Ok(());
    }
    let partial = suites.join(format!("{}.partial", suite.name()));
    remove(&partial)?;
    if let Err(error) = bootstrap(suite, &partial, &suites.join(format!("{}.log", suite.name()))) {
        // What failed first is what counts; a rest is removed by the next try.
        let _ = remove(&partial);
        return Err(error);
    }
    fs::rename(&partial, root).with_context(|| format!("moving {} in place", root.display()))
}

fn bootstrap(suite: Suite, target: &Path, log: &Path) -> Result<()> {
    let name = suite.name();
    let output = File::create(log).with_context(|| format!("making {}", log.display()))?;
    // All of it ends with this process, even by SIGKILL, and so do the mounts that it makes inside the target:
    // the next try finds plain files, which nobody is still adding to.
    let status = Command::new("setpriv")
        .args(["--pdeathsig=KILL", "--"])
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["debootstrap", "--variant=minbase"])
        .arg(format!("--include={}", suite.packages()))
        .arg(name)
        .arg(target)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stderr(output.try_clone().context("sharing debootstrap's log")?)
        .stdout(output)
        .status()
        .context("running setpriv (of util-linux)")?;
    ensure!(
        status.success(),
        "debootstrap of {name} failed ({status}; is debootstrap installed?); the end of {}:\n{}",
        log.display(),
        end_of(log),
    );
    remove_downloads(target)
}

/// The downloaded packages are a third of the directory's size and of no further use.
fn remove_downloads(target: &Path) -> Result<()> {
    let archives = target.join("var/cache/apt/archives");
    for file in fs::read_dir(&archives).context("listing the downloaded packages")? {
        let path = file.context("listing the downloaded packages")?.path();
        if path.extension() == Some(OsStr::new("deb")) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}
