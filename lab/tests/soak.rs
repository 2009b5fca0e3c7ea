//! Is a collector that stood some faults judged, and found to be well?

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

/// The real one, built as this test was.
fn collector() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "powa-collector"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    PathBuf::from(env!("CARGO_BIN_EXE_lab")).with_file_name("powa-collector")
}

#[test]
fn a_short_run_with_few_servers_ends_well() {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["soak", "--servers", "5", "--minutes", "0.2", "--seed", "1", "--collector"])
        .arg(collector())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("seed 1\n"), "{text}");
    assert!(text.contains(" s  server s0") && text.ends_with("All is well.\n"), "{text}");
}
