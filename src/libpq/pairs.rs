//! A connection string of pairs of keyword and value, taken apart as libpq does. Pure.

use super::Keyword;
use super::conninfo::{Given, InvalidConninfo};
use super::value::is_space;

/// What is forgotten most often.
pub(super) const HINT: &str = "a value with spaces has to be in single quotes";

/// The pairs in their order, whatever the keywords are.
///
/// # Errors
/// These are no pairs. What is in the text is not quoted.
pub(super) fn read(text: &str) -> Result<Vec<Given>, InvalidConninfo> {
    let mut given = Vec::new();
    let mut is_in_doubt = false;
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = rest.find(|c| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=') else {
            return Err(nothing_is_said(text, keyword));
        };
        let (value, after) = value(after.trim_start_matches(is_space))?;
        given.push(Given { keyword: keyword.into(), value, is_in_doubt });
        is_in_doubt |= is_secret(keyword);
        rest = after.trim_start_matches(is_space);
    }
    Ok(given)
}

/// A value at the start of a text, and what comes after it.
fn value(text: &str) -> Result<(String, &str), InvalidConninfo> {
    let quoted = text.strip_prefix('\'');
    let mut value = String::new();
    let mut rest = quoted.unwrap_or(text).chars();
    loop {
        let before = rest.as_str();
        match rest.next() {
            Some('\'') if quoted.is_some() => return Ok((value, rest.as_str())),
            Some(c) if quoted.is_none() && is_space(c) => return Ok((value, before)),
            // One at the very end stands for nothing.
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None if quoted.is_some() => return Err(InvalidConninfo::new("a value in single quotes does not end")),
            None => return Ok((value, "")),
        }
    }
}

fn nothing_is_said(text: &str, keyword: &str) -> InvalidConninfo {
    InvalidConninfo::new(match Keyword::named(keyword) {
        Some(known) => format!("\"=\" is missing after \"{}\"", known.name),
        None if !text.contains('=') => {
            "it is neither a URI, which begins with postgresql://, nor pairs like host=... dbname=...".into()
        }
        None => format!("\"=\" is missing after a word; {HINT}"),
    })
}

/// After one of these, a word may be a part of it: it had a space in it, or a quote.
pub(super) fn is_secret(keyword: &str) -> bool {
    matches!(keyword, "password" | "sslpassword")
}
