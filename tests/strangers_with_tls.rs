//! Attackers between a collector and a server with TLS: one that reads along, and one that answers in the server's
//! place.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::{Cluster, Registration};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Certificates, SECRET, Scene, replacing, tests, wait_until};

tests![
    #[timed]
    a_query_is_cancelled_over_tls_where_the_session_was,
    #[long]
    whatever_is_answered_to_the_request_for_tls_is_an_error_and_no_more,
];

/// By which a session of its own asks to cancel what another one does.
const CANCEL: &[u8] = &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
const REQUEST_FOR_TLS: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Stands before a server and reads along.
struct Sniffer {
    port: u16,
    /// What each client has said first.
    beginnings: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Sniffer {
    fn before(server: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sniffer = Self { port: listener.local_addr().unwrap().port(), beginnings: Arc::default() };
        let (server, beginnings) = (server.port(), Arc::clone(&sniffer.beginnings));
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let mut beginning = vec![0; 8];
                if client.read_exact(&mut beginning).is_err() {
                    continue;
                }
                let mut server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                server.write_all(&beginning).unwrap();
                beginnings.lock().unwrap().push(beginning);
                pass_on(client, server);
            }
        });
        sniffer
    }

    fn heard(&self, beginning: &[u8]) -> usize {
        self.beginnings.lock().unwrap().iter().filter(|heard| *heard == beginning).count()
    }
}

/// Both ways, until one of them ends it.
fn pass_on(client: TcpStream, server: TcpStream) {
    let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || io::copy(&mut requests, &mut to).and(to.shutdown(Shutdown::Both)));
    let (mut answers, mut to) = (server, client);
    std::thread::spawn(move || io::copy(&mut answers, &mut to).and(to.shutdown(Shutdown::Both)));
}

fn a_query_is_cancelled_over_tls_where_the_session_was(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(&["127.0.0.1"]);
    let gate = certificates.gate(scene);
    gate.show(Some(&server));
    let role =
        "create role secure login superuser in role only_tls; create role plain login superuser in role only_plain";
    gate.cluster.connect("postgres").unwrap().batch_execute(role).unwrap();
    let mut client = crate::support::with_powa(gate.cluster.connect("powa").unwrap());
    client.batch_execute(&replacing("powa_databases_src", "perform pg_sleep(300);")).unwrap();
    let sleepers = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    let mut sleeps = |count: i64| client.query_one(sleepers, &[]).unwrap().get::<_, i64>(0) == count;
    let root = certificates.root.file();
    let secure = json!({"sslmode": "verify-full", "sslrootcert": root});
    // In plain too, by which can be seen that it would be.
    for (username, remote) in [("secure", secure), ("plain", json!({"sslmode": "disable"}))] {
        let scene = scene.another();
        let sniffer = Sniffer::before(&gate.cluster);
        let registration = Registration { username, port: sniffer.port, ..Registration::of(&gate.cluster) };
        scene.register_as(registration);
        let collector = scene.verbose_collector(json!({"remote": remote}));
        wait_until("the query to be under way", || sleeps(1));
        collector.signal(Signal::TERM);
        let (status, took) = collector.wait();
        assert!(status.success() && took < Duration::from_secs(3), "{status} after {took:?}");
        wait_until("the query to be cancelled", || sleeps(0));
        let log = gate.cluster.logged_since(0);
        let sessions =
            log.lines().filter(|line| line.contains(&format!("connection authorized: user={username} "))).count();
        let (over_tls, in_plain) = (sniffer.heard(REQUEST_FOR_TLS), sniffer.heard(CANCEL));
        let is_as_the_session = if username == "secure" { over_tls > sessions && in_plain == 0 } else { in_plain > 0 };
        assert!(
            is_as_the_session,
            "{username}: {sessions} sessions, {over_tls} over TLS, {in_plain} requests in plain"
        );
    }
}

