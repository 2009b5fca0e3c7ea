//! If a commit or its response is lost, the snapshot is stored once, also after a failover or other snapshots.

use lab::{Act, Cluster, Proxy, Registration};
use postgres::Client;
use serde_json::json;

use crate::support::{COMMITTED, Collector, SECRET, Scene, tests, wait_until, with_powa};

tests![
    a_load_that_a_lagging_standby_never_got_is_made_again_there,
    a_snapshot_that_others_have_overtaken_is_not_loaded_twice,
    a_lost_snapshot_that_others_have_overtaken_is_loaded_again,
];

/// Moments of which the repository has a sample of the server's statements.
const SAMPLES: &str = "select count(distinct (record).ts) from powa_statements_history_current_db where srvid = $1";

fn count(client: &mut Client, sql: &str, server: i32) -> i64 {
    client.query_one(sql, &[&server]).unwrap().get(0)
}

fn stored(client: &mut Client, server: i32) -> i64 {
    count(client, "select coalesce_seq - 1 from powa_snapshot_metas where srvid = $1", server)
}

/// The server has said that it has committed, and nobody gets to hear it, nor to ask.
fn lose_the_answer(proxy: &Proxy) {
    wait_until("the answer to the commit", || proxy.has_sprung());
    proxy.refuse();
    proxy.cut();
    proxy.thaw();
}

fn once_an_hour(cluster: &Cluster) -> Registration<'_> {
    Registration { frequency: 3600, password: Some(SECRET), extensions: &[], ..Registration::of(cluster) }
}

fn a_load_that_a_lagging_standby_never_got_is_made_again_there(scene: &Scene) {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let primary = Cluster::start_with(scene.generation(), "primary", &settings).unwrap();
    primary.create_powa_database("powa").unwrap();
    let server = once_an_hour(scene.remote_server()).register(&primary, "powa").unwrap();
    let standby = primary.standby("standby").unwrap();
    standby.wait_until_replayed(&primary).unwrap();
    // From now on it gets nothing any more.
    standby.connect("postgres").unwrap().batch_execute("alter system set primary_conninfo = ''").unwrap();
    standby.connect("postgres").unwrap().query("select pg_reload_conf()", &[]).unwrap();
    let receivers = "select count(*) from pg_stat_replication";
    let mut asking = primary.connect("postgres").unwrap();
    wait_until("the standby to be left behind", || asking.query_one(receivers, &[]).unwrap().get::<_, i64>(0) == 0);

    let (to_primary, to_standby) = (Proxy::to(&primary).unwrap(), Proxy::to(&standby).unwrap());
    to_standby.refuse();
    to_primary.when_server_says(COMMITTED, Act::Freeze);
    let (hosts, ports) = (
        format!("{},{}", to_primary.host(), to_standby.host()),
        format!("{},{}", to_primary.port(), to_standby.port()),
    );
    let dsn = format!("host={hosts} port={ports} user=postgres dbname=powa");
    let collector = Collector::start(&scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string()));
    let mut on_primary = with_powa(primary.connect("powa").unwrap());
    wait_until("the load to be committed where it is of no use", || stored(&mut on_primary, server) == 1);
    lose_the_answer(&to_primary);
    drop((on_primary, asking));
    primary.stop().unwrap();

    standby.promote().unwrap();
    let mut on_standby = with_powa(standby.connect("powa").unwrap());
    assert_eq!(stored(&mut on_standby, server), 0);
    // Others get the ids of transactions that the primary had given away.
    for _ in 0..100 {
        on_standby.query_one("select txid_current()", &[]).unwrap();
    }
    to_standby.accept().unwrap();
    wait_until("the snapshot to be loaded there", || stored(&mut on_standby, server) == 1);
    assert_eq!(count(&mut on_standby, SAMPLES, server), 1);
    collector.wait_for_log("snapshot taken");
    collector.stop();
    assert_eq!(stored(&mut on_standby, server), 1);
    assert_eq!(collector.logged("snapshot taken").len(), 1);
}

/// Loads a snapshot as another program would, of something else.
fn overtake(scene: &Scene, server: i32) {
    let failed: i32 = scene.repository().query_one("select powa_take_snapshot($1)", &[&server]).unwrap().get(0);
    assert!(failed <= 1, "{:?}", scene.errors(server));
}

fn a_snapshot_that_others_have_overtaken_is_not_loaded_twice(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let server = scene.register_as(once_an_hour(scene.remote_server()));
    proxy.when_server_says(COMMITTED, Act::Freeze);
    let collector = Collector::start(&scene.config_file(&scene.through(&proxy).to_string()));
    wait_until("the load to be committed", || scene.snapshots(server) == 1);
    lose_the_answer(&proxy);
    (0..2).for_each(|_| overtake(scene, server));
    proxy.accept().unwrap();
    collector.wait_for_log("snapshot taken");
    collector.stop();
    assert_eq!(scene.snapshots(server), 3);
    assert_eq!(count(&mut scene.repository(), SAMPLES, server), 1);
}

fn a_lost_snapshot_that_others_have_overtaken_is_loaded_again(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let server = scene.register_as(once_an_hour(scene.remote_server()));
    // The commit itself ends the session.
    let ending = "create function end_session() returns trigger language plpgsql as $$ begin
            perform pg_terminate_backend(pg_backend_pid()); return null;
        end $$;
        create constraint trigger end_session after update on powa_snapshot_metas
            deferrable initially deferred for each row execute function end_session()";
    scene.repository().batch_execute(ending).unwrap();
    let collector = Collector::start(&scene.config_file(&scene.through(&proxy).to_string()));
    collector.wait_for_log("terminating connection due to administrator command");
    proxy.refuse();
    proxy.cut();
    assert_eq!(scene.snapshots(server), 0);
    scene.repository().batch_execute("drop trigger end_session on powa_snapshot_metas").unwrap();
    (0..3).for_each(|_| overtake(scene, server));
    proxy.accept().unwrap();
    collector.wait_for_log("snapshot taken");
    collector.stop();
    assert_eq!(scene.snapshots(server), 4);
    assert_eq!(count(&mut scene.repository(), SAMPLES, server), 1);
}
