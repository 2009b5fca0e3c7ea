//! PoWA 4.0, which does not store the versions of servers and extensions, is collected like its successors.

use lab::Registration;
use serde_json::{Value, json};

use crate::support::check::{assert_well, check_json};
use crate::support::{OwnRemote, Scene, operate, tests};

tests![
    ;
    only 4:
    powa_4_0_is_collected_and_administered,
];

/// The repository's database, and one of the remote server, as PoWA 4.0 would have left them. It knows no
/// pg_stat_statements newer than its own.
fn remote_of_its_time<'a>(scene: &Scene<'a>) -> OwnRemote<'a> {
    let remote = scene.own_remote();
    let older = "drop extension pg_stat_statements cascade; create extension pg_stat_statements version '1.7';
        create extension powa version '4.0.1'";
    remote.connect().batch_execute(older).unwrap();
    scene.repository().batch_execute(older).unwrap();
    remote
}

fn powa_4_0_is_collected_and_administered(scene: &Scene) {
    let remote = remote_of_its_time(scene);
    let Registration { hostname, port, dbname, .. } = remote.registration();
    let port = port.to_string();
    let collector = scene.collector();
    let config = scene.config(json!({}));
    let done = |arguments: &[&str]| {
        let printed = operate(&config, arguments);
        assert_eq!(printed.code, 0, "{arguments:?}: {printed:?}");
        printed.text
    };
    let listed = || -> Value { serde_json::from_str(&done(&["servers", "list", "--json"])).unwrap() };

    let to = ["--host", hostname, "--port", &port, "--user", "postgres", "--dbname", dbname, "--no-password"];
    let as_asked = ["--alias", "old", "--frequency", "5", "--extension", "pg_wait_sampling", "--check"];
    done(&[&["servers", "add"], &to[..], &as_asked].concat());
    assert_eq!(listed()["servers"][0]["extensions"], json!(["pg_stat_statements", "pg_wait_sampling"]));
    scene.wait_for_snapshots(1, 1);
    assert_eq!(scene.errors(1), [""; 0]);
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
    assert_well(&check_json(scene, json!({}), &[]));
    let status: Value = serde_json::from_str(&done(&["status", "--json"])).unwrap();
    assert_eq!((&status["servers"][0]["state"], &status["servers"][0]["error"]), (&json!("running"), &Value::Null));

    done(&["servers", "set", "old", "--alias", "older", "--retention", "2 days"]);
    done(&["servers", "extensions", "older", "--deactivate", "pg_wait_sampling"]);
    assert_eq!(listed()["servers"][0]["extensions"], json!(["pg_stat_statements"]));
    done(&["servers", "extensions", "older", "--activate", "pg_wait_sampling"]);
    done(&["servers", "disable", "older"]);
    assert_eq!(listed()["servers"][0]["active"], json!(false));
    done(&["servers", "enable", "older", "--frequency", "5"]);
    assert_eq!(
        (&listed()["servers"][0]["alias"], &listed()["servers"][0]["retention"]),
        (&json!("older"), &json!("2 days"))
    );
    done(&["servers", "remove", "older", "--yes"]);
    assert_eq!(listed()["servers"], json!([]));
    assert_eq!(collector.logged("WARN"), [""; 0]);
}
