//! Registers a remote server in a repository.

use anyhow::{Context, Result, ensure};
use postgres::Client;
use postgres_protocol::escape::escape_identifier;

use crate::cluster::Cluster;

/// What `powa_register_server` is told about a remote server.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    /// The address to connect to, which may be a proxy's.
    pub hostname: &'a str,
    /// The port to connect to.
    pub port: u16,
    /// The name that users see.
    pub alias: Option<&'a str>,
    /// The role to connect as.
    pub username: &'a str,
    /// Its password.
    pub password: Option<&'a str>,
    /// The database of the remote server that has PoWA.
    pub dbname: &'a str,
    /// Seconds between two snapshots.
    pub frequency: i32,
    /// The extensions to collect from, pg_stat_statements aside.
    pub extensions: &'a [&'a str],
}

impl<'a> Registration<'a> {
    /// Describes `remote`: its superuser, its database `powa`, all its extensions, a snapshot every five seconds.
    pub fn of(remote: &'a Cluster) -> Registration<'a> {
        Registration {
            hostname: remote.host(),
            port: remote.port(),
            alias: None,
            username: "postgres",
            password: None,
            dbname: "powa",
            frequency: 5,
            extensions: &["pg_qualstats", "pg_stat_kcache", "pg_wait_sampling", "pg_track_settings"],
        }
    }

    /// Registers the server in the database `dbname` of `repository`, and returns its id in `powa_servers`.
    ///
    /// # Errors
    /// PoWA refuses: an alias or an address that is registered already, for example.
    pub fn register(&self, repository: &Cluster, dbname: &str) -> Result<i32> {
        self.register_in(&mut repository.connect(dbname)?)
            .with_context(|| format!("registering a server in the database {dbname:?}"))
    }

    /// Like [`register`](Registration::register), in a session that there is already: PoWA's functions are compiled in
    /// each anew, which counts when there are many servers.
    ///
    /// # Errors
    /// As for [`register`](Registration::register).
    pub fn register_in(&self, client: &mut Client) -> Result<i32> {
        let schema: String =
            client.query_one(include_str!("../sql/powa_schema.sql"), &[]).context("looking for PoWA")?.get(0);
        let qualified = |statement: &str| statement.replace("{powa}", &escape_identifier(&schema));
        let registered: bool = client
            .query_one(
                &qualified(include_str!("../sql/register_server.sql")),
                &[
                    &self.hostname,
                    &i32::from(self.port),
                    &self.alias,
                    &self.username,
                    &self.password,
                    &self.dbname,
                    &self.frequency,
                    &self.extensions,
                ],
            )
            .with_context(|| format!("registering {}:{}", self.hostname, self.port))?
            .get(0);
        ensure!(registered, "PoWA did not register {}:{}", self.hostname, self.port);
        let id = client
            .query_one(&qualified(include_str!("../sql/server_id.sql")), &[&self.hostname, &i32::from(self.port)])
            .with_context(|| format!("looking up the id of {}:{}", self.hostname, self.port))?
            .get(0);
        Ok(id)
    }
}
