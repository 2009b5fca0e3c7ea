//! The tags of a server: names and values that people give it, such as `environment` and `production`. Valid or refused.

use std::collections::BTreeMap;

/// The tags of one server, by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// Tags of one server.
pub(crate) const MAX_TAGS: usize = 32;

/// As in names of PostgreSQL. A label of Prometheus has no limit of its own.
const MAX_KEY_BYTES: usize = 63;

const MAX_VALUE_BYTES: usize = 256;

/// Why a tag cannot be like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTag {
    #[error(
        "the key of a tag must have 1 to {MAX_KEY_BYTES} characters: a lower-case letter, then lower-case letters, digits \
         and underscores"
    )]
    Key,
    #[error("the value of a tag must have 1 to {MAX_VALUE_BYTES} bytes")]
    ValueLength,
    #[error("the value of a tag must not have control characters")]
    ControlCharacter,
    #[error("a server can have at most {MAX_TAGS} tags")]
    TooMany,
}

/// Accepts a key. It can be the end of a label's name in Prometheus.
pub(crate) fn check_key(key: &str) -> Result<(), InvalidTag> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_valid = key.len() <= MAX_KEY_BYTES
        && key.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && key.bytes().all(is_part);
    if is_valid { Ok(()) } else { Err(InvalidTag::Key) }
}

/// Accepts a value.
pub(crate) fn check_value(value: &str) -> Result<(), InvalidTag> {
    if value.is_empty() || value.len() > MAX_VALUE_BYTES {
        Err(InvalidTag::ValueLength)
    } else if value.chars().any(char::is_control) {
        Err(InvalidTag::ControlCharacter)
    } else {
        Ok(())
    }
}

/// Adds a tag to those of a server.
pub(crate) fn insert(tags: &mut Tags, key: String, value: String) -> Result<(), InvalidTag> {
    check_key(&key)?;
    check_value(&value)?;
    if tags.len() >= MAX_TAGS && !tags.contains_key(&key) {
        return Err(InvalidTag::TooMany);
    }
    tags.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_end_of_a_label() {
        for good in ["a", "environment", "a_1", "z__", &"k".repeat(63)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a.b", "ä", "a b", "a\n", "a=b", &"k".repeat(64)] {
            assert_eq!(check_key(bad), Err(InvalidTag::Key), "{bad}");
        }
    }

    #[test]
    fn a_value_is_any_short_text_on_one_line() {
        for good in ["x", "Production EU", "a=b:c,d", "größer", " ", &"v".repeat(256)] {
            assert_eq!(check_value(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", InvalidTag::ValueLength),
            ("a\nb", InvalidTag::ControlCharacter),
            ("\u{7f}", InvalidTag::ControlCharacter),
            ("\u{85}", InvalidTag::ControlCharacter),
            (&"v".repeat(257), InvalidTag::ValueLength),
            (&"ä".repeat(129), InvalidTag::ValueLength),
        ] {
            assert_eq!(check_value(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn there_are_32_tags_and_no_more() {
        let mut tags = Tags::new();
        for number in 0..MAX_TAGS {
            insert(&mut tags, format!("k{number}"), "v".into()).unwrap();
        }
        insert(&mut tags, "k0".into(), "another".into()).unwrap();
        assert_eq!(insert(&mut tags, "one_more".into(), "v".into()), Err(InvalidTag::TooMany));
        assert_eq!(tags.len(), MAX_TAGS);
    }
}
