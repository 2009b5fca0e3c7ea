//! Parsers for the values of single parameters: numbers, switches, enumerations. Pure.

use super::{Conninfo, InvalidParameter};

/// Parameters by keyword.
pub(super) struct Values(pub(super) Conninfo);

/// What C considers a space, and so does libpq.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// Parses as C does: surrounding spaces, a sign, 32 bits.
pub(super) fn integer(written: &str) -> Option<i32> {
    written.trim_matches(is_space).parse().ok()
}

impl Values {
    /// The value of a keyword, if it is not empty.
    pub(super) fn text(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword)
    }

    /// The value of a keyword, possibly empty.
    pub(super) fn written(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| *there == keyword).map(|(_, value)| value)
    }

    /// An integer, if set.
    ///
    /// # Errors
    /// It is not an integer; an empty value is not one either, as in libpq.
    pub(super) fn integer(&self, keyword: &str) -> Result<Option<i32>, InvalidParameter> {
        let Some(written) = self.written(keyword) else { return Ok(None) };
        let number = integer(written).ok_or_else(|| invalid(keyword, "an integer"))?;
        Ok(Some(number))
    }

    /// A number up to `most`, or the default; `None`, the system's own default, if it is 0 or less.
    ///
    /// # Errors
    /// It is not an integer, or greater than `most`.
    pub(super) fn positive(&self, keyword: &str, default: u32, most: u32) -> Result<Option<u32>, InvalidParameter> {
        let Some(number) = self.integer(keyword)? else { return Ok(Some(default)) };
        let number = u32::try_from(number).unwrap_or(0);
        if number > most {
            return Err(invalid(keyword, &format!("an integer up to {most}")));
        }
        Ok(Some(number).filter(|number| *number > 0))
    }

    /// The meaning of one of a few words, if set.
    ///
    /// # Errors
    /// It is not one of these words.
    pub(super) fn one_of<T: Copy>(&self, keyword: &str, words: &[(&str, T)]) -> Result<Option<T>, InvalidParameter> {
        let Some(written) = self.written(keyword) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(not_one_of(keyword, words)),
        }
    }
}

/// The error for a value that is not one of `words`.
pub(super) fn not_one_of<T>(keyword: &str, words: &[(&str, T)]) -> InvalidParameter {
    let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    invalid(keyword, &format!("one of {known}"))
}

/// The error for an invalid value. Does not quote it: part of a password may have spilled into it.
fn invalid(keyword: &str, expected: &str) -> InvalidParameter {
    InvalidParameter(format!("\"{keyword}\" must be {expected}"))
}
