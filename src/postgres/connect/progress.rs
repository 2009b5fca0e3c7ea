//! How far a login has got: what messages tell of it, and the end of one in which the server asks for something that
//! `require_auth` does not allow. It is noticed before the driver can answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::libpq::{Method, RequireAuth};
use crate::postgres::socket::Peer;

/// What is known of a login; clones tell the same.
#[derive(Clone, Default)]
pub(in crate::postgres) struct Progress(Arc<Mutex<Reached>>);

#[derive(Default)]
struct Reached {
    address: Option<String>,
    is_encrypted: Option<bool>,
    asked: Option<Method>,
    is_refused: bool,
}

/// Listens to what a server asks for.
pub(in crate::postgres) struct Watch {
    required: RequireAuth,
    progress: Progress,
    /// The first bytes of a message that is about authentication.
    code: Vec<u8>,
    is_about_authentication: bool,
}

impl Progress {
    pub(super) fn reached(&self, peer: &Peer) {
        *self.now() = Reached { address: Some(peer.to_string()), ..Reached::default() };
    }

    pub(super) fn is_encrypted(&self, is_encrypted: bool) {
        self.now().is_encrypted = Some(is_encrypted);
    }

    /// What the server has asked for.
    pub(super) fn asked(&self) -> Option<Method> {
        self.now().asked
    }

    /// What the server has asked for, if that is not to be answered.
    pub(super) fn refused(&self) -> Option<Method> {
        let now = self.now();
        now.asked.filter(|_| now.is_refused)
    }

    fn now(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().expect("no panic while holding the lock")
    }
}

/// Whatever of it has a meaning beside `name`, which the address may be itself.
impl Progress {
    pub(super) fn told_beside(&self, name: &str) -> String {
        let now = self.now();
        let address = now.address.clone().filter(|address| address != name);
        let over = now.is_encrypted.map(|is| if is { "over TLS" } else { "without TLS" }.to_owned());
        let asked = now.asked.filter(|method| *method != Method::None).map(|method| method.to_string());
        let told: Vec<_> = [address, over, asked].into_iter().flatten().collect();
        told.join(", ")
    }
}

/// The server asks for what is not to be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server asks for authentication by {0}, and require_auth does not allow that")]
pub(in crate::postgres) struct NotAllowed(Method);

impl Watch {
    pub(super) fn new(required: RequireAuth, progress: Progress) -> Self {
        Self { required, progress, code: Vec::new(), is_about_authentication: false }
    }

    /// A message begins.
    pub(in crate::postgres) fn header(&mut self, kind: u8) {
        self.is_about_authentication = kind == b'R';
        self.code.clear();
    }

    /// A piece of its body.
    pub(in crate::postgres) fn body(&mut self, piece: &[u8]) -> Result<(), NotAllowed> {
        const CODE: usize = 4;

        if !self.is_about_authentication || self.code.len() == CODE {
            return Ok(());
        }
        self.code.extend(piece.iter().take(CODE - self.code.len()));
        match <[u8; CODE]>::try_from(self.code.as_slice()) {
            Ok(code) => self.asked(i32::from_be_bytes(code)),
            Err(_) => Ok(()),
        }
    }

    /// The codes are those of PostgreSQL's documentation, chapter "Message Formats".
    fn asked(&mut self, code: i32) -> Result<(), NotAllowed> {
        let mut now = self.progress.now();
        let method = match code {
            0 if now.asked.is_none() => Method::None,
            3 => Method::Password,
            5 => Method::Md5,
            7 => Method::Gss,
            9 => Method::Sspi,
            10 => Method::ScramSha256,
            // The rest of a method that was begun, or one that the driver does not know.
            _ => return Ok(()),
        };
        now.asked = Some(method);
        now.is_refused = !self.required.allows(method);
        if now.is_refused { Err(NotAllowed(method)) } else { Ok(()) }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
