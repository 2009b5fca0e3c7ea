//! An HTTP client of a collector. It checks that no response contains a password.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use super::{Collector, assert_no_secret, wait_for, wait_until};

/// The address of a collector that serves.
pub(crate) struct Watcher {
    /// Host and port.
    pub address: String,
    agent: Agent,
}

/// What was answered.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Watcher {
    /// One who watches where the collector first said that it serves.
    pub(crate) fn of(collector: &Collector) -> Self {
        Self::of_time(1, collector)
    }

    /// One who watches where it said so for this time.
    pub(crate) fn of_time(time: usize, collector: &Collector) -> Self {
        let line = wait_for("HTTP to be served", || collector.logged("serving HTTP").into_iter().nth(time - 1));
        let (_, url) = line.split_once("url=").unwrap();
        let (_, address) = url.split_whitespace().next().unwrap().split_once("://").unwrap();
        let address = address.trim_end_matches('/');
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // One that the environment names would not know this machine's 127.0.0.1.
            .proxy(None)
            .max_redirects(0)
            // Each request stands for itself.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        Self { address: address.into(), agent }
    }

    /// What is answered over TLS to one who believes in one authority only. `None` if the two do not come together.
    pub(crate) fn get_encrypted(&self, path: &str, authority: &Path) -> Option<String> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_ca_file(authority).unwrap();
        let mut stream = builder.build().connect("127.0.0.1", self.connect()).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_no_secret(path, [answer.as_str()]);
        Some(answer)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_to_ask(method, path, headers).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Nobody there is an error; whatever is answered is not.
    pub(crate) fn try_to_ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(()).unwrap())?;
        let text = response.body_mut().read_to_string()?;
        let headers = response.headers().clone();
        assert_no_secret(path, [text.as_str(), &format!("{headers:?}")]);
        Ok(Answer { status: response.status().as_u16(), headers, text })
    }

    /// What is answered to these bytes, as far as it comes within a time. `None` if nobody answers.
    pub(crate) fn say(&self, bytes: &[u8]) -> Option<String> {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may be closed before it has all been said.
        stream.write_all(bytes).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_no_secret("an answer", [answer.as_str()]);
        (!answer.is_empty()).then_some(answer)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// The value of a series, by its name and labels as they are written.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let metrics = self.get("/metrics").text;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    pub(crate) fn wait_for_metric(&self, series: &str, is_right: impl Fn(f64) -> bool) {
        wait_until(series, || self.metric(series).is_some_and(&is_right));
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What `promtool` says about an input; nothing, if all is as it should be.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/promtool");
    let program = if own.exists() { own } else { "promtool".into() };
    let mut promtool = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is here: scripts/install-dependencies test");
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let message = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { message } else { format!("{}: {message}", output.status) }
}

/// A page that is open, as far as the collector can tell.
pub(crate) struct Page(BufReader<TcpStream>);

impl Watcher {
    pub(crate) fn open_events(&self) -> Page {
        self.open_events_with("")
    }

    /// With more headers.
    pub(crate) fn open_events_with(&self, headers: &str) -> Page {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").unwrap();
        Page(BufReader::new(stream))
    }

    /// `None` if there are too many.
    pub(crate) fn try_to_open_events(&self) -> Option<Page> {
        let mut page = self.open_events();
        page.line().contains("200").then_some(page)
    }
}

impl Page {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert_no_secret("an event", [line.as_str()]);
        line
    }

    /// Waits for an event of a kind, and gives what it tells.
    pub(crate) fn next(&mut self, kind: &str) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it is over");
            if line.trim() == format!("event: {kind}") {
                let data = self.line();
                return serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            }
        }
    }

    pub(crate) fn wait_for_end(&mut self) {
        wait_until("the end of the events", || matches!(self.0.read_line(&mut String::new()), Ok(0) | Err(_)));
    }
}
