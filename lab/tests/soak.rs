//! A soak test with some faults ends with a good judgement.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use support::collector;

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
