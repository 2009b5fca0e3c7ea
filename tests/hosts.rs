//! Several hosts, and other ways to specify a server: the collector connects where psql does.

use std::collections::HashSet;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lab::{Cluster, Registration};
use serde_json::json;

use crate::support::{SECRET, Scene, tests, wait_for, wait_until};

tests![
    a_server_may_be_named_in_the_ways_of_libpq,
    the_folder_of_a_socket_is_a_host,
    the_server_with_the_attributes_that_are_asked_for_is_found,
    a_repository_may_prefer_a_standby_and_is_written_to_all_the_same,
    a_repository_that_has_to_be_a_standby_is_refused_at_once,
    hosts_are_tried_in_random_order_and_a_server_is_read_at_one_of_them,
    a_refused_login_is_not_tried_at_the_next_host,
    a_socket_of_somebody_else_is_not_talked_to,
];

/// Another address of this machine, on which a port is passed on to that of a server.
const ELSEWHERE: &str = "127.0.0.2";

/// Counts who comes by.
fn pass_on_from_elsewhere(port: u16, server: &Cluster) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((ELSEWHERE, port)).unwrap();
    let server = server.port();
    let taken = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&taken);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut requests, &mut to).and(to.shutdown(Shutdown::Both)));
            let (mut answers, mut to) = (server, client);
            std::thread::spawn(move || io::copy(&mut answers, &mut to).and(to.shutdown(Shutdown::Both)));
        }
    });
    taken
}

fn primary_and_standby(scene: &Scene) -> (Cluster, Cluster) {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let primary = Cluster::start_with(scene.generation(), "primary", &settings).unwrap();
    primary.create_powa_database("powa").unwrap();
    let standby = primary.standby("standby").unwrap();
    standby.wait_until_replayed(&primary).unwrap();
    (primary, standby)
}

