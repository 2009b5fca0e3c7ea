//! Keeps `powa_servers.version` and the versions of extensions up to date.

use futures_util::FutureExt;

use super::Repository;
use super::checked_out::CheckedOutSession;
use crate::remote::RemoteVersions;
use crate::server::ServerId;
use session::{Error, PowaVersion, Side};

impl Repository {
    /// Stores the versions of a server and of its extensions, if they changed. PoWA 4.0 has no columns for them.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn save_versions(&self, server: ServerId, versions: &RemoteVersions) -> Result<(), Error> {
        let action = "save the versions of PostgreSQL and of its extensions";
        self.run(action, (server, versions), |session, (server, versions)| save(session, *server, versions).boxed())
            .await
    }
}

async fn save(session: &CheckedOutSession, server: ServerId, versions: &RemoteVersions) -> Result<(), Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let powa = session.powa()?;
    if powa.is_4_0() {
        return Ok(());
    }
    let sql = VersionStatements::of(&powa);
    let id = server.get();
    let save_server = include_str!("../../sql/repository/save_server_version.sql");
    session.query(save_server, &[&id, &versions.server]).await?;
    let mut hypopg_is_tracked = false;
    for row in session.query(sql.tracked, &[&id]).await? {
        let name: String = row.try_get(0).map_err(unreadable)?;
        let saved: Option<String> = row.try_get(1).map_err(unreadable)?;
        let is_hypopg = name == "hypopg";
        hypopg_is_tracked |= is_hypopg;
        let found = if is_hypopg { versions.hypopg.as_deref() } else { versions.extensions.version(&name) };
        if let Some(found) = found.filter(|found| saved.as_deref() != Some(*found)) {
            session.query(sql.save, &[&id, &name, &found]).await?;
        } else if is_hypopg && found.is_none() {
            session.query(sql.forget, &[&id, &name]).await?;
        }
    }
    if let Some(hypopg) = versions.hypopg.as_deref().filter(|_| !hypopg_is_tracked) {
        session.query(sql.add, &[&id, &"hypopg", &hypopg]).await?;
    }
    Ok(())
}

/// The statements for extension versions, whose table depends on the version of PoWA.
struct VersionStatements {
    tracked: &'static str,
    save: &'static str,
    add: &'static str,
    forget: &'static str,
}

impl VersionStatements {
    fn of(powa: &PowaVersion) -> Self {
        if powa.has_modules() {
            Self {
                tracked: include_str!("../../sql/repository/tracked_extensions_powa5.sql"),
                save: include_str!("../../sql/repository/save_extension_version_powa5.sql"),
                add: include_str!("../../sql/repository/add_extension_powa5.sql"),
                forget: include_str!("../../sql/repository/forget_extension_powa5.sql"),
            }
        } else {
            Self {
                tracked: include_str!("../../sql/repository/tracked_extensions_powa4.sql"),
                save: include_str!("../../sql/repository/save_extension_version_powa4.sql"),
                add: include_str!("../../sql/repository/add_extension_powa4.sql"),
                forget: include_str!("../../sql/repository/forget_extension_powa4.sql"),
            }
        }
    }
}
