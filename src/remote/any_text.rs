//! A text that need not be UTF-8: names of databases and roles are shared by all databases of a server, including those
//! in
//! `SQL_ASCII`, which accept any bytes.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// A text in which bytes that are not UTF-8 are replaced by U+FFFD.
pub(super) struct AnyText(pub(super) String);

impl<'a> FromSql<'a> for AnyText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}
