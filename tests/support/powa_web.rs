//! The real powa-web, as a child process, and the requests that its pages send.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;

use super::{Scene, wait_for};

/// A running powa-web with somebody logged in. It is ended with the test.
pub(crate) struct PowaWeb {
    process: Process,
    agent: Agent,
    address: String,
    cookies: String,
}

struct Process {
    child: Child,
    log: PathBuf,
}

impl PowaWeb {
    pub(crate) fn start(scene: &Scene) -> Self {
        Self::start_for(scene, "postgres")
    }

    /// With any role logged in.
    pub(crate) fn start_for(scene: &Scene, user: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // One that the environment names would not know this machine's 127.0.0.1.
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        // A port that was free a moment ago may be taken by now.
        let (process, address) = wait_for("a port for powa-web", || {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut process = Process::start(scene, port);
            let address = format!("http://127.0.0.1:{port}");
            wait_for("powa-web", || match agent.get(format!("{address}/login/")).call() {
                _ if process.has_ended() => {
                    assert!(process.log().contains("Address already in use"), "powa-web ended:\n{}", process.log());
                    Some(false)
                }
                answer => answer.is_ok().then_some(true),
            })
            .then_some((process, address))
        });
        // The field is "username" in powa-web 4. The servers do not ask for a password, but the form does.
        let form = [("user", user), ("username", user), ("password", "any"), ("server", "main")];
        let answer = agent.post(format!("{address}/login/")).send_form(form).unwrap();
        let set = answer.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        let cookies: Vec<_> = set.map(|cookie| cookie.split(';').next().unwrap()).collect();
        assert!(!cookies.is_empty(), "{user} could not log in ({}):\n{}", answer.status(), process.log());
        let cookies = cookies.join("; ");
        Self { process, agent, address, cookies }
    }

    /// What a page shows, be it JSON or not.
    pub(crate) fn page(&self, path: &str) -> String {
        self.body(path, self.agent.get(self.url(path)).header("cookie", &self.cookies).call())
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        parse(path, &self.page(path))
    }

    pub(crate) fn post(&self, path: &str, value: &Value) -> Value {
        let request = self.agent.post(self.url(path)).header("cookie", &self.cookies);
        let answer = request.content_type("application/json; charset=UTF-8").send(value.to_string());
        parse(path, &self.body(path, answer))
    }

    /// What a page of powa-web 5 is made of.
    pub(crate) fn dashboard(&self, path: &str) -> Value {
        let request = self.agent.get(self.url(path)).header("cookie", &self.cookies);
        parse(path, &self.body(path, request.header("content-type", "application/json").call()))
    }

    /// The rows of one of the tables and graphs, which are about a time: the hour around now.
    pub(crate) fn data(&self, scene: &Scene, path: &str) -> Vec<Value> {
        let hour = "select to_char(now() - interval '30 min', f), to_char(now() + interval '30 min', f)
            from (values ('YYYY-MM-DD HH24:MI:SSOF')) as format (f)";
        let row = scene.repository().query_one(hour, &[]).unwrap();
        let request = self.agent.get(self.url(path)).header("cookie", &self.cookies);
        let request = request.query("from", row.get::<_, &str>(0)).query("to", row.get::<_, &str>(1));
        match parse(path, &self.body(path, request.call()))["data"].take() {
            Value::Array(rows) => rows,
            other => panic!("{path}: {other}"),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    fn body(&self, path: &str, answer: Result<Response<ureq::Body>, ureq::Error>) -> String {
        let mut answer = answer.unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{path}: {body}\n{}", self.process.log());
        body
    }
}

fn parse(path: &str, body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// The Python that powa-web runs in, with psycopg2 and the libpq that comes with it.
pub(crate) fn python() -> PathBuf {
    home().join("python/bin/python")
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/powa-web")
}

impl Process {
    fn start(scene: &Scene, port: u16) -> Self {
        // powa-web takes PoWA of its own series only.
        let version = scene.generation().powa_version();
        let series = home().join(version.splitn(3, '.').take(2).collect::<Vec<_>>().join("."));
        let script = series.join("bin/powa-web");
        assert!(
            script.exists(),
            "powa-web for PoWA {version} is not on this machine: scripts/install-python-programs powa-web"
        );

        let row = scene.repository().query_one("select host(inet_server_addr()), inet_server_port()", &[]).unwrap();
        let (host, database_port): (String, i32) = (row.get(0), row.get(1));
        let servers = json!({"main": {"host": host, "port": database_port, "database": scene.database}});
        let directory = scene.directory();
        // Python, in which what JSON has here is the same.
        let config = format!("servers = {servers}\ncookie_secret = 'secret'\naddress = '127.0.0.1'\nport = {port}\n");
        std::fs::write(directory.join("powa-web.conf"), config).unwrap();

        let log = directory.join("powa-web.log");
        let output = File::create(&log).unwrap();
        let child = Command::new("setpriv")
            // Also when this process is killed, and cannot end it.
            .args(["--pdeathsig", "KILL"])
            .arg(python())
            .arg(script)
            .env_clear()
            .env("HOME", &directory)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("PYTHONPATH", series)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("setpriv is here: scripts/install-python-programs powa-web");
        Self { child, log }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("powa-web's log:\n{}", self.log());
        }
    }
}
