//! HTTP: probes, metrics, access, and clients that are not welcome.

pub(crate) mod access;
pub(crate) mod metrics;
pub(crate) mod page;
pub(crate) mod poll;
pub(crate) mod probes;
pub(crate) mod strangers;

use serde_json::{Value, json};

use crate::support::{Collector, Scene, Watcher};

/// On this machine, wherever there is a place.
const ANY_PORT: &str = "127.0.0.1:0";

impl Scene<'_> {
    /// A collector, and one who watches it.
    pub(crate) fn watched(&self) -> (Collector, Watcher) {
        self.watched_with(json!({}))
    }

    /// With more in the section `http`.
    fn watched_with(&self, more: Value) -> (Collector, Watcher) {
        let collector = self.collector_with(json!({"http": http(more)}));
        let watcher = Watcher::of(&collector);
        (collector, watcher)
    }
}

fn http(more: Value) -> Value {
    let mut http = json!({"listen": ANY_PORT});
    http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    http
}
