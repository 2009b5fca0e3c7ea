//! Runs the collector against real PostgreSQL with real PoWA: every test, with every generation on this machine.
//!
//! Each test has a repository database of its own, because every collector that listens in a database receives its
//! commands. The servers are shared by all tests of a generation, and started for the first of them.

#![allow(clippy::unwrap_used, reason = "the tests' own harness is not known to clippy as one")]

mod administrative_rights;
mod api_changes;
mod api_description;
mod api_login;
mod api_roles;
mod api_schedules;
mod api_servers;
mod api_strangers;
mod bloat;
mod check;
mod check_cures;
mod check_surroundings;
mod commands;
mod compose;
mod configuration;
mod connection_errors;
mod connection_limits;
mod connections;
mod deadlines;
mod documents;
mod empty_place;
mod failed_lists;
mod failures;
mod hooks;
mod hostile;
mod hosts;
mod http;
mod inherited;
mod left_out;
mod leftovers;
mod libpq;
mod log;
mod lost_commits;
mod memory;
mod password_files;
mod permissions;
mod powa_4_0;
mod powa_web;
mod refused_rows;
mod reload;
mod remote_faults;
mod removal;
mod removed_servers;
mod repository_contents;
mod repository_faults;
mod repository_ways;
mod round_trips;
mod rows;
mod schedule_times;
mod schedules;
mod secrets;
mod servers;
mod service;
mod session_settings;
mod sessions;
mod setup;
mod shells;
mod shutdown;
mod snapshot;
mod snapshot_command;
mod spool;
mod statement_texts;
mod status;
mod strangers_with_tls;
mod support;
mod switching;
mod tags;
mod tls;
mod tls_clients;
mod troubles;
mod untrusted;
mod upgrades;

use std::process::ExitCode;
use std::sync::Arc;

use lab::Generation;
use libtest_mimic::Trial;
use support::{Bench, Mark, Run, Test};

/// Without these, the suite has not shown what it should.
const REQUIRED: [&str; 3] = ["4.1", "5.0", "5.3"];

/// Areas that are about connections, the configuration, the log and HTTP, and not about PoWA: the newest generation shows
/// them.
const OF_ANY_POWA: [&str; 19] = [
    "api_description",
    "api_roles",
    "api_strangers",
    "configuration",
    "connection_errors",
    "connections",
    "deadlines",
    "hooks",
    "hosts",
    "http",
    "log",
    "password_files",
    "repository_ways",
    "service",
    "spool",
    "status",
    "strangers_with_tls",
    "tls",
    "tls_clients",
];

fn main() -> ExitCode {
    let run = Run::from_arguments();
    let generations = Generation::available().expect("the directories of PostgreSQL's packages can be read");
    let benches: Vec<_> = generations.into_iter().map(|generation| Arc::new(Bench::of(generation))).collect();
    let of_one = |(number, bench)| trials_on(&run, bench, number + 1 == benches.len());
    let trials = benches.iter().enumerate().flat_map(of_one).chain(once(&run)).chain(missing(&benches)).collect();
    // The servers of a generation end with its last test, or here.
    drop(benches);
    run.conclude(trials)
}