/// What psql gets for a query, or none if it cannot connect.
fn psql(scene: &Scene, dsn: &str, query: &str) -> Option<String> {
    let output = scene.generation().psql().args(["-XAtc", query, dsn]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn a_server_may_be_named_in_the_ways_of_libpq(scene: &Scene) {
    let settings = [("listen_addresses", "127.0.0.1,::1")];
    let remote = Cluster::start_with(scene.generation(), "named", &settings).unwrap();
    remote.create_powa_database("powa").unwrap();
    remote.admit(&["host all all ::1/128 trust"]).unwrap();
    let names = ["localhost", "::1", "nowhere.invalid,127.0.0.1", "127.0.0.2,localhost", "LOCALHOST"];
    let servers: Vec<_> = names
        .iter()
        .map(|name| {
            let dsn = format!("host={name} port={} user=postgres dbname=powa connect_timeout=5", remote.port());
            assert_eq!(psql(scene, &dsn, "select 1").as_deref(), Some("1"), "{name}");
            scene.register_as(Registration { hostname: name, ..Registration::of(&remote) })
        })
        .collect();
    let _collector = scene.collector();
    for (server, name) in servers.into_iter().zip(names) {
        println!("{name}");
        scene.wait_for_snapshots(server, 1);
    }
}

fn the_folder_of_a_socket_is_a_host(scene: &Scene) {
    let directory = scene.directory();
    let socket = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
    let port = scene.remote_server().port();
    // The server itself has no socket here: what is said through this one is passed on.
    std::thread::spawn(move || {
        for here in socket.incoming().map_while(Result::ok) {
            let there = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut asked, mut passed_on) = (here.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || {
                drop(std::io::copy(&mut asked, &mut passed_on));
                drop(passed_on.shutdown(Shutdown::Write));
            });
            std::thread::spawn(move || drop(std::io::copy(&mut { there }, &mut { here })));
        }
    });
    let registration = Registration::of(scene.remote_server());
    let local = scene.register_as(Registration { hostname: directory.to_str().unwrap(), port: 5432, ..registration });
    let _collector = scene.collector();
    scene.wait_for_snapshots(local, 1);
    assert_eq!(scene.errors(local), [""; 0]);
}

fn the_server_with_the_attributes_that_are_asked_for_is_found(scene: &Scene) {
    let (primary, standby) = primary_and_standby(scene);
    pass_on_from_elsewhere(primary.port(), &standby);

    let asked = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
    // Also with one of them alone, which may not do.
    let hosts =
        [format!("127.0.0.1,{ELSEWHERE}"), format!("{ELSEWHERE},127.0.0.1"), "127.0.0.1".into(), ELSEWHERE.into()];
    let cases: Vec<_> =
        asked.iter().flat_map(|attributes| hosts.iter().map(move |hosts| (*attributes, hosts))).collect();
    let mut expected = Vec::new();
    let mut own = serde_json::Map::new();
    for (number, (attributes, hosts)) in cases.iter().enumerate() {
        let alias = format!("case {number}");
        let dsn =
            format!("host={hosts} port={} user=postgres dbname=powa target_session_attrs={attributes}", primary.port());
        let is_standby = psql(scene, &dsn, "select pg_is_in_recovery()");
        // A name cannot be registered twice with the same port.
        let hostname = [hosts.as_str(), &",nowhere.invalid".repeat(number)].concat();
        let registration = Registration { hostname: &hostname, alias: Some(&alias), ..Registration::of(&primary) };
        expected.push((scene.register_as(registration), alias.clone(), is_standby));
        own.insert(alias, json!({"target_session_attrs": attributes}));
    }
    let config = json!({"use_server_alias": true, "remote": {"servers": own}});
    let _collector = scene.collector_with(config);
    let session =
        "select exists (select from pg_stat_activity where application_name = 'PoWA collector - worker ' || $1)";
    let (mut on_primary, mut on_standby) = (primary.connect("powa").unwrap(), standby.connect("powa").unwrap());
    for ((server, alias, is_standby), case) in expected.into_iter().zip(cases) {
        match is_standby.as_deref() {
            None => drop(scene.wait_for_error(server, "could not connect")),
            Some(is_standby) => {
                scene.wait_for_snapshots(server, 1);
                let is_at =
                    |client: &mut postgres::Client| client.query_one(session, &[&alias]).unwrap().get::<_, bool>(0);
                let found = if is_standby == "t" { is_at(&mut on_standby) } else { is_at(&mut on_primary) };
                assert!(found, "{case:?}: psql finds a standby: {is_standby}");
            }
        }
    }
}

fn a_repository_may_prefer_a_standby_and_is_written_to_all_the_same(scene: &Scene) {
    let (primary, standby) = primary_and_standby(scene);
    let server = Registration::of(scene.remote_server()).register(&primary, "powa").unwrap();
    let dsn = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=powa target_session_attrs=prefer-standby",
        standby.port(),
        primary.port()
    );
    let file = scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string());
    let _collector = crate::support::Collector::start(&file);
    let sql = "select coalesce_seq > 1 from powa_snapshot_metas where srvid = $1";
    let mut repository = crate::support::with_powa(primary.connect("powa").unwrap());
    wait_until("a snapshot", || repository.query_one(sql, &[&server]).unwrap().get(0));
}

fn a_repository_that_has_to_be_a_standby_is_refused_at_once(scene: &Scene) {
    let dsn = format!("{} target_session_attrs=standby", scene.dsn("postgres"));
    let file = scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string());
    let collector = crate::support::Collector::start(&file);
    assert_eq!(collector.wait().0.code(), Some(1));
    let message = wait_for("its last word", || collector.logged("powa-collector: ").pop());
    assert!(message.contains("target_session_attrs is standby, but the repository must be writable"), "{message}");
}

