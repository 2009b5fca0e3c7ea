//! What a server answers is not believed: neither a missing value nor one too many ends anything but a snapshot.

use lab::{Cluster, Registration};

use crate::support::{Scene, tests};

tests![
    a_value_that_is_missing_on_the_remote_server_is_an_error_that_heals,
    a_value_that_is_missing_in_the_repository_is_an_error_that_heals,
];

const MISSING: &str = "a Postgres value was `NULL`";

fn a_value_that_is_missing_on_the_remote_server_is_an_error_that_heals(scene: &Scene) {
    // The collectors of other tests would stumble over it in a database of the shared server.
    let remote = Cluster::start(scene.generation(), "spoilt").unwrap();
    remote.create_powa_database("powa").unwrap();
    let mut client = remote.connect("powa").unwrap();
    let spoil = "set allow_system_table_mods = on; alter table pg_extension alter column extversion drop not null;
        update pg_extension set extversion = null where extname = 'plpgsql'";
    client.batch_execute(spoil).unwrap();
    let server = scene.register_as(Registration::of(&remote));
    let collector = scene.collector();
    let error = scene.wait_for_error(server, MISSING);
    assert!(error.contains("remote server") && error.contains("column 1"), "{error}");
    client.batch_execute("update pg_extension set extversion = '1.0' where extname = 'plpgsql'").unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(collector.said("panicked"), [""; 0]);
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
    assert_eq!(collector.said("panicked"), [""; 0]);
}
