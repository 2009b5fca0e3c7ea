//! Nothing is left when the process that started the servers is killed.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::Generation;

fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The port and the directory out of `NAME  postgresql://postgres@127.0.0.1:PORT/powa  (log: DIRECTORY/server.log)`.
fn server_in(line: &str) -> Option<(u16, PathBuf)> {
    let (_, rest) = line.split_once("postgres@127.0.0.1:")?;
    let (port, _) = rest.split_once('/')?;
    let (_, log) = rest.split_once("(log: ")?;
    let directory = Path::new(log.trim_end_matches(')')).parent()?;
    Some((port.parse().ok()?, directory.to_owned()))
}

fn nothing_stays_after(signal: &str, generation: &Generation) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["run", "--powa", generation.powa_version()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open: a closed pipe would end the process.
    let mut output = BufReader::new(lab.stdout.take().unwrap());
    let servers: Vec<_> = output.by_ref().lines().filter_map(|line| server_in(&line.unwrap())).take(3).collect();
    assert_eq!(servers.len(), 3);
    for (port, directory) in &servers {
        TcpStream::connect(("127.0.0.1", *port)).unwrap();
        assert!(directory.join("data/PG_VERSION").exists());
    }
    let killed = Command::new("kill").args(["-s", signal, &lab.id().to_string()]).status().unwrap();
    assert!(killed.success());
    lab.wait().unwrap();
    for (port, directory) in &servers {
        wait_until("the directory is removed", || !directory.exists());
        assert!(TcpStream::connect(("127.0.0.1", *port)).is_err(), "a server outlived its directory");
    }
}

#[test]
fn nothing_stays_when_the_process_is_killed() {
    for generation in Generation::available().unwrap() {
        nothing_stays_after("KILL", &generation);
    }
}

#[test]
fn nothing_stays_when_the_process_is_interrupted() {
    nothing_stays_after("INT", &Generation::find(None).unwrap());
}
