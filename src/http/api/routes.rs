//! The paths of the API and their methods.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any};

use super::super::access::AccessPolicy;
use super::super::routes::AppState;
use super::gate::{Gate, admit};
use super::problem::Problem;
use super::{collectors, openapi, servers, tokens, users};

/// The path of all others.
pub(in crate::http) const ROOT: &str = "/api/v1";

/// The description, which needs no login.
const OPENAPI: &str = "/api/v1/openapi.json";

/// The API. Without a login, all paths look alike.
pub(in crate::http) fn router(app: &Arc<AppState>, policy: &Arc<AccessPolicy>) -> Router<Arc<AppState>> {
    let paths = paths().into_iter();
    let protected = paths.fold(Router::new(), |router, (path, methods)| router.route(path, methods.finish()));
    let protected = protected
        .route(ROOT, any(not_found))
        .route(&format!("{ROOT}/"), any(not_found))
        .route(&format!("{ROOT}/{{*rest}}"), any(not_found));
    let protected = require_login(protected, app, policy);
    Router::new().route(OPENAPI, Methods::new().get(openapi::get).finish()).merge(protected)
}

/// Requires a login for all paths of a router. Every role may read.
pub(in crate::http) fn require_login(
    router: Router<Arc<AppState>>,
    app: &Arc<AppState>,
    policy: &Arc<AccessPolicy>,
) -> Router<Arc<AppState>> {
    router.layer(from_fn_with_state(Gate { app: Arc::clone(app), policy: Arc::clone(policy) }, admit))
}

/// Every path that needs a login.
fn paths() -> Vec<(&'static str, Methods)> {
    let of = Methods::new;
    vec![
        ("/api/v1/token", of().post(tokens::create).delete(tokens::delete_own)),
        ("/api/v1/tokens", of().get(tokens::list)),
        ("/api/v1/tokens/{id}", of().delete(tokens::delete)),
        ("/api/v1/servers", of().get(servers::list::list).post(servers::add::add)),
        (
            "/api/v1/servers/{server}",
            of().get(servers::list::get).patch(servers::edit::change).delete(servers::edit::remove),
        ),
        ("/api/v1/servers/{server}/enable", of().post(servers::edit::enable)),
        ("/api/v1/servers/{server}/disable", of().post(servers::edit::disable)),
        (
            "/api/v1/servers/{server}/schedule",
            of().get(servers::schedule::get).put(servers::schedule::set).delete(servers::schedule::remove),
        ),
        ("/api/v1/servers/{server}/tags", of().get(servers::tags::get).put(servers::tags::set)),
        ("/api/v1/servers/{server}/pause", of().post(servers::pause::pause)),
        ("/api/v1/servers/{server}/resume", of().post(servers::pause::resume)),
        ("/api/v1/servers/{server}/refresh-catalogs", of().post(servers::commands::refresh_catalogs)),
        ("/api/v1/servers/{server}/snapshot", of().post(servers::snapshot::take)),
        ("/api/v1/servers/{server}/check", of().post(servers::check::check)),
        ("/api/v1/servers/{server}/errors", of().get(servers::errors::list)),
        ("/api/v1/collectors", of().get(collectors::list)),
        ("/api/v1/status", of().get(collectors::status)),
        ("/api/v1/reload", of().post(collectors::reload)),
        ("/api/v1/users", of().get(users::list).post(users::create)),
        ("/api/v1/users/{name}", of().patch(users::change).delete(users::delete)),
    ]
}

/// The methods of a path. Built on [`any`], because axum adds `Allow` to whatever its own fallback for other methods returns: a 401
/// would then show which paths exist.
struct Methods {
    router: MethodRouter<Arc<AppState>>,
    /// Of the handlers.
    names: Vec<&'static str>,
    /// The value of `Allow`, once it is known.
    allowed: Arc<OnceLock<String>>,
}

impl Methods {
    fn new() -> Self {
        let allowed = Arc::<OnceLock<String>>::default();
        let shown = Arc::clone(&allowed);
        let refuse = move || async move { Problem::method_not_allowed(shown.get().map_or("", String::as_str)) };
        Self { router: any(refuse), names: vec![], allowed }
    }

    fn with(
        mut self,
        name: &'static str,
        add: impl FnOnce(MethodRouter<Arc<AppState>>) -> MethodRouter<Arc<AppState>>,
    ) -> Self {
        self.names.push(name);
        self.router = add(self.router);
        self
    }

    fn get<H: Handler<T, Arc<AppState>>, T: 'static>(self, handler: H) -> Self {
        self.with("GET", |router| router.get(handler))
    }

    fn post<H: Handler<T, Arc<AppState>>, T: 'static>(self, handler: H) -> Self {
        self.with("POST", |router| router.post(handler))
    }

    fn put<H: Handler<T, Arc<AppState>>, T: 'static>(self, handler: H) -> Self {
        self.with("PUT", |router| router.put(handler))
    }

    fn patch<H: Handler<T, Arc<AppState>>, T: 'static>(self, handler: H) -> Self {
        self.with("PATCH", |router| router.patch(handler))
    }

    fn delete<H: Handler<T, Arc<AppState>>, T: 'static>(self, handler: H) -> Self {
        self.with("DELETE", |router| router.delete(handler))
    }

    fn finish(self) -> MethodRouter<Arc<AppState>> {
        // axum answers HEAD where there is GET.
        let head = self.names.contains(&"GET").then_some("HEAD");
        let allowed: Vec<_> = self.names.iter().copied().chain(head).collect();
        self.allowed.get_or_init(|| allowed.join(", "));
        self.router
    }
}

async fn not_found() -> Problem {
    Problem::not_found("there is no such path").with_hint(format!("{OPENAPI} describes all paths"))
}

/// A name as a segment of a path.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_has_every_path_and_method_and_no_other() {
        let described = openapi::description();
        let mut found = BTreeSet::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let routed = paths().into_iter();
        let routed =
            routed.flat_map(|(path, methods)| methods.names.into_iter().map(move |name| format!("{name} {path}")));
        let routed: BTreeSet<_> = routed.chain([format!("GET {OPENAPI}")]).collect();
        assert_eq!(found, routed);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let described = openapi::description();
        let items = described["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let mut names: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        let number = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), number, "{names:?}");
    }

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(encode("a/b c%é-1.x"), "a%2Fb%20c%25%C3%A9-1.x");
    }
}
