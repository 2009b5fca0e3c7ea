//! Creates databases with PoWA quickly.
//!
//! `create extension powa` takes half a second; copying a database that has it takes a tenth of that.

use anyhow::{Context, Result};
use postgres::Client;
use postgres_protocol::escape::{escape_identifier, escape_literal};

use crate::cluster::Cluster;

const TEMPLATE: &str = "powa_template";

impl Cluster {
    /// Creates the database `name` with powa and all the statistics extensions that it collects from, as a
    /// repository or as the `powa` database of a remote server. Threads may do this side by side.
    ///
    /// # Errors
    /// The database exists, or the server refuses.
    pub fn create_powa_database(&self, name: &str) -> Result<()> {
        // Copying files is a third of the work of writing all pages to the WAL, also with the checkpoints it takes.
        let statement = format!("create database {} template {TEMPLATE} strategy file_copy", escape_identifier(name));
        self.connect("postgres")?
            .batch_execute(&statement)
            .with_context(|| format!("creating the PoWA database {name:?}"))
    }

    /// Like [`create_powa_database`](Cluster::create_powa_database), in another encoding than UTF-8 and in the locale
    /// C, which goes with all of them: `SQL_ASCII`, for example.
    ///
    /// # Errors
    /// The database exists, or the server refuses.
    pub fn create_powa_database_in(&self, name: &str, encoding: &str) -> Result<()> {
        let statement = format!(
            "create database {} template template0 encoding {} locale 'C'",
            escape_identifier(name),
            escape_literal(encoding),
        );
        self.connect("postgres")?
            .batch_execute(&statement)
            .with_context(|| format!("creating the database {name:?} in {encoding}"))?;
        self.connect(name)?
            .batch_execute(include_str!("../sql/create_extensions.sql"))
            .with_context(|| format!("creating the extensions in the database {name:?}"))
    }

    /// Removes the database `name`, its sessions included; one that isn't there is fine.
    ///
    /// # Errors
    /// The server refuses.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.connect("postgres")?
            .batch_execute(&format!("drop database if exists {} with (force)", escape_identifier(name)))
            .with_context(|| format!("dropping the database {name:?}"))
    }

    /// Makes what PoWA databases are copied from.
    pub(crate) fn create_powa_template(&self) -> Result<()> {
        let mut client = self.connect("postgres")?;
        client
            .batch_execute(&format!("create database {TEMPLATE}"))
            .context("creating the template of the PoWA databases")?;
        self.connect(TEMPLATE)?
            .batch_execute(include_str!("../sql/create_extensions.sql"))
            .context("creating the extensions in the template of the PoWA databases")?;
        // A template that nobody can connect to, autovacuum included, can be copied at any time.
        client
            .batch_execute(&format!("alter database {TEMPLATE} allow_connections false"))
            .context("closing the template of the PoWA databases")?;
        wait_until_unused(&mut client)
    }
}

/// The session that created the extensions may take a moment to leave.
fn wait_until_unused(client: &mut Client) -> Result<()> {
    let sessions = "select count(*) from pg_catalog.pg_stat_activity where datname = $1";
    while client.query_one(sessions, &[&TEMPLATE]).context("looking for sessions")?.get::<_, i64>(0) > 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(())
}
