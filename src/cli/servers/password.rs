//! Where does a server's password come from? From a terminal, a file, or standard input; never from the command line,
//! which everybody on the machine can read.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use super::echo::restored_after;
use crate::secret::Secret;

/// More than any server takes.
const LONGEST: u64 = 64 << 10;

/// Why there is no password to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPassword {
    #[error(
        "there is no terminal to ask for the password on: say --password-file FILE (\"-\" is standard input), or \
         --no-password if it is in a password file, or not needed"
    )]
    NoTerminal,
    #[error("the password could not be asked for: {0}")]
    NotAsked(std::io::Error),
    #[error("\"--password-file -\" is for standard input that is no terminal: leave it out to be asked")]
    IsTerminal,
    #[error("password file \"{}\" could not be read: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("password file \"{}\" {what}", file.display())]
    Unusable { file: PathBuf, what: &'static str },
}

/// The whole of a file, or of standard input, without the line break that editors put at the end.
///
/// # Errors
/// It cannot be read, or what is in it can be no password.
pub(super) fn from_file(file: &Path) -> Result<Secret, NoPassword> {
    let mut text = Vec::new();
    let read = if file.as_os_str() == "-" {
        if stdin().is_terminal() {
            return Err(NoPassword::IsTerminal);
        }
        stdin().lock().take(LONGEST + 1).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut text))
    };
    read.map_err(|error| NoPassword::Unreadable { file: file.to_owned(), error })?;
    in_text(text).map_err(|what| NoPassword::Unusable { file: file.to_owned(), what })
}

fn in_text(text: Vec<u8>) -> Result<Secret, &'static str> {
    if text.len() as u64 > LONGEST {
        return Err("is too long for a password");
    }
    let text = String::from_utf8(text).map_err(|_| "is not UTF-8")?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err("has nothing in it: say --no-password if that is meant");
    }
    if password.contains(['\0', '\n']) {
        return Err("has more than one line in it, or a NUL");
    }
    Ok(Secret::new(password.to_owned()))
}

/// Asks on the terminal, without an echo. Nothing is no password.
///
/// # Errors
/// There is no terminal, or nobody there any more.
pub(super) fn from_terminal(user: &str, address: &str) -> Result<Option<Secret>, NoPassword> {
    if !stdin().is_terminal() {
        return Err(NoPassword::NoTerminal);
    }
    let prompt = format!("Password of role {user} on {address} (nothing for none): ");
    let asking = || rpassword::prompt_password(prompt);
    let password = restored_after(asking).map_err(NoPassword::NotAsked)?;
    Ok((!password.is_empty()).then(|| Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_it() {
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(in_text(text.into()).unwrap().reveal(), "a b");
        }
    }

    #[test]
    fn what_can_be_no_password_is_refused() {
        let too_long = vec![b'x'; 70_000];
        for text in [&b""[..], b"\n", b"\r\n", b"a\0", b"a\nb\n", b"\xff", &too_long] {
            assert!(in_text(text.into()).is_err());
        }
    }
}