fn hosts_are_tried_in_random_order_and_a_server_is_read_at_one_of_them(scene: &Scene) {
    let (primary, standby) = primary_and_standby(scene);
    pass_on_from_elsewhere(primary.port(), &standby);
    // That none of sixteen begins with the second one happens less than once in 65,536 runs.
    let servers: Vec<_> = (0..16)
        .map(|number| {
            let hostname = format!("127.0.0.1,{ELSEWHERE}{}", ",nowhere.invalid".repeat(number));
            let alias = format!("balanced {number}");
            let registration = Registration { hostname: &hostname, alias: Some(&alias), ..Registration::of(&primary) };
            scene.register_as(registration)
        })
        .collect();
    let config = json!({"use_server_alias": true, "remote": {"load_balance_hosts": "random"}});
    let _collector = scene.collector_with(config);
    for server in servers {
        scene.wait_for_snapshots(server, 2);
    }
    let read_at = |cluster: &Cluster| {
        let sql = "select distinct application_name from pg_stat_activity
            where application_name like 'PoWA collector - worker balanced %'";
        let rows = cluster.connect("postgres").unwrap().query(sql, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect::<HashSet<String>>()
    };
    let (here, there) = (read_at(&primary), read_at(&standby));
    assert!(!there.is_empty());
    assert!(here.is_disjoint(&there), "{:?}", here.intersection(&there));
    assert_eq!(here.len() + there.len(), 16);
}

/// In seconds, of a line in the log of a server.
fn time_of_day(line: &str) -> f64 {
    let parts: Vec<f64> = line[11..23].split(':').map(|part| part.parse().unwrap()).collect();
    (parts[0] * 60.0 + parts[1]) * 60.0 + parts[2]
}

/// What a role is not let in for at one host, it is not let in for at another, nor for another kind of server.
fn a_refused_login_is_not_tried_at_the_next_host(scene: &Scene) {
    let (primary, standby) = primary_and_standby(scene);
    let role = "create role snubbed login superuser password 'right' in role password_required";
    primary.connect("postgres").unwrap().batch_execute(role).unwrap();
    standby.wait_until_replayed(&primary).unwrap();
    let taken = pass_on_from_elsewhere(primary.port(), &standby);
    let hostname = format!("127.0.0.1,{ELSEWHERE}");
    let registration = Registration {
        hostname: &hostname,
        username: "snubbed",
        password: Some(SECRET),
        frequency: 3600,
        ..Registration::of(&primary)
    };
    let server = scene.register_as(registration);
    let collector =
        scene.collector_with(json!({"remote": {"target_session_attrs": "prefer-standby", "sslmode": "disable"}}));
    scene.wait_for_error(server, "password authentication failed");
    collector.stop();
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    // Nor at the same one: the next try comes after a pause.
    let log = std::fs::read_to_string(primary.log()).unwrap();
    let refusals = log.lines().filter(|line| line.contains("password authentication failed for user \"snubbed\""));
    let moments: Vec<f64> = refusals.map(time_of_day).collect();
    assert!(!moments.is_empty());
    assert!(moments.windows(2).all(|pair| (pair[1] - pair[0]).rem_euclid(86_400.0) > 0.3), "{moments:?}");
}

fn a_socket_of_somebody_else_is_not_talked_to(scene: &Scene) {
    let port = scene.repository_server().port();
    let directory = scene.directory().join("sockets");
    std::fs::create_dir(&directory).unwrap();
    let listener = UnixListener::bind(directory.join(format!(".s.PGSQL.{port}"))).unwrap();
    let server = scene.register_as(Registration {
        hostname: directory.to_str().unwrap(),
        port,
        ..Registration::of(scene.remote_server())
    });
    let _collector = scene.collector_with(json!({"remote": {"requirepeer": "nobody"}}));
    scene.wait_for_error(server, "requirepeer is \"nobody\", but the server runs as \"");
    let (mut first, _) = listener.accept().unwrap();
    let mut message = Vec::new();
    io::Read::read_to_end(&mut first, &mut message).unwrap();
    assert_eq!(message, b"", "nothing is said to a server of another user");
}
