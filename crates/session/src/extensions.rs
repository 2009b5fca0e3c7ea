//! The extensions of a database and their schemas, and the expansion of `{extension}` in PoWA's queries. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::QuotedIdent;

/// The extensions installed in one database, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(BTreeMap<String, Extension>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Extension {
    version: String,
    schema: QuotedIdent,
}

/// A query refers to an extension that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extension \"{0}\" is not installed")]
pub struct UnknownExtension(pub String);

/// The database has no PoWA that the collector supports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusablePowa {
    #[error("extension \"powa\" is not installed in that database: run \"create extension powa cascade\" in it")]
    Missing,
    #[error("PoWA {0} is too old: 4.0 or newer is needed")]
    TooOld(PowaVersion),
}

impl Extensions {
    /// From rows of name, version, schema.
    pub fn from_rows(rows: impl IntoIterator<Item = (String, String, String)>) -> Self {
        let extension = |version, schema: String| Extension { version, schema: QuotedIdent::new(&schema) };
        Self(rows.into_iter().map(|(name, version, schema)| (name, extension(version, schema))).collect())
    }

    /// The schema of an extension's objects.
    ///
    /// # Errors
    /// The extension is not installed.
    pub fn schema(&self, extension: &str) -> Result<&QuotedIdent, UnknownExtension> {
        self.0.get(extension).map(|found| &found.schema).ok_or_else(|| UnknownExtension(extension.into()))
    }

    /// The version of PoWA, if it is installed and its version can be parsed.
    pub fn powa(&self) -> Option<PowaVersion> {
        self.version("powa").and_then(PowaVersion::parse)
    }

    /// The version of PoWA, if it is supported.
    ///
    /// # Errors
    /// PoWA is not installed, or too old.
    pub fn usable_powa(&self) -> Result<PowaVersion, UnusablePowa> {
        match self.powa() {
            None => Err(UnusablePowa::Missing),
            Some(version) if version.major < 4 => Err(UnusablePowa::TooOld(version)),
            Some(version) => Ok(version),
        }
    }

    /// The installed version of an extension.
    pub fn version(&self, extension: &str) -> Option<&str> {
        self.0.get(extension).map(|found| found.version.as_str())
    }

    /// Replaces each `{extension}` by its quoted schema; `{{` and `}}` stand for single braces.
    ///
    /// This is the format of PoWA 5's queries: see PoWA's documentation on custom datasources.
    ///
    /// # Errors
    /// The text refers to an extension that is not installed.
    pub fn expand(&self, text: &str) -> Result<String, UnknownExtension> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            expanded.push_str(&rest[..brace]);
            let tail = &rest[brace..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                expanded.push_str(&tail[..1]);
                rest = &tail[2..];
            } else if let Some((name, after)) = tail.strip_prefix('{').and_then(|tail| tail.split_once('}')) {
                expanded.push_str(&self.schema(name)?.to_string());
                rest = after;
            } else {
                // An unmatched brace is part of the query.
                expanded.push_str(&tail[..1]);
                rest = &tail[1..];
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// A version of PoWA. Compatibility depends on its first two numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PowaVersion {
    major: u16,
    minor: u16,
    text: String,
}

impl PowaVersion {
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse().ok()
        });
        Some(Self { major: numbers.next()??, minor: numbers.next().flatten().unwrap_or(0), text: text.into() })
    }

    /// PoWA 5 and newer have modules, database modules and catalogs, and schema-qualify all names.
    pub fn has_modules(&self) -> bool {
        self.major >= 5
    }

    /// PoWA 4.0 stores no versions of servers and extensions, and needs its library loaded into the session.
    pub fn is_4_0(&self) -> bool {
        (self.major, self.minor) == (4, 0)
    }

    /// Compares the first two numbers.
    pub fn is_older_than(&self, other: &Self) -> bool {
        (self.major, self.minor) < (other.major, other.minor)
    }

    /// The first two numbers, as in package names.
    pub fn short(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// PoWA can be updated within a major version.
    pub fn has_same_major(&self, other: &Self) -> bool {
        self.major == other.major
    }

    /// Repository and remote server need the same first two numbers.
    pub fn fits(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for PowaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions() -> Extensions {
        let rows = [("powa", "5.0.2", "powa"), ("pg_qualstats", "2.1.1", "Odd \"name\"")];
        Extensions::from_rows(rows.map(|(name, version, schema)| (name.into(), version.into(), schema.into())))
    }

    #[test]
    fn placeholders_become_quoted_schemas() {
        let cases = [
            ("select 1", "select 1"),
            ("SELECT {pg_qualstats}.pg_qualstats_reset()", "SELECT \"Odd \"\"name\"\"\".pg_qualstats_reset()"),
            ("{powa}{powa}", "\"powa\"\"powa\""),
            ("'{{}}'", "'{}'"),
            ("a } b { c", "a } b { c"),
            ("", ""),
        ];
        for (text, expanded) in cases {
            assert_eq!(extensions().expand(text).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn a_placeholder_of_a_missing_extension_is_an_error_that_names_it() {
        let error = extensions().expand("select {hypopg}.x()").unwrap_err();
        assert_eq!(error.to_string(), "extension \"hypopg\" is not installed");
    }

    #[test]
    fn versions_are_read_in_every_form_powa_gives_them() {
        let cases = [("4.1.4", (4, 1)), ("5.0.2", (5, 0)), ("5.1beta1", (5, 1)), ("4.2.0dev", (4, 2)), ("5", (5, 0))];
        for (text, numbers) in cases {
            let version = PowaVersion::parse(text).unwrap();
            assert_eq!((version.major, version.minor), numbers, "{text}");
            assert_eq!(version.to_string(), text);
        }
        assert_eq!(PowaVersion::parse("dev"), None);
        assert_eq!(PowaVersion::parse(""), None);
    }

    #[test]
    fn a_powa_that_is_missing_or_too_old_is_refused() {
        let with = |version: &str| Extensions::from_rows([("powa".into(), version.into(), "public".into())]);
        assert_eq!(Extensions::default().usable_powa(), Err(UnusablePowa::Missing));
        assert_eq!(
            with("3.2.0").usable_powa().unwrap_err().to_string(),
            "PoWA 3.2.0 is too old: 4.0 or newer is needed"
        );
        assert!(with("4.0.0").usable_powa().is_ok());
    }

    #[test]
    fn versions_fit_if_their_first_two_numbers_are_equal() {
        let version = |text| PowaVersion::parse(text).unwrap();
        assert!(version("5.0.1").fits(&version("5.0.2")));
        assert!(!version("5.0.2").fits(&version("5.1.0")));
        assert!(!version("4.1.4").fits(&version("5.1.4")));
    }
}
