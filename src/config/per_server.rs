//! Settings of single servers, by id or alias. Pure.

use std::collections::BTreeMap;

use crate::server::ServerId;

/// Values by the id or alias of a server. A name of digits only is an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PerServer<T>(BTreeMap<String, T>);

impl<T> Default for PerServer<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> PerServer<T> {
    pub(super) fn insert(&mut self, name: String, value: T) {
        self.0.insert(name, value);
    }

    /// The values for a server: the one of its id, then the one of its alias.
    pub(super) fn of<'a>(&'a self, id: ServerId, alias: Option<&str>) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let by_alias = alias.filter(|alias| !is_id(alias)).and_then(|alias| self.0.get(alias));
        self.0.get(&id.to_string()).into_iter().chain(by_alias)
    }

    /// The names that are neither the id nor the alias of any of these servers, and so have no effect.
    pub(super) fn unmatched_names<'a>(&'a self, servers: &[(ServerId, Option<&str>)]) -> Vec<&'a str> {
        let is_of = |name: &str, (id, alias): &(ServerId, Option<&str>)| match is_id(name) {
            true => id.to_string() == name,
            false => *alias == Some(name),
        };
        let names = self.0.keys().map(String::as_str);
        names.filter(|name| !servers.iter().any(|server| is_of(name, server))).collect()
    }
}

/// Whether a name is an id. An alias of digits only never counts, because it could be another server's id.
fn is_id(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}
