//! The connection parameters that libpq knows, and what becomes of each here. Pure.

/// A connection parameter.
#[derive(Debug)]
pub struct Keyword {
    pub name: &'static str,
    /// The environment variable that gives it where nothing else does.
    pub variable: Option<&'static str>,
    pub support: Support,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It means what it means to libpq.
    Taken,
    /// It may be there, and changes nothing, for the reason.
    WithoutEffect(&'static str),
    /// Whoever wants it cannot have it, for the reason. The values that ask for nothing are taken.
    Refused { reason: &'static str, harmless: &'static [&'static str] },
}

/// All of them.
pub const KEYWORDS: &[Keyword] = &[];
