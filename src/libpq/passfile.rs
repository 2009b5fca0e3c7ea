//! The password file: a line a password, for whom it is.

use std::path::PathBuf;

use super::Host;
use crate::secret::Secret;

/// A password file. Whether it is there is seen when it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passfile(PathBuf);

/// What a look at it has shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Password {
    pub password: Option<Secret>,
    /// Why the file is left alone, to be said to the one who can mend it.
    pub warning: Option<String>,
}

impl Passfile {
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Looks for the first line that fits. Blocks on the file.
    pub fn look_up(&self, host: &Host, dbname: &str, user: &str) -> Password {
        todo!()
    }
}
