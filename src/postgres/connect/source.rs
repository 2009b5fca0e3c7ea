//! What says how to connect: read again for each connection, so that a service that moved and a password that was changed
//! need no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::libpq::{self, Conninfo, InvalidParameter, Parameters, Surroundings};
use crate::private_file::{self, Kept};
use crate::secret::Secret;

/// Where it is written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) given: Conninfo,
    pub(super) surroundings: Arc<Surroundings>,
    /// A file with nothing but the password.
    pub(super) password_file: Option<PathBuf>,
}

/// What a look at it has shown.
pub(super) struct Read {
    pub(super) parameters: Parameters,
    /// One for each host.
    pub(super) passwords: Vec<Found>,
    /// To be said to the one who can mend it.
    pub(super) warning: Option<String>,
}

/// A password, if there is one.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) password: Option<Secret>,
    /// The file it is from.
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Parameter(#[from] InvalidParameter),
    #[error("password file \"{}\" could not be read: {error}", file.display())]
    PasswordFile { file: PathBuf, error: std::io::Error },
    #[error(
        "password file \"{}\" can be read by others: its permissions have to be u=rw (0600) or less, or u=rw,g=r (0640) \
         or less if it belongs to root",
        file.display()
    )]
    PasswordForAll { file: PathBuf },
}

impl Source {
    /// Whether some of it is in files; otherwise reading it does not block.
    pub(super) fn is_in_files(&self) -> bool {
        let is_there = |keyword| self.given.get(keyword).or(self.surroundings.variables.get(keyword)).is_some();
        self.password_file.is_some() || is_there("service") || !is_there("password")
    }

    /// Blocks on the files.
    pub(super) fn read(&self) -> Result<Read, Unreadable> {
        let parameters = Parameters::resolve(&self.given, &self.surroundings)?;
        let known = match &self.password_file {
            Some(file) => Some(Found { password: Some(password_in(file)?), file: Some(file.clone()) }),
            None => parameters.password.clone().map(|password| Found { password: Some(password), file: None }),
        };
        let mut warning = None;
        let mut look_up = |host: &libpq::Host| {
            let Some(passfile) = &parameters.passfile else { return Found::default() };
            let seen = passfile.look_up(host, &parameters.dbname, &parameters.user);
            warning = seen.warning;
            let file = seen.password.is_some().then(|| passfile.path().to_owned());
            Found { password: seen.password, file }
        };
        let passwords = match known {
            Some(found) => vec![found; parameters.hosts.len()],
            None => parameters.hosts.iter().map(&mut look_up).collect(),
        };
        Ok(Read { parameters, passwords, warning })
    }
}

/// The whole of the file, without the line break that editors put at the end.
fn password_in(file: &Path) -> Result<Secret, Unreadable> {
    /// More than any server takes.
    const LONGEST: u64 = 64 << 10;

    let failed = |error| Unreadable::PasswordFile { file: file.to_owned(), error };
    let bytes = private_file::read(file, LONGEST, Kept::Secret).map_err(|error| match error {
        private_file::Unreadable::OpenToOthers => Unreadable::PasswordForAll { file: file.to_owned() },
        private_file::Unreadable::Io(error) => failed(error),
        other => failed(std::io::Error::other(other)),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| failed(std::io::Error::other("it is not UTF-8")))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(password.strip_suffix('\r').unwrap_or(password).to_owned()))
}
