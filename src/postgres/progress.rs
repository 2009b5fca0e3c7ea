//! How far a login has got: what messages tell of it, and the end of one in which the server asks for something that
//! `require_auth` does not allow. It is noticed before the driver can answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::socket::Peer;
use crate::libpq::{Method, RequireAuth};

/// What is known of a login; clones tell the same.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Reached>>);

#[derive(Default)]
struct Reached {
    address: Option<String>,
    is_encrypted: Option<bool>,
    asked: Option<Method>,
    is_refused: bool,
    /// It is our own files that are waited for.
    is_reading: bool,
}

/// Listens to what a server asks for.
pub(super) struct Watch {
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

    /// From here on, our own files are waited for, until what it gives is dropped.
    pub(super) fn reading(&self) -> Reading<'_> {
        self.now().is_reading = true;
        Reading(self)
    }

    pub(super) fn is_reading(&self) -> bool {
        self.now().is_reading
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

    /// Whatever of it has a meaning beside `name`, which the address may be itself.
    pub(super) fn told_beside(&self, name: &str) -> String {
        let now = self.now();
        let address = now.address.clone().filter(|address| address != name);
        let over = now.is_encrypted.map(|is| if is { "over TLS" } else { "without TLS" }.to_owned());
        let asked = now.asked.filter(|method| *method != Method::None).map(|method| method.to_string());
        let told: Vec<_> = [address, over, asked].into_iter().flatten().collect();
        told.join(", ")
    }
}

/// What ends with it is the wait for our own files.
pub(super) struct Reading<'a>(&'a Progress);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.now().is_reading = false;
    }
}

/// The server asks for what is not to be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server {}, and require_auth does not allow that", in_words(*.0))]
pub(super) struct NotAllowed(pub(super) Method);

fn in_words(method: Method) -> String {
    match method {
        Method::None => "lets us in without asking who we are".into(),
        method => format!("asks for authentication by {method}"),
    }
}

impl Watch {
    pub(super) fn new(required: RequireAuth, progress: Progress) -> Self {
        Self { required, progress, code: Vec::new(), is_about_authentication: false }
    }

    #[cfg(test)]
    pub(super) fn of_anything() -> Self {
        Self::new(RequireAuth::parse("").expect("an empty list allows anything"), Progress::default())
    }

    /// A message begins.
    pub(super) fn header(&mut self, kind: u8) {
        self.is_about_authentication = kind == b'R';
        self.code.clear();
    }

    /// A piece of its body.
    pub(super) fn body(&mut self, piece: &[u8]) -> Result<(), NotAllowed> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of messages whose bodies begin with these codes.
    fn after(required: &str, codes: &[i32]) -> (Result<(), NotAllowed>, Progress) {
        let progress = Progress::default();
        let mut watch = Watch::new(RequireAuth::parse(required).unwrap(), progress.clone());
        let heard = codes.iter().try_for_each(|code| {
            watch.header(b'R');
            let body = [code.to_be_bytes().as_slice(), b"salt"].concat();
            body.iter().try_for_each(|byte| watch.body(&[*byte]))
        });
        (heard, progress)
    }

    #[test]
    fn what_is_asked_for_is_told() {
        let cases: [(&[i32], Method); 4] = [
            (&[0], Method::None),
            (&[3, 0], Method::Password),
            (&[5, 0], Method::Md5),
            (&[10, 11, 12, 0], Method::ScramSha256),
        ];
        for (codes, method) in cases {
            let (heard, progress) = after("", codes);
            assert_eq!(heard, Ok(()));
            assert_eq!((progress.asked(), progress.refused()), (Some(method), None));
        }
    }

    #[test]
    fn what_is_not_allowed_is_noticed_before_anything_can_be_answered() {
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
            assert_eq!(heard, refused.map_or(Ok(()), |method| Err(NotAllowed(method))), "{required}");
            assert_eq!(progress.refused(), refused, "{required}");
        }
    }

    #[test]
    fn other_messages_are_not_about_authentication() {
        let progress = Progress::default();
        let mut watch = Watch::new(RequireAuth::parse("none").unwrap(), progress.clone());
        watch.header(b'E');
        assert_eq!(watch.body(&3_i32.to_be_bytes()), Ok(()));
        assert_eq!(progress.asked(), None);
    }

    #[test]
    fn an_address_is_told_where_it_is_not_the_name() {
        let progress = Progress::default();
        progress.reached(&Peer::Tcp(([10, 0, 0, 1], 5432).into()));
        assert_eq!(progress.told_beside("db1"), "10.0.0.1");
        assert_eq!(progress.told_beside("10.0.0.1"), "");
        progress.is_encrypted(true);
        progress.now().asked = Some(Method::ScramSha256);
        assert_eq!(progress.told_beside("db1"), "10.0.0.1, over TLS, scram-sha-256");
    }
}
