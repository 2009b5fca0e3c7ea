//! Responses of a server are not trusted: missing or oversized values and silence end only a snapshot.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lab::{Cluster, Registration};
use serde_json::json;

use crate::support::{Collector, FakeServer, Scene, Statements, tests, wait_until};

tests![
    a_value_that_is_missing_on_the_remote_server_is_an_error_that_heals,
    a_value_that_is_missing_in_the_repository_is_an_error_that_heals,
    an_answer_of_a_gigabyte_ends_the_connection_and_costs_no_memory,
    a_row_of_any_length_costs_itself_only_and_no_memory,
    a_stranger_that_talks_without_end_is_not_listened_to,
    one_that_falls_silent_while_a_session_is_set_up_has_no_more_than_one_connection,
];

const MISSING: &str = "a Postgres value was `NULL`";

fn a_value_that_is_missing_on_the_remote_server_is_an_error_that_heals(scene: &Scene) {
    // The collectors of other tests would stumble over it in a database of the shared server.
    let remote = Cluster::start(scene.generation(), "spoilt").unwrap();
    remote.create_powa_database("powa").unwrap();
    let mut client = remote.connect("powa").unwrap();
    // Since PostgreSQL 18, ALTER TABLE wants a constraint that system tables do not have.
    let spoil = "set allow_system_table_mods = on;
        update pg_attribute set attnotnull = false
            where attrelid = 'pg_extension'::regclass and attname = 'extversion';
        update pg_extension set extversion = null where extname = 'plpgsql'";
    client.batch_execute(spoil).unwrap();
    let server = scene.register_as(Registration::of(&remote));
    let collector = scene.collector();
    let error = scene.wait_for_error(server, MISSING);
    assert!(error.contains("remote server") && error.contains("column 1"), "{error}");
    client.batch_execute("update pg_extension set extversion = '1.0' where extname = 'plpgsql'").unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(collector.logged("panicked"), [""; 0]);
}

fn a_value_that_is_missing_in_the_repository_is_an_error_that_heals(scene: &Scene) {
    let server = scene.register();
    let mut repository = scene.repository();
    let (spoil, mend) = if scene.generation().powa_major() >= 5 {
        (
            "alter table powa_extensions alter external drop not null; update powa_extensions set external = null",
            "update powa_extensions set external = extname = 'pg_track_settings'",
        )
    } else {
        (
            "create table good as table powa_functions;
            alter table powa_functions alter module drop not null; update powa_functions set module = null",
            "update powa_functions f set module = g.module from good g
            where (g.srvid, g.operation, g.function_name) = (f.srvid, f.operation, f.function_name)",
        )
    };
    repository.batch_execute(spoil).unwrap();
    let collector = scene.collector();
    let error = scene.wait_for_error(server, MISSING);
    assert!(error.contains("could not read what is to be collected (repository server)"), "{error}");
    // The repository answers: it is no matter of a connection.
    scene.wait_for_status(server, "running");
    repository.batch_execute(mend).unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(collector.logged("panicked"), [""; 0]);
}

/// No server may make the collector keep more than this.
const LITTLE_MEMORY: u64 = 60_000;

/// Sends a message of a gigabyte, or as much of it as is taken.
fn send_gigabyte(stream: &mut TcpStream, kind: u8) {
    let zeros = vec![0; 1 << 20];
    let mut sent = stream.write_all(&[&[kind], (1_u32 << 30).to_be_bytes().as_slice()].concat());
    for _ in 0..1024 {
        sent = sent.and_then(|()| stream.write_all(&zeros));
    }
}

/// Stands before a server, and sends a message of a gigabyte as soon as something is asked.
fn malicious_port(server: &Cluster, when_asked: &'static [u8], kind: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own_port = listener.local_addr().unwrap().port();
    let port = server.port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let asked = Arc::<AtomicBool>::default();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let seen = Arc::clone(&asked);
            std::thread::spawn(move || pass_on_requests(from, to, when_asked, &seen));
            std::thread::spawn(move || {
                let mut client = client;
                pass_on_answers(server, &mut client, &asked);
                if asked.load(Ordering::Relaxed) {
                    send_gigabyte(&mut client, kind);
                }
            });
        }
    });
    own_port
}

