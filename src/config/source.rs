//! Reads the file into values, and applies overrides.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use config::{Map, Value, ValueKind};

use super::Error;
use super::json::{self, SyntaxError};

/// Maximum size of a file in bytes: a larger one is not a configuration file.
const LARGEST: u64 = 16 << 20;

/// Reads the file. Keys and values are validated by `schema`.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>, Error> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|source| Error::Unreadable { file: file.to_owned(), source })?;
    let syntax = |reason| Error::Syntax { file: file.to_owned(), reason };
    if bytes.len() as u64 > LARGEST {
        return Err(syntax(format!("the file is larger than {} MB", LARGEST >> 20)));
    }
    parse(&bytes).map_err(syntax)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    // Some editors write a byte order mark, which is redundant in UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(encoding) = other_encoding(bytes) {
        return Err(format!("the file is in {encoding}; save it in UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = json::place(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]), error.valid_up_to());
        at(place, "this is not valid UTF-8; save the file in UTF-8")
    })?;
    if let Some(nul) = text.find('\0') {
        return Err(at(json::place(text, nul), "a NUL character is not allowed; the file may be damaged"));
    }
    json::parse(text).map_err(|SyntaxError { place, reason }| at(place, &reason))
}

fn at((line, column): (usize, usize), reason: &str) -> String {
    format!("line {line}, column {column}: {reason}")
}

/// Recognizes the encoding by its byte order mark, or by an opening brace of several bytes.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // The mark of UTF-32 begins like that of UTF-16.
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, b'{', ..] | [b'{', 0, 0, 0, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{', ..] | [b'{', 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// Overrides values: member by member where both are sections.
pub(super) fn overlay(values: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (values.get_mut(&name), value) {
            (Some(Value { kind: ValueKind::Table(members), .. }), Value { kind: ValueKind::Table(over), .. }) => {
                overlay(members, over)
            }
            (_, value) => drop(values.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped_and_what_is_not_text_is_named() {
        assert!(parse(b"\xef\xbb\xbf{\"a\": 1}").is_ok());
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let with_mark = [vec![0xff, 0xfe], utf_16("{\"a\": 1}")].concat();
        let big_endian: Vec<_> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let utf_32 = |text: &str, of: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| of(c.into())).collect::<Vec<_>>();
        let cases = [
            (with_mark, "the file is in UTF-16; save it in UTF-8"),
            (utf_16("{\"a\": 1}"), "the file is in UTF-16; save it in UTF-8"),
            (big_endian, "the file is in UTF-16; save it in UTF-8"),
            (utf_32("\u{feff}{}", u32::to_le_bytes), "the file is in UTF-32; save it in UTF-8"),
            (utf_32("\u{feff}{}", u32::to_be_bytes), "the file is in UTF-32; save it in UTF-8"),
            (utf_32("{}", u32::to_le_bytes), "the file is in UTF-32; save it in UTF-8"),
            (utf_32("{}", u32::to_be_bytes), "the file is in UTF-32; save it in UTF-8"),
            (b"".to_vec(), "line 1, column 1: the file is empty; it must hold a JSON object in braces: {...}"),
            (
                b"\xef\xbb\xbf".to_vec(),
                "line 1, column 1: the file is empty; it must hold a JSON object in braces: {...}",
            ),
            (b"{\n \"\xc3\xa9\xe9\": 1}".to_vec(), "line 2, column 4: this is not valid UTF-8; save the file in UTF-8"),
            (
                b"{\"a\":\n1} // \0".to_vec(),
                "line 2, column 7: a NUL character is not allowed; the file may be damaged",
            ),
            (vec![0; 3], "line 1, column 1: a NUL character is not allowed; the file may be damaged"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(&bytes).unwrap_err(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "configuration file \"/dev/zero\" is not valid JSON: the file is larger than 16 MB");
    }
}
