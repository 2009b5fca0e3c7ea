//! The demonstration of docker-compose.yml, without containers: with the roles that its SQL files create, every command
//! works that can be typed in the collector's container.

use std::io::Write;
use std::process::Stdio;

use lab::Cluster;
use serde_json::{Value, json};

use crate::support::check::assert_well;
use crate::support::{Collector, SECRET, Scene, operate, output, program, tests};

tests![; since 5: the_command_line_works_as_the_demonstrations_collector];

/// Runs a file as the containers do at their first start. What it starts other programs for is left out.
fn run(cluster: &Cluster, file: &str) {
    let lines = file.lines().filter(|line| !line.starts_with("\\!"));
    let sql: String = lines.map(|line| format!("{line}\n")).collect();
    let mut command = cluster.generation().psql();
    command.args(["--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--file=-"]);
    command.arg(cluster.dsn("postgres"));
    for variable in ["COLLECTOR_PASSWORD", "WEB_PASSWORD", "REMOTE_PASSWORD", "APPLICATION_PASSWORD"] {
        command.env(variable, SECRET);
    }
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn the_command_line_works_as_the_demonstrations_collector(scene: &Scene) {
    let repository = Cluster::start_bare(scene.generation(), "compose-repository").unwrap();
    let remote = Cluster::start_bare(scene.generation(), "compose-remote").unwrap();
    run(&repository, include_str!("../dist/docker/repository.sql"));
    run(&remote, include_str!("../dist/docker/remote.sql"));
    let mut client = repository.connect("powa").unwrap();
    let port = i32::from(remote.port());
    // Seldom, as the machine may be busy.
    let here = "update powa_servers set hostname = $1, port = $2, frequency = 3600 where alias = 'remote1'";
    assert_eq!(client.execute(here, &[&remote.host(), &port]).unwrap(), 1);
    let elsewhere = "update powa_servers set frequency = -1 where alias = 'remote2'";
    assert_eq!(client.execute(elsewhere, &[]).unwrap(), 1);

    let (host, port) = (repository.host(), repository.port());
    let dsn = format!("postgresql://powa_collector:{SECRET}@{host}:{port}/powa");
    // As in the container: the connection is in the environment, and the file says another one.
    let config = scene.config_file(include_str!("../powa-collector.conf-dist"));
    let variable = ("POWA_COLLECTOR__REPOSITORY__DSN", &dsn);
    let mut command = program();
    command.arg("-c").arg(&config).env(variable.0, variable.1);
    let collector = Collector::run(command);
    collector.wait_for_log("snapshot taken");

    let mut check = program();
    check.args(["check", "--json", "-c"]).arg(&config).env(variable.0, variable.1);
    let checked = output(&check);
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_well(&(checked.status.code().unwrap(), found));

    let config = scene.config(json!({"repository": {"dsn": dsn}}));
    for arguments in [
        &["status"][..],
        &["reload"],
        &["refresh-catalogs", "remote1"],
        &["snapshot", "remote1", "--wait"],
        &["servers", "list"],
    ] {
        let printed = operate(&config, arguments);
        assert!(printed.code == 0 && printed.errors.is_empty(), "{arguments:?}: {printed:?}");
    }
    // In PoWA 5.3.0, the purge of pg_qualstats calls a function that PoWA does not have: no grant helps there. And a snapshot
    // that is requested too soon is requested again.
    let known = [
        "powa_prevent_concurrent_snapshot(integer, unknown) does not exist",
        "command refused command=\"FORCE_SNAPSHOT\" reason=\"Last snapshot was less than 10s. ago\"",
        "command refused command=\"FORCE_SNAPSHOT\" reason=\"A snapshot is already in progress\"",
        "snapshots are skipped",
    ];
    let is_known = |line: &String| known.iter().any(|known| line.contains(known));
    let complaints = [collector.logged("WARN"), collector.logged("ERROR")].concat();
    let complaints: Vec<_> = complaints.into_iter().filter(|line| !is_known(line)).collect();
    assert_eq!(complaints, [""; 0]);
}
