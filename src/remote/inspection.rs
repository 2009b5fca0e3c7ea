//! Reads the state of a remote server and the privileges of the role, for `check`.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::any_text::AnyText;
use super::{RemoteSession, shortened};
use crate::server::UpdateTarget;
use crate::server::clock::{self, ClockReading};
use session::{Error, Extensions, Side};

/// A server, as seen by the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// PostgreSQL's version.
    pub version: String,
    pub role: String,
    /// The role can see the statistics of other roles.
    pub reads_all_stats: bool,
    pub reads_all_settings: bool,
    /// `shared_preload_libraries`, if the role may see it.
    pub preloaded: Option<String>,
    /// `CONNECTION LIMIT` of the role, if it applies.
    pub connection_limit: Option<usize>,
    /// Other sessions of the role, such as those of a running collector.
    pub other_sessions: usize,
}

#[cfg(test)]
impl Inspection {
    /// A server on which the role may see everything, for tests to change.
    pub(crate) fn example(role: &str) -> Self {
        Self {
            version: "17.2".into(),
            role: role.into(),
            reads_all_stats: true,
            reads_all_settings: true,
            preloaded: None,
            connection_limit: None,
            other_sessions: 0,
        }
    }
}

/// Objects that the role needs privileges on, by qualified and quoted names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequiredPrivileges {
    pub schemas: Vec<String>,
    /// With the types of their parameters.
    pub functions: Vec<String>,
    /// Tables that are read.
    pub tables: Vec<String>,
}

/// A database with statements, whose encoding differs from that of the database with PoWA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncodedDatabase {
    pub oid: u32,
    /// Its name and encoding. `None` if it was dropped.
    pub known: Option<(String, String)>,
}

impl RemoteSession {
    /// Whether the session is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.route.is_encrypted()
    }

    /// Reads the state of the server.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn inspect(&self) -> Result<Inspection, Error> {
        let request = async {
            let row = self.client.query_typed_one(include_str!("../../sql/remote/inspection.sql"), &[]).await?;
            Ok(Inspection {
                version: row.try_get(0)?,
                role: row.try_get(1)?,
                reads_all_stats: row.try_get(2)?,
                reads_all_settings: row.try_get(3)?,
                preloaded: row.try_get(4)?,
                connection_limit: row.try_get::<_, Option<i32>>(5)?.and_then(|limit| limit.try_into().ok()),
                other_sessions: row.try_get::<_, i64>(6)?.try_into().unwrap_or(0),
            })
        };
        self.with_statement_timeout("read what the role may see", request).await
    }

    /// Reads the server's clock.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn clock(&self) -> Result<ClockReading, Error> {
        let request = ClockReading::taken(|| async {
            self.client.query_typed_one(clock::QUERY, &[]).await?.try_get::<_, f64>(0)
        });
        self.with_statement_timeout("read the clock", request).await
    }

    /// The missing privileges, in the syntax of `GRANT`. For a schema without `USAGE`, only that is reported.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn missing_grants(&self, needed: &RequiredPrivileges) -> Result<Vec<String>, Error> {
        // Only objects that were asked for: the server is not trusted with statements to be run.
        let is_among = |names: &[String], kind: &str, grant: &str| {
            grant.strip_prefix(kind).is_some_and(|name| names.iter().any(|needed| needed == name))
        };
        let request = async {
            let usage = include_str!("../../sql/remote/missing_usage.sql");
            let mut schemas = self.texts(usage, &[(&needed.schemas, Type::TEXT_ARRAY)]).await?;
            schemas.retain(|schema| is_among(&needed.schemas, "", schema));
            // PostgreSQL raises an error for objects in a schema that the role may not use.
            let is_usable = |name: &&String| !schemas.iter().any(|schema| name.starts_with(&format!("{schema}.")));
            let functions: Vec<_> = needed.functions.iter().filter(is_usable).collect();
            let tables: Vec<_> = needed.tables.iter().filter(is_usable).collect();
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&functions, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
            let mut grants = self.texts(include_str!("../../sql/remote/missing_grants.sql"), &values).await?;
            grants.retain(|grant| {
                is_among(&needed.functions, "execute on function ", grant)
                    || is_among(&needed.tables, "select on ", grant)
            });
            Ok(schemas.iter().map(|schema| format!("usage on schema {schema}")).chain(grants).collect())
        };
        self.with_statement_timeout("read what the role may do", request).await
    }

    /// Databases whose statements `pg_stat_statements` must convert to the encoding of this database.
    ///
    /// # Errors
    /// The extension is not installed, or the server's answer is invalid.
    pub(crate) async fn other_encodings(&self, extensions: &Extensions) -> Result<Vec<EncodedDatabase>, Error> {
        let action = "read the encodings of the databases";
        let sql = extensions
            .expand(include_str!("../../sql/remote/other_encodings.sql"))
            .map_err(|unknown| Error::unexpected(Side::Remote, action, unknown.to_string()))?;
        let request = async {
            let rows = self.client.query_typed(&sql, &[]).await?;
            let database = |row: &Row| {
                let (AnyText(name), AnyText(encoding)) = (row.try_get(1)?, row.try_get(2)?);
                let known = Some((shortened(name), shortened(encoding))).filter(|(name, _)| !name.is_empty());
                Ok(EncodedDatabase { oid: row.try_get(0)?, known })
            };
            rows.iter().map(database).collect()
        };
        self.with_statement_timeout(action, request).await
    }

    /// Those of some extensions that could be created.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn available(&self, extensions: &[String]) -> Result<Vec<String>, Error> {
        let sql = include_str!("../../sql/remote/available_extensions.sql");
        let request = async { self.texts(sql, &[(&extensions, Type::TEXT_ARRAY)]).await };
        self.with_statement_timeout("read which extensions there are", request).await
    }

    /// The available versions of an extension, and whether the installed one can be updated to each.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn update_targets(&self, extension: &str) -> Result<Vec<UpdateTarget>, Error> {
        let request = async {
            let rows = self.client.query_typed(UpdateTarget::QUERY, &[(&extension, Type::TEXT)]).await?;
            rows.iter().map(UpdateTarget::of_row).collect()
        };
        self.with_statement_timeout("read to which versions an extension can be updated", request).await
    }

    async fn texts(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        self.client.query_typed(sql, values).await?.iter().map(|row| row.try_get(0)).collect()
    }
}
