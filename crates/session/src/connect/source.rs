//! Where the connection parameters come from. They are read again for each connection, so that a changed service file
//! or password needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libpq::Secret;
use libpq::private_file::{self, Privacy};
use libpq::{self, Conninfo, Environment, InvalidParameter, Parameters};

/// The given parameters, the environment, and a password file.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    pub given: Conninfo,
    pub environment: Arc<Environment>,
    /// A file that contains only the password.
    pub password_file: Option<PathBuf>,
}

/// The connection parameters and passwords that a source resolves to.
pub(crate) struct Resolved {
    pub(crate) parameters: Parameters,
    /// One for each host.
    pub(crate) passwords: Vec<FoundPassword>,
    /// A warning for the log.
    pub(crate) warning: Option<String>,
}

/// A password, if there is one, and its origin.
#[derive(Clone, Default)]
pub(crate) struct FoundPassword {
    pub(crate) password: Option<Secret>,
    /// The file that it was read from.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Parameter(#[from] InvalidParameter),
    #[error("password file \"{}\" could not be read: {error}", file.display())]
    PasswordFile { file: PathBuf, error: std::io::Error },
    #[error(
        "password file \"{}\" can be read by others; set its mode to 0600 or less, or to 0640 or less if root owns it",
        file.display()
    )]
    PasswordFileReadableByOthers { file: PathBuf },
}

impl Source {
    /// Whether reading may block on a file.
    pub(crate) fn may_block(&self) -> bool {
        let is_there = |keyword| self.given.get(keyword).or(self.environment.variables.get(keyword)).is_some();
        self.password_file.is_some() || is_there("service") || !is_there("password")
    }

    /// Reads all parameters. Blocks on files.
    pub(crate) fn read(&self) -> Result<Resolved, Unreadable> {
        let parameters = Parameters::resolve(&self.given, &self.environment)?;
        let known = match &self.password_file {
            Some(file) => Some(FoundPassword { password: Some(password_in(file)?), file: Some(file.clone()) }),
            None => parameters.password.clone().map(|password| FoundPassword { password: Some(password), file: None }),
        };
        let mut warning = None;
        let mut find = |host: &libpq::Host| {
            let Some(passfile) = &parameters.passfile else { return FoundPassword::default() };
            let found = passfile.find(host, &parameters.dbname, &parameters.user);
            warning = found.warning;
            let file = found.password.is_some().then(|| passfile.path().to_owned());
            FoundPassword { password: found.password, file }
        };
        let passwords = match known {
            Some(found) => vec![found; parameters.hosts.len()],
            None => parameters.hosts.iter().map(&mut find).collect(),
        };
        Ok(Resolved { parameters, passwords, warning })
    }
}

/// The content of the file without its final line break.
fn password_in(file: &Path) -> Result<Secret, Unreadable> {
    /// Longer than any server accepts.
    const LONGEST: u64 = 64 << 10;

    let failed = |error| Unreadable::PasswordFile { file: file.to_owned(), error };
    let bytes = private_file::read(file, LONGEST, Privacy::Private).map_err(|error| match error {
        private_file::Unreadable::OpenToOthers => Unreadable::PasswordFileReadableByOthers { file: file.to_owned() },
        private_file::Unreadable::Io(error) => failed(error),
        other => failed(std::io::Error::other(other)),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| failed(std::io::Error::other("it is not UTF-8")))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(password.strip_suffix('\r').unwrap_or(password).to_owned()))
}
