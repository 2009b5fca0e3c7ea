//! Where is the configuration file? The first that exists of the places the Python collector looks at.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// How the file is chosen: by the user, or by looking at the usual places.
#[derive(Clone, Debug)]
pub enum Location {
    Given(PathBuf),
    Usual,
}

/// None of the usual places has a file.
#[derive(Debug)]
pub struct NotFound {
    places: Vec<PathBuf>,
}

impl Location {
    /// The file to read. A given one is not looked for: reading it tells best what is wrong with it.
    ///
    /// # Errors
    /// There is a file in none of the usual places.
    pub fn find(&self) -> Result<PathBuf, NotFound> {
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
        f.write_str("no configuration file was found. These places were looked at:")?;
        for place in &self.places {
            write!(f, "\n  - {}", place.display())?;
        }
        write!(
            f,
            "\nPut this into one of them, with your repository's address, or name a file with --config:\n{EXAMPLE}"
        )
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
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("example.conf");
        std::fs::write(&file, EXAMPLE).unwrap();
        assert!(crate::config::Config::read(&file).is_ok());
    }
}
