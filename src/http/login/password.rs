//! Verifies a name and a password by a login to the repository.

use std::time::Duration;

use tokio::time::timeout;

use super::super::backend::Backend;
use libpq::Secret;
use session::{ErrorKind, Side, drive};

/// PostgreSQL shortens longer names, and would log in another role.
const MAX_NAME_BYTES: usize = 63;

/// PostgreSQL accepts no longer ones.
const MAX_PASSWORD_BYTES: usize = 1024;

/// To end a session in good order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a password was not verified.
#[derive(Debug)]
pub(super) enum NotVerified {
    /// The login is refused, for a reason that the client must not learn.
    Refused(String),
    /// Too many logins are in progress, or it takes too long.
    Busy,
    /// The repository cannot be reached, or cannot decide.
    Unavailable(session::Error),
}

/// Whether a name and a password can be those of a role at all.
pub(super) fn is_possible(name: &str, password: &Secret) -> bool {
    let password = password.reveal();
    let has_length = |text: &str, max| !text.is_empty() && text.len() <= max && !text.contains('\0');
    has_length(name, MAX_NAME_BYTES) && has_length(password, MAX_PASSWORD_BYTES)
}

/// Opens a session as the role, and closes it again.
///
/// # Errors
/// The login is refused, or the repository cannot be reached.
pub(super) async fn verify(backend: &Backend, name: &str, password: &Secret) -> Result<(), NotVerified> {
    let endpoint = backend.endpoint_of(name, password).map_err(|error| NotVerified::Refused(error.to_string()))?;
    match endpoint.open().await {
        Ok(opened) => {
            let driver = drive(opened.connection, Side::Repository);
            drop(opened.client);
            // Otherwise the server closes it when it notices.
            drop(timeout(CLOSE_TIMEOUT, driver.task).await);
            Ok(())
        }
        Err(error) if is_refusal(&error) => Err(NotVerified::Refused(error.to_string())),
        Err(error) => Err(NotVerified::Unavailable(error)),
    }
}

/// Whether the server has refused this role or this password, as opposed to everybody.
pub(super) fn is_refusal(error: &session::Error) -> bool {
    // Denied: the role may not connect to the database.
    matches!(error.kind(), ErrorKind::Login | ErrorKind::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_role_is_not_sent_to_the_repository() {
        let is_possible = |name: &str, password: &str| is_possible(name, &Secret::new(password.into()));
        assert!(is_possible("ada", "x") && is_possible(&"n".repeat(63), &"p".repeat(1024)));
        for (name, password) in [("", "x"), ("ada", ""), ("a\0", "x"), ("a", "x\0")] {
            assert!(!is_possible(name, password), "{name:?} {password:?}");
        }
        assert!(!is_possible(&"n".repeat(64), "x") && !is_possible("ada", &"p".repeat(1025)));
    }
}
