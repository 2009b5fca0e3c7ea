//! Compares versions of PoWA.

use std::path::Path;

use anyhow::{Context, Result};

/// A version such as `5.0.2`, ordered by its numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    numbers: Vec<u32>,
    text: String,
}

impl Version {
    /// Reads `default_version` out of an extension's control file.
    pub(crate) fn from_control_file(path: &Path) -> Result<Version> {
        let control =
            std::fs::read_to_string(path).with_context(|| format!("reading the control file {}", path.display()))?;
        Version::from_control(&control).with_context(|| format!("no usable default_version in {}", path.display()))
    }

    fn from_control(control: &str) -> Option<Version> {
        let (_, value) = control
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim() == "default_version")?;
        Version::parse(value.trim().trim_matches('\''))
    }

    /// Reads dotted numbers, as many as there are.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let numbers = text.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        Some(Version { numbers, text: text.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn major(&self) -> u32 {
        self.numbers[0]
    }

    /// Whether this is one of the versions meant by `wanted`: 5.0.2 is one of 5 and of 5.0, not of 5.1.
    pub(crate) fn is_one_of(&self, wanted: &Version) -> bool {
        self.numbers.starts_with(&wanted.numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn the_version_is_read_out_of_a_control_file() {
        let control = "# powa extension\ncomment = 'a = b'\ndefault_version = '5.0.2'\nrequires = 'plpgsql'\n";
        assert_eq!(Version::from_control(control), Some(version("5.0.2")));
        assert_eq!(Version::from_control("comment = 'nothing here'"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(version("4.1.4") < version("4.1.10"));
        assert!(version("4.2") < version("5.0.2"));
    }

    #[test]
    fn a_short_version_means_all_that_begin_with_it() {
        assert!(version("5.0.2").is_one_of(&version("5")));
        assert!(version("5.0.2").is_one_of(&version("5.0")));
        assert!(!version("5.10.0").is_one_of(&version("5.1")));
        assert_eq!(Version::parse("five"), None);
        assert_eq!(Version::parse(""), None);
    }
}
