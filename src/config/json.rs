//! A parser for the configuration file: JSON with comments (`//`, `/* */`, `#`). Pure.
//!
//! A parser of its own for the sake of its errors, which are for people who do not know JSON: each has a line and
//! column and says what to change. A duplicate key is an error, because JSON does not define which value counts. The
//! file may contain secrets, so no message quotes a value. Strings and numbers are decoded by `serde_json`.

use config::{Map, Value, ValueKind};

#[cfg(test)]
mod tests;

/// Maximum nesting of objects and lists.
const DEEPEST: usize = 64;

/// Where and why a text is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Line and column, from 1; the column counts characters.
    pub(super) place: (usize, usize),
    pub(super) reason: String,
}

/// Parses a text that is one object. The origin of each value is the line on which it begins: `line 3`.
///
/// # Errors
/// The first error.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, SyntaxError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let parsed = parser.document();
    parsed.map_err(|Fault { at, reason }| SyntaxError { place: place(text, at), reason })
}

/// The line and column of a byte offset.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

struct Fault {
    at: usize,
    reason: String,
}

type Parsed<T> = Result<T, Fault>;

fn fault<T>(at: usize, reason: impl Into<String>) -> Parsed<T> {
    Err(Fault { at, reason: reason.into() })
}

struct Parser<'a> {
    text: &'a str,
    /// Offset of the next character.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Parsed<Map<String, Value>> {
        self.skip_blanks()?;
        match self.peek() {
            None => return fault(self.at, "the file is empty; it must hold a JSON object in braces: {...}"),
            Some('{') => {}
            Some(_) => return fault(self.at, "the file must begin with \"{\", as it must hold one JSON object"),
        }
        let members = self.object("")?;
        self.skip_blanks()?;
        match self.peek() {
            None => Ok(members),
            Some('}') => fault(self.at, "this \"}\" closes nothing; remove it, or the one too many before it"),
            Some(_) => fault(self.at, "nothing may follow the \"}\" that closes the first \"{\""),
        }
    }

    /// Parses an object; `path` is the key that it belongs to.
    fn object(&mut self, path: &str) -> Parsed<Map<String, Value>> {
        let begin = self.open()?;
        let mut members = Map::new();
        let mut comma = None;
        loop {
            self.skip_blanks()?;
            match (self.peek(), comma) {
                (Some('}'), Some(comma)) => return fault(comma, "a comma before \"}\" is not allowed; remove it"),
                (Some('}'), None) => break,
                _ => {}
            }
            let key_at = self.at;
            let key = self.key(begin)?;
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.skip_blanks()?;
            match self.peek() {
                Some(':') => self.at += 1,
                None => return self.unclosed('{', begin),
                Some(_) => return fault(self.at, "a colon must stand between a key and its value"),
            }
            self.skip_blanks()?;
            let value = self.value(&path)?;
            if let Some(first) = members.insert(key, value) {
                let first = first.origin().unwrap_or("another line").to_owned();
                return fault(key_at, format!("the key \"{path}\" appears a second time; the first one is on {first}"));
            }
            comma = self.comma('{', begin)?;
            if comma.is_none() {
                break;
            }
        }
        self.close();
        Ok(members)
    }

    fn list(&mut self, path: &str) -> Parsed<Vec<Value>> {
        let begin = self.open()?;
        let mut values = Vec::new();
        let mut comma = None;
        loop {
            self.skip_blanks()?;
            match (self.peek(), comma) {
                (Some(']'), Some(comma)) => return fault(comma, "a comma before \"]\" is not allowed; remove it"),
                (Some(']'), None) => break,
                (None, _) => return self.unclosed('[', begin),
                _ => {}
            }
            values.push(self.value(path)?);
            comma = self.comma('[', begin)?;
            if comma.is_none() {
                break;
            }
        }
        self.close();
        Ok(values)
    }

    fn open(&mut self) -> Parsed<usize> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return fault(self.at, format!("objects and lists may be nested {DEEPEST} deep at most"));
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// After a member: the position of the comma, or `None` before the closing bracket, which is not consumed.
    fn comma(&mut self, open: char, begin: usize) -> Parsed<Option<usize>> {
        self.skip_blanks()?;
        let (close, what) = if open == '{' { ('}', "key") } else { (']', "value") };
        match self.peek() {
            Some(',') => {
                self.at += 1;
                Ok(Some(self.at - 1))
            }
            Some(found) if found == close => Ok(None),
            None => self.unclosed(open, begin),
            Some('"') => fault(self.at, format!("a comma is missing before this {what}")),
            Some(_) => fault(self.at, format!("a comma or \"{close}\" must follow a value")),
        }
    }

    fn unclosed<T>(&self, open: char, begin: usize) -> Parsed<T> {
        let (line, column) = place(self.text, begin);
        let close = if open == '{' { '}' } else { ']' };
        let reason = format!("the file ends before \"{close}\" closes the \"{open}\" on line {line}, column {column}");
        fault(self.at, reason)
    }

    fn key(&mut self, begin: usize) -> Parsed<String> {
        match self.peek() {
            Some('"') => self.string(),
            None => self.unclosed('{', begin),
            Some(',') => fault(self.at, "a key must follow a comma or \"{\"; one comma too many"),
            Some(other) if is_quote(other) => fault(self.at, QUOTES),
            Some(other) if is_of_a_word(other) => fault(self.at, "a key must be in double quotes"),
            Some(_) => fault(self.at, "a key in double quotes, or \"}\", must be here"),
        }
    }

    fn value(&mut self, path: &str) -> Parsed<Value> {
        let begin = self.at;
        let kind = match self.peek() {
            Some('{') => ValueKind::Table(self.object(path)?),
            Some('[') => ValueKind::Array(self.list(path)?),
            Some('"') => ValueKind::String(self.string()?),
            Some(quote) if is_quote(quote) => return fault(begin, QUOTES),
            None => return fault(begin, "the file ends where a value must be"),
            Some(',' | '}' | ']' | ':') => return fault(begin, "a value is missing here"),
            Some(_) => self.word()?,
        };
        let line = format!("line {}", place(self.text, begin).0);
        Ok(Value::new(Some(&line), kind))
    }

    /// A value without quotes: true, false, null, a number, or a string that lacks its quotes.
    fn word(&mut self) -> Parsed<ValueKind> {
        let begin = self.at;
        let rest = &self.text[begin..];
        let word = &rest[..rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len())];
        // A comment may follow without a blank.
        let ends = ["//", "/*", "#"].map(|comment| word.find(comment).unwrap_or(word.len()));
        let word = &word[..ends.into_iter().min().unwrap_or_default()];
        let kind = match word {
            "true" => ValueKind::Boolean(true),
            "false" => ValueKind::Boolean(false),
            "null" => ValueKind::Nil,
            _ => match serde_json::from_str::<serde_json::Number>(word) {
                Ok(number) => match (number.as_i64(), number.as_u64()) {
                    (Some(number), _) => number.into(),
                    (None, Some(number)) => number.into(),
                    (None, None) => number.as_f64().into(),
                },
                Err(_) => return fault(begin, meant_by(word)),
            },
        };
        self.at += word.len();
        Ok(kind)
    }

    fn string(&mut self) -> Parsed<String> {
        let begin = self.at;
        let mut is_escaped = false;
        for (index, c) in self.text[begin + 1..].char_indices() {
            let at = begin + 1 + index;
            match c {
                '\n' | '\r' => break,
                '\t' => return fault(at, "a tab in a string must be written as \\t"),
                control if control < ' ' => {
                    let code = u32::from(control);
                    return fault(at, format!("a control character in a string must be written as \\u{code:04x}"));
                }
                '"' if !is_escaped => {
                    self.at = at + 1;
                    // The quotes match, so only an escape sequence can be wrong.
                    let decoded = serde_json::from_str::<String>(&self.text[begin..self.at]);
                    if decoded.as_ref().is_ok_and(|text| text.contains('\0')) {
                        return fault(begin, "a NUL character (\\u0000) is not allowed in a string");
                    }
                    return decoded.or_else(|error| {
                        let before = self.text[begin..self.at].char_indices().map(|(index, _)| begin + index);
                        let escape = before.take_while(|at| at - begin < error.column()).last().unwrap_or(begin);
                        fault(escape, "this escape sequence is not valid; a backslash must be written as \\\\")
                    });
                }
                _ => {}
            }
            is_escaped = c == '\\' && !is_escaped;
        }
        fault(begin, "the string that begins here has no closing double quote on its line")
    }

    /// White space and comments.
    fn skip_blanks(&mut self) -> Parsed<()> {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.at += blanks;
            let rest = &rest[blanks..];
            let length = if rest.starts_with("//") || rest.starts_with('#') {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => end + 4,
                    None => return fault(self.at, "the comment that begins here is not closed: \"*/\" is missing"),
                }
            } else {
                return match rest.chars().next().filter(|c| is_invisible(*c)) {
                    Some(c) => fault(self.at, misplaced(c)),
                    None => Ok(()),
                };
            };
            self.at += length;
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }
}

