//! All ways to connect to the repository that libpq has: over TLS, by services and variables, with passwords and keys
//! from files, and with changes to all of these while the collector runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lab::{Algorithm, Encryption, Proxy, Registration};
use serde_json::{Value, json};

use crate::support::{
    CLIENT, Certificates, Collector, Gate, Listening, SECRET, Scene, program, tests, text, wait_until, with_powa,
};

tests![
    every_session_of_a_collector_is_over_tls_where_that_is_asked_for,
    a_repository_is_found_by_variables_services_and_files,
    a_service_that_moves_takes_the_collector_along,
    what_was_renewed_counts_from_the_next_connection_on,
];

/// A role, the section `repository`, and the environment.
type Way<'a> = (&'a str, Value, &'a [(&'a str, &'a str)]);

const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

fn write_secret(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn create_role(gate: &Gate, name: &str, way: &str) {
    let role = format!("create role {name} login superuser password '{SECRET}-right' in role {way}");
    gate.cluster.connect("postgres").unwrap().batch_execute(&role).unwrap();
}

fn start(scene: &Scene, gate: &Gate, config: &Value, environment: &[(&str, &str)]) -> Collector {
    let mut command = program();
    command.arg("-c").arg(scene.config_file(&config.to_string())).env("HOME", gate.home());
    let collector = Collector::run({
        command.envs(environment.iter().copied());
        command
    });
    collector.wait_for_log("ready");
    collector
}

/// The names of the collector's sessions, and whether each is over TLS.
fn sessions(gate: &Gate, user: &str) -> Vec<(String, bool)> {
    let sql = "select application_name, ssl from pg_stat_activity join pg_stat_ssl using (pid)
        where application_name like 'PoWA collector%' and usename = $1 order by 1";
    let rows = gate.cluster.connect("postgres").unwrap().query(sql, &[&user]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn ask(gate: &Gate, command: &str) -> String {
    Listening::on(with_powa(gate.cluster.connect("powa").unwrap()), "answers").ask(command, "")
}

fn snapshots(gate: &Gate, server: i32) -> i64 {
    let sql = "select coalesce_seq - 1 from powa_snapshot_metas where srvid = $1";
    with_powa(gate.cluster.connect("powa").unwrap()).query_one(sql, &[&server]).unwrap().get(0)
}

fn every_session_of_a_collector_is_over_tls_where_that_is_asked_for(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let server = certificates.server(LOCAL);
    let gate = certificates.gate(scene);
    gate.show(Some(&server));
    create_role(&gate, "secure", "scram");
    let password = format!("{SECRET}-right");
    let file = certificates.directory.join("password");
    write_secret(&file, &format!("{password}\n"));
    let registration =
        Registration { username: "secure", password: Some(&password), ..Registration::of(&gate.cluster) };
    let id = registration.register(&gate.cluster, "powa").unwrap();
    let root = certificates.root.file();
    let dsn = format!(
        "host=localhost port={} user=secure dbname=powa sslmode=verify-full sslrootcert={} channel_binding=require \
         require_auth=scram-sha-256",
        gate.cluster.port(),
        root.display()
    );
    let remote = json!({"sslmode": "verify-full", "sslrootcert": root, "channel_binding": "require"});
    let config = json!({"repository": {"dsn": dsn, "password_file": file}, "remote": remote});
    let collector = start(scene, &gate, &config, &[]);
    wait_until("a snapshot", || snapshots(&gate, id) > 0);
    assert_eq!(ask(&gate, "WORKERS_STATUS"), format!("WORKERS_STATUS OK {{\"{id}\": \"running\"}}"));
    let look = || sessions(&gate, "secure");
    let are_all_there = |sessions: &[(String, bool)]| {
        let has = |role: &&str| sessions.iter().any(|(name, _)| name.contains(*role));
        ["- main thread", "- repo_conn", "- worker"].iter().all(has)
    };
    wait_until("all kinds of sessions", || are_all_there(&look()));
    assert!(look().iter().all(|(_, is_over_tls)| *is_over_tls), "{:?}", look());
    // A reload opens them anew.
    assert_eq!(ask(&gate, "RELOAD"), "RELOAD OK OK");
    wait_until("all kinds of sessions again", || are_all_there(&look()));
    assert!(look().iter().all(|(_, is_over_tls)| *is_over_tls), "{:?}", look());
    collector.stop();
}

fn a_repository_is_found_by_variables_services_and_files(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let (server, client) = (certificates.server(LOCAL), certificates.client(Algorithm::Rsa));
    let gate = certificates.gate(scene);
    gate.show(Some(&server));
    create_role(&gate, "secure", "scram");
    create_role(&gate, "shown", "certificate");
    gate.cluster.map_users(&[&format!("clients {CLIENT} shown")]).unwrap();
    let (port, root) = (gate.cluster.port().to_string(), certificates.root.file());
    let (password, sesame) = (format!("{SECRET}-right"), format!("{SECRET} '\\ sesame"));
    let key = client.encrypted_key(Encryption::Pkcs8, &sesame).unwrap();
    let [services, passwords, file] =
        ["services", "passwords", "password"].map(|name| certificates.directory.join(name));
    std::fs::write(
        &services,
        format!(
            "[secure]\nhost=localhost\nport={port}\nuser=secure\ndbname=powa\npassword={password}\n\
             sslmode=verify-full\nsslrootcert={}\n",
            root.display()
        ),
    )
    .unwrap();
    write_secret(&passwords, &format!("localhost:{port}:powa:secure:{password}\n"));
    write_secret(&file, &password);
    let place = format!("host=localhost port={port} dbname=powa sslmode=require");
    let all: &[(&str, &str)] = &[
        ("PGHOST", "localhost"),
        ("PGPORT", &port),
        ("PGDATABASE", "powa"),
        ("PGUSER", "secure"),
        ("PGPASSWORD", &password),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", text(&root)),
    ];
    let certificate = format!(
        "{place} user=shown sslcert={} sslkey={} sslpassword=${{SESAME}}",
        client.file().display(),
        key.display()
    );
    let uri = format!("postgresql://secure:${{WORD}}@localhost:{port}/powa?sslmode=require");
    let ways: [Way; 8] = [
        ("secure", json!({"dsn": format!("{place} user=secure password=${{WORD}}")}), &[("WORD", &password)]),
        ("secure", json!({"dsn": uri}), &[("WORD", &password)]),
        ("secure", json!({"dsn": format!("{place} user=secure"), "password_file": file}), &[]),
        (
            "secure",
            json!({"dsn": format!("{place} user=secure"), "password_file": "${CREDENTIALS_DIRECTORY}/password"}),
            &[("CREDENTIALS_DIRECTORY", text(&certificates.directory))],
        ),
        ("secure", json!({"dsn": format!("{place} user=secure")}), &[("PGPASSFILE", text(&passwords))]),
        ("secure", json!({"dsn": "service=secure"}), &[("PGSERVICEFILE", text(&services))]),
        ("secure", json!({"dsn": "application_name=any"}), all),
        ("shown", json!({"dsn": certificate}), &[("SESAME", &sesame)]),
    ];
    for (user, repository, environment) in ways {
        let collector = start(scene, &gate, &json!({"repository": repository}), environment);
        let sessions = sessions(&gate, user);
        let is_there = sessions.iter().any(|(name, is_over_tls)| name.contains("main thread") && *is_over_tls);
        assert!(is_there, "{repository}: {sessions:?}");
        collector.stop();
        wait_until("its sessions to be gone", || self::sessions(&gate, user).is_empty());
    }
}

fn a_service_that_moves_takes_the_collector_along(scene: &Scene) {
    let (old, new) = (scene.another(), scene.another());
    let server = new.register();
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let services = scene.directory().join("services");
    let put = |port: u16, database: &str| {
        let text = format!("[powa]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname={database}\n");
        std::fs::write(&services, text).unwrap();
    };
    put(scene.repository_server().port(), &old.database);
    let config = json!({"repository": {"dsn": "service=powa"}});
    let mut command = program();
    command.arg("-c").arg(scene.config_file(&config.to_string())).env("PGSERVICEFILE", &services);
    let collector = Collector::run(command);
    old.wait_until_listening(&collector);
    // Only the port, and then the database too.
    put(proxy.port(), &old.database);
    assert_eq!(old.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("sessions by the other way", || proxy.connections() > 0);
    put(proxy.port(), &new.database);
    assert_eq!(old.ask("RELOAD", ""), "RELOAD OK OK");
    new.wait_for_snapshots(server, 1);
    new.wait_for_status(server, "running");
    old.wait_until_nobody_is_left();
    // What is not there is refused, and changes nothing.
    std::fs::write(&services, "").unwrap();
    let answer = new.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO") && answer.contains("service \"powa\" is not in"), "{answer}");
    new.wait_for_status(server, "running");
}

fn what_was_renewed_counts_from_the_next_connection_on(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let first = certificates.server(LOCAL);
    let second = certificates.stranger.issue(&lab::Subject { names: LOCAL, ..lab::Subject::default() }).unwrap();
    let gate = certificates.gate(scene);
    gate.show(Some(&first));
    create_role(&gate, "secure", "scram");
    let [roots, file] = ["roots", "password"].map(|name| certificates.directory.join(name));
    std::fs::copy(certificates.root.file(), &roots).unwrap();
    write_secret(&file, &format!("{SECRET}-right"));
    let dsn = format!(
        "host=127.0.0.1 port={} user=secure dbname=powa sslmode=verify-full sslrootcert={}",
        gate.cluster.port(),
        roots.display()
    );
    let collector = start(scene, &gate, &json!({"repository": {"dsn": dsn, "password_file": file}}), &[]);
    let is_back = |times: usize| {
        gate.hang_up();
        wait_until("it to listen again", || collector.logged("listening for commands again").len() == times);
        assert_eq!(ask(&gate, "WORKERS_STATUS"), "WORKERS_STATUS OK {}");
    };
    // Of the same authority.
    gate.show(Some(&certificates.server(LOCAL)));
    is_back(1);
    // Of another one, which becomes known only after it was met.
    gate.show(Some(&second));
    gate.hang_up();
    collector.wait_for_log("was issued by an unknown authority: CN=stranger of the laboratory");
    std::fs::copy(certificates.stranger.file(), &roots).unwrap();
    wait_until("it to listen again", || collector.logged("listening for commands again").len() == 2);
    let changed = format!("alter role secure password '{SECRET}-new'");
    gate.cluster.connect("postgres").unwrap().batch_execute(&changed).unwrap();
    gate.hang_up();
    collector.wait_for_log(&format!("the password was read from \"{}\"", file.display()));
    write_secret(&file, &format!("{SECRET}-new\n"));
    wait_until("it to listen again", || collector.logged("listening for commands again").len() == 3);
    is_back(4);
    assert!(collector.is_running());
}
