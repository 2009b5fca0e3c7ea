//! The collector, for tests of programs that run one.

use std::path::PathBuf;
use std::process::Command;

/// The real one, built as the test was.
pub(crate) fn collector() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "powa-collector"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    PathBuf::from(env!("CARGO_BIN_EXE_lab")).with_file_name("powa-collector")
}
