//! Runs a program of a generation: on the host or inside a prepared suite, and as the right user.
//!
//! PostgreSQL refuses to run as root, and a suite's programs need the suite's own libraries.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::generation::Generation;

/// A file system in memory. Databases are a thousand files each, and making them takes a tenth of the time there.
const MEMORY: &str = "/dev/shm";

/// So much of it has to be free: the servers of a dozen tests take half.
const ROOM: u64 = 6 << 30;

/// Temporary directories of a suite, as its programs call them.
const TEMPORARY: &str = "/tmp";

/// Runs programs of one generation as a user that PostgreSQL accepts.
pub(crate) struct Launcher {
    root: Option<PathBuf>,
    programs: PathBuf,
    user: Option<User>,
    /// Temporary directories are in [`MEMORY`].
    in_memory: bool,
}

/// Numbers, not names: the host and the suite may give other numbers to the same name.
struct User {
    uid: u32,
    gid: u32,
}

impl Launcher {
    /// # Errors
    /// The prepared suite can't be used, or there is no user to become.
    pub(crate) fn new(generation: &Generation) -> Result<Launcher> {
        let root = generation.root().map(Path::to_owned);
        if let Some(root) = &root {
            let null = root.join("dev/null");
            ensure!(
                fs::metadata(&null).is_ok_and(|meta| meta.file_type().is_char_device()),
                "{} is not a device: this suite was copied, or prepared where device files can't be made; remove {} \
                 and prepare it again",
                null.display(),
                root.display(),
            );
        }
        let user = if rustix::process::geteuid().is_root() {
            let passwd = root.as_deref().unwrap_or(Path::new("/")).join("etc/passwd");
            Some(User::unprivileged(&passwd)?)
        } else {
            None
        };
        let programs = PathBuf::from(format!("/usr/lib/postgresql/{}/bin", generation.postgres_major()));
        // Into a suite it has to be mounted.
        let in_memory = has_room_in_memory() && (root.is_none() || may_mount());
        Ok(Launcher { root, programs, user, in_memory })
    }

    /// A command for `program` of PostgreSQL, with nothing of this process's environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match (&self.root, &self.user) {
            (None, None) => return self.cleaned(Command::new(self.programs.join(program))),
            (None, Some(user)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", user.uid))
                    .arg(format!("--regid={}", user.gid))
                    .args(["--clear-groups", "--"]);
                command
            }
            (Some(root), Some(user)) => {
                let mut command = if self.in_memory { mounting(root) } else { Command::new("chroot") };
                command.arg(format!("--userspec={}:{}", user.uid, user.gid)).arg("--groups=").arg(root);
                command
            }
            (Some(root), None) => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-current-user"]).arg(format!("--root={}", root.display()));
                command
            }
        };
        command.arg(self.programs.join(program));
        self.cleaned(command)
    }

    fn cleaned(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            // The directory we are in may be closed to the user that we become.
            .current_dir("/");
        command
    }

    /// The directory in which temporary directories of this generation can be made.
    pub(crate) fn temporary(&self) -> PathBuf {
        match &self.root {
            _ if self.in_memory => MEMORY.into(),
            None => std::env::temp_dir(),
            Some(root) => below(root, TEMPORARY),
        }
    }

    /// What the launched program has to call `path`.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => {
                let here = path.strip_prefix(MEMORY).or_else(|_| path.strip_prefix(below(root, TEMPORARY)));
                Path::new(TEMPORARY).join(here.expect("files of a suite's server are in a temporary directory"))
            }
        }
    }

    /// Gives `path` to the user that the launched programs run as.
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("giving {} to PostgreSQL's user", path.display()))
    }
}

/// What a path inside a suite is outside.
fn below(root: &Path, inside: &str) -> PathBuf {
    root.join(inside.trim_start_matches('/'))
}

fn has_room_in_memory() -> bool {
    let is_ours = rustix::fs::access(MEMORY, rustix::fs::Access::WRITE_OK).is_ok();
    is_ours && rustix::fs::statvfs(MEMORY).is_ok_and(|there| there.f_bavail * there.f_frsize >= ROOM)
}

/// Root may not in every container.
fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
        && Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success())
}

/// `chroot`, without its arguments, into a suite whose temporary directory is in memory. Only the program and its children see it
/// there.
fn mounting(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh", MEMORY])
        .arg(below(root, TEMPORARY))
        .arg("chroot");
    command
}

/// Runs a program of PostgreSQL to its end.
pub(crate) fn run(mut command: Command, program: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}

impl User {
    fn unprivileged(passwd: &Path) -> Result<User> {
        let text = fs::read_to_string(passwd).with_context(|| format!("reading {}", passwd.display()))?;
        ["postgres", "nobody"].iter().find_map(|name| User::named(name, &text)).with_context(|| {
            format!("PostgreSQL doesn't run as root, and {} knows no other user for it", passwd.display())
        })
    }

    fn named(name: &str, passwd: &str) -> Option<User> {
        let fields: Vec<_> =
            passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:\npostgres:x:106:114:,,,:/:/bin/sh\n";
        let user = User::named("postgres", passwd).unwrap();
        assert_eq!((user.uid, user.gid), (106, 114));
        assert!(User::named("nobody", passwd).is_none());
    }
}
