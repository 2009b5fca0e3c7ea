//! A connection URI, split as libpq does. An ambiguous URI, which could be read so that part of the password becomes a
//! host or a database, is refused: hosts and databases appear in messages. Pure.

use super::conninfo::{InvalidConninfo, RawParameter};
use super::pairs::is_secret;

/// The most frequent mistake.
pub(super) const HINT: &str = "in a value, & is written %26";

/// The part after `postgresql://`, if the text is a URI.
pub(super) fn without_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))
}

/// The parameters in a URI without its scheme. The query comes last, because it takes precedence.
///
/// # Errors
/// The URI is malformed or ambiguous. The error does not quote it.
pub(super) fn read(uri: &str) -> Result<Vec<RawParameter>, InvalidConninfo> {
    if is_ambiguous(uri) {
        return Err(InvalidConninfo::new(
            "in a URI, write the characters @ / ? = and % of a password or a name as %40 %2F %3F %3D and %25",
        ));
    }
    let mut given = Vec::new();
    let mut give = |keyword: &str, encoded: &str| {
        if !encoded.is_empty() {
            given.push(RawParameter { keyword: keyword.into(), value: decode(encoded)?, may_be_secret: false });
        }
        Ok(())
    };

    let authority = &uri[..uri.find('/').unwrap_or(uri.len())];
    let mut rest = uri;
    if let Some((credentials, _)) = authority.split_once('@') {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        give("user", user)?;
        give("password", password)?;
        rest = &uri[credentials.len() + 1..];
    }

    let (hosts, ports, after) = hosts(rest)?;
    give("host", &hosts)?;
    give("port", &ports)?;

    let (path, parameters) = after.split_once('?').unwrap_or((after, ""));
    give("dbname", path.strip_prefix('/').unwrap_or(path))?;
    query(parameters, &mut given)?;
    Ok(given)
}

/// Whether part of a password may have been read as a host or a database.
fn is_ambiguous(uri: &str) -> bool {
    let (authority, rest) = uri.split_at(uri.find('/').unwrap_or(uri.len()));
    let path = rest.split('?').next().unwrap_or_default();
    match authority.split_once('@') {
        None => rest.contains('@'),
        Some((credentials, hosts)) => {
            let has_parameter = credentials.split_once('?').is_some_and(|(_, after)| after.contains('='));
            has_parameter || hosts.split('?').next().is_some_and(|hosts| hosts.contains('@')) || path.contains('@')
        }
    }
}

/// The list of hosts, the list of their ports (with an empty item for a missing one), and the rest of the text.
fn hosts(text: &str) -> Result<(String, String, &str), InvalidConninfo> {
    let (mut hosts, mut ports, mut rest) = (String::new(), String::new(), text);
    loop {
        let host;
        if let Some(address) = rest.strip_prefix('[') {
            (host, rest) = address.split_once(']').ok_or_else(|| InvalidConninfo::new("a \"]\" is missing"))?;
            if host.is_empty() {
                return Err(InvalidConninfo::new("the address between \"[\" and \"]\" is missing"));
            }
            if !(rest.is_empty() || rest.starts_with([':', '/', '?', ','])) {
                return Err(InvalidConninfo::new("only a port, another host or a database can follow \"]\""));
            }
        } else {
            (host, rest) = until(rest, &[':', '/', '?', ',']);
        }
        hosts.push_str(host);
        if let Some(after) = rest.strip_prefix(':') {
            let port;
            (port, rest) = until(after, &['/', '?', ',']);
            ports.push_str(port);
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((hosts, ports, rest)),
        }
        hosts.push(',');
        ports.push(',');
    }
}

fn until<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// The parameters after the `?`.
fn query(mut rest: &str, given: &mut Vec<RawParameter>) -> Result<(), InvalidConninfo> {
    // An @ this late may be the one that was meant to end the password.
    let mut may_be_secret = rest.contains('@');
    while !rest.is_empty() {
        let (parameter, after) = rest.split_once('&').unwrap_or((rest, ""));
        rest = after;
        let Some((keyword, value)) = parameter.split_once('=') else {
            return Err(InvalidConninfo::new("a parameter after the \"?\" has no \"=\""));
        };
        if value.contains('=') {
            return Err(InvalidConninfo::new("in the value of a parameter, \"=\" must be written %3D"));
        }
        let (mut keyword, mut value) = (decode(keyword)?, decode(value)?);
        if keyword == "ssl" {
            if value != "true" {
                return Err(InvalidConninfo::new("\"ssl\" can only be \"true\"; use \"sslmode\" instead"));
            }
            // Used in JDBC URIs.
            (keyword, value) = ("sslmode".into(), "require".into());
        }
        let secret = is_secret(&keyword);
        given.push(RawParameter { keyword, value, may_be_secret });
        may_be_secret |= secret;
    }
    Ok(())
}

/// Decodes percent-encoding. Surrounding blanks are ignored, as in libpq since 18.
fn decode(encoded: &str) -> Result<String, InvalidConninfo> {
    let encoded = encoded.trim_matches(' ');
    if encoded.contains(' ') {
        return Err(InvalidConninfo::new("in a URI, a space is written %20"));
    }
    let mut parts = encoded.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.ok_or_else(|| InvalidConninfo::new("two hexadecimal digits have to come after a %"))?);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(decoded).map_err(|_| InvalidConninfo::new("what is percent-encoded is not UTF-8"))
}
