//! How to connect to remote servers, beyond what `powa_servers` has columns for.

use std::collections::BTreeMap;

use crate::libpq::Conninfo;
use crate::server::ServerId;

/// Parameters for all remote servers, and other ones for some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remotes {
    all: Conninfo,
    /// By id, or by alias.
    some: BTreeMap<String, Conninfo>,
}

impl Remotes {
    /// What is configured for a server: by its id first, then by its alias, then for all of them.
    pub fn parameters(&self, id: ServerId, alias: Option<&str>) -> Conninfo {
        let own = self.some.get(&id.to_string()).cloned().unwrap_or_default();
        let by_alias = alias.and_then(|alias| self.some.get(alias)).cloned().unwrap_or_default();
        own.or(&by_alias).or(&self.all)
    }
}
