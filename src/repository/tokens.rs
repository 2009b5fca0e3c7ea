//! Bearer tokens of the HTTP API, in the collector's own schema. Only digests are stored.

use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use super::{ApiRole, Repository};
use session::{Error, Side};

/// Tokens that one role can have at once.
const MAX_TOKENS: i64 = 100;

/// A token to be stored.
pub(crate) struct NewToken<'a> {
    /// SHA-256 of the token.
    pub digest: &'a [u8; 32],
    pub name: &'a str,
    /// The PostgreSQL role that it stands for.
    pub owner: &'a str,
    pub role: ApiRole,
    pub lifetime: Duration,
}

/// A token that has not expired.
#[derive(Clone, Debug)]
pub(crate) struct StoredToken {
    pub id: i64,
    pub name: String,
    pub owner: String,
    pub role: ApiRole,
    pub created_at: SystemTime,
    pub expires_at: SystemTime,
    pub last_used_at: Option<SystemTime>,
}

impl Repository {
    /// The token with a digest, and records that it is used.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no table of tokens that the role may use.
    pub(crate) async fn find_token(&self, digest: &[u8; 32]) -> Result<Option<StoredToken>, Error> {
        let action = "look up the token";
        let sql = include_str!("../../sql/repository/find_token.sql");
        let rows = self.query(action, sql, &[&digest.as_slice()]).await?;
        rows.first().map(|row| read(row, action)).transpose()
    }

    /// Stores a token. `None`: its owner has as many as one can have.
    ///
    /// # Errors
    /// As for [`Self::find_token`].
    pub(crate) async fn create_token(&self, new: &NewToken<'_>) -> Result<Option<StoredToken>, Error> {
        let action = "store the token";
        let sql = include_str!("../../sql/repository/create_token.sql");
        let (digest, seconds) = (new.digest.as_slice(), new.lifetime.as_secs_f64());
        let rows =
            self.query(action, sql, &[&digest, &new.name, &new.owner, &new.role.word(), &seconds, &MAX_TOKENS]).await?;
        rows.first().map(|row| read(row, action)).transpose()
    }

    /// The tokens of one owner, or of all, with an id above `after`, at most `limit`.
    ///
    /// # Errors
    /// As for [`Self::find_token`].
    pub(crate) async fn tokens(&self, owner: Option<&str>, after: i64, limit: i64) -> Result<Vec<StoredToken>, Error> {
        let action = "list the tokens";
        let sql = include_str!("../../sql/repository/list_tokens.sql");
        let rows = self.query(action, sql, &[&owner, &after, &limit]).await?;
        rows.iter().map(|row| read(row, action)).collect()
    }

    /// Deletes a token of one owner, or of anybody. Whether there was one.
    ///
    /// # Errors
    /// As for [`Self::find_token`].
    pub(crate) async fn delete_token(&self, id: i64, owner: Option<&str>) -> Result<bool, Error> {
        let sql = include_str!("../../sql/repository/delete_token.sql");
        let rows = self.query("delete the token", sql, &[&id, &owner]).await?;
        Ok(!rows.is_empty())
    }

    /// Deletes expired tokens.
    ///
    /// # Errors
    /// As for [`Self::find_token`].
    pub(crate) async fn delete_expired_tokens(&self) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/delete_old_tokens.sql");
        self.query("delete expired tokens", sql, &[]).await.map(drop)
    }
}

fn read(row: &Row, action: &str) -> Result<StoredToken, Error> {
    let read = || {
        let word: String = row.try_get("role")?;
        let token = StoredToken {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            // The table allows nothing else; a role that a newer version adds is the least here.
            role: ApiRole::parse(&word).unwrap_or(ApiRole::Viewer),
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            last_used_at: row.try_get("last_used_at")?,
        };
        Ok(token)
    };
    read().map_err(|error| Error::new(Side::Repository, action, error))
}
