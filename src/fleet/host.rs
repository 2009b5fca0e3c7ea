//! Which hosts a server can have.

use libpq::host_name_error;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHost {
    #[error("a host must not be empty")]
    Empty,
    #[error("a host must not contain control characters")]
    ControlCharacters,
    /// The host contains something else too, such as a port or brackets.
    #[error("{reason}")]
    Misread { reason: String },
    /// As [`Self::Misread`], with a colon, which usually means a port.
    #[error("{reason}")]
    WithPort { reason: String },
}

/// Accepts a host as libpq does: a name, an IP address, the directory of a Unix socket, or a comma-separated list of these.
/// Rejects what can never be connected to.
pub(crate) fn parse_host(text: &str) -> Result<String, InvalidHost> {
    if text.is_empty() {
        return Err(InvalidHost::Empty);
    }
    if text.contains(char::is_control) {
        return Err(InvalidHost::ControlCharacters);
    }
    text.split(',').try_for_each(check_one)?;
    Ok(text.into())
}

fn check_one(host: &str) -> Result<(), InvalidHost> {
    // The name of a directory can contain anything. An empty host is the default directory for sockets.
    if host.is_empty() || host.starts_with(['/', '@']) {
        return Ok(());
    }
    match host_name_error(host) {
        Some(reason) if host.contains(':') => Err(InvalidHost::WithPort { reason }),
        Some(reason) => Err(InvalidHost::Misread { reason }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_can_be_connected_to_is_accepted_unchanged() {
        for text in [
            "db1",
            "db1.example.",
            "10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "/run/postgresql",
            "/run/my sockets",
            "@pg",
            "db1,db2",
            "db1,::1,/run/pg",
            "db1,",
            "db_1",
            "bücher.example",
        ] {
            assert_eq!(parse_host(text), Ok(text.into()));
        }
    }

    #[test]
    fn a_host_that_can_never_be_connected_to_is_rejected() {
        for (text, reason) in [
            ("", "not be empty"),
            (" ", "white space"),
            ("db 7", "white space"),
            (" db7", "white space"),
            ("db1, db2", "white space"),
            ("db7\u{a0}", "white space"),
            ("db\n7", "control characters"),
            ("/run/pg\n", "control characters"),
            ("[::1]", "without brackets"),
            ("db7:5433", "use host db7, and give port 5433 separately"),
            ("db1,db7:5433", "use host db7, and give port 5433"),
            ("http://db7", "a URL is not a host name: use host db7"),
            ("postgresql://db7/powa", "a URL is not a host name: use host db7"),
        ] {
            let message = parse_host(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
    }
}
