//! `GET /poll?mass=NAME&targetTime=UNIXTIME`: whether a snapshot that was started at or after a time is stored. For orchestrators
//! that ask again and again until it is; the names are theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, EXPIRES, PRAGMA};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use humantime::format_rfc3339_millis;

use super::routes::{AppState, text};
use crate::server::ServerId;
use crate::worker::WorkerDetail;

/// The path.
pub(super) const PATH: &str = "/poll";

/// All servers that are collected.
const ALL: &str = "*";

/// What orchestrators search for in the response.
const DONE: &str = "RELEASE Core Filer SYNC";

/// No cache may answer in our place.
const NO_CACHE: [(axum::http::HeaderName, &str); 3] =
    [(CACHE_CONTROL, "no-cache, must-revalidate"), (PRAGMA, "no-cache"), (EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT")];

/// The parameters of a request.
#[derive(Debug, PartialEq)]
struct Wanted {
    name: String,
    newer_than: SystemTime,
}

pub(super) async fn poll(State(app): State<Arc<AppState>>, uri: Uri) -> Response {
    let response = match Wanted::of(&uri) {
        None => text(StatusCode::BAD_REQUEST, "must supply mass and targetTime"),
        Some(wanted) => match app.fleet.sample().await.state {
            Ok(overview) if overview.are_servers_known() => answer(&wanted, &overview.workers),
            Ok(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the repository was not reached yet"),
            Err(unresponsive) => text(StatusCode::SERVICE_UNAVAILABLE, &unresponsive.to_string()),
        },
    };
    (NO_CACHE, response).into_response()
}

impl Wanted {
    /// `None`: a parameter is missing, is there twice, or is not valid. Others are ignored.
    fn of(uri: &Uri) -> Option<Self> {
        let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
        let only = |name: &str| {
            let mut values = parameters.iter().filter(|(given, _)| given == name);
            values.next().filter(|(_, value)| !value.is_empty() && values.next().is_none()).map(|(_, value)| value)
        };
        let (name, seconds) = (only("mass")?.clone(), only("targetTime")?);
        // A number with an exponent, or "inf", is not meant.
        let is_number = seconds.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let since = Duration::try_from_secs_f64(seconds.parse().ok().filter(|_| is_number)?).ok()?;
        Some(Self { name, newer_than: SystemTime::UNIX_EPOCH.checked_add(since)? })
    }
}

fn answer(wanted: &Wanted, workers: &BTreeMap<ServerId, WorkerDetail>) -> Response {
    let servers: Vec<_> = if wanted.name == ALL {
        // Nobody waits for a server that is excluded on purpose.
        workers.values().filter(|worker| worker.progress.excluded.is_none()).collect()
    } else {
        find(&wanted.name, workers).into_iter().collect()
    };
    if servers.is_empty() {
        return text(StatusCode::NOT_FOUND, "no such server is collected");
    }
    match servers.into_iter().find(|worker| !worker.has_snapshot_since(wanted.newer_than)) {
        None => text(StatusCode::OK, DONE),
        Some(worker) => {
            let (name, time) = (&worker.name, format_rfc3339_millis(wanted.newer_than));
            text(StatusCode::OK, &format!("waiting for a snapshot of {name} that is newer than {time}"))
        }
    }
}

/// A server by its id, its alias or `host:port`, in this order. Digits only are an id.
fn find<'a>(name: &str, workers: &'a BTreeMap<ServerId, WorkerDetail>) -> Option<&'a WorkerDetail> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return workers.get(&ServerId::new(name.parse().ok()?)?);
    }
    let by_alias = workers.values().find(|worker| worker.alias.as_deref() == Some(name));
    by_alias.or_else(|| workers.values().find(|worker| worker.address == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parameters_are_needed_once() {
        let wanted = |query: &str| Wanted::of(&format!("/poll?{query}").parse().unwrap());
        let at = |name: &str, milliseconds| {
            let newer_than = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
            Some(Wanted { name: name.into(), newer_than })
        };
        assert_eq!(wanted("mass=db1%3A5432&targetTime=1778176800"), at("db1:5432", 1_778_176_800_000));
        assert_eq!(wanted("x=y&targetTime=0.5&mass=*"), at("*", 500));
        for query in [
            "",
            "mass=a",
            "targetTime=1",
            "mass=&targetTime=1",
            "mass=a&targetTime=",
            "mass=a&mass=b&targetTime=1",
            "mass=a&targetTime=1&targetTime=1",
            "mass=a&targetTime=-1",
            "mass=a&targetTime=1e3",
            "mass=a&targetTime=inf",
            "mass=a&targetTime=NaN",
            "mass=a&targetTime=.",
            "mass=a&targetTime=soon",
            "mass=%ff&targetTime=1e3",
            "mass=a&targetTime=99999999999999999999999",
        ] {
            assert_eq!(wanted(query), None, "{query}");
        }
    }
}
