//! The values of single parameters: numbers, switches, words of which there are a few. Pure.

use super::{Conninfo, InvalidParameter};

/// Parameters of which each is there at most once.
pub(super) struct Values(pub(super) Conninfo);

/// What C takes for a space, and so libpq does: more than one kind, and no other language's.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// As C reads it: with spaces around it, a sign, and 32 bits.
pub(super) fn integer(written: &str) -> Option<i32> {
    written.trim_matches(is_space).parse().ok()
}

impl Values {
    /// A text, if there is one that is not empty.
    pub(super) fn text(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword)
    }

    /// What is there, be it empty.
    pub(super) fn written(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| *there == keyword).map(|(_, value)| value)
    }

    /// A number, if there is one.
    ///
    /// # Errors
    /// It is none, or is empty, which libpq does not take for a number either.
    pub(super) fn integer(&self, keyword: &str) -> Result<Option<i32>, InvalidParameter> {
        let Some(written) = self.written(keyword) else { return Ok(None) };
        let number = integer(written).ok_or_else(|| invalid(keyword, "a whole number"))?;
        Ok(Some(number))
    }

    /// A number that is not above what the system takes, if there is one. Up to 0, it is the system's, which is none.
    ///
    /// # Errors
    /// It is no such number.
    pub(super) fn positive(&self, keyword: &str, default: u32, most: u32) -> Result<Option<u32>, InvalidParameter> {
        let Some(number) = self.integer(keyword)? else { return Ok(Some(default)) };
        let number = u32::try_from(number).unwrap_or(0);
        if number > most {
            return Err(invalid(keyword, &format!("a whole number up to {most}")));
        }
        Ok(Some(number).filter(|number| *number > 0))
    }

    /// What one of a few words means, if there is one.
    ///
    /// # Errors
    /// It is none of these.
    pub(super) fn one_of<T: Copy>(&self, keyword: &str, words: &[(&str, T)]) -> Result<Option<T>, InvalidParameter> {
        let Some(written) = self.written(keyword) else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(none_of(keyword, words)),
        }
    }
}

/// Says which words there are.
pub(super) fn none_of<T>(keyword: &str, words: &[(&str, T)]) -> InvalidParameter {
    let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    invalid(keyword, &format!("one of {known}"))
}

/// Says what a value has to be. Not what it is: a piece of a password may have run on into it.
fn invalid(keyword: &str, expected: &str) -> InvalidParameter {
    InvalidParameter(format!("\"{keyword}\" has to be {expected}"))
}
