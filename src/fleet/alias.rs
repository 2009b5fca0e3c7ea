//! Which aliases a server can have.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAlias {
    #[error("an alias must not be empty")]
    Empty,
    #[error("an alias must not consist of digits only, which would be read as a server id")]
    DigitsOnly,
}

/// Accepts an alias that cannot be confused with the id of a server.
pub(crate) fn parse_alias(text: &str) -> Result<String, InvalidAlias> {
    if text.is_empty() {
        return Err(InvalidAlias::Empty);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAlias::DigitsOnly);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_no_id() {
        assert_eq!(parse_alias(""), Err(InvalidAlias::Empty));
        assert_eq!(parse_alias("17"), Err(InvalidAlias::DigitsOnly));
        assert_eq!(parse_alias("db17").as_deref(), Ok("db17"));
    }
}
