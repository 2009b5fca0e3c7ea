//! An SQL identifier, quoted for use in the text of a statement.

use std::fmt;

/// A name in double quotes, with embedded double quotes doubled, as by `quote_ident()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedIdent(String);

impl QuotedIdent {
    pub fn new(name: &str) -> Self {
        Self(format!("\"{}\"", name.replace('"', "\"\"")))
    }
}

impl fmt::Display for QuotedIdent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_quotes() {
        for (name, quoted) in [("powa", "\"powa\""), ("", "\"\""), ("a\"; drop", "\"a\"\"; drop\""), ("A b", "\"A b\"")]
        {
            assert_eq!(QuotedIdent::new(name).to_string(), quoted);
        }
    }
}
