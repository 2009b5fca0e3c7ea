//! A connection string, of either form (keyword/value pairs or URI), parsed as libpq does. Errors never quote the
//! string: a misplaced part of it may belong to a password. Pure.

use std::collections::BTreeMap;

use super::{Keyword, pairs, uri};
use crate::Secret;

/// Connection parameters as the user wrote them. An empty value counts as unset, but it still hides the values that the
/// service file or the environment would supply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conninfo(BTreeMap<&'static str, Secret>);

/// Why a text is not a connection string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConninfo(String);

/// One parameter of a connection string, not yet validated.
pub(super) struct RawParameter {
    pub(super) keyword: String,
    pub(super) value: String,
    /// The apparent keyword may be part of a password.
    pub(super) may_be_secret: bool,
}

impl InvalidConninfo {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl Conninfo {
    /// Parses a connection string. If a keyword occurs twice, the last value wins.
    ///
    /// # Errors
    /// The syntax is wrong, or a keyword is unknown to libpq or not supported here.
    pub fn parse(text: &str) -> Result<Self, InvalidConninfo> {
        let (given, hint) = match uri::without_scheme(text) {
            Some(uri) => (uri::read(uri)?, uri::HINT),
            None => (pairs::read(text)?, pairs::HINT),
        };
        let mut conninfo = Self::default();
        for RawParameter { keyword, value, may_be_secret } in given {
            conninfo.put(&keyword, &value, || unknown(&keyword, may_be_secret, Some(hint)))?;
        }
        Ok(conninfo)
    }

    /// The value of a keyword; `None` if it is unset or empty.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(Secret::reveal).filter(|value| !value.is_empty())
    }

    /// All parameters, empty ones included. Some values are secret.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(keyword, value)| (*keyword, value.reveal()))
    }

    /// Sets a parameter. The obsolete `requiressl` sets `sslmode`.
    ///
    /// # Errors
    /// The keyword is unknown to libpq or not supported here.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<(), InvalidConninfo> {
        self.put(keyword, value, || unknown(keyword, false, None))
    }

    fn put(
        &mut self,
        keyword: &str,
        value: &str,
        unknown: impl FnOnce() -> InvalidConninfo,
    ) -> Result<(), InvalidConninfo> {
        let (keyword, value) = match keyword {
            "requiressl" if value.starts_with('1') => ("sslmode", "require"),
            "requiressl" => ("sslmode", "prefer"),
            _ => (keyword, value),
        };
        let Some(keyword) = Keyword::named(keyword) else {
            return Err(unknown());
        };
        if value.contains('\0') {
            return Err(InvalidConninfo::new(format!("the value of \"{}\" contains a NUL character", keyword.name)));
        }
        if let Some(refusal) = keyword.refusal(value) {
            return Err(InvalidConninfo(refusal));
        }
        self.0.insert(keyword.name, Secret::new(value.into()));
        Ok(())
    }

    /// Adds the parameters of `defaults` that are absent here. As in libpq, an empty value here hides the default.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (keyword, value) in &other.0 {
            self.0.entry(keyword).or_insert_with(|| value.clone());
        }
        self
    }

    /// The same without one keyword.
    #[must_use]
    pub(super) fn without(mut self, keyword: &str) -> Self {
        self.0.remove(keyword);
        self
    }

    /// The same without empty values.
    #[must_use]
    pub fn without_empty(mut self) -> Self {
        self.0.retain(|_, value| !value.reveal().is_empty());
        self
    }

    /// Applies `change` to each value. The new values are not validated again.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn try_map<E>(self, mut change: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        let changed = self.0.into_iter().map(|(keyword, value)| Ok((keyword, Secret::new(change(value.reveal())?))));
        changed.collect::<Result<_, _>>().map(Self)
    }
}

