//! A connection string of keyword/value pairs, split as libpq does. Pure.

use super::Keyword;
use super::conninfo::{InvalidConninfo, RawParameter};
use super::value::is_space;

/// The most frequent mistake.
pub(super) const HINT: &str = "a value with spaces must be in single quotes";

/// The pairs in their order; keywords are not validated.
///
/// # Errors
/// The syntax is wrong. The error does not quote the text.
pub(super) fn read(text: &str) -> Result<Vec<RawParameter>, InvalidConninfo> {
    let mut given = Vec::new();
    let mut may_be_secret = false;
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(|c| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=') else {
            return Err(missing_equals_sign(text, keyword));
        };
        let (value, after) = value(after.trim_start_matches(is_space))?;
        given.push(RawParameter { keyword: keyword.into(), value, may_be_secret });
        may_be_secret |= is_secret(keyword);
        rest = after.trim_start_matches(is_space);
    }
    Ok(given)
}

/// The value at the start of a text, and the rest of the text.
fn value(text: &str) -> Result<(String, &str), InvalidConninfo> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let mut rest = quoted.unwrap_or(text).chars();
    loop {
        let before = rest.as_str();
        match rest.next() {
            Some('\'') if quoted.is_some() => return Ok((value, rest.as_str())),
            Some(c) if quoted.is_none() && is_space(c) => return Ok((value, before)),
            // A backslash at the very end is dropped.
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None if quoted.is_some() => return Err(InvalidConninfo::new("a single quote is not closed")),
            None => return Ok((value, "")),
        }
    }
}

fn missing_equals_sign(text: &str, keyword: &str) -> InvalidConninfo {
    InvalidConninfo::new(match Keyword::named(keyword) {
        Some(known) => format!("\"=\" is missing after \"{}\"", known.name),
        None if !text.contains('=') => {
            "it is neither a URI (postgresql://...) nor a list of keyword=value pairs (host=... dbname=...)".into()
        }
        None => format!("\"=\" is missing after a word; {HINT}"),
    })
}

/// After a secret value, the next word may be a part of it: the secret contained an unquoted space, or a quote.
pub(super) fn is_secret(keyword: &str) -> bool {
    matches!(keyword, "password" | "sslpassword")
}
