//! The connection service file: one section per service, with its parameters.

use std::fs;
use std::path::Path;

use super::value::is_space;
use super::{Conninfo, Environment, InvalidParameter};

/// The parameters of a service, from the user's file or else the system's.
///
/// # Errors
/// No file has the service, or a file cannot be read or is malformed.
pub(super) fn look_up(service: &str, environment: &Environment) -> Result<Conninfo, InvalidParameter> {
    let own = match &environment.service_file {
        // An explicitly named file must exist.
        Some(file) => Some(file.clone()),
        None => environment.home.as_ref().map(|home| home.join(".pg_service.conf")).filter(|file| file.exists()),
    };
    let systems = Some(environment.system_directory.join("pg_service.conf")).filter(|file| file.exists());
    for file in own.iter().chain(&systems) {
        let unreadable = |error| InvalidParameter(format!("service file \"{}\": {error}", file.display()));
        let text = fs::read(file).map_err(unreadable)?;
        if let Some(found) = section(service, &text, file)? {
            return Ok(found);
        }
    }
    let files = own.iter().chain(&systems).map(|file| format!("\"{}\"", file.display())).collect::<Vec<_>>();
    Err(InvalidParameter(match files.is_empty() {
        true => format!("service {service:?} does not exist: there is no service file"),
        false => format!("service {service:?} is not in {}", files.join(" or ")),
    }))
}

/// The first section of a service. Other sections are not validated.
fn section(service: &str, text: &[u8], file: &Path) -> Result<Option<Conninfo>, InvalidParameter> {
    let mut found = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = trim(line);
        match (line, &mut found) {
            ([] | [b'#', ..], _) => {}
            ([b'[', ..], Some(_)) => break,
            ([b'[', header @ ..], None) => {
                let rest = header.strip_prefix(service.as_bytes());
                found = rest.is_some_and(|rest| rest.starts_with(b"]")).then(Conninfo::default);
            }
            (_, None) => {}
            (line, Some(found)) => take(line, found)
                .map_err(|reason| InvalidParameter(format!("{}:{number}: {reason}", file.display())))?,
        }
    }
    Ok(found)
}

