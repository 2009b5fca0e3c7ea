//! What may the role do on a remote server, and what is there? Asked by somebody who wants to know why it does not work.

use tokio_postgres::types::{ToSql, Type};

use super::RemoteSession;
use crate::postgres::Error;
use crate::postgres::clock::{self, ClockReading};

/// A server, as its role sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Of PostgreSQL.
    pub version: String,
    pub role: String,
    /// The role sees what other roles do.
    pub reads_all_stats: bool,
    pub reads_all_settings: bool,
    /// `shared_preload_libraries`, if the role may see it.
    pub preloaded: Option<String>,
}

/// What the role has to be granted, by names that are qualified and quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    pub schemas: Vec<String>,
    /// With the types of their parameters.
    pub functions: Vec<String>,
    /// Tables that are read.
    pub tables: Vec<String>,
}

impl RemoteSession {
    /// Whether what is said in the session is encrypted on its way.
    pub fn is_encrypted(&self) -> bool {
        self.route.is_encrypted()
    }

    /// Looks around.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let asking = async {
            let row = self.client.query_typed_one(include_str!("../../../sql/remote/inspection.sql"), &[]).await?;
            Ok(Inspection {
                version: row.try_get(0)?,
                role: row.try_get(1)?,
                reads_all_stats: row.try_get(2)?,
                reads_all_settings: row.try_get(3)?,
                preloaded: row.try_get(4)?,
            })
        };
        self.answer_to("read what the role may see", asking).await
    }

    /// Reads the server's clock.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn clock(&self) -> Result<ClockReading, Error> {
        let asking = ClockReading::taken(|| async {
            self.client.query_typed_one(clock::QUESTION, &[]).await?.try_get::<_, f64>(0)
        });
        self.answer_to("read the clock", asking).await
    }

    /// What the role has not been granted, in the words of a `GRANT`. Without the use of a schema, nothing in it is told.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn missing_grants(&self, needed: &Needed) -> Result<Vec<String>, Error> {
        let asking = async {
            let usage = include_str!("../../../sql/remote/missing_usage.sql");
            let schemas = self.texts(usage, &[(&needed.schemas, Type::TEXT_ARRAY)]).await?;
            if !schemas.is_empty() {
                return Ok(schemas.iter().map(|schema| format!("usage on schema {schema}")).collect());
            }
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&needed.functions, Type::TEXT_ARRAY), (&needed.tables, Type::TEXT_ARRAY)];
            self.texts(include_str!("../../../sql/remote/missing_grants.sql"), &values).await
        };
        self.answer_to("read what the role may do", asking).await
    }

    /// Those of some extensions that could be created.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn available(&self, extensions: &[String]) -> Result<Vec<String>, Error> {
        let sql = include_str!("../../../sql/remote/available_extensions.sql");
        let asking = async { self.texts(sql, &[(&extensions, Type::TEXT_ARRAY)]).await };
        self.answer_to("read which extensions there are", asking).await
    }

    async fn texts(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<String>, tokio_postgres::Error> {
        self.client.query_typed(sql, values).await?.iter().map(|row| row.try_get(0)).collect()
    }
}
