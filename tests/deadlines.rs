//! Time limits for silent peers: for each of several hosts, and for an open session.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lab::{Cluster, Registration};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde_json::{Value, json};
use socket2::SockRef;

use crate::support::{Collector, Scene, tests};

tests![
    #[timed]
    each_host_has_a_time_of_its_own_to_answer,
    a_peer_that_vanishes_is_noticed_as_soon_as_is_asked_for,
];

fn each_host_has_a_time_of_its_own_to_answer(scene: &Scene) {
    let remote = Cluster::start(scene.generation(), "slow").unwrap();
    remote.create_powa_database("powa").unwrap();
    let (tell, tried) = mpsc::channel();
    for address in ["127.0.0.3", "127.0.0.4"] {
        let silent = TcpListener::bind((address, remote.port())).unwrap();
        let tell = tell.clone();
        std::thread::spawn(move || {
            for connection in silent.incoming() {
                let _ = tell.send((address, Instant::now(), connection));
            }
        });
    }
    let server =
        scene.register_as(Registration { hostname: "127.0.0.3,127.0.0.4,127.0.0.1", ..Registration::of(&remote) });
    let own = json!({server.to_string(): {"connect_timeout": "2"}});
    // What is said for the server comes before what is said for all connections.
    let _collector = scene.collector_with(json!({"timeouts": {"connect": 30}, "remote": {"servers": own}}));
    scene.wait_for_snapshots(server, 1);
    let done = Instant::now();
    let tries: Vec<_> = tried.try_iter().collect();
    let [(first, began, _), (second, went_on, _)] = &tries[..] else { panic!("{tries:?}") };
    assert_eq!((*first, *second), ("127.0.0.3", "127.0.0.4"));
    for took in [*went_on - *began, done - *went_on] {
        assert!((Duration::from_millis(1900)..Duration::from_secs(15)).contains(&took), "{took:?}");
    }
}

/// What the kernel knows of a connection: keepalives, when the first, how often, how many, and how long it waits for an
/// acknowledgement, in seconds.
#[derive(Debug, PartialEq, Eq)]
struct Patience {
    keepalives: Option<(u64, u64, u32)>,
    user_timeout: Option<u64>,
}

/// Looks at the collector's open connections to a server, of which there have to be some.
fn patience(collector: &Collector, server: &Cluster) -> Patience {
    let pid = i32::try_from(collector.pid()).unwrap();
    let process = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    let numbers = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    let sockets = numbers.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        // One that was closed meanwhile is none.
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
        let peer = SockRef::from(&socket).peer_addr().ok()?.as_socket()?;
        (peer.port() == server.port()).then_some(socket)
    });
    let mut seen: Vec<_> = sockets
        .map(|socket| {
            let socket = SockRef::from(&socket);
            let times = || {
                let [idle, interval] = [socket.tcp_keepalive_time(), socket.tcp_keepalive_interval()];
                (idle.unwrap().as_secs(), interval.unwrap().as_secs(), socket.tcp_keepalive_retries().unwrap())
            };
            Patience {
                keepalives: socket.keepalive().unwrap().then(times),
                user_timeout: socket.tcp_user_timeout().unwrap().map(|limit| limit.as_secs()),
            }
        })
        .collect();
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

fn a_peer_that_vanishes_is_noticed_as_soon_as_is_asked_for(scene: &Scene) {
    let with = |remote: Value, more: &str| {
        let scene = scene.another();
        let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
        let config =
            json!({"repository": {"dsn": format!("{} {more}", scene.dsn("postgres"))}, "remote": remote}).to_string();
        let collector = Collector::start(&scene.config_file(&config));
        scene.wait_for_snapshots(server, 1);
        (patience(&collector, scene.remote_server()), patience(&collector, scene.repository_server()))
    };
    let default = || Patience { keepalives: Some((30, 10, 3)), user_timeout: Some(60) };
    assert_eq!(with(json!({}), ""), (default(), default()));
    let changed =
        json!({"keepalives_idle": 7, "keepalives_interval": 2, "keepalives_count": 5, "tcp_user_timeout": 9000});
    let expected = Patience { keepalives: Some((7, 2, 5)), user_timeout: Some(9) };
    assert_eq!(with(changed, ""), (expected, default()));
    let off = || Patience { keepalives: None, user_timeout: None };
    assert_eq!(with(json!({"keepalives": false, "tcp_user_timeout": 0}), ""), (off(), default()));
    assert_eq!(with(json!({}), "keepalives=0 tcp_user_timeout=0"), (default(), off()));
}
