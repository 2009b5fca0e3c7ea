//! Clients that are slow, silent, too many, or do not send HTTP: the collector works as before.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use crate::support::{Scene, tests, wait_for, wait_until};

tests![;
    since 5:
    those_who_are_many_and_silent_keep_nobody_from_being_answered,
    one_who_does_not_take_what_is_sent_is_let_go,
    whatever_is_said_is_answered_or_not_and_harms_nobody,
    pages_are_bounded_and_told_so,
];

fn those_who_are_many_and_silent_keep_nobody_from_being_answered(scene: &Scene) {
    let server = scene.register();
    let (collector, watcher) = scene.watched();
    let mut crowd: Vec<TcpStream> = Vec::new();
    for round in 0..300 {
        let mut stranger = watcher.connect();
        if round % 2 == 0 {
            // Never the end of it.
            stranger.write_all(b"GET / HTTP/1.1\r\nx: ").unwrap();
        }
        crowd.push(stranger);
    }
    let before = scene.snapshots(server);
    for _ in 0..5 {
        assert_eq!(watcher.get("/readyz").status, 200);
        assert_eq!(watcher.get("/metrics").status, 200);
    }
    let files = std::fs::read_dir(format!("/proc/{}/fd", collector.pid())).unwrap().count();
    assert!(files < 200, "{files} files are open");
    scene.wait_for_snapshots(server, before + 2);
    // Those who were there last are let go when their time is up.
    let last = crowd.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(last.read(&mut [0; 64]).unwrap(), 0, "it is closed");
}

fn one_who_does_not_take_what_is_sent_is_let_go(scene: &Scene) {
    let server = scene.register();
    let (collector, watcher) = scene.watched();
    let mut stranger = watcher.connect();
    // More answers than fit into any buffer on the way.
    let pipelined = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20_000);
    stranger.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    wait_until("it to be closed", || stranger.write(&pipelined).is_err_and(|error| gone.contains(&error.kind())));
    assert_eq!(watcher.get("/livez").status, 200);
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
    assert!(collector.resident() < 200_000, "{} kB", collector.resident());
}

fn whatever_is_said_is_answered_or_not_and_harms_nobody(scene: &Scene) {
    let (collector, watcher) = scene.watched();
    let long = "x".repeat(100_000);
    let endless = format!("GET /{long} HTTP/1.1\r\n\r\n");
    let headers = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let body =
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n{long}");
    let cases: [(&[u8], &str); 10] = [
        (b"\0\0\0\0\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        (b"GET /../../etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "404"),
        (b"GET /%2e%2e/%00 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "404"),
        (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "404"),
        (endless.as_bytes(), "431"),
        (headers.as_bytes(), "431"),
        (body.as_bytes(), "200"),
    ];
    for (bytes, expected) in cases {
        let message = watcher.say(bytes).unwrap_or_default();
        let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        let status = message.split_whitespace().nth(1).unwrap_or_default();
        // Who is cut off while still talking may not hear the answer.
        let is_told = status == expected || (bytes.len() > 16 * 1024 && expected != "200" && message.is_empty());
        assert!(is_told, "{beginning:?}: {message:?}");
        assert_eq!(watcher.get("/livez").status, 200, "{beginning:?}");
    }
    assert!(collector.logged("bug").is_empty(), "{:?}", collector.log());
}

fn pages_are_bounded_and_told_so(scene: &Scene) {
    let (_collector, watcher) = scene.watched();
    let mut pages: Vec<_> = (0..16).map(|_| watcher.open_events()).collect();
    for page in &mut pages {
        page.next("everything");
    }
    let refused = watcher.get("/events");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "10"));
    // They are not pushed out by those who come and stay, and are more than there may be.
    let mut crowd: Vec<_> = (0..100).map(|_| watcher.connect()).collect();
    assert_eq!(watcher.get("/livez").status, 200);
    let first = &mut crowd[0];
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(first.read(&mut [0; 64]).unwrap(), 0, "it had to go for those who came later");
    for page in &mut pages {
        // Nothing that was told before the crowd was there.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        while u128::from(page.next("update")["now"].as_u64().unwrap()) < now {}
    }
    drop(crowd);
    pages.pop();
    let mut another = wait_for("another page", || watcher.try_to_open_events());
    another.next("everything");
    assert_eq!(watcher.get("/events").status, 503, "it has taken the last place");
}
