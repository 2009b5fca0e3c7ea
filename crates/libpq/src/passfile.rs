//! The password file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Host;
use super::environment::SOCKET_DIRECTORY;
use crate::Secret;

/// The path of a password file. The file need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passfile(PathBuf);

/// The result of a search in a password file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Password {
    /// `None` also if the matching line has an empty password.
    pub password: Option<Secret>,
    /// Why the file is ignored, for the log.
    pub warning: Option<String>,
}

impl Passfile {
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Finds the first matching line. Blocks on the file.
    pub fn find(&self, host: &Host, dbname: &str, user: &str) -> Password {
        let password = self.read().and_then(|text| password(&text, host, dbname, user));
        match password {
            Ok(password) => Password { password, warning: None },
            Err(reason) => Password {
                password: None,
                warning: Some(format!("ignoring password file \"{}\": {reason}", self.0.display())),
            },
        }
    }

    /// The content; empty if there is no file.
    fn read(&self) -> Result<Vec<u8>, &'static str> {
        const SHARED: u32 = 0o077;

        // Checked before opening: to open a pipe may block.
        let Ok(file) = fs::metadata(&self.0) else { return Ok(Vec::new()) };
        if !file.is_file() {
            return Err("it is not a regular file");
        }
        if file.permissions().mode() & SHARED != 0 {
            return Err("its group or others have access to it; set its mode to 0600 or less");
        }
        fs::read(&self.0).map_err(|_| "it cannot be read")
    }
}

/// The password in the first matching line.
fn password(text: &[u8], host: &Host, dbname: &str, user: &str) -> Result<Option<Secret>, &'static str> {
    let port = host.port.to_string();
    let name = if host.name == SOCKET_DIRECTORY { "localhost" } else { &host.name };
    let wanted = [name, &port, dbname, user];
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    let fitting = |line| wanted.iter().try_fold(line, |line, field| after_field(line, field));
    let Some(found) = lines.map(without_line_end).find_map(fitting) else { return Ok(None) };
    let password = String::from_utf8(unescaped(found)).map_err(|_| "a password in it is not UTF-8")?;
    Ok(Some(password).filter(|password| !password.is_empty()).map(Secret::new))
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    &line[..end]
}

/// The rest of the line after its first field and colon, if the field equals `wanted` or is `*`.
fn after_field<'a>(line: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let mut rest = line;
    for byte in wanted.bytes() {
        rest = match rest {
            [b'\\', escaped, rest @ ..] if *escaped == byte => rest,
            // A colon in `wanted` needs no escape.
            [plain, rest @ ..] if *plain == byte && byte != b'\\' => rest,
            _ => return None,
        };
    }
    rest.strip_prefix(b":")
}