fn trials_on<'a>(run: &'a Arc<Run>, bench: &'a Arc<Bench>, is_newest: bool) -> impl Iterator<Item = Trial> + use<'a> {
    const AREAS: &[(&str, &[Test])] = &[
        ("administrative_rights", administrative_rights::TESTS),
        ("api_changes", api_changes::TESTS),
        ("api_description", api_description::TESTS),
        ("api_login", api_login::TESTS),
        ("api_roles", api_roles::TESTS),
        ("api_schedules", api_schedules::TESTS),
        ("api_servers", api_servers::TESTS),
        ("api_strangers", api_strangers::TESTS),
        ("bloat", bloat::TESTS),
        ("check", check::TESTS),
        ("check_cures", check_cures::TESTS),
        ("check_surroundings", check_surroundings::TESTS),
        ("commands", commands::TESTS),
        ("compose", compose::TESTS),
        ("configuration", configuration::TESTS),
        ("connection_errors", connection_errors::TESTS),
        ("connection_limits", connection_limits::TESTS),
        ("connections", connections::TESTS),
        ("deadlines", deadlines::TESTS),
        ("empty_place", empty_place::TESTS),
        ("failed_lists", failed_lists::TESTS),
        ("failures", failures::TESTS),
        ("hostile", hostile::channel::TESTS),
        ("hostile", hostile::names::TESTS),
        ("hooks", hooks::TESTS),
        ("hosts", hosts::TESTS),
        ("http", http::access::TESTS),
        ("http", http::metrics::TESTS),
        ("http", http::page::TESTS),
        ("http", http::poll::TESTS),
        ("http", http::probes::TESTS),
        ("http", http::strangers::TESTS),
        ("inherited", inherited::TESTS),
        ("leftovers", leftovers::TESTS),
        ("left_out", left_out::TESTS),
        ("log", log::TESTS),
        ("lost_commits", lost_commits::TESTS),
        ("memory", memory::TESTS),
        ("password_files", password_files::TESTS),
        ("permissions", permissions::TESTS),
        ("powa_4_0", powa_4_0::TESTS),
        ("powa_web", powa_web::TESTS),
        ("refused_rows", refused_rows::TESTS),
        ("reload", reload::TESTS),
        ("remote_faults", remote_faults::TESTS),
        ("removal", removal::TESTS),
        ("removed_servers", removed_servers::TESTS),
        ("repository_contents", repository_contents::TESTS),
        ("repository_faults", repository_faults::TESTS),
        ("repository_ways", repository_ways::TESTS),
        ("round_trips", round_trips::TESTS),
        ("rows", rows::TESTS),
        ("schedules", schedules::TESTS),
        ("secrets", secrets::TESTS),
        ("servers", servers::TESTS),
        ("service", service::TESTS),
        ("session_settings", session_settings::TESTS),
        ("setup", setup::TESTS),
        ("sessions", sessions::TESTS),
        ("shutdown", shutdown::TESTS),
        ("snapshot", snapshot::TESTS),
        ("snapshot_command", snapshot_command::TESTS),
        ("spool", spool::TESTS),
        ("statement_texts", statement_texts::TESTS),
        ("status", status::TESTS),
        ("strangers_with_tls", strangers_with_tls::TESTS),
        ("switching", switching::TESTS),
        ("tags", tags::TESTS),
        ("tls", tls::TESTS),
        ("tls_clients", tls_clients::TESTS),
        ("troubles", troubles::TESTS),
        ("untrusted", untrusted::TESTS),
        ("upgrades", upgrades::TESTS),
    ];
    let tests = AREAS.iter().flat_map(|(area, tests)| tests.iter().map(move |test| (area, test)));
    let is_of_any_powa = |area, test: &Test| OF_ANY_POWA.contains(area) || test.is(Mark::OfAnyPowa);
    let tests = tests.filter(move |(area, test)| is_newest || !is_of_any_powa(area, test));
    let tests = tests.filter(|(_, test)| test.is_for(bench.generation())).collect();
    let mut tests = spread(tests, |(_, test)| test.is(Mark::Timed));
    tests.sort_by_key(|(_, test)| !test.is(Mark::Long));
    tests.into_iter().map(|(area, test)| {
        let bench = Arc::clone(bench);
        let name = format!("{}::{area}::{}", bench.generation().label(), test.name);
        run.trial(name, test.marks, move || test.run_on(&bench))
    })
}

/// Those of a kind evenly among the others, for tests of which few run at the same time.
fn spread<T>(tests: Vec<T>, is_of_kind: impl Fn(&T) -> bool) -> Vec<T> {
    let (kind, others): (Vec<_>, Vec<_>) = tests.into_iter().partition(is_of_kind);
    let placed = [kind, others].into_iter().flat_map(|tests| {
        let number = tests.len();
        tests.into_iter().enumerate().map(move |(n, test)| ((2 * n + 1) as f64 / (2 * number) as f64, test))
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    placed.into_iter().map(|(_, test)| test).collect()
}

/// The tests that are about no server.
fn once(run: &Arc<Run>) -> impl Iterator<Item = Trial> {
    let areas = [
        ("documents", documents::TESTS),
        ("libpq", libpq::TESTS),
        ("schedule_times", schedule_times::TESTS),
        ("shells", shells::TESTS),
    ];
    let tests = areas.into_iter().flat_map(|(area, tests)| tests.iter().map(move |test| (area, test)));
    tests.map(|(area, (name, test))| run.trial(format!("once::{area}::{name}"), &[], *test))
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
