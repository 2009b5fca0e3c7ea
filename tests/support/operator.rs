//! Runs a subcommand, and keeps its output and exit code.

use std::path::Path;

use super::{assert_no_secret, output, program};

/// What a subcommand has printed.
#[derive(Debug)]
pub(crate) struct Printed {
    pub code: i32,
    /// On standard output.
    pub text: String,
    /// On standard error.
    pub errors: String,
}

/// Runs a subcommand with a configuration, until it ends.
pub(crate) fn operate(config: &Path, arguments: &[&str]) -> Printed {
    let mut command = program();
    command.arg("--config").arg(config).args(arguments);
    let output = output(&command);
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_no_secret("what is printed", [text.as_str(), &errors]);
    Printed { code: output.status.code().unwrap(), text, errors }
}