/// Answers the request for TLS in a server's place, until that may answer itself.
struct Impostor {
    port: u16,
    steps_aside: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Impostor {
    fn before(server: &Cluster, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let impostor = Self { port, steps_aside: Arc::default(), asked: Arc::default() };
        let (port, steps_aside, asked) =
            (server.port(), Arc::clone(&impostor.steps_aside), Arc::clone(&impostor.asked));
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                if steps_aside.load(Ordering::SeqCst) {
                    pass_on(client, TcpStream::connect(("127.0.0.1", port)).unwrap());
                    continue;
                }
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    let mut request = [0; 8];
                    if client.read_exact(&mut request).is_ok() && request == REQUEST_FOR_TLS {
                        asked.fetch_add(1, Ordering::SeqCst);
                        answer(&mut client);
                    }
                });
            }
        });
        impostor
    }
}

type Answer = fn(&mut TcpStream);

/// As much of it as is taken, and then waits for the end.
fn say(client: &mut TcpStream, beginning: &[u8], more: usize) {
    let zeros = vec![0; 1 << 20];
    let mut sent = client.write_all(beginning);
    for _ in 0..more {
        sent = sent.and_then(|()| client.write_all(&zeros));
    }
    let _ = sent.and_then(|()| io::copy(client, &mut io::sink()).map(drop));
}

/// What a server says that lets somebody in, and is ready: in plain, behind the promise of TLS.
const LET_IN: &[u8] = b"SR\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

fn whatever_is_answered_to_the_request_for_tls_is_an_error_and_no_more(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(&["127.0.0.1"]);
    let gate = certificates.gate(scene);
    gate.show(Some(&server));
    let role = format!("create role secure login superuser password '{SECRET}' in role only_tls");
    gate.cluster.connect("postgres").unwrap().batch_execute(&role).unwrap();
    let answers: [(&str, Answer); 7] = [
        ("the server answered the TLS request with an error", |client| say(client, b"E\x40\0\0\0", 1024)),
        ("no answer within 2 s", |client| say(client, b"", 0)),
        ("the server's answer to the TLS request is invalid", |client| say(client, b"HTTP/1.1 400", 1024)),
        ("the server closed the connection in answer to the TLS request", |_| {}),
        ("over TLS: the server's answer is not TLS", |client| say(client, b"SHTTP/1.1 400", 1024)),
        ("over TLS: the server's answer is not TLS", |client| say(client, LET_IN, 0)),
        // The beginning of a handshake that never comes to an end.
        ("over TLS: no answer within 2 s", |client| say(client, b"S\x16\x03\x03\x40\0\x02\0\xff\xff", 0)),
    ];
    let impostors: Vec<_> = answers
        .into_iter()
        .map(|(output, answer)| {
            let impostor = Impostor::before(&gate.cluster, answer);
            let registration =
                Registration { username: "secure", port: impostor.port, ..Registration::of(&gate.cluster) };
            (output, scene.register_as(registration), impostor)
        })
        .collect();
    let root = certificates.root.file();
    let remote = json!({"sslmode": "verify-full", "sslrootcert": root, "connect_timeout": 2});
    let collector = scene.collector_with(json!({"remote": remote}));
    for (output, server, impostor) in &impostors {
        let error = scene.wait_for_error(*server, output);
        let whole =
            format!("could not connect to 127.0.0.1:{}, database \"powa\" (remote server): {output}", impostor.port);
        assert!(error.starts_with(&whole), "{error}\nis not:\n{whole}");
        // The collector does not wait for a server that is slow to accept.
        wait_until("the impostor to have been asked", || impostor.asked.load(Ordering::SeqCst) > 0);
        assert_eq!(scene.snapshots(*server), 0);
    }
    let peak = collector.peak_memory();
    assert!(peak < 60_000, "{peak} kB");
    for (_, server, impostor) in &impostors {
        impostor.steps_aside.store(true, Ordering::SeqCst);
        scene.wait_for_snapshots(*server, 1);
    }
}
