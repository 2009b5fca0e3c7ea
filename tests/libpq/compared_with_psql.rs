//! Compares with the psql of each generation: the same strings, variables and files. There is no server: psql's error
//! shows where it tried to connect.

use std::fs;
use std::path::Path;

use lab::Generation;
use libpq::{Conninfo, Environment, Host, Parameters};

/// The sockets that psql tries, in order, or none if it refuses what it was given.
fn sockets_tried_by_psql(
    generation: &Generation,
    given: &str,
    directory: &Path,
    variables: &[(&str, &str)],
) -> Option<Vec<String>> {
    let mut psql = generation.psql();
    psql.args(["-w", "-d", given]).env("LC_ALL", "C").env("HOME", directory).envs(variables.iter().copied());
    let output = psql.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{given}: there is no server");
    let message = String::from_utf8(output.stderr).unwrap();
    let tried = message.split("on socket \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    Some(tried.collect::<Vec<_>>()).filter(|tried| !tried.is_empty())
}

pub(super) fn psql_tries_the_same_sockets_and_refuses_the_same() {
    let generations = Generation::available().unwrap();
    assert!(!generations.is_empty(), "PostgreSQL is not on this machine: scripts/install-dependencies test");
    let directory = tempfile::tempdir().unwrap();
    let services = directory.path().join("services");
    fs::write(
        &services,
        "# services\n[a]\n host=/gone/s\nport=2  \nport=9\n[ab]\nnonsense\n[c]\nhost = /gone/c\n[d]\nservice=a\n\
         [e]\nhost=/gone/e\nnonsense=1\n[f]x\nhost=/gone/f\nssl_min_protocol_version=\n",
    )
    .unwrap();
    let services = services.to_str().unwrap();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("host=/gone", &[]),
        ("host=/gone,/gone/b port=1", &[]),
        ("host=/gone,/gone/b port=1,2", &[]),
        ("host=/gone,/gone/b,/gone/c port=1,2", &[]),
        ("host=/gone,/gone/b port=,2", &[]),
        ("host=/gone port=' 7 '", &[]),
        ("host=/gone port=+7", &[]),
        ("host=/gone port=7x", &[]),
        ("host=/gone port=0", &[]),
        ("host=/gone port=65536", &[]),
        ("host=/gone port=''", &[("PGPORT", "7")]),
        ("host=/gone port=5,", &[]),
        ("host=/gone,/gone/b hostaddr=127.0.0.1", &[]),
        ("host=/gone,/gone/b hostaddr=,", &[]),
        ("postgresql://%2Fgone:7/d?sslmode=verify-full", &[]),
        ("port=7", &[("PGHOST", "/gone/v")]),
        ("port=7", &[("PGHOST", "/gone/v,/gone/w"), ("PGPORT", "8")]),
        ("host=/gone", &[("PGPORT", "8")]),
        ("host=/gone", &[("PGPORT", "8,9")]),
        ("host=/gone", &[("PGSSLMODE", "")]),
        ("host=/gone", &[("PGSSLMODE", "x")]),
        ("host=/gone sslmode=allow", &[("PGSSLMODE", "x")]),
        ("host=/gone sslmode=''", &[("PGSSLMODE", "allow")]),
        ("host=/gone target_session_attrs=''", &[]),
        ("host=/gone target_session_attrs=standby", &[]),
        ("host=/gone target_session_attrs=secondary", &[]),
        ("host=/gone channel_binding=x", &[]),
        ("host=/gone ssl_max_protocol_version=TLSv1.1", &[]),
        ("host=/gone ssl_max_protocol_version=tlsv1.2", &[]),
        ("host=/gone ssl_max_protocol_version=TLSv1.1 ssl_min_protocol_version=''", &[]),
        ("host=/gone ssl_min_protocol_version=SSLv3", &[]),
        ("service=a", &[("PGSERVICEFILE", services)]),
        ("service=a port=3", &[("PGSERVICEFILE", services), ("PGPORT", "4")]),
        ("service=a host=/gone", &[("PGSERVICEFILE", services), ("PGPORT", "4")]),
        ("user=u", &[("PGSERVICEFILE", services), ("PGSERVICE", "a"), ("PGHOST", "/gone/v")]),
        ("host=/gone service=''", &[("PGSERVICEFILE", services), ("PGSERVICE", "a")]),
        ("host=/gone", &[("PGSERVICEFILE", services), ("PGSERVICE", "")]),
        ("host=/gone service=ab", &[("PGSERVICEFILE", services)]),
        ("host=/gone service=c", &[("PGSERVICEFILE", services)]),
        ("host=/gone service=d", &[("PGSERVICEFILE", services)]),
        ("host=/gone service=e", &[("PGSERVICEFILE", services)]),
        ("service=f", &[("PGSERVICEFILE", services)]),
        ("host=/gone service=g", &[("PGSERVICEFILE", services)]),
        ("host=/gone service=a", &[("PGSERVICEFILE", "/gone")]),
        ("host=/gone service=a", &[]),
    ];
    for (given, variables) in cases {
        let variable = |name: &str| match name {
            "HOME" => Some(directory.path().into()),
            _ => variables.iter().find(|(it, _)| *it == name).map(|(_, value)| value.into()),
        };
        let around = Environment::of(variable, Some(("me".into(), "/".into())), |_| true);
        let resolved = Parameters::resolve(&Conninfo::parse(given).unwrap(), &around);
        let socket = |host: Host| format!("{}/.s.PGSQL.{}", host.name, host.port);
        let sockets = resolved.map(|parameters| parameters.hosts.into_iter().map(socket).collect::<Vec<_>>());
        for generation in &generations {
            let tried = sockets_tried_by_psql(generation, given, directory.path(), variables);
            let psql = generation.label();
            assert_eq!(sockets.as_ref().ok(), tried.as_ref(), "{psql}: {given} {variables:?}: {sockets:?}");
        }
    }
}