/// The error for an unknown keyword. The keyword is quoted only if it looks like one and no password can have spilled
/// into it. The hint names the most likely mistake if it was not meant as a keyword.
fn unknown(keyword: &str, may_be_secret: bool, hint: Option<&str>) -> InvalidConninfo {
    // libpq's keywords contain no digits; many passwords do.
    let is_plain = (2..=32).contains(&keyword.len()) && keyword.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let which = match may_be_secret {
        false if is_plain => format!("keyword \"{keyword}\""),
        false => "a keyword in it".into(),
        true => "a keyword after a password".into(),
    };
    InvalidConninfo(match (Keyword::nearest(keyword), hint) {
        (Some(nearest), _) => format!("{which} is not known; did you mean \"{}\"?", nearest.name),
        (None, Some(hint)) => format!("{which} is not known; {hint}"),
        (None, None) => format!("{which} is not known"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(&'static str, String)> {
        let conninfo = Conninfo::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        conninfo.iter().map(|(keyword, value)| (keyword, value.to_owned())).collect()
    }

    fn assert_read(cases: &[(&str, &[(&str, &str)])]) {
        for (text, expected) in cases {
            let given = parsed(text);
            let given: Vec<_> = given.iter().map(|(keyword, value)| (*keyword, value.as_str())).collect();
            assert_eq!(given, *expected, "{text}");
        }
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        assert_read(&[
            ("", &[]),
            (" \t\n", &[]),
            ("host=h", &[("host", "h")]),
            (" host = h\x0bport\r=\n5 ", &[("host", "h"), ("port", "5")]),
            ("host='a b'port=5", &[("host", "a b"), ("port", "5")]),
            (r"password='it\'s \\ \x'", &[("password", r"it's \ x")]),
            (r"password=a\ b\'c\\d'e", &[("password", r"a b'c\d'e")]),
            (r"password=a\", &[("password", "a")]),
            ("host= port=5", &[("host", "port=5")]),
            ("host=''", &[("host", "")]),
            ("host=a host=", &[("host", "")]),
            ("host=a host=b", &[("host", "b")]),
            ("password=a=b", &[("password", "a=b")]),
            ("user=\u{a0}ü", &[("user", "\u{a0}ü")]),
            ("requiressl=1", &[("sslmode", "require")]),
            ("requiressl=", &[("sslmode", "prefer")]),
            // Only a URI may be one.
            ("dbname=postgres://h", &[("dbname", "postgres://h")]),
        ]);
    }

    #[test]
    fn a_uri_is_read_as_libpq_reads_it() {
        assert_read(&[
            ("postgresql://", &[]),
            ("postgres://@", &[]),
            ("postgres://:@:/?", &[]),
            ("postgresql:///d", &[("dbname", "d")]),
            ("postgres://u@h/d", &[("dbname", "d"), ("host", "h"), ("user", "u")]),
            ("postgres://u:@h", &[("host", "h"), ("user", "u")]),
            ("postgres://u:a:b?c@h", &[("host", "h"), ("password", "a:b?c"), ("user", "u")]),
            (
                "postgres://%75:p%40%2F@[::1]:5/d%20e",
                &[("dbname", "d e"), ("host", "::1"), ("password", "p@/"), ("port", "5"), ("user", "u")],
            ),
            ("postgres://a:1,[::1],:3,c", &[("host", "a,::1,,c"), ("port", "1,,3,")]),
            ("postgres://,", &[("host", ","), ("port", ",")]),
            ("postgres://a,b", &[("host", "a,b"), ("port", ",")]),
            ("postgres://:5433/d", &[("dbname", "d"), ("port", "5433")]),
            ("postgres://%2Frun%2Fpg/d", &[("dbname", "d"), ("host", "/run/pg")]),
            ("postgres://h?user=u&host=%2Frun&", &[("host", "/run"), ("user", "u")]),
            ("postgres://h?%75ser=u%3Dv&password=", &[("host", "h"), ("password", ""), ("user", "u=v")]),
            ("postgres://h/d?ssl=true", &[("dbname", "d"), ("host", "h"), ("sslmode", "require")]),
            ("postgres:// h / d%20 ?user = u ", &[("dbname", "d "), ("host", "h"), ("user", "u")]),
            ("postgres:// ", &[("host", "")]),
            ("postgres://u@h?application_name=a@b", &[("application_name", "a@b"), ("host", "h"), ("user", "u")]),
        ]);
    }

    #[test]
    fn errors_do_not_quote_the_connection_string() {
        let cases = [
            ("host=a nonsense=1", "keyword \"nonsense\" is not known; a value with spaces"),
            ("host=a password=x nonsense=1", "a keyword after a password is not known; a value with spaces"),
            ("host=a password=my s3cret=1", "a keyword after a password is not known; a value with spaces"),
            ("host=a password='it' s3cret=1'", "a keyword after a password is not known; a value with spaces"),
            ("host=a sslpassword=my s3cret=1", "a keyword after a password is not known"),
            ("host=a password=my s3cret d", "\"=\" is missing after a word; a value with spaces"),
            ("host=a password=my s3cret", "\"=\" is missing after a word; a value with spaces"),
            ("host=a port", "\"=\" is missing after \"port\""),
            ("s3cret", "neither a URI"),
            ("mysql://u:s3cret@h/d", "neither a URI"),
            ("s3cret=1", "a keyword in it is not known"),
            ("=s3cret", "a keyword in it is not known"),
            ("HOST=s3cret", "a keyword in it is not known"),
            ("host=a password='s3cret", "a single quote is not closed"),
            ("host=a sslmod=require", "keyword \"sslmod\" is not known; did you mean \"sslmode\"?"),
            ("password=a sslmod=s3cret", "a keyword after a password is not known; did you mean \"sslmode\"?"),
            ("oauth_client_secret=s3cret", "\"oauth_client_secret\" is not supported"),
            ("gssencmode=s3cret", "\"gssencmode\" is not supported except as disable, prefer"),
            ("password=s3cret\0", "the value of \"password\" contains a NUL"),
            ("postgresql://u:p@s3cret@h/d", "%40"),
            ("postgresql://u:p@s3cret/x@h/d", "%40"),
            ("postgresql://u:p/s3cret@h/d", "%2F"),
            ("postgresql://u:p?s3cret=1@h/d", "%3F"),
            ("postgresql://h/d?user=u&password=p@s3cret", "%40"),
            ("postgresql://h?user=u&password=p@s3cret", "%40"),
            ("postgresql://u:p@h/d?s3cret", "a parameter after the \"?\" has no \"=\""),
            ("postgresql://u:p@h/d?&s3cret=1", "a parameter after the \"?\" has no \"=\""),
            ("postgresql://u:p@h/d?password=s3cret=1", "%3D"),
            ("postgresql://u:p@h/d?nonsense=1", "keyword \"nonsense\" is not known; in a value, & is written %26"),
            ("postgresql://u:p@h/d?password=a&s3cret=1", "a keyword after a password is not known"),
            ("postgresql://u:p@a?s3cret=1@h", "a keyword after a password is not known"),
            ("postgresql://u:p@h?ssl=s3cret", "\"ssl\" can only be \"true\""),
            ("postgresql://u:%ffs3cret@h/d?user=%ff", "UTF-8"),
            ("postgresql://u:%zzs3cret@h", "after a %"),
            ("postgresql://u:s3cret%0üh@h", "after a %"),
            ("postgresql://u:s3cret%+1@h", "after a %"),
            ("postgresql://u:s3cret%00@h", "NUL"),
            ("postgresql://u:my s3cret@h", "%20"),
            ("postgresql://u:s3cret@[::1/d", "\"]\" is missing"),
            ("postgresql://u:s3cret@[]/d", "the address between"),
            ("postgresql://u:s3cret@[::1]x/d", "can follow \"]\""),
        ];
        for (text, expected) in cases {
            let error = Conninfo::parse(text).err().unwrap_or_else(|| panic!("{text} is taken")).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn a_parameter_by_itself_is_one_of_libpqs_or_none() {
        let mut conninfo = Conninfo::default();
        conninfo.set("port", "1").unwrap();
        conninfo.set("requiressl", "1").unwrap();
        assert_eq!(conninfo.iter().collect::<Vec<_>>(), [("port", "1"), ("sslmode", "require")]);
        let mut refused = |keyword| conninfo.set(keyword, "s3cret").unwrap_err().to_string();
        assert_eq!(refused("nonsense"), "keyword \"nonsense\" is not known");
        assert_eq!(refused("sslmod"), "keyword \"sslmod\" is not known; did you mean \"sslmode\"?");
        assert_eq!(
            refused("gssencmode"),
            "\"gssencmode\" is not supported except as disable, prefer: there is no GSSAPI in the collector"
        );
        assert_eq!(conninfo.get("gssencmode"), None);
    }

    #[test]
    fn an_empty_value_counts_as_unset_and_overrides_others() {
        let given = Conninfo::parse("host='' port=1").unwrap();
        let service = Conninfo::parse("host=a port=2 user=u").unwrap();
        let both = given.or(&service);
        assert_eq!((both.get("host"), both.get("port"), both.get("user")), (None, Some("1"), Some("u")));
    }

    #[test]
    fn values_may_be_changed() {
        let given = Conninfo::parse("host=a user=").unwrap();
        let changed = given.clone().try_map(|value| Ok::<_, ()>(format!("{value}!"))).unwrap();
        assert_eq!(changed.iter().collect::<Vec<_>>(), [("host", "a!"), ("user", "!")]);
        assert_eq!(given.try_map(|value| Err::<String, _>(value.to_owned())), Err("a".to_owned()));
    }

    #[test]
    fn debug_output_hides_values() {
        let given = Conninfo::parse("host=s3cret password=s3cret").unwrap();
        assert_eq!(format!("{given:?}"), r#"Conninfo({"host": <hidden>, "password": <hidden>})"#);
    }

    /// A value in single quotes.
    fn quoted(value: &str) -> String {
        format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
    }

    /// A value without quotes, which cannot be empty.
    fn escaped(value: &str) -> String {
        value
            .chars()
            .map(|c| if c.is_ascii_whitespace() || "\\'\x0b".contains(c) { format!("\\{c}") } else { c.into() })
            .collect()
    }

    fn percent_encoded(value: &str) -> String {
        value.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            let _ = Conninfo::parse(&text);
            let _ = Conninfo::parse(&format!("postgres://{text}"));
        }

        #[test]
        fn nothing_that_resembles_a_connection_string_panics(pieces in prop::collection::vec(prop::sample::select(vec![
            "postgres://", "host", "password", "=", " ", "'", "\\", "@", ":", "/", "?", "&", ",", "[", "]", "%", "%4", "%41", "ü", "1",
        ]), 0..12)) {
            let _ = Conninfo::parse(&pieces.concat());
        }

        #[test]
        fn a_quoted_value_is_parsed_unchanged(password in "[^\0]*", host in "[^\0]+") {
            for text in [
                format!("password={} host = {}", quoted(&password), quoted(&host)),
                format!("host={} password={}", escaped(&host), quoted(&password)),
            ] {
                let read = parsed(&text);
                prop_assert_eq!(read, [("host", host.clone()), ("password", password.clone())]);
            }
        }

        #[test]
        fn a_percent_encoded_value_is_parsed_unchanged(password in "[^\0]+", host in "[^\0]+", user in "[^\0]*") {
            let [password_in, host_in, user_in] = [&password, &host, &user].map(|value| percent_encoded(value));
            let read = parsed(&format!("postgres://:{password_in}@{host_in}?user={user_in}"));
            prop_assert_eq!(read, [("host", host), ("password", password), ("user", user)]);
        }
    }
}
