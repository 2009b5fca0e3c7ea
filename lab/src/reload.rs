//! Changes settings, certificates and authentication rules of a running server.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::authority::Certificate;
use crate::cluster::Cluster;
use crate::launcher::Launcher;
use crate::settings;

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// The TLS of a server. Connections that are open keep what they have.
pub struct Tls<'a> {
    /// What the server shows.
    pub certificate: &'a Certificate,
    /// A file with the authorities that clients' certificates may come from; without, nobody is asked for one.
    pub clients: Option<&'a Path>,
    /// A file with lists of clients' certificates that are revoked: one list of each authority.
    pub revoked_clients: Option<&'a Path>,
}

impl Cluster {
    /// Changes settings that need no restart, and waits until they hold for whoever connects.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn set(&self, own: &[(&str, &str)]) -> Result<()> {
        let text = settings::lines(own);
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .context("opening postgresql.conf")?;
        file.write_all(text.as_bytes()).context("writing postgresql.conf")?;
        self.reload()
    }

    /// Puts lines of `pg_hba.conf` in front of the laboratory's own, in place of those that were put there before.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn admit(&self, lines: &[&str]) -> Result<()> {
        let text = format!("{}\n{}", lines.join("\n"), settings::HOST_BASED_AUTHENTICATION);
        fs::write(self.data().join("pg_hba.conf"), text).context("writing pg_hba.conf")?;
        self.reload()
    }

    /// Puts lines into `pg_ident.conf`, in place of those that were there before.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn map_users(&self, lines: &[&str]) -> Result<()> {
        fs::write(self.data().join("pg_ident.conf"), lines.join("\n") + "\n").context("writing pg_ident.conf")?;
        self.reload()
    }

    /// Offers TLS from now on, with these certificates.
    ///
    /// # Errors
    /// The server does not take them.
    pub fn offer_tls(&self, tls: &Tls) -> Result<()> {
        let certificate = self.keep("server.crt", tls.certificate.file())?;
        let key = self.keep("server.key", tls.certificate.key())?;
        let clients = tls.clients.map(|file| self.keep("clients.crt", file)).transpose()?.unwrap_or_default();
        let revoked = tls.revoked_clients.map(|file| self.keep("clients.crl", file)).transpose()?.unwrap_or_default();
        self.set(&[
            ("ssl", "on"),
            ("ssl_cert_file", &certificate),
            ("ssl_key_file", &key),
            ("ssl_ca_file", &clients),
            ("ssl_crl_file", &revoked),
        ])
    }

    /// Copies a file to where the server can read it, and gives the name that it has there for the server.
    fn keep(&self, name: &str, original: &Path) -> Result<String> {
        let launcher = Launcher::new(self.generation())?;
        let file = self.directory().join(name);
        fs::copy(original, &file)
            .and_then(|_| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
            .with_context(|| format!("copying {} to {}", original.display(), file.display()))?;
        launcher.give(&file)?;
        let inside = launcher.inside(&file);
        Ok(inside.to_str().context("a path that is not UTF-8")?.to_owned())
    }

    fn reload(&self) -> Result<()> {
        // A new session has the time of the server's own load: everything is read by then, or was refused.
        let loaded = || -> Result<SystemTime> {
            Ok(self.connect("postgres")?.query_one("select pg_catalog.pg_conf_load_time()", &[])?.get(0))
        };
        let before = loaded().context("asking when the settings were read")?;
        let already_logged = self.logged();
        self.connect("postgres")?.execute("select pg_catalog.pg_reload_conf()", &[]).context("asking for a reload")?;
        let deadline = Instant::now() + LIMIT;
        while loaded().context("asking whether the settings were read")? == before {
            ensure!(Instant::now() < deadline, "the settings were not read within {} s", LIMIT.as_secs());
            thread::sleep(POLL);
        }
        let message = self.logged_since(already_logged);
        let refusals = ["not reloaded", "contains errors", "cannot be changed without restarting"];
        ensure!(
            !refusals.iter().any(|refusal| message.contains(refusal)),
            "the server refuses the settings:\n{message}"
        );
        Ok(())
    }
}