/// The field up to the next colon, unescaped. A backslash at the end stands for itself.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' => break,
            b'\\' => text.push(*bytes.next().unwrap_or(byte)),
            _ => text.push(*byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::path::Path;

    use super::*;
    use crate::Location;

    fn host(name: &str) -> Host {
        Host { name: name.into(), location: Location::Name, port: 5432 }
    }

    fn found(text: &[u8], name: &str, dbname: &str, user: &str) -> Option<String> {
        let password = password(text, &host(name), dbname, user).unwrap();
        password.map(|password| password.reveal().to_owned())
    }

    #[test]
    fn a_line_is_read_as_libpq_reads_it() {
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"h:5432:d:u:one\n", Some("one")),
            (b"*:*:*:*:two\n", Some("two")),
            (b"h:5433:d:u:one\n", None),
            (b"h:5432:e:u:one\n", None),
            (b"h:5432:d:v:one\n", None),
            (b"x:*:*:*:no\n*:*:*:*:yes\n*:*:*:*:later\n", Some("yes")),
            (b"*:*:*:*:a:b\n", Some("a")),
            (b"*:*:*:*:a\\:b\\\\c\n", Some("a:b\\c")),
            (b"*:*:*:*:a\\nb\\\n", Some("anb\\")),
            (b"*:*:*:*:a\\\\:b\n", Some("a\\")),
            (b"*:*:*:*:  sp  \n", Some("  sp  ")),
            (b"*:*:*:*:crlf\r\n", Some("crlf")),
            (b"*:*:*:*:tworet\r\r\n", Some("tworet")),
            (b"*:*:*:*:nonl", Some("nonl")),
            (b"*:*:*:*:\n*:*:*:*:after\n", None),
            (b"#*:*:*:*:c\n #:*:*:*:c2\n\n*:*:*:*:ok\n", Some("ok")),
            (b"\\h:*:*:*:esc\n", Some("esc")),
            (b"\\*:*:*:*:no\n*:*:*:*:yes", Some("yes")),
            (b"**:*:*:*:no\n*:*:*:*:yes", Some("yes")),
            (b"*h:*:*:*:no\n*:*:*:*:yes", Some("yes")),
            (b"h:*:*\n*:*:*:*:short\n", Some("short")),
            (b"*:*:*:*\n*:*:*:*:nopw\n", Some("nopw")),
            (b"H:*:*:*:up\n*:*:*:*:low\n", Some("low")),
            (b":*:*:*:empty\n*:*:*:*:f\n", Some("f")),
            (b"hh:*:*:*:no\n*:*:*:*:f\n", Some("f")),
            (b"\xff:*:*:*:\xff\n*:*:*:*:f\n", Some("f")),
            (b"*:*:*:*:\xc3\xa9", Some("é")),
            (b"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text, "h", "d", "u").as_deref(), *expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn backslashes_are_escaped_in_any_field_and_colons_may_be() {
        let text = b"\\:\\:1:*:d\\\\b:u\\:x:pw\n";
        assert_eq!(found(text, "::1", "d\\b", "u:x").as_deref(), Some("pw"));
        assert_eq!(found(b"::1:*:d:b:*:pw\n", "::1", "d:b", "u").as_deref(), Some("pw"));
        assert_eq!(found(b"*:*:d\\b:*:pw\n", "h", "d\\b", "u"), None);
    }

    #[test]
    fn a_line_may_be_of_any_length() {
        let long = "y".repeat(100_000);
        let text = format!("no:*:*:*:{long}\n*:*:*:*:{long}\n");
        assert_eq!(found(text.as_bytes(), "h", "d", "u"), Some(long));
    }

    #[test]
    fn the_usual_directory_of_sockets_is_localhost_and_another_one_is_itself() {
        let text = b"localhost:*:*:*:local\n/run/pg:*:*:*:directory\n/var/run/postgresql:*:*:*:no\n";
        assert_eq!(found(text, "localhost", "d", "u").as_deref(), Some("local"));
        assert_eq!(found(text, "/var/run/postgresql", "d", "u").as_deref(), Some("local"));
        assert_eq!(found(text, "/run/pg", "d", "u").as_deref(), Some("directory"));
        assert_eq!(found(text, "/run/elsewhere", "d", "u"), None);
    }

    fn find(file: &Path) -> Password {
        Passfile::new(file.into()).find(&host("h"), "d", "u")
    }

    #[test]
    fn a_file_that_others_have_access_to_is_left_alone_with_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pass");
        fs::write(&file, "*:*:*:*:s3cret\n").unwrap();
        for (mode, is_taken) in
            [(0o600, true), (0o400, true), (0o700, true), (0o640, false), (0o604, false), (0o610, false)]
        {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = find(&file);
            assert_eq!((found.password.is_some(), found.warning.is_none()), (is_taken, is_taken), "{mode:o}");
            if let Some(warning) = found.warning {
                let start = format!("ignoring password file \"{}\": its group or others", file.display());
                assert!(warning.starts_with(&start), "{warning}");
            }
        }
        let link = directory.path().join("link");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(find(&link).password, Some(Secret::new("s3cret".into())));
    }

    #[test]
    fn a_path_that_is_no_file_is_ignored_with_a_warning_and_a_missing_file_without() {
        let directory = tempfile::tempdir().unwrap();
        let warning = find(directory.path()).warning.unwrap();
        assert!(warning.ends_with("it is not a regular file"), "{warning}");
        assert!(find(Path::new("/dev/null")).warning.is_some());
        assert_eq!(find(&directory.path().join("gone")), Password::default());
        assert_eq!(find(Path::new("/dev/null/gone")), Password::default());
    }

    #[test]
    fn a_password_that_cannot_be_sent_is_told_without_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pass");
        fs::write(&file, b"*:*:*:*:s3cret\xff\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let found = find(&file);
        let warning = found.warning.unwrap();
        assert!(warning.ends_with("a password in it is not UTF-8") && !warning.contains("s3cret"), "{warning}");
        assert_eq!(found.password, None);
    }

    #[test]
    fn a_password_that_changes_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pass");
        for password in ["old", "new"] {
            fs::write(&file, format!("*:*:*:*:{password}")).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(find(&file).password, Some(Secret::new(password.into())));
        }
    }
}
