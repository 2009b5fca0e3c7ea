//! Requests to the API that are hostile, broken, slow or many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::{ApiClient, SECRET, Scene, tests};

tests![;
    since 5:
    a_web_page_of_another_origin_changes_nothing,
    a_body_that_is_too_long_or_no_json_is_refused,
    #[long] a_body_that_does_not_arrive_is_not_waited_for,
    names_are_data_wherever_they_appear,
    // It takes all of a machine, and would disturb other tests.
    #[timed] #[nightly] a_thousand_clients_leave_snapshots_on_time,
];

fn a_web_page_of_another_origin_changes_nothing(scene: &Scene) {
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    let reload = |headers: &[(&str, &str)]| operator.send("POST", "reload", headers, None);
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
    ] {
        let refused = reload(headers).expect(403);
        assert!(refused.detail().contains("another origin"), "{:#}", refused.body);
        operator.send("GET", "servers", headers, None).expect(200);
    }
    let own = format!("http://{}", api.address);
    reload(&[("origin", &own)]).expect(200);
    reload(&[("sec-fetch-site", "same-origin"), ("origin", "https://behind-a-proxy.example")]).expect(200);
    // No page of another origin learns what it may.
    let preflight = operator.send("OPTIONS", "servers", &[("origin", "https://evil.example")], None).expect(405);
    assert!(
        preflight.headers.keys().all(|name| !name.as_str().starts_with("access-control")),
        "{:?}",
        preflight.headers
    );
}

/// The status of the answer to a request that is written as it is.
fn status(api: &ApiClient, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(&api.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{head}connection: close\r\n\r\n").unwrap();
    // It may be answered before all is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(!answer.contains(SECRET), "{answer}");
    answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn head(user: &str, path: &str, headers: &str) -> String {
    let credentials = openssl::base64::encode_block(format!("{user}:{SECRET}").as_bytes());
    format!("POST /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {credentials}\r\n{headers}")
}

fn a_body_that_is_too_long_or_no_json_is_refused(scene: &Scene) {
    let (collector, api) = scene.with_api(json!({}));
    let admin = scene.user("admin", "admin");
    let json = "content-type: application/json\r\n";
    let long = format!("{{\"host\": \"{}\"}}", "x".repeat(70_000));
    for (headers, body, expected) in [
        (format!("{json}content-length: {}\r\n", long.len()), long.as_str(), "413"),
        (format!("{json}transfer-encoding: chunked\r\n"), &format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()), "413"),
        ("content-type: text/plain\r\ncontent-length: 2\r\n".into(), "{}", "415"),
        ("content-length: 2\r\n".into(), "{}", "415"),
        (format!("{json}content-type: text/plain\r\ncontent-length: 2\r\n"), "{}", "415"),
        (format!("{json}content-length: 14\r\n"), "{\"host\":s3cret", "400"),
        (format!("{json}content-length: 4\r\n"), "\u{0}\u{1}\u{2}\u{3}", "400"),
        (format!("{json}content-length: 2\r\n"), "[]", "422"),
        (format!("{json}content-length: 0\r\n"), "", "400"),
    ] {
        assert_eq!(status(&api, &head(&admin, "servers", &headers), body.as_bytes()), expected, "{headers}");
    }
    let deep = "[".repeat(60_000);
    let headers = format!("{json}content-length: {}\r\n", deep.len() + 9);
    let body = format!("{{\"host\": {deep}");
    let answered = status(&api, &head(&admin, "servers", &headers), body.as_bytes());
    assert!(["400", "422"].contains(&answered.as_str()), "{answered}");
    assert!(collector.resident() < 100_000, "{} kB", collector.resident());
}

fn a_body_that_does_not_arrive_is_not_waited_for(scene: &Scene) {
    let (_collector, api) = scene.with_api(json!({}));
    let admin = scene.user("admin", "admin");
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    assert_eq!(status(&api, &head(&admin, "servers", headers), b"{\"host\": "), "408");
}

fn names_are_data_wherever_they_appear(scene: &Scene) {
    scene.set_up();
    let (collector, api) = scene.with_api(json!({}));
    let boss = scene.user("admin", "admin");
    scene.repository().batch_execute(&format!("alter role {boss} superuser")).unwrap();
    let boss = api.role(&boss);
    let odd = "x\r\nset-cookie: a=b\u{1b}[0m\"'; drop table powa_servers; --<script>";
    let added = boss.post("servers", json!({"host": "db1", "alias": odd, "user": odd, "dbname": odd})).expect(201);
    assert!(added.headers.get("set-cookie").is_none());
    let id = added.body["id"].as_i64().unwrap();
    let got = boss.get(&format!("servers/{id}")).expect(200);
    assert_eq!((&got.body["alias"], &got.body["user"]), (&json!(odd), &json!(odd)));
    let name = format!("u'; drop table powa_servers; -- \" {{password}} {{role}} {}", scene.number());
    boss.post("users", json!({"name": name, "role": "viewer", "password": SECRET})).expect(201);
    let listed = boss.get("users").expect(200);
    assert!(listed.items().iter().any(|user| user["name"] == name.as_str()), "{:#}", listed.body);
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 1);
    // Each message stays on one line.
    assert!(collector.log().iter().all(|line| !line.starts_with("set-cookie")), "{:?}", collector.log());
    scene.repository().batch_execute(&format!("drop role \"{}\"", name.replace('"', "\"\""))).unwrap();
}

fn a_thousand_clients_leave_snapshots_on_time(scene: &Scene) {
    scene.without_databases();
    let server = scene.register();
    let (collector, api) = scene.with_api(json!({}));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    viewer.get("servers").expect(200);
    scene.wait_for_snapshots(server, 1);
    let (is_over, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let before = scene.snapshots(server);
    std::thread::scope(|threads| {
        for number in 0..1000 {
            let (viewer, api, is_over, answered) = (&viewer, &api, &is_over, &answered);
            let body = move || {
                while !is_over.load(Ordering::Relaxed) {
                    // Some have no valid credentials. Connections can be closed for others.
                    let request = if number % 10 == 0 { api.try_get("servers") } else { viewer.try_get("servers") };
                    if request.is_some_and(|status| status == 200) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(threads, body).unwrap();
        }
        std::thread::sleep(Duration::from_secs(22));
        is_over.store(true, Ordering::Relaxed);
    });
    let taken = scene.snapshots(server) - before;
    assert!(taken >= 4, "{taken} snapshots in 22 s");
    assert!(answered.load(Ordering::Relaxed) > 20, "{answered:?}");
    assert!(collector.logged("skipped").is_empty() && collector.resident() < 150_000, "{} kB", collector.resident());
}
