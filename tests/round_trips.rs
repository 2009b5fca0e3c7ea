//! How many round trips a snapshot takes. Latency costs time only for each of them.

use std::collections::HashSet;
use std::time::Duration;

use lab::{Proxy, Registration};
use serde_json::json;

use crate::support::{Loads, Scene, tests, wait_until};

tests![
    a_snapshot_waits_for_a_remote_server_twice_and_for_the_repository_once_a_table;
    since 5:
    databases_are_collected_side_by_side_and_loaded_together,
];

/// Beginning, which tells what there is, and collecting.
const ON_REMOTE: u64 = 2;

/// What is to be collected, the beginning of the load, the end of the last table with the snapshot, the commit. Besides,
/// each table that gets rows has to say that it is ready for them.
const ON_REPOSITORY: u64 = 4;

/// Far enough for what is sent together to be on its way together, also on a busy machine, and not so far that every
/// snapshot takes until the command channel looks, every ten seconds, whether its connection is still there.
const ONE_WAY: Duration = Duration::from_millis(80);

/// Snapshots of which each is taken as it would be for ever.
const SNAPSHOTS: usize = 6;

/// As many tables as a test needs.
const FEW: &[&str] = &["pg_stat_kcache"];

/// The fewest that a snapshot was made with: others may have to wait in between, as when the command channel looks
/// whether its connection is still there. On the repository's side, without those for the tables.
fn round_trips_of_a_snapshot(scene: &Scene, prepare: &str) -> (u64, u64) {
    let (to_remote, to_repository) =
        (Proxy::to(scene.remote_server()).unwrap(), Proxy::to(scene.repository_server()).unwrap());
    let (hostname, port) = (to_remote.host(), to_remote.port());
    let more = Registration::of(scene.remote_server());
    let loads = Loads::listed(scene, Registration { hostname, port, extensions: FEW, ..more });
    scene.repository().batch_execute(prepare).unwrap();
    let mut config = scene.through(&to_repository);
    // None has to wait for another one's turn.
    config["limits"] = json!({"databases": 100});
    let collector = scene.collector_with(config);
    let mut taken = 0;
    let mut next = || {
        taken += 1;
        wait_until("a snapshot", || collector.logged("snapshot taken").len() >= taken);
        assert_eq!(collector.logged("snapshot taken").len(), taken, "it was looked at too late");
        let so_far = (to_remote.round_trips(), to_repository.round_trips());
        let (loaded, errors) = loads.last();
        assert_eq!(errors, [""; 0]);
        (so_far, loaded.into_iter().collect::<HashSet<_>>().len() as u64)
    };
    // The first opens connections, and makes PoWA know the server, and those after it find statements prepared.
    next();
    next();
    to_remote.delay(ONE_WAY);
    to_repository.delay(ONE_WAY);
    let mut before = next().0;
    let each = [(); SNAPSHOTS].map(|()| {
        let (so_far, tables) = next();
        assert!(tables > 2, "{tables}");
        let took = (so_far.0 - before.0, so_far.1 - before.1 - tables);
        before = so_far;
        took
    });
    (each.iter().map(|each| each.0).min().unwrap(), each.iter().map(|each| each.1).min().unwrap())
}

fn a_snapshot_waits_for_a_remote_server_twice_and_for_the_repository_once_a_table(scene: &Scene) {
    let alone = if scene.generation().powa_major() > 4 {
        "delete from powa_db_module_config; delete from powa_catalogs"
    } else {
        ""
    };
    assert_round_trips(scene, alone);
}

/// On a busy machine, what is sent in two pieces can pass the proxy as one.
fn assert_round_trips(scene: &Scene, change: &str) {
    let (remote, repository) = round_trips_of_a_snapshot(scene, change);
    assert!((1..=ON_REMOTE).contains(&remote), "{remote} to the remote server");
    assert!((1..=ON_REPOSITORY).contains(&repository), "{repository} to the repository");
}

fn databases_are_collected_side_by_side_and_loaded_together(scene: &Scene) {
    // No template, in which no session stays, and none that another test makes meanwhile.
    let some = "update powa_db_module_config set dbnames = '{my app, shop, postgres}'; delete from powa_catalogs";
    assert_round_trips(scene, some);
}