/// Stands before a server, and says nothing more in a session in which something was asked, which goes on.
struct Stalling {
    port: u16,
    taken: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Stalling {
    fn before(server: &Cluster, when_asked: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stalling =
            Self { port: listener.local_addr().unwrap().port(), taken: Arc::default(), open: Arc::default() };
        let (port, taken, open) = (server.port(), Arc::clone(&stalling.taken), Arc::clone(&stalling.open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                open.fetch_add(1, Ordering::SeqCst);
                taken.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut to, from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (asked, open) = (Arc::<AtomicBool>::default(), Arc::clone(&open));
                let seen = Arc::clone(&asked);
                std::thread::spawn(move || {
                    pass_on_requests(client, server, when_asked, &seen);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
                std::thread::spawn(move || pass_on_answers(from, &mut to, &asked));
            }
        });
        stalling
    }
}

/// Until the client has gone. Sees when it says something.
fn pass_on_requests(mut from: TcpStream, mut to: TcpStream, text: &[u8], asked: &AtomicBool) {
    let mut piece = vec![0; 1 << 16];
    while let Some(length) = from.read(&mut piece).ok().filter(|length| *length > 0) {
        if piece[..length].windows(text.len()).any(|message| message == text) {
            asked.store(true, Ordering::Relaxed);
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
}

/// Until what the client was to say was said.
fn pass_on_answers(mut from: TcpStream, to: &mut TcpStream, asked: &AtomicBool) {
    let mut header_read = [0; 5];
    while from.read_exact(&mut header_read).is_ok() && !asked.load(Ordering::Relaxed) {
        let length = u32::from_be_bytes(header_read[1..].try_into().unwrap());
        let mut message = vec![0; length as usize + 1];
        message[..5].copy_from_slice(&header_read);
        if from.read_exact(&mut message[5..]).and_then(|()| to.write_all(&message)).is_err() {
            break;
        }
    }
}

/// Those who stand before a server here do not know what is said before a session begins.
fn in_plain() -> serde_json::Value {
    json!({"remote": {"sslmode": "disable"}})
}

fn an_answer_of_a_gigabyte_ends_the_connection_and_costs_no_memory(scene: &Scene) {
    let port = malicious_port(scene.remote_server(), b"datistemplate", b'D');
    let server = scene.register_as(Registration { port, ..Registration::of(scene.remote_server()) });
    let other = scene.register();
    let collector = scene.collector_with(in_plain());
    let error = scene.wait_for_error(server, "the server sent a message of 1073741825 bytes");
    assert!(error.contains("remote server") && error.contains("the limit is 8388608"), "{error}");
    let before = scene.snapshots(other);
    scene.wait_for_snapshots(other, before + 2);
    let peak = collector.peak_memory();
    assert!(peak < LITTLE_MEMORY, "{peak} kB");
}

fn a_row_of_any_length_costs_itself_only_and_no_memory(scene: &Scene) {
    const LENGTH: usize = 150_000_000;
    scene.without_databases();
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    for (n, text) in (1..).zip(["before", "long", "after"]) {
        statements.say(n, text);
    }
    // Such a row in place of one of them: real servers take much longer for one.
    let fake_server = FakeServer::before(scene.remote_server(), |row| {
        let row = std::str::from_utf8(row).ok().filter(|row| row.contains("\tlong\t"))?;
        Some(vec![row.replace("\tlong\t", &format!("\t{}\t", "long".repeat(LENGTH / 4))).into_bytes()])
    });
    let register =
        |alias| Registration { port: fake_server.port, alias: Some(alias), extensions: &[], ..remote.registration() };
    let server = scene.register_as(register("of any length"));
    let collector = scene.collector_with(in_plain());
    let error = scene.wait_for_error(server, "1 row of more than 64 MB left out: the statement with userid 10, dbid ");
    let dbid: u32 = remote
        .connect()
        .query_one("select oid from pg_database where datname = current_database()", &[])
        .unwrap()
        .get(0);
    assert!(error.contains(&format!("select pg_stat_statements_reset(10, {dbid}, 2)")), "{error}");
    assert!(
        error.contains("pg_stat_statements (powa_statements_src)") && error.contains("limits.query_text"),
        "{error}"
    );
    scene.wait_for_snapshots(server, 1);
    let arrived = "select query from powa_statements where srvid = $1 order by queryid";
    let texts = || -> Vec<String> {
        scene.repository().query(arrived, &[&server]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(texts(), ["before", "after"]);
    let peak = collector.peak_memory();
    assert!(peak < LITTLE_MEMORY, "{peak} kB");
    collector.stop();

    let mut config = in_plain();
    config["limits"] = json!({"query_text": 10});
    let collector = scene.collector_with(config);
    wait_until("the beginning of the text", || texts() == ["before", "longlonglo", "after"]);
    wait_until("the error to be gone", || scene.errors(server).is_empty());
    let peak = collector.peak_memory();
    assert!(peak < LITTLE_MEMORY, "{peak} kB");
}

fn a_stranger_that_talks_without_end_is_not_listened_to(scene: &Scene) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || send_gigabyte(&mut client, b'E'));
        }
    });
    let server = scene.register_as(Registration { port, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(in_plain());
    let error = scene.wait_for_error(server, "the server sent a message of 1073741825 bytes");
    assert!(error.contains("could not connect to 127.0.0.1") && error.contains("the limit is 65536"), "{error}");
    let peak = collector.peak_memory();
    assert!(peak < LITTLE_MEMORY, "{peak} kB");
}

fn open_files(collector: &Collector) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", collector.pid())).unwrap().count()
}

fn one_that_falls_silent_while_a_session_is_set_up_has_no_more_than_one_connection(scene: &Scene) {
    let stalling = Stalling::before(scene.remote_server(), b"server_encoding");
    let server = scene.register_as(Registration { port: stalling.port, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"timeouts": {"connect": 1}, "remote": {"sslmode": "disable"}}));
    let error = scene.wait_for_error(server, "could not set up a session in database");
    assert!(error.contains("no answer within 1 s"), "{error}");
    let before = open_files(&collector);
    wait_until("some tries more", || stalling.taken.load(Ordering::SeqCst) >= 4);
    wait_until("what the tries have left behind to be gone", || {
        stalling.open.load(Ordering::SeqCst) <= 1 && open_files(&collector) <= before
    });
}
