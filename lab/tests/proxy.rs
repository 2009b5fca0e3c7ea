//! The proxy does to a real connection what was requested, and nothing else.

#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Act, Cluster, Generation, Proxy};
use postgres::{Client, Config, NoTls};

const LONG_ENOUGH: Duration = Duration::from_secs(20);
/// How long something has to stay away to be called absent.
const A_WHILE: Duration = Duration::from_millis(300);

fn server() -> Cluster {
    Cluster::start(&Generation::find(None).unwrap(), "proxied").unwrap()
}

fn try_to_connect(proxy: &Proxy) -> Result<Client, postgres::Error> {
    Config::new().host(proxy.host()).port(proxy.port()).user("postgres").dbname("postgres").connect(NoTls)
}

fn connect(proxy: &Proxy) -> Client {
    try_to_connect(proxy).unwrap()
}

fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG_ENOUGH;
    while !happened() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a query meanwhile; its end, and how, comes by the channel.
fn meanwhile(mut client: Client, query: &'static str) -> mpsc::Receiver<(Client, Result<(), postgres::Error>)> {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let result = client.batch_execute(query);
        let _ = ended.send((client, result));
    });
    end
}

/// A proxy before a listener of the test's own, and a connection through it: the client's end and the server's.
fn plain_connection() -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to_address("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let mut client = TcpStream::connect((proxy.host(), proxy.port())).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.set_read_timeout(Some(LONG_ENOUGH)).unwrap();
    server.set_read_timeout(Some(LONG_ENOUGH)).unwrap();
    // The proxy may not know yet that the server has accepted.
    server.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
    (proxy, client, server)
}

#[test]
fn every_byte_is_late_by_the_delay_also_on_an_open_connection() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let mut client = connect(&proxy);
    let one_way = Duration::from_millis(60);
    // The shortest of some is what the line takes; the others are what a busy machine makes of it.
    let mut round_trip = || {
        let mut timed = || {
            let started = Instant::now();
            client.batch_execute("select 1").unwrap();
            started.elapsed()
        };
        (0..10).map(|_| timed()).min().unwrap()
    };
    proxy.delay(one_way);
    let delayed = round_trip();
    assert!((2 * one_way..4 * one_way).contains(&delayed), "{delayed:?}");
    proxy.delay(Duration::ZERO);
    let direct = round_trip();
    assert!(direct < one_way, "{direct:?}");
}

#[test]
fn a_delay_is_no_limit_to_what_is_on_its_way() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let mut client = connect(&proxy);
    proxy.delay(Duration::from_millis(100));
    let mut timed = || {
        let started = Instant::now();
        let rows = client.query("select repeat('x', 1000) from generate_series(1, 5000)", &[]).unwrap();
        assert_eq!(rows.len(), 5000);
        started.elapsed()
    };
    // Two round trips for five megabytes: to prepare, and to execute. A busy machine may add to it, but not every time.
    let shortest = (0..5).map(|_| timed()).min().unwrap();
    assert!(shortest < Duration::from_millis(1500), "{shortest:?}");
}

#[test]
fn a_frozen_line_is_silent_and_all_of_it_comes_when_it_is_thawed() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let client = connect(&proxy);
    proxy.freeze();
    let old = meanwhile(client, "create table late as select 1 as one");
    let (port, host) = (proxy.port(), proxy.host().to_owned());
    let mut new = TcpStream::connect((host, port)).unwrap();
    wait_until("the new connection is accepted", || proxy.connections() == 2);
    assert!(old.recv_timeout(A_WHILE).is_err(), "something got through");
    let mut direct = server.connect("postgres").unwrap();
    assert!(direct.query_one("select to_regclass('late')::text", &[]).unwrap().get::<_, Option<&str>>(0).is_none());
    proxy.thaw();
    old.recv_timeout(LONG_ENOUGH).unwrap().1.unwrap();
    direct.query_one("select * from late", &[]).unwrap();
    // An SSLRequest, and the server's No.
    new.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0];
    new.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
}

