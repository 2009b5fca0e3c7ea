//! The demonstration runs a collector, ends it, and passes on its exit code.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// Runs the demonstration for a second with a stand-in for the collector.
fn demo_with(collector: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("collector");
    fs::write(&path, format!("#!/bin/sh\n{collector}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_lab")).args(["demo", "--seconds", "1", "--collector"]).arg(&path).output().unwrap()
}

#[test]
fn the_collector_gets_a_configuration_and_an_interrupt_and_then_comes_the_summary() {
    let output = demo_with(r#"trap 'echo interrupted; exit 0' INT; cat "$2"; while :; do sleep 0.1; done"#);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("\"use_server_alias\": true"), "{text}");
    assert!(text.contains("\ninterrupted\n"), "{text}");
    assert!(text.contains("alpha: 0 snapshots, none yet"), "{text}");
    assert!(text.contains("rows in powa_statements_history_current"), "{text}");
}

#[test]
fn a_collector_that_fails_makes_the_demonstration_fail_alike() {
    let output = demo_with("echo broken >&2; exit 3");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("broken"));
}
