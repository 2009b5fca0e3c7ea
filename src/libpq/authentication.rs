//! The ways in which a server may ask who one is, and which of them are good enough. Pure.

use std::fmt;

/// What a server asks for before it lets one in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Nothing: it trusts the address, or has seen a certificate.
    None,
    /// The password in plain.
    Password,
    Md5,
    Gss,
    Sspi,
    ScramSha256,
}

/// The methods that `require_auth` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequireAuth(Vec<Method>);

impl RequireAuth {
    /// Reads a list of methods, all of them with `!` in front or none.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(list: &str) -> Result<Self, String> {
        todo!()
    }

    pub fn allows(&self, method: Method) -> bool {
        self.0.contains(&method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
