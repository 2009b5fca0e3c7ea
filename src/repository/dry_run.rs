//! Finds out what would be collected from a server that is not registered: registers it in a transaction that is rolled
//! back.

use super::switching::{activate, switch};
use super::{Repository, Sources, sources};
use crate::server::Server;
use session::Error;

/// What PoWA collects from every server.
const FROM_ALL: &[&str] = &["pg_stat_statements", "powa"];
const FROM_ALL_POWA_4: &[&str] =
    &["pg_stat_statements", "powa_stat_user_functions", "powa_stat_all_relations", "pg_stat_bgwriter"];

impl Repository {
    /// The datasources for a server with this `server_version_num` and these extensions. Its id must be unused; none is
    /// taken from PoWA's sequence, where it would be lost.
    ///
    /// # Errors
    /// The repository cannot be reached, or would refuse.
    pub(crate) async fn sources_if_registered(
        &self,
        server: &Server,
        extensions: &[String],
        version_num: i32,
    ) -> Result<Sources, Error> {
        self.dry_run("find out what would be collected", async |session| {
            let sql = include_str!("../../sql/repository/register_for_dry_run.sql");
            let (id, port) = (server.id.get(), i32::from(server.port));
            session.query(sql, &[&id, &server.host, &port, &server.user, &server.dbname]).await?;
            let from_all = if session.powa()?.has_modules() { FROM_ALL } else { FROM_ALL_POWA_4 };
            let from_all: Vec<_> = from_all.iter().map(ToString::to_string).collect();
            switch(session, server.id, &from_all, true).await?;
            activate(session, server.id, extensions).await?;
            sources::read(session, &self.known, server.id, version_num).await
        })
        .await
    }
}
