//! What was written: the file's JSON, with comments allowed, overridden by the environment's `POWA_COLLECTOR__...`.

use std::io::Read;
use std::path::Path;

use config::{ConfigError, Environment, File, FileFormat, Map, Source, Value};
use json_comments::StripComments;

use super::Error;
use super::variables::Variables;

const PREFIX: &str = "POWA_COLLECTOR__";

/// What is below these is text to begin with: a password `0123` is not the number 123.
const TEXTS: &[&str] = &["repository.", "remote."];

/// Reads without judging: whether a key is known and a value allowed is the schema's to say.
pub(super) fn read(file: &Path, variables: &Variables) -> Result<Map<String, Value>, Error> {
    let unreadable = |source| Error::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read(file).map_err(unreadable)?;
    // Comments become spaces, so that line and column of a syntax error stay true.
    let mut json = String::new();
    StripComments::new(text.as_slice()).read_to_string(&mut json).map_err(unreadable)?;

    let variables = variables.with_prefix(PREFIX).map_err(|variable| Error::NotUnicode { variable })?;
    config::Config::builder()
        .add_source(File::from_str(&json, FileFormat::Json))
        .add_source(Overrides(variables.into_iter().collect()))
        .build()
        .and_then(|config| config.collect())
        .map_err(|error| Error::Syntax { file: file.to_owned(), reason: reason(error) })
}

/// Variables that stand for keys.
#[derive(Clone)]
struct Overrides(Map<String, String>);

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let environment = Environment::default().prefix(PREFIX).prefix_separator("").separator("__");
        let environment = environment.source(Some(self.0.clone()));
        let mut values = environment.clone().try_parsing(true).collect()?;
        let is_text = |key: &str| TEXTS.iter().any(|section| key.starts_with(section));
        values.extend(environment.collect()?.into_iter().filter(|(key, _)| is_text(key)));
        Ok(values)
    }
}

impl std::fmt::Debug for Overrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn reason(error: ConfigError) -> String {
    let said = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    // It goes on with the value, and somebody may have written the connection string alone.
    if said.starts_with("invalid type") { "the whole of it has to be an object".into() } else { said }
}
