//! Both collectors are measured on the same servers, and the figures are written in every format.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::collector;

/// Where `scripts/install-python-programs powa-collector` puts it.
fn python_collector() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python-collector/bin/powa-collector.py")
}

fn both_are_measured_on(powa: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (json, document) = (directory.path().join("figures.json"), directory.path().join("benchmarks.md"));
    fs::write(
        &document,
        "# Figures\n\n<!-- the table of the last run -->\n<!-- end of the table -->\n\nThat is all.\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["bench", "start-and-stop", "--rounds", "1", "--powa", powa])
        .arg("--collector")
        .arg(collector())
        .arg("--python")
        .arg(python_collector())
        .arg("--json")
        .arg(&json)
        .arg("--record")
        .arg(&document)
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}\n{}", String::from_utf8_lossy(&output.stderr));
    let (machine, table) = table.trim_end().split_once("\n\n").unwrap();
    assert!(machine.starts_with("Measured on 20") && machine.contains("Python collector 1.3"), "{machine}");
    assert!(table.starts_with("| case ") && table.lines().count() == 4, "{table}");

    let text = fs::read_to_string(document).unwrap();
    assert!(text.starts_with("# Figures\n") && text.ends_with("\nThat is all.\n"), "{text}");
    assert!(text.contains(machine) && text.contains(table), "{text}");

    let json: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0, "{json}");
    let figures = json["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 2, "{json}");
    for figure in figures {
        assert_eq!(figure["case"], "start-and-stop");
        assert!(figure["powa"].as_str().unwrap().starts_with(powa), "{figure}");
        // How long it takes is no matter of a test; that it took place is.
        assert!(figure["ours"].as_f64().unwrap() > 0.0 && figure["python"].as_f64().unwrap() > 0.0, "{figure}");
    }
    assert!(figures[0]["mark"].is_null() && figures[1]["reached"].is_boolean(), "{json}");
}

#[test]
fn both_are_measured_on_powa_4() {
    both_are_measured_on("4.1");
}

#[test]
fn both_are_measured_on_powa_5() {
    both_are_measured_on("5.0");
}

#[test]
fn a_collector_that_ends_by_itself_is_no_figure_but_an_error_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("collector");
    fs::write(&program, "#!/bin/sh\n[ \"$1\" = --version ] && exit\necho too tired to go on\nexit 3\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["bench", "start-and-stop", "--rounds", "1", "--powa", "5.0", "--collector"])
        .arg(program)
        .arg("--python")
        .arg(python_collector())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("measuring start-and-stop: the collector ended by itself"), "{error}");
    assert!(error.ends_with("\ntoo tired to go on\n"), "{error}");
}
