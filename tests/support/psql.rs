//! The real psql, to find out how libpq interprets a connection string.

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::Generation;

/// A psql that finds nothing but what a test lays out for it.
pub(crate) struct Psql<'a> {
    generation: &'a Generation,
    home: PathBuf,
    environment: Vec<(String, String)>,
}

/// A session that came about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PsqlSession {
    /// The version of TLS, if there is any.
    pub tls: Option<String>,
    /// The name in the client's certificate, if it showed one.
    pub certificate: Option<String>,
    /// The server's address and port; nothing by a Unix socket.
    pub address: Option<(String, u16)>,
    pub user: String,
    pub database: String,
}

impl<'a> Psql<'a> {
    /// The one of a generation, with a home directory.
    pub(crate) fn of(generation: &'a Generation, home: &Path) -> Self {
        Self { generation, home: home.to_owned(), environment: vec![] }
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Its major version, which is libpq's.
    pub(crate) fn major(&self) -> u32 {
        self.generation.postgres_major()
    }

    /// Connects, and says how, or in psql's own words why not.
    pub(crate) fn connect(&self, conninfo: &str) -> Result<PsqlSession, String> {
        let sql = "select version, client_dn, host(inet_server_addr()), inet_server_port(), current_user,
            current_database() from pg_stat_ssl where pid = pg_backend_pid()";
        let psql = self.generation.psql();
        let mut command = Command::new("timeout");
        command
            .arg("60")
            .arg(psql.get_program())
            .args(psql.get_args())
            .args(["-XAtw", "-F", "\u{1f}", "-c", sql, "-d", conninfo])
            .env_clear()
            .envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert_ne!(output.status.code(), Some(124), "psql does not end: {conninfo}");
        let [message, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        if !output.status.success() {
            return Err(error);
        }
        let fields: Vec<_> = message.trim_end_matches('\n').split('\u{1f}').collect();
        let [tls, certificate, address, port, user, database] = fields[..] else { panic!("psql says {message:?}") };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(PsqlSession {
            tls: some(tls),
            certificate: some(certificate),
            address: some(address).map(|address| (address, port.parse().unwrap())),
            user: user.into(),
            database: database.into(),
        })
    }
}