const QUOTES: &str = "keys and strings must be in double quotes (\"), not in other ones";

/// Single quotes, and the typographic quotes of word processors and web pages.
fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '`' | '\u{b4}' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}')
}

/// A character of a number, a word, or a string that lacks its quotes.
fn is_of_a_word(c: char) -> bool {
    !is_invisible(c) && !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"')
}

/// White space that JSON does not allow, and characters without width: invisible on the screen.
fn is_invisible(c: char) -> bool {
    let is_blank = c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r' | '\n');
    is_blank
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The error for an invisible character, with its name.
fn misplaced(c: char) -> String {
    let name = match c {
        '\u{a0}' => "a no-break space, ",
        '\u{feff}' => "a byte order mark, ",
        '\u{200b}' => "a zero-width space, ",
        _ => "",
    };
    let code = u32::from(c);
    format!("an invisible character ({name}U+{code:04X}) is not allowed here; replace it with a space, or remove it")
}

/// What to write instead of an invalid word.
fn meant_by(word: &str) -> &'static str {
    let looks_like_a_number = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => "this must be written as true",
        "false" | "no" | "off" => "this must be written as false",
        "null" | "none" | "nil" | "undefined" => "this must be written as null",
        "" => "a value must be here: a string in double quotes, a number, true, false, null, {...} or [...]",
        _ if looks_like_a_number => "this is not a valid number; a string must be in double quotes",
        _ => "a string must be in double quotes",
    }
}
