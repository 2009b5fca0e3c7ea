//! What was written: the file's JSON, with comments allowed, overridden by the environment's `POWA_COLLECTOR__...`.

use std::io::Read;
use std::path::Path;

use config::{ConfigError, Environment, File, FileFormat, Map, Source, Value};
use json_comments::StripComments;

use super::Error;

/// Reads without judging: whether a key is known and a value allowed is the schema's to say.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>, Error> {
    let unreadable = |source| Error::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read(file).map_err(unreadable)?;
    // Comments become spaces, so that line and column of a syntax error stay true.
    let mut json = String::new();
    StripComments::new(text.as_slice()).read_to_string(&mut json).map_err(unreadable)?;

    let environment = Environment::with_prefix("POWA_COLLECTOR").prefix_separator("__").separator("__");
    config::Config::builder()
        .add_source(File::from_str(&json, FileFormat::Json))
        .add_source(environment.try_parsing(true))
        .build()
        .and_then(|config| config.collect())
        .map_err(|error| Error::Syntax { file: file.to_owned(), reason: reason(error) })
}

fn reason(error: ConfigError) -> String {
    let said = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    // It goes on with the value, and somebody may have written the connection string alone.
    if said.starts_with("invalid type") { "the whole of it has to be an object".into() } else { said }
}
