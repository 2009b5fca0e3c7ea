//! `/poll`: whether a snapshot is stored that was started after a time, with the words that orchestrators wait for.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use lab::Registration;
use serde_json::json;

use super::http;
use crate::support::{SECRET, Scene, tests, wait_until};

tests![a_newer_snapshot_is_waited_for_and_released, who_does_not_log_in_learns_nothing_unless_it_is_open_to_all,];

const DONE: &str = "RELEASE Core Filer SYNC\n";

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn a_newer_snapshot_is_waited_for_and_released(scene: &Scene) {
    let server = scene.register_as(Registration { alias: Some("ma in"), ..Registration::of(scene.remote_server()) });
    scene.register_beside_others(Registration {
        alias: Some("rare"),
        frequency: 3600,
        ..Registration::of(scene.remote_server())
    });
    scene.without_databases();
    let (collector, watcher) = scene.watched_with(json!({"poll_open": true}));
    wait_until("both to have a snapshot", || collector.logged("snapshot taken").len() >= 2);
    let poll = |query: &str| {
        let answer = watcher.get(&format!("/poll?{query}"));
        let headers = ["cache-control", "pragma", "expires", "content-type"].map(|name| answer.header(name));
        let expected =
            ["no-cache, must-revalidate", "no-cache", "Thu, 01 Jan 1970 00:00:00 GMT", "text/plain; charset=utf-8"];
        assert_eq!(headers, expected, "{query}");
        (answer.status, answer.text)
    };
    let address = format!("127.0.0.1%3A{}", scene.remote_server().port());
    wait_until("the state to be read again", || poll("mass=*&targetTime=0") == (200, DONE.into()));
    for name in ["ma%20in", "ma+in", &server.to_string(), &address, "*", "%2A"] {
        assert_eq!(poll(&format!("mass={name}&targetTime=0")), (200, DONE.into()), "{name}");
    }
    let target = now() + 1;
    let query = format!("mass=ma+in&targetTime={target}");
    let (status, waiting) = poll(&query);
    assert_eq!((status, waiting.starts_with("waiting for a snapshot of 127.0.0.1:")), (200, true), "{waiting}");
    assert!(waiting.contains(" that is newer than 20"), "{waiting}");
    wait_until("the release", || poll(&query) == (200, DONE.into()));
    let started = "select extract(epoch from snapts)::float8 from powa_snapshot_metas where srvid = $1";
    assert!(scene.row(started, &[&server]).get::<_, f64>(0) >= target as f64, "it is stored");
    assert_eq!(poll(&query), (200, DONE.into()), "asking twice is the same");
    let (status, waiting) = poll(&format!("mass=*&targetTime={target}"));
    assert_eq!((status, waiting.starts_with("waiting")), (200, true), "one of them is not");
    for (query, status, text) in [
        ("", 400, "must supply mass and targetTime\n"),
        ("mass=main", 400, "must supply mass and targetTime\n"),
        ("mass=main&targetTime=soon", 400, "must supply mass and targetTime\n"),
        ("mass=nobody&targetTime=0", 404, "no such server is collected\n"),
        ("mass=99999999999&targetTime=0", 404, "no such server is collected\n"),
    ] {
        assert_eq!(poll(query), (status, text.into()), "{query}");
    }
}

fn who_does_not_log_in_learns_nothing_unless_it_is_open_to_all(scene: &Scene) {
    let server = scene.register();
    let viewer = scene.user("viewer", "viewer");
    let nobody = scene.user("nobody", "");
    let (_collector, watcher) = scene.watched();
    let path = format!("/poll?mass={server}&targetTime=0");
    for path in [path.as_str(), "/poll?mass=nobody&targetTime=0", "/poll"] {
        assert_eq!(watcher.get(path).status, 401, "{path}");
    }
    let with_login = |user: &str| {
        let credentials = openssl::base64::encode_block(format!("{user}:{SECRET}").as_bytes());
        let answer = watcher.ask("GET", &path, &[("authorization", &format!("Basic {credentials}"))]);
        (answer.status, answer.text)
    };
    assert_eq!(with_login(&nobody).0, 403);
    wait_until("a snapshot", || with_login(&viewer) == (200, DONE.into()));
    // With the API off, as for the metrics.
    scene.config(json!({"http": http(json!({"api": false}))}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!((watcher.get(&path).status, watcher.get(&path).text.as_str()), (200, DONE));
    let tokens = scene.directory().join("tokens");
    std::fs::write(&tokens, "a:0123456789abcdef").unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    scene.config(json!({"http": http(json!({"api": false, "tokens_file": tokens}))}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!(watcher.get(&path).status, 401);
    let answer = watcher.ask("GET", &path, &[("authorization", "Bearer 0123456789abcdef")]);
    assert_eq!((answer.status, answer.text.as_str()), (200, DONE));
}