#[test]
fn while_frozen_not_even_the_end_of_a_connection_passes() {
    let (proxy, client, mut server) = plain_connection();
    proxy.freeze();
    drop(client);
    server.set_read_timeout(Some(A_WHILE)).unwrap();
    let mut byte = [0];
    assert_eq!(server.read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.thaw();
    server.set_read_timeout(Some(LONG_ENOUGH)).unwrap();
    assert_eq!(server.read(&mut byte).unwrap(), 0);
}

#[test]
fn one_direction_can_end_before_the_other() {
    let (proxy, mut client, mut server) = plain_connection();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    server.write_all(b"still here").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
    wait_until("the connection is forgotten", || proxy.connections() == 0);
}

#[test]
fn a_cut_resets_both_ends_and_new_connections_are_fine() {
    let (proxy, mut client, mut server) = plain_connection();
    proxy.cut();
    assert_eq!(proxy.connections(), 0);
    for end in [&mut client, &mut server] {
        assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    let server = self::server();
    let proxy = Proxy::to(&server).unwrap();
    let asleep = meanwhile(connect(&proxy), "select pg_sleep(60)");
    wait_until("the connection is there", || proxy.connections() == 1);
    proxy.cut();
    let (_, result) = asleep.recv_timeout(LONG_ENOUGH).unwrap();
    assert!(result.is_err());
    connect(&proxy).batch_execute("select 1").unwrap();
}

#[test]
fn a_frozen_line_can_be_cut() {
    let (proxy, mut client, _server) = plain_connection();
    proxy.freeze();
    proxy.cut();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn attempts_are_refused_and_open_connections_go_on() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let mut open = connect(&proxy);
    let port = proxy.port();
    proxy.refuse();
    let error = TcpStream::connect((proxy.host(), port)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    open.batch_execute("select 1").unwrap();
    proxy.accept().unwrap();
    proxy.accept().unwrap();
    connect(&proxy).batch_execute("select 1").unwrap();
    assert_eq!(proxy.port(), port);
    open.batch_execute("select 1").unwrap();
}

#[test]
fn connections_are_counted() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    assert_eq!(proxy.connections(), 0);
    let clients = [connect(&proxy), connect(&proxy)];
    assert_eq!(proxy.connections(), 2);
    drop(clients);
    wait_until("they are gone", || proxy.connections() == 0);
}

#[test]
fn a_round_trip_is_what_is_said_after_an_answer() {
    let (proxy, mut client, mut server) = plain_connection();
    assert_eq!(proxy.round_trips(), 0, "what a server says unasked is none");
    proxy.delay(Duration::from_millis(100));
    let mut word = [0];
    for number in 1..=3 {
        client.write_all(b"?").unwrap();
        server.read_exact(&mut word).unwrap();
        assert_eq!(proxy.round_trips(), number);
        server.write_all(b"!").unwrap();
        client.read_exact(&mut word).unwrap();
    }
    // Said in pieces, and answered in pieces.
    for _ in 0..3 {
        client.write_all(b"?").unwrap();
    }
    for _ in 0..3 {
        server.read_exact(&mut word).unwrap();
        server.write_all(b"!").unwrap();
    }
    client.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(proxy.round_trips(), 4);
}

#[test]
fn much_that_is_said_or_answered_is_one_round_trip() {
    let (proxy, mut client, mut server) = plain_connection();
    proxy.delay(Duration::from_millis(100));
    let much = vec![b'.'; 8_000_000];
    let expected = much.len();
    let answering = thread::spawn(move || {
        server.read_exact(&mut vec![0; expected]).unwrap();
        server.write_all(&vec![b'!'; expected]).unwrap();
        server
    });
    client.write_all(&much).unwrap();
    client.read_exact(&mut vec![0; expected]).unwrap();
    let mut server = answering.join().unwrap();
    assert_eq!(proxy.round_trips(), 1);
    client.write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    assert_eq!(proxy.round_trips(), 2);
}

#[test]
fn connections_side_by_side_share_their_round_trips() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let clients = [connect(&proxy), connect(&proxy), connect(&proxy)];
    proxy.delay(Duration::from_millis(100));
    let before = proxy.round_trips();
    let asked = clients.map(|client| meanwhile(client, "select 1"));
    let clients = asked.map(|asked| asked.recv_timeout(LONG_ENOUGH).unwrap().0);
    assert_eq!(proxy.round_trips(), before + 1);
    // Who leaves says so.
    let still_there = clients.map(|client| meanwhile(client, "select 1").recv_timeout(LONG_ENOUGH).unwrap().0);
    assert_eq!(proxy.round_trips(), before + 4);
    drop(still_there);
}

#[test]
fn a_trap_cuts_in_the_middle_of_a_row_after_all_before_it_has_arrived() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let (mut caught, mut other) = (connect(&proxy), connect(&proxy));
    proxy.when_server_says(b"row 4999 has a nee", Act::Cut);
    assert!(!proxy.has_sprung());
    let mut copied = Vec::new();
    let error = caught
        .copy_out("copy (select 'row ' || n || ' has a needle' from generate_series(1, 9999) n) to stdout")
        .unwrap()
        .read_to_end(&mut copied)
        .unwrap_err();
    assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
    let text = String::from_utf8(copied).unwrap();
    // The row that was cut is no message yet.
    assert!(text.ends_with("row 4998 has a needle\n"), "{:?}", text.lines().last());
    assert_eq!(text.lines().count(), 4998);
    wait_until("the trap has sprung", || proxy.has_sprung());
    other.batch_execute("select 'row 4999 has a needle'").unwrap();
}

#[test]
fn a_trap_freezes_everything_in_the_middle_of_a_row() {
    let server = server();
    let proxy = Proxy::to(&server).unwrap();
    let (caught, other) = (connect(&proxy), connect(&proxy));
    proxy.when_server_says(b"in the hay", Act::Freeze);
    let caught = meanwhile(caught, "select 'a needle in the haystack'");
    wait_until("the trap springs", || proxy.has_sprung());
    let other = meanwhile(other, "select 1");
    assert!(caught.recv_timeout(A_WHILE).is_err(), "the rest of the row got through");
    assert!(other.try_recv().is_err(), "another connection was not frozen");
    proxy.thaw();
    for conversation in [caught, other] {
        conversation.recv_timeout(LONG_ENOUGH).unwrap().1.unwrap();
    }
}

#[test]
fn what_a_trap_lets_through_arrives_even_where_the_reader_is_late() {
    let (proxy, mut client, mut server) = plain_connection();
    proxy.when_server_says(b"end", Act::Cut);
    // More than the kernel's buffers take.
    let length = 12_000_000;
    let writer = thread::spawn(move || {
        let _ = server.write_all(&vec![b'.'; length]);
        let _ = server.write_all(b"end, and more");
        server
    });
    thread::sleep(A_WHILE);
    let mut received = Vec::new();
    assert_eq!(client.read_to_end(&mut received).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(received.len(), length + 3);
    drop(writer.join());
}
