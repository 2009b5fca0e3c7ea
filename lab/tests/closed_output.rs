//! A reader that closes the pipe ends the lab without a panic.

#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn a_closed_pipe_ends_the_program_as_sigpipe_would() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_lab")).arg("list").stdout(writer).output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), errors.as_str()), (Some(141), ""));
}
