//! What would be collected from a server that is not registered? PoWA says it of one that is: so it is registered, in a
//! transaction that is rolled back.

use super::switching::{activate, switch};
use super::{Repository, Sources, sources};
use crate::postgres::Error;
use crate::server::Server;

/// What PoWA collects from every server.
const FROM_ALL: &[&str] = &["pg_stat_statements", "powa"];
const FROM_ALL_POWA_4: &[&str] =
    &["pg_stat_statements", "powa_stat_user_functions", "powa_stat_all_relations", "pg_stat_bgwriter"];

impl Repository {
    /// What would be collected from a server whose `server_version_num` is `version_num`, with these extensions. Its id is no
    /// other server's; none is taken from PoWA's sequence, which would be one that nobody gets.
    ///
    /// # Errors
    /// The repository cannot be reached, or would refuse.
    pub async fn sources_if_registered(
        &self,
        server: &Server,
        extensions: &[String],
        version_num: i32,
    ) -> Result<Sources, Error> {
        self.rehearse("find out what would be collected", async |conversation| {
            let sql = include_str!("../../../sql/repository/rehearse_server.sql");
            let (id, port) = (server.id.get(), i32::from(server.port));
            conversation.query(sql, &[&id, &server.host, &port, &server.user, &server.dbname]).await?;
            let from_all = if conversation.powa()?.has_modules() { FROM_ALL } else { FROM_ALL_POWA_4 };
            let from_all: Vec<_> = from_all.iter().map(ToString::to_string).collect();
            switch(conversation, server.id, &from_all, true).await?;
            activate(conversation, server.id, extensions).await?;
            sources::read(conversation, server.id, version_num).await
        })
        .await
    }
}
