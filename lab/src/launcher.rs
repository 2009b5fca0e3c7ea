//! How is a program of a generation run: on the host or inside a prepared suite, and as which user?
//!
//! PostgreSQL refuses to run as root, and a suite's programs need the suite's own libraries.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::generation::Generation;

/// Runs programs of one generation as a user that PostgreSQL accepts.
pub(crate) struct Launcher {
    root: Option<PathBuf>,
    programs: PathBuf,
    user: Option<User>,
}

/// Numbers, not names: the host and the suite may give other numbers to the same name.
struct User {
    uid: u32,
    gid: u32,
}

impl Launcher {
    /// # Errors
    /// The prepared suite can't be used, or there is no user to become.
    pub fn new(generation: &Generation) -> Result<Launcher> {
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
        Ok(Launcher { root, programs, user })
    }

    /// A command for `program` of PostgreSQL, with nothing of this process's environment.
    pub fn command(&self, program: &str) -> Command {
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
                let mut command = Command::new("chroot");
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
            // The folder we are in may be closed to the user that we become.
            .current_dir("/");
        command
    }

    /// The folder in which temporary folders of this generation can be made.
    pub fn temporary(&self) -> PathBuf {
        self.root.as_ref().map_or_else(std::env::temp_dir, |root| root.join("tmp"))
    }

    /// What the launched program has to call `path`.
    pub fn inside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_owned(),
            Some(root) => {
                let below = path.strip_prefix(root).expect("files of a suite's server are inside the suite");
                Path::new("/").join(below)
            }
        }
    }

    /// Gives `path` to the user that the launched programs run as.
    pub fn give(&self, path: &Path) -> Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("giving {} to PostgreSQL's user", path.display()))
    }
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
