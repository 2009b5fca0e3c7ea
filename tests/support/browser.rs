//! A real browser, controlled by its WebDriver: opens a page, reads, clicks and types.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use super::{assert_no_secret, wait_until};

/// What is missing where there is none.
const CURE: &str = "chromium and chromedriver are here: scripts/install-dependencies test";

/// A browser with one page. It is closed with the test.
pub(crate) struct Browser {
    driver: Child,
    /// What the two leave behind.
    _directory: TempDir,
    agent: Agent,
    /// Of the driver, with the session.
    address: String,
}

impl Browser {
    /// One that shows a page.
    pub(crate) fn at(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut driver = Command::new("setpriv")
            // Also when this process is killed, and cannot end it.
            .args(["--pdeathsig", "KILL", "chromedriver", "--port=0"])
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect(CURE);
        let mut message = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port =
            message.find_map(|line| Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()));
        let port: u16 = port.expect(CURE).parse().unwrap();
        // It is not to wait for someone who reads.
        std::thread::spawn(move || message.for_each(drop));

        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .new_agent();
        let mut browser = Self { driver, _directory: directory, agent, address: format!("http://127.0.0.1:{port}") };
        // Tests may run as root, and in containers with little shared memory.
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments}});
        let session = browser.post("/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.address += &format!("/session/{}", session["sessionId"].as_str().expect(CURE));
        browser.size(1280, 900);
        browser.open(url);
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.address)).content_type("application/json");
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{path} {body}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    fn tell(&self, command: &str, parameters: Value) {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Shows the page on a screen of this size.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tell("Emulation.setDeviceMetricsOverride", size);
    }

    /// Prefers a colour scheme, as the system would.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.tell("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What a script gives, which is the body of a function.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_until(&self, expression: &str) {
        wait_until(expression, || self.run(&format!("return Boolean({expression})")) == true);
    }

    /// What the browser has complained of so far, on its console.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        log.as_array().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let text = self.agent.get(format!("{}/source", self.address)).call();
        let text = text.and_then(|mut answer| answer.body_mut().read_to_string()).unwrap_or_default();
        // With the session goes the browser.
        drop(self.agent.delete(&self.address).call());
        self.driver.kill().ok();
        self.driver.wait().ok();
        assert_no_secret("the page", [text.as_str()]);
    }
}
