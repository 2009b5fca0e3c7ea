//! Keeps untrusted text on one line, in a log, an answer or a table. Pure.

use std::borrow::Cow;

/// The text with its control characters escaped.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] };
    text.chars().flat_map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(on_one_line("as it was: é \\n"), "as it was: é \\n");
        assert_eq!(on_one_line("no\nINFO all is well\x1b[0m\u{85} é"), "no\\nINFO all is well\\u{1b}[0m\\u{85} é");
    }
}
