//! The collector against real PostgreSQL with real PoWA: every test, with every generation that this machine has.
//!
//! Each test has a repository database of its own, as commands are heard by whoever listens in the same database. The
//! servers are shared by all tests of a generation, and made when the first of them begins.

#![allow(clippy::unwrap_used, reason = "the tests' own harness is not known to clippy as one")]

mod bloat;
mod check;
mod check_cures;
mod commands;
mod configuration;
mod connection_errors;
mod connections;
mod deadlines;
mod failures;
mod hostile;
mod hosts;
mod http;
mod inherited;
mod libpq;
mod log;
mod password_files;
mod permissions;
mod powa_4_0;
mod powa_web;
mod refused_rows;
mod reload;
mod remote_faults;
mod removal;
mod repository_faults;
mod repository_ways;
mod round_trips;
mod rows;
mod secrets;
mod servers;
mod service;
mod sessions;
mod shells;
mod shutdown;
mod snapshot;
mod snapshot_command;
mod spool;
mod status;
mod strangers_with_tls;
mod support;
mod switching;
mod tls;
mod tls_clients;
mod troubles;
mod untrusted;

use std::process::ExitCode;
use std::sync::Arc;

use lab::Generation;
use libtest_mimic::{Arguments, Trial};
use support::{Bench, Scene, Test};

/// Without these, the suite has not shown what it should.
const REQUIRED: [&str; 2] = ["4.1", "5.0"];

/// Tests that run side by side.
const THREADS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait most of the time: for a snapshot to be due, a time-out to pass, a server to come up.
    arguments.test_threads.get_or_insert(THREADS);
    let generations = Generation::available().expect("the folders of PostgreSQL's packages can be read");
    let benches: Vec<_> = generations.into_iter().map(|generation| Arc::new(Bench::of(generation))).collect();
    let trials = benches.iter().flat_map(trials_on).chain(once()).chain(missing(&benches)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(benches);
    conclusion.exit_code()
}

fn trials_on(bench: &Arc<Bench>) -> impl Iterator<Item = Trial> + use<'_> {
    const AREAS: &[(&str, &[Test])] = &[
        ("bloat", bloat::TESTS),
        ("check", check::TESTS),
        ("check_cures", check_cures::TESTS),
        ("commands", commands::TESTS),
        ("configuration", configuration::TESTS),
        ("connection_errors", connection_errors::TESTS),
        ("connections", connections::TESTS),
        ("deadlines", deadlines::TESTS),
        ("failures", failures::TESTS),
        ("hostile", hostile::channel::TESTS),
        ("hostile", hostile::names::TESTS),
        ("hosts", hosts::TESTS),
        ("http", http::access::TESTS),
        ("http", http::metrics::TESTS),
        ("http", http::page::TESTS),
        ("http", http::probes::TESTS),
        ("http", http::strangers::TESTS),
        ("inherited", inherited::TESTS),
        ("log", log::TESTS),
        ("password_files", password_files::TESTS),
        ("permissions", permissions::TESTS),
        ("powa_4_0", powa_4_0::TESTS),
        ("powa_web", powa_web::TESTS),
        ("refused_rows", refused_rows::TESTS),
        ("reload", reload::TESTS),
        ("remote_faults", remote_faults::TESTS),
        ("removal", removal::TESTS),
        ("repository_faults", repository_faults::TESTS),
        ("repository_ways", repository_ways::TESTS),
        ("round_trips", round_trips::TESTS),
        ("rows", rows::TESTS),
        ("secrets", secrets::TESTS),
        ("servers", servers::TESTS),
        ("service", service::TESTS),
        ("sessions", sessions::TESTS),
        ("shutdown", shutdown::TESTS),
        ("snapshot", snapshot::TESTS),
        ("snapshot_command", snapshot_command::TESTS),
        ("spool", spool::TESTS),
        ("status", status::TESTS),
        ("strangers_with_tls", strangers_with_tls::TESTS),
        ("switching", switching::TESTS),
        ("tls", tls::TESTS),
        ("tls_clients", tls_clients::TESTS),
        ("troubles", troubles::TESTS),
        ("untrusted", untrusted::TESTS),
    ];
    let tests = AREAS.iter().flat_map(|(area, tests)| tests.iter().map(move |test| (area, test)));
    tests.filter(|(_, test)| test.is_for(bench.generation())).map(|(area, test)| {
        let (name, bench, run) = (test.name, Arc::clone(bench), test.run);
        Trial::test(format!("{}::{area}::{name}", bench.generation().label()), move || {
            run(&Scene::on(&bench));
            Ok(())
        })
    })
}

/// The tests that are about no server.
fn once() -> impl Iterator<Item = Trial> {
    let areas = [("libpq", libpq::TESTS), ("shells", shells::TESTS)];
    let tests = areas.into_iter().flat_map(|(area, tests)| tests.iter().map(move |test| (area, test)));
    tests.map(|(area, (name, run))| {
        Trial::test(format!("once::{area}::{name}"), move || {
            run();
            Ok(())
        })
    })
}

/// A generation that should be here and is not, is a test that fails.
fn missing(benches: &[Arc<Bench>]) -> Vec<Trial> {
    let is_here = |version: &str| benches.iter().any(|bench| bench.generation().powa_version().starts_with(version));
    let absent = REQUIRED.into_iter().filter(|version| !is_here(version));
    absent
        .map(|version| {
            Trial::test(format!("powa-{version}"), move || {
                Err(format!("PoWA {version} is not on this machine: scripts/install-dependencies test").into())
            })
        })
        .collect()
}
