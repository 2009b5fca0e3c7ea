//! Every generation of this machine runs servers, databases and workloads.

#![allow(clippy::unwrap_used)]

use std::net::TcpStream;
use std::thread;

use lab::{Cluster, Generation, Registration, Workload};

fn for_each_generation(test: impl Fn(&Generation)) {
    let generations = Generation::available().unwrap();
    assert!(!generations.is_empty(), "no generation on this machine: see scripts/install-dependencies");
    for generation in &generations {
        println!("on {}", generation.label());
        test(generation);
    }
}

#[test]
fn a_server_comes_up_and_leaves_nothing_when_dropped() {
    for_each_generation(|generation| {
        let cluster = Cluster::start(generation, "drop").unwrap();
        let version: String =
            cluster.connect("postgres").unwrap().query_one("show server_version", &[]).unwrap().get(0);
        assert!(version.starts_with(&generation.postgres_major().to_string()), "{version}");
        let (port, log) = (cluster.port(), cluster.log());
        assert!(log.exists());
        drop(cluster);
        assert!(!log.parent().unwrap().exists());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    });
}

#[test]
fn powa_databases_are_made_side_by_side() {
    for_each_generation(|generation| {
        let cluster = Cluster::start(generation, "databases").unwrap();
        thread::scope(|scope| {
            for n in 0..6 {
                let cluster = &cluster;
                scope.spawn(move || cluster.create_powa_database(&format!("powa {n}")).unwrap());
            }
        });
        let mut client = cluster.connect("powa 5").unwrap();
        let powa: String =
            client.query_one("select extversion from pg_extension where extname = 'powa'", &[]).unwrap().get(0);
        assert_eq!(powa, generation.powa_version());
        // With the session still there.
        cluster.drop_database("powa 5").unwrap();
        assert!(cluster.connect("powa 5").is_err());
        cluster.create_powa_database("powa 5").unwrap();
    });
}

#[test]
fn a_stopped_or_crashed_server_comes_back_with_its_data_and_port() {
    for_each_generation(|generation| {
        let cluster = Cluster::start(generation, "again").unwrap();
        let port = cluster.port();
        cluster.connect("postgres").unwrap().batch_execute("create table kept as select 1").unwrap();
        for end in [Cluster::stop, Cluster::crash] {
            end(&cluster).unwrap();
            assert_eq!(cluster.pid(), None);
            assert!(cluster.connect("postgres").is_err());
            cluster.start_again().unwrap();
            assert!(cluster.start_again().is_err(), "it runs already");
            assert_eq!(cluster.port(), port);
            cluster.connect("postgres").unwrap().query_one("select * from kept", &[]).unwrap();
        }
    });
}

#[test]
fn a_setting_overrides_the_laboratorys_and_a_wrong_one_is_explained() {
    let generation = Generation::find(None).unwrap();
    let cluster = Cluster::start_with(&generation, "settings", &[("max_connections", "21")]).unwrap();
    let limit: String = cluster.connect("postgres").unwrap().query_one("show max_connections", &[]).unwrap().get(0);
    assert_eq!(limit, "21");
    let error = Cluster::start_with(&generation, "wrong", &[("max_connections", "many")]).err().unwrap();
    assert!(format!("{error:#}").contains("invalid value for parameter \"max_connections\""), "{error:#}");
}

#[test]
fn a_role_can_be_made_to_need_its_password() {
    let generation = Generation::find(None).unwrap();
    let cluster = Cluster::start(&generation, "password").unwrap();
    cluster
        .connect("postgres")
        .unwrap()
        .batch_execute("create role guest login password 'right'; grant password_required to guest")
        .unwrap();
    let attempt = |password: &str| {
        let mut config: postgres::Config = cluster.dsn("postgres").parse().unwrap();
        config.user("guest").password(password).connect(postgres::NoTls).map(drop)
    };
    assert!(attempt("right").is_ok());
    assert!(attempt("wrong").is_err());
}

#[test]
fn a_busy_server_is_registered_and_has_something_to_collect() {
    for_each_generation(|generation| {
        let cluster = Cluster::start(generation, "busy").unwrap();
        cluster.create_powa_database("powa").unwrap();
        Workload::create(&cluster, &["one", "two"]).unwrap();
        let workload = Workload::start(&cluster, &["one", "two"]).unwrap();
        let id = Registration { alias: Some("busy"), ..Registration::of(&cluster) }.register(&cluster, "powa").unwrap();
        assert!(id > 0);
        drop(workload);
        let mut client = cluster.connect("powa").unwrap();
        let databases: i64 = client
            .query_one(
                "select count(distinct d.datname) from pg_stat_statements s join pg_database d on d.oid = s.dbid
                  where d.datname in ('one', 'two')",
                &[],
            )
            .unwrap()
            .get(0);
        assert_eq!(databases, 2);
        let quals: i64 = client.query_one("select count(*) from pg_qualstats", &[]).unwrap().get(0);
        assert!(quals > 0);
    });
}

#[test]
fn a_powa_database_can_have_an_encoding_that_checks_nothing() {
    for_each_generation(|generation| {
        let cluster = Cluster::start(generation, "ascii").unwrap();
        cluster.create_powa_database_in("powa", "SQL_ASCII").unwrap();
        let mut client = cluster.connect("powa").unwrap();
        let encoding: String = client.query_one("show server_encoding", &[]).unwrap().get(0);
        assert_eq!(encoding, "SQL_ASCII");
        // Latin-1, which is not UTF-8.
        client.batch_execute("create table caf as select convert_from('\\xe9', 'SQL_ASCII') as e").unwrap();
        client.query_one("select 1 from pg_extension where extname = 'powa'", &[]).unwrap();
    });
}
