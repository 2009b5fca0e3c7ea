//! Finds the configuration file: the first of the paths that the Python collector searches too.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// The configuration file: given by the user, or found in the default places.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    Given(PathBuf),
    Usual,
}

/// There is no configuration file in the default places.
#[derive(Debug)]
pub(crate) struct NotFound {
    places: Vec<PathBuf>,
}

impl Location {
    /// The file to read. Whether a given file exists is not checked: the error from reading it is more specific.
    ///
    /// # Errors
    /// No default place has a file.
    pub(crate) fn find(&self) -> Result<PathBuf, NotFound> {
        match self {
            Self::Given(file) => Ok(file.clone()),
            Self::Usual => {
                let places = usual_places(env::home_dir().as_deref());
                match places.iter().find(|place| place.exists()) {
                    Some(file) => Ok(file.clone()),
                    None => Err(NotFound { places }),
                }
            }
        }
    }
}

fn usual_places(home: Option<&Path>) -> Vec<PathBuf> {
    let in_home = |name: &str| home.map(|home| home.join(name));
    [
        Some(PathBuf::from("/etc/powa-collector.conf")),
        in_home(".config/powa-collector.conf"),
        in_home(".powa-collector.conf"),
        Some(PathBuf::from("./powa-collector.conf")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const EXAMPLE: &str = r#"{
    "repository": {
        "dsn": "postgresql://powa@localhost:5432/powa"
    }
}"#;

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no configuration file was found. These paths were searched:")?;
        for place in &self.places {
            write!(f, "\n  - {}", place.display())?;
        }
        write!(f, "\nCreate one of them with the address of your repository, or give a file with --config:\n{EXAMPLE}")
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_the_python_collector_in_its_order() {
        let places = usual_places(Some(Path::new("/home/dba")));
        let expected = [
            "/etc/powa-collector.conf",
            "/home/dba/.config/powa-collector.conf",
            "/home/dba/.powa-collector.conf",
            "./powa-collector.conf",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn the_example_is_valid() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("example.conf");
        std::fs::write(&file, EXAMPLE).unwrap();
        assert!(crate::config::Config::read(&file).is_ok());
    }
}
