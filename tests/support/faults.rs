//! Faults that are plain SQL: PoWA's source functions are replaced by others.

use std::path::{Path, PathBuf};

use super::OwnRemote;

/// The beginning of what a server says when it has committed.
pub(crate) const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMM";

/// Replaces what a function does; quotes in `body` are doubled.
pub(crate) fn replacing(function: &str, body: &str) -> String {
    format!(
        "do $replace$ declare definition text; begin
            select pg_get_functiondef(oid) into definition from pg_proc where proname = '{function}';
            execute regexp_replace(definition, 'AS \\$.*', '') || ' AS $body$ begin {body} end $body$';
        end $replace$"
    )
}

/// Replaces a function by one that fails.
pub(crate) fn raising(function: &str, message: &str) -> String {
    replacing(function, &format!("raise ''{message}'';"))
}

/// Puts a pause in front of what a function of the repository does.
pub(crate) fn delaying(function: &str, pause: &str) -> String {
    format!(
        "do $replace$ declare definition text; begin
            select pg_get_functiondef(oid) into definition from pg_proc where proname = '{function}';
            execute regexp_replace(definition, E'\\nBEGIN', E'\\nBEGIN {pause}');
        end $replace$"
    )
}

/// What is in it may be of any encoding, and its last line may be half of one.
pub(crate) fn log_of_server(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// A datasource that says in the server's log when it is read.
pub(crate) struct Marked {
    mark: String,
    log: PathBuf,
}

impl Marked {
    /// Makes the list of databases one. `extra` is done before it says so; quotes in it are doubled.
    pub(crate) fn databases_of(remote: &OwnRemote, extra: &str) -> Self {
        // With its end: other databases, named in the same log, may have names that begin alike.
        let mark = format!("read in \"{}\"", remote.name);
        let body = format!("{extra} raise log ''{mark}''; return query select 1::oid, ''kept''::name;");
        remote.connect().batch_execute(&replacing("powa_databases_src", &body)).unwrap();
        Self { mark, log: remote.log() }
    }

    /// How often it was read so far.
    pub(crate) fn times(&self) -> usize {
        log_of_server(&self.log).lines().filter(|line| line.contains(&self.mark) && line.contains("LOG:")).count()
    }
}
