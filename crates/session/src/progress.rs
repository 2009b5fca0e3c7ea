//! Tracks the progress of a login, for error messages, and enforces `require_auth`: a method that is not allowed ends
//! the login before the driver answers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::socket::Peer;
use libpq::{Method, RequireAuth};

/// The progress of a login. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    address: Option<String>,
    is_encrypted: Option<bool>,
    requested: Option<Method>,
    is_refused: bool,
    /// Waiting for our own files.
    is_reading: bool,
}

/// Watches the authentication requests of a server.
pub(crate) struct AuthMonitor {
    required: RequireAuth,
    progress: Progress,
    /// The first bytes of an authentication message.
    code: Vec<u8>,
    is_about_authentication: bool,
}

impl Progress {
    pub(crate) fn trying(&self, peer: &Peer) {
        *self.state() = State { address: Some(peer.to_string()), ..State::default() };
    }

    pub(crate) fn is_encrypted(&self, is_encrypted: bool) {
        self.state().is_encrypted = Some(is_encrypted);
    }

    /// Marks the time spent on reading our own files, until the returned guard is dropped.
    pub(crate) fn reading(&self) -> Reading<'_> {
        self.state().is_reading = true;
        Reading(self)
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.state().is_reading
    }

    /// The requested authentication method.
    pub(crate) fn requested(&self) -> Option<Method> {
        self.state().requested
    }

    /// The requested authentication method, if `require_auth` does not allow it.
    pub(crate) fn refused(&self) -> Option<Method> {
        let state = self.state();
        state.requested.filter(|_| state.is_refused)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while holding the lock")
    }

    /// Address, encryption and method, as context for an error at `name`; the address is omitted if it equals the name.
    pub(crate) fn context_besides(&self, name: &str) -> String {
        let state = self.state();
        let address = state.address.clone().filter(|address| address != name);
        let over = state.is_encrypted.map(|is| if is { "over TLS" } else { "without TLS" }.to_owned());
        let requested = state.requested.filter(|method| *method != Method::None).map(|method| method.to_string());
        let context: Vec<_> = [address, over, requested].into_iter().flatten().collect();
        context.join(", ")
    }
}

/// Marks the end of reading files when dropped.
pub(crate) struct Reading<'a>(&'a Progress);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.state().is_reading = false;
    }
}

/// The server requested a method that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server {}, but require_auth does not allow that", in_words(*.0))]
pub(crate) struct MethodNotAllowed(pub(crate) Method);

fn in_words(method: Method) -> String {
    match method {
        Method::None => "does not request authentication".into(),
        method => format!("asks for authentication by {method}"),
    }
}

impl AuthMonitor {
    pub(crate) fn new(required: RequireAuth, progress: Progress) -> Self {
        Self { required, progress, code: Vec::new(), is_about_authentication: false }
    }

    #[cfg(test)]
    pub(crate) fn of_anything() -> Self {
        Self::new(RequireAuth::parse("").expect("an empty list allows anything"), Progress::default())
    }

    /// The header of a message was received.
    pub(crate) fn header(&mut self, kind: u8) {
        self.is_about_authentication = kind == b'R';
        self.code.clear();
    }

    /// A piece of its body was received.
    pub(crate) fn body(&mut self, piece: &[u8]) -> Result<(), MethodNotAllowed> {
        const CODE: usize = 4;

        if !self.is_about_authentication || self.code.len() == CODE {
            return Ok(());
        }
        self.code.extend(piece.iter().take(CODE - self.code.len()));
        match <[u8; CODE]>::try_from(self.code.as_slice()) {
            Ok(code) => self.requested(i32::from_be_bytes(code)),
            Err(_) => Ok(()),
        }
    }

    /// Records an authentication request. The codes are in PostgreSQL's documentation, chapter "Message Formats".
    fn requested(&mut self, code: i32) -> Result<(), MethodNotAllowed> {
        let mut state = self.progress.state();
        let method = match code {
            0 if state.requested.is_none() => Method::None,
            3 => Method::Password,
            5 => Method::Md5,
            7 => Method::Gss,
            9 => Method::Sspi,
            10 => Method::ScramSha256,
            // A continuation of a method, or one that the driver does not support.
            _ => return Ok(()),
        };
        state.requested = Some(method);
        state.is_refused = !self.required.allows(method);
        if state.is_refused { Err(MethodNotAllowed(method)) } else { Ok(()) }
    }
}

impl fmt::Debug for AuthMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthMonitor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of messages whose bodies begin with these codes.
    fn after(required: &str, codes: &[i32]) -> (Result<(), MethodNotAllowed>, Progress) {
        let progress = Progress::default();
        let mut monitor = AuthMonitor::new(RequireAuth::parse(required).unwrap(), progress.clone());
        let heard = codes.iter().try_for_each(|code| {
            monitor.header(b'R');
            let body = [code.to_be_bytes().as_slice(), b"salt"].concat();
            body.iter().try_for_each(|byte| monitor.body(&[*byte]))
        });
        (heard, progress)
    }

    #[test]
    fn the_requested_method_is_recorded() {
        let cases: [(&[i32], Method); 4] = [
            (&[0], Method::None),
            (&[3, 0], Method::Password),
            (&[5, 0], Method::Md5),
            (&[10, 11, 12, 0], Method::ScramSha256),
        ];
        for (codes, method) in cases {
            let (heard, progress) = after("", codes);
            assert_eq!(heard, Ok(()));
            assert_eq!((progress.requested(), progress.refused()), (Some(method), None));
        }
    }

    #[test]
    fn a_method_that_is_not_allowed_is_refused_before_the_driver_answers() {
        let cases: [(&str, &[i32], Option<Method>); 7] = [
            ("scram-sha-256", &[10, 11, 12, 0], None),
            ("scram-sha-256", &[3], Some(Method::Password)),
            ("scram-sha-256", &[0], Some(Method::None)),
            ("scram-sha-256,md5", &[5, 0], None),
            ("!password", &[3], Some(Method::Password)),
            ("!password", &[0], None),
            ("none", &[5], Some(Method::Md5)),
        ];
        for (required, codes, refused) in cases {
            let (heard, progress) = after(required, codes);
            assert_eq!(heard, refused.map_or(Ok(()), |method| Err(MethodNotAllowed(method))), "{required}");
            assert_eq!(progress.refused(), refused, "{required}");
        }
    }

    #[test]
    fn other_messages_are_not_about_authentication() {
        let progress = Progress::default();
        let mut monitor = AuthMonitor::new(RequireAuth::parse("none").unwrap(), progress.clone());
        monitor.header(b'E');
        assert_eq!(monitor.body(&3_i32.to_be_bytes()), Ok(()));
        assert_eq!(progress.requested(), None);
    }

    #[test]
    fn the_context_has_the_address_unless_it_is_the_name() {
        let progress = Progress::default();
        progress.trying(&Peer::Tcp(([10, 0, 0, 1], 5432).into()));
        assert_eq!(progress.context_besides("db1"), "10.0.0.1");
        assert_eq!(progress.context_besides("10.0.0.1"), "");
        progress.is_encrypted(true);
        progress.state().requested = Some(Method::ScramSha256);
        assert_eq!(progress.context_besides("db1"), "10.0.0.1, over TLS, scram-sha-256");
    }
}
