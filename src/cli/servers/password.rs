//! Reads a server's password from a terminal, a file, or standard input. Never from the command line, which every user of the
//! machine can read.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use super::terminal_echo::with_echo_restored;
use libpq::Secret;

/// In bytes; longer than any password that PostgreSQL accepts.
const MAX_LENGTH: u64 = 64 << 10;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    #[error(
        "standard input is not a terminal, so the password cannot be asked for; use --password-file FILE (\"-\" for standard \
         input), or --no-password if the collector reads it from a password file or needs none"
    )]
    NoTerminal,
    #[error("could not read the password from the terminal: {0}")]
    Prompt(std::io::Error),
    #[error("\"--password-file -\" does not read from a terminal; omit the option to be asked for the password")]
    IsTerminal,
    #[error("could not read the password file \"{}\": {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("the password file \"{}\" {problem}", file.display())]
    Invalid { file: PathBuf, problem: &'static str },
}

/// Reads a file, or standard input if it is `-`, without the line break at its end, which editors add.
///
/// # Errors
/// It cannot be read, or its content cannot be a password.
pub(super) fn from_file(file: &Path) -> Result<Secret, PasswordError> {
    let mut text = Vec::new();
    let read = if file.as_os_str() == "-" {
        if stdin().is_terminal() {
            return Err(PasswordError::IsTerminal);
        }
        stdin().lock().take(MAX_LENGTH + 1).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|open| open.take(MAX_LENGTH + 1).read_to_end(&mut text))
    };
    read.map_err(|error| PasswordError::Unreadable { file: file.to_owned(), error })?;
    parse(text).map_err(|problem| PasswordError::Invalid { file: file.to_owned(), problem })
}

fn parse(text: Vec<u8>) -> Result<Secret, &'static str> {
    if text.len() as u64 > MAX_LENGTH {
        return Err("is too long for a password");
    }
    let text = String::from_utf8(text).map_err(|_| "is not valid UTF-8")?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err("is empty; use --no-password to register no password");
    }
    if password.contains(['\0', '\n']) {
        return Err("must contain one line and no NUL character");
    }
    Ok(Secret::new(password.to_owned()))
}

/// Asks on the terminal, without echo. An empty answer means no password.
///
/// # Errors
/// There is no terminal, or it was closed.
pub(super) fn from_terminal(user: &str, address: &str) -> Result<Option<Secret>, PasswordError> {
    if !stdin().is_terminal() {
        return Err(PasswordError::NoTerminal);
    }
    let prompt = format!("Password of role {user} on {address} (empty for none): ");
    let password = with_echo_restored(|| rpassword::prompt_password(prompt)).map_err(PasswordError::Prompt)?;
    Ok((!password.is_empty()).then(|| Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_it() {
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(parse(text.into()).unwrap().reveal(), "a b");
        }
    }

    #[test]
    fn what_can_be_no_password_is_rejected() {
        let too_long = vec![b'x'; 70_000];
        for text in [&b""[..], b"\n", b"\r\n", b"a\0", b"a\nb\n", b"\xff", &too_long] {
            assert!(parse(text.into()).is_err());
        }
    }
}
