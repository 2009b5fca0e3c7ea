//! What a PostgreSQL role may do by the HTTP API, by its privileges and memberships at the moment.

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Repository;
use session::{Error, Side};

/// What somebody may do by the HTTP API. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ApiRole {
    /// Read.
    Viewer,
    /// Send commands: reload, snapshot, refresh, enable, disable, schedule, pause, tag.
    Operator,
    /// Change servers, users and tokens.
    Admin,
}

impl ApiRole {
    /// In the API, the tokens file and the repository.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

impl Repository {
    /// What a role may do. `None`: nothing, or the role does not exist, or may not log in.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn api_rights(&self, role: &str) -> Result<Option<ApiRole>, Error> {
        let action = "read what the role may do";
        let rows = self
            .run(action, role.to_owned(), |session, role| {
                async move {
                    let sql = if session.powa()?.has_modules() {
                        include_str!("../../sql/repository/api_rights_powa5.sql")
                    } else {
                        include_str!("../../sql/repository/api_rights_powa4.sql")
                    };
                    session.query(sql, &[role]).await
                }
                .boxed()
            })
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let word: Option<String> = row.try_get(0).map_err(|error| Error::new(Side::Repository, action, error))?;
        Ok(word.as_deref().and_then(ApiRole::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_includes_those_before_it() {
        assert!(ApiRole::Viewer < ApiRole::Operator && ApiRole::Operator < ApiRole::Admin);
        for role in [ApiRole::Viewer, ApiRole::Operator, ApiRole::Admin] {
            assert_eq!(ApiRole::parse(role.word()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
        assert_eq!(ApiRole::parse("Admin"), None);
    }
}
