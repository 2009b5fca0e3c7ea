//! One who runs a collector by its HTTP API. No password may be in anything that is answered.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use super::{Collector, SECRET, Scene, Watcher, assert_no_secret, program};

/// One who sends requests to the API, with the same credentials each time.
#[derive(Clone)]
pub(crate) struct ApiClient {
    /// Host and port.
    pub address: String,
    agent: Agent,
    authorization: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null, if there is none.
    pub body: Value,
}

impl ApiClient {
    /// One without credentials.
    pub(crate) fn of(collector: &Collector) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_idle_connections(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Self { address: Watcher::of(collector).address, agent, authorization: None }
    }

    fn with(&self, authorization: String) -> Self {
        Self { authorization: Some(authorization), ..self.clone() }
    }

    /// The same with a token.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.with(format!("Bearer {token}"))
    }

    /// The same with a name and a password.
    pub(crate) fn basic(&self, name: &str, password: &str) -> Self {
        let credentials = openssl::base64::encode_block(format!("{name}:{password}").as_bytes());
        self.with(format!("Basic {credentials}"))
    }

    /// The same as a role with the password of all tests.
    pub(crate) fn role(&self, name: &str) -> Self {
        self.basic(name, SECRET)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None)
    }

    /// The status of an answer. `None` if the connection is closed before.
    pub(crate) fn try_get(&self, path: &str) -> Option<u16> {
        let mut request = Request::builder().uri(format!("http://{}/api/v1/{path}", self.address));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let mut response = self.agent.run(request.body(()).unwrap()).ok()?;
        response.body_mut().read_to_string().ok()?;
        Some(response.status().as_u16())
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[], Some(body))
    }

    /// Without a body.
    pub(crate) fn call(&self, method: &str, path: &str) -> Reply {
        self.send(method, path, &[], None)
    }

    /// A request for a path under `/api/v1/`.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Reply {
        let uri = format!("http://{}/api/v1/{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in
            self.authorization.iter().map(|value| ("authorization", value.as_str())).chain(headers.iter().copied())
        {
            request = request.header(name, value);
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut response = sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = response.body_mut().read_to_string().unwrap();
        let headers = response.headers().clone();
        assert_no_secret(path, [text.as_str(), &format!("{headers:?}")]);
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
        };
        Reply { status: response.status().as_u16(), headers, body }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer, which is to have this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:#}", self.body);
        let is_problem = self.header("content-type") == "application/problem+json";
        assert_eq!(is_problem, status >= 400, "{:#}", self.body);
        if is_problem {
            assert_eq!(self.body["status"], status, "{:#}", self.body);
        }
        self
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    pub(crate) fn items(&self) -> &Vec<Value> {
        self.body["items"].as_array().unwrap()
    }
}

impl Scene<'_> {
    /// Creates the collector's own schema.
    pub(crate) fn set_up(&self) {
        let mut command = program();
        let output = super::output(command.arg("-c").arg(self.config(json!({}))).arg("setup"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A collector with an API, and one who sends it requests.
    pub(crate) fn with_api(&self, more: Value) -> (Collector, ApiClient) {
        let mut http = json!({"listen": "127.0.0.1:0"});
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let collector = self.collector_with(json!({"http": http}));
        let client = ApiClient::of(&collector);
        (collector, client)
    }

    /// A role of this test whose password is verified, and which is a viewer, operator or admin, or nothing.
    pub(crate) fn user(&self, name: &str, role: &str) -> String {
        let user = format!("{name}_{}", self.number());
        let mut client = self.repository();
        let create = format!(
            "drop role if exists {user}; create role {user} login password '{SECRET}' in role password_required"
        );
        client.batch_execute(&create).unwrap();
        if self.generation().powa_major() > 4 {
            let wanted: &[&str] = match role {
                "viewer" => &["powa_read_all_metrics"],
                "operator" => &["powa_read_all_metrics", "powa_signal_backend"],
                "admin" => &["powa_admin"],
                _ => &[],
            };
            // They may have other names in this repository.
            let sql = "select quote_ident(rolname) from powa_roles where powa_role = any ($1::text[])";
            for row in client.query(sql, &[&wanted]).unwrap() {
                client.batch_execute(&format!("grant {} to {user}", row.get::<_, &str>(0))).unwrap();
            }
            return user;
        }
        let grants = match role {
            "viewer" => "grant select on powa_servers to {user}",
            "operator" => "grant select on powa_servers to {user}; grant pg_signal_backend to {user}",
            "admin" => {
                "grant all on all tables in schema public to {user}; grant all on all sequences in schema public to {user}"
            }
            _ => "",
        };
        client.batch_execute(&grants.replace("{user}", &user)).unwrap();
        user
    }
}
