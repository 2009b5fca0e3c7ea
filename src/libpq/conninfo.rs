//! A connection string, be it pairs of keyword and value or a URI, read as libpq reads it. What is wrong with one is told
//! without quoting it: what is misplaced in it may be part of a password. Pure.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// Values of connection parameters, as somebody wrote them. An empty one is as good as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conninfo(BTreeMap<&'static str, Secret>);

/// Why a text is no connection string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConninfo(String);

impl Conninfo {
    /// Reads a connection string.
    ///
    /// # Errors
    /// It is none, or names a keyword that libpq does not know, or one that is refused here.
    pub fn parse(text: &str) -> Result<Self, InvalidConninfo> {
        todo!()
    }

    /// What was given for a keyword. An empty value counts as none, as with libpq.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(Secret::reveal).filter(|value| !value.is_empty())
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// libpq does not know the keyword, or it is refused here.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<(), InvalidConninfo> {
        todo!()
    }

    /// What is given here, and where nothing is, what `other` gives.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (keyword, value) in &other.0 {
            if self.get(keyword).is_none() {
                self.0.insert(keyword, value.clone());
            }
        }
        self
    }

    /// All values, changed by `change`.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_map<E>(self, change: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        todo!()
    }
}