/// Adds a parameter to a section. The first value of a keyword wins.
fn take(line: &[u8], section: &mut Conninfo) -> Result<(), String> {
    if line.starts_with(b"ldap") {
        return Err("LDAP lookup is not implemented".into());
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let (keyword, value) = line.split_once('=').ok_or("the line has no \"=\"")?;
    match keyword {
        "" => return Err("there is no keyword before the \"=\"".into()),
        "service" => return Err("a service cannot refer to another service".into()),
        _ if keyword.ends_with(is_space) => return Err("a space before the \"=\" is not allowed".into()),
        _ => {}
    }
    if section.iter().any(|(there, _)| there == keyword) {
        return Ok(());
    }
    section.set(keyword, value).map_err(|error| error.to_string())
}

/// Trims what C considers white space.
fn trim(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !is_space(char::from(*byte));
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    &line[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Option<String>, String> {
        let found = section("a", text, Path::new("/f")).map_err(|error| error.to_string())?;
        let shown = |found: Conninfo| found.iter().map(|(keyword, value)| format!("{keyword}={value};")).collect();
        Ok(found.map(shown))
    }

    #[test]
    fn a_section_is_read_as_libpq_reads_it() {
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"[a]\nhost=/x\nport=7\n", Some("host=/x;port=7;")),
            (b"[a]\n \t host=/x  \n", Some("host=/x;")),
            (b"[a]\nhost= /x\n", Some("host= /x;")),
            (b"[a]\nhost=/x\nhost=/y\n", Some("host=/x;")),
            (b"[a]\nhost=\nhost=/y\n", Some("host=;")),
            (b"[b]\nfoo=1\n[a]\nhost=/x\n", Some("host=/x;")),
            (b"[a]\nhost=/x\n[b]\nfoo\n", Some("host=/x;")),
            (b"foo\n[a]\nport=9\n", Some("port=9;")),
            (b"[a]\nhost=/x\n[a]\nport=9\n", Some("host=/x;")),
            (b"#c\n\n[a]\n#x\n  # y\nhost=/x#z\n", Some("host=/x#z;")),
            (b" [a]x\nhost=/x", Some("host=/x;")),
            (b"[a]\r\nhost=/x\r\n", Some("host=/x;")),
            (b"[a]\nhost=\"/x\"\n", Some("host=\"/x\";")),
            (b"[a]\noptions=-c a=b\n", Some("options=-c a=b;")),
            (b"[a]", Some("")),
            (b"[ a ]\nhost=/x\n", None),
            (b"[a\nhost=/x\n", None),
            (b"[A]\nhost=/x\n", None),
            (b"[ab]\nhost=/x\n", None),
            (b"[b]\nuser=\xff\n", None),
            (b"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap().as_deref(), *expected, "{:?}", String::from_utf8_lossy(text));
        }
        let long = "y".repeat(100_000);
        assert_eq!(read(format!("[a]\nuser={long}\n").as_bytes()), Ok(Some(format!("user={long};"))));
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line_and_without_the_value() {
        let cases: &[(&[u8], &str)] = &[
            (b"[a]\nhost = s3cret\n", "/f:2: a space before the \"=\" is not allowed"),
            (b"\n[a]\nfoo=s3cret\n", "/f:3: keyword \"foo\" is not known"),
            (b"[a]\nHOST=s3cret\n", "/f:2: "),
            (b"[a]\nsslmod=s3cret\n", "did you mean \"sslmode\"?"),
            (b"[a]\nservice=s3cret\n", "/f:2: a service cannot refer to another service"),
            (b"[a]\ns3cret\n", "/f:2: the line has no \"=\""),
            (b"[a]\n=s3cret\n", "/f:2: there is no keyword"),
            (b"[a]\n;s3cret\n", "/f:2: the line has no \"=\""),
            (b"[a]\nldap://s3cret/x?y?z\n", "/f:2: LDAP lookup is not implemented"),
            (b"[a]\npassword=s3cret\xff\n", "/f:2: the line is not UTF-8"),
            (b"[a]\ngssencmode=require\n", "/f:2: \"gssencmode\" is not supported"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let directory = tempfile::tempdir().unwrap();
        let (home, system) = (directory.path().join("home"), directory.path().join("system"));
        let environment =
            Environment { home: Some(home.clone()), system_directory: system.clone(), ..Environment::default() };
        let host = |service: &str, environment: &Environment| {
            look_up(service, environment).map(|found| found.get("host").unwrap().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!(host("a", &environment), Err("service \"a\" does not exist: there is no service file".into()));

        fs::create_dir(&system).unwrap();
        fs::write(system.join("pg_service.conf"), "[a]\nhost=of-system\n[b]\nhost=of-system\n").unwrap();
        assert_eq!(host("a", &environment), Ok("of-system".into()));
        fs::create_dir(&home).unwrap();
        fs::write(home.join(".pg_service.conf"), "[a]\nhost=of-user\n").unwrap();
        assert_eq!(host("a", &environment), Ok("of-user".into()));
        assert_eq!(host("b", &environment), Ok("of-system".into()));
        let error = host("c", &environment).unwrap_err();
        assert!(error.contains("home/.pg_service.conf\" or ") && error.contains("system/pg_service.conf\""), "{error}");

        let named = directory.path().join("named");
        let environment = Environment { service_file: Some(named.clone()), ..environment };
        let error = host("b", &environment).unwrap_err();
        assert!(error.contains("named\": No such file"), "{error}");
        fs::write(&named, "[a]\nhost=of-named\n").unwrap();
        assert_eq!(host("a", &environment), Ok("of-named".into()));
        assert_eq!(host("b", &environment), Ok("of-system".into()));
    }
}
