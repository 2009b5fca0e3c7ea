//! A standby follows its primary, refuses writes, and can be promoted.

#![allow(clippy::unwrap_used)]

use lab::{Cluster, Generation};

const PRIMARY: [(&str, &str); 2] = [("wal_level", "replica"), ("max_wal_senders", "4")];

fn is_standby(cluster: &Cluster) -> bool {
    cluster.connect("postgres").unwrap().query_one("select pg_is_in_recovery()", &[]).unwrap().get(0)
}

#[test]
fn a_standby_follows_and_takes_over() {
    for generation in Generation::available().unwrap() {
        println!("on {}", generation.label());
        let primary = Cluster::start_with(&generation, "primary", &PRIMARY).unwrap();
        primary.create_powa_database("powa").unwrap();
        let standby = primary.standby("standby").unwrap();
        assert_ne!(standby.port(), primary.port());
        assert!(is_standby(&standby));

        let mut writer = primary.connect("powa").unwrap();
        for n in 0..3 {
            writer.batch_execute(&format!("create table t{n} as select 1 as one")).unwrap();
            standby.wait_until_replayed(&primary).unwrap();
            standby.connect("powa").unwrap().query_one(&format!("select one from t{n}"), &[]).unwrap();
        }
        let refused = standby.connect("powa").unwrap().batch_execute("create table mine ()").unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25006");

        // Both come back as what they were.
        standby.stop().unwrap();
        standby.start_again().unwrap();
        primary.crash().unwrap();
        primary.start_again().unwrap();
        standby.wait_until_replayed(&primary).unwrap();
        assert!(is_standby(&standby) && !is_standby(&primary));

        drop(primary);
        standby.promote().unwrap();
        assert!(!is_standby(&standby));
        standby.connect("powa").unwrap().batch_execute("create table mine as select one from t0").unwrap();
        assert!(standby.promote().is_err(), "it is a primary already");
    }
}

#[test]
fn a_server_that_was_not_started_as_a_primary_says_what_it_lacks() {
    let cluster = Cluster::start(&Generation::find(None).unwrap(), "single").unwrap();
    let error = format!("{:#}", cluster.standby("none").err().unwrap());
    assert!(error.contains("wal_level = replica") && error.contains("max_wal_senders"), "{error}");
    assert!(error.contains("pg_basebackup"), "{error}");
}
