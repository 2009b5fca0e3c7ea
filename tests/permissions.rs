//! The README's GRANTs, literally: with them, and no more, everything is collected.

use std::time::{SystemTime, UNIX_EPOCH};

use lab::{Cluster, Registration, Workload};
use serde_json::json;

use crate::support::{SECRET, Scene, tests, with_powa};

tests![the_grants_of_the_readme_are_enough, without_pg_read_all_stats_the_readmes_cure_is_named];

/// The README's grants for a side, with roles of this test's own.
pub(crate) fn grants(scene: &Scene, side: &str) -> (String, String, String) {
    let sql = readme_grants(scene, side);
    let own = scene.number();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let (collector, reader) = (format!("collector_{own}_{since}"), format!("reader_{own}_{since}"));
    let sql = sql.replace("powa_collector", &collector).replace("powa_reader", &reader);
    (sql, collector, reader)
}

/// The README's grants for a side, literally.
fn readme_grants(scene: &Scene, side: &str) -> &'static str {
    let readme = include_str!("../README.md");
    // A block may serve several versions of PoWA.
    let major = scene.generation().powa_major().to_string();
    let titles =
        [major, "4 and 5".into()].map(|versions| format!("<!-- grants: {side}, PoWA {versions} -->\n```sql\n"));
    let after = |title: &String| Some(readme.find(title.as_str())? + title.len());
    let from = titles.iter().find_map(after).unwrap_or_else(|| panic!("the README has none of {titles:?}"));
    &readme[from..from + readme[from..].find("```").unwrap()]
}

/// Roles that have the README's grants, and nothing else.
pub(crate) struct Granted {
    /// Its own, as on the shared server there are databases of other tests that not everybody may connect to.
    pub remote: Cluster,
    /// On that server.
    pub reader: String,
    /// In the repository.
    pub collector: String,
}

pub(crate) fn granted(scene: &Scene) -> Granted {
    let remote = Cluster::start(scene.generation(), "granted").unwrap();
    remote.create_powa_database("powa").unwrap();
    Workload::create(&remote, &["shop"]).unwrap();
    let (sql, _, reader) = grants(scene, "remote");
    with_powa(remote.connect("powa").unwrap()).batch_execute(&sql).unwrap();

    let mut repository = scene.repository();
    let (sql, collector, _) = grants(scene, "repository");
    if scene.generation().powa_major() >= 5 {
        let own = scene.powa_roles(&mut repository, "powa_snapshot");
        repository.batch_execute(&sql.replace("powa_snapshot", &own)).unwrap();
    } else {
        repository.batch_execute(&sql).unwrap();
    }
    repository.batch_execute(&format!("alter role {collector} password '{SECRET}'")).unwrap();
    repository.batch_execute(&format!("grant password_required to {collector}")).unwrap();
    Granted { remote, reader, collector }
}

fn the_grants_of_the_readme_are_enough(scene: &Scene) {
    let Granted { remote, reader, collector } = granted(scene);
    let mut repository = scene.repository();
    // Coalesced and purged soon, so that these functions run too.
    let server = scene.register_as(Registration { username: &reader, ..Registration::of(&remote) });
    repository
        .execute("update powa_servers set powa_coalesce = 5, retention = '1 second' where id = $1", &[&server])
        .unwrap();
    let dsn = format!("{} password=s3cret", scene.dsn(&collector));
    let _old = scene.bloat();
    let running = scene.collector_with(json!({"repository": {"dsn": dsn, "bloat": 1}}));
    running.wait_for_log("which had bloated to");
    scene.wait_for_snapshots(server, 6);
    // In PoWA 5.3.0, the purge of pg_qualstats calls a function that PoWA does not have: no right helps there.
    let flaw = "PoWA 5.3.0 has a fault: powa_qualstats_purge()";
    let complaints = [running.logged("WARN"), running.logged("ERROR")].concat();
    // Nor does any where the machine is busy, and a snapshot takes its time.
    let known = |line: &String| line.contains(flaw) || line.contains("snapshots are skipped");
    let complaints: Vec<_> = complaints.into_iter().filter(|line| !known(line)).collect();
    assert_eq!(complaints, [""; 0]);
    let hidden = "select count(*) from powa_statements where query = '<insufficient privilege>'";
    assert_eq!(scene.count(hidden), 0);
    let saved = "select count(*) from powa_servers where id > 0 and version is not null";
    assert_eq!(scene.count(saved), 1);
    assert!(running.log().iter().all(|line| !line.contains("s3cret")));
}

fn without_pg_read_all_stats_the_readmes_cure_is_named(scene: &Scene) {
    let remote = scene.own_remote();
    let (sql, _, reader) = grants(scene, "remote");
    let mut client = remote.connect();
    client.batch_execute(&sql).unwrap();
    client.batch_execute(&format!("revoke pg_read_all_stats from {reader}")).unwrap();
    let server = scene.register_as(Registration { username: &reader, ..remote.registration() });
    let _collector = scene.collector();
    scene.wait_for_error(server, "grant pg_read_all_stats");
}

impl Scene<'_> {
    /// Makes a role that has what the README says for those who administer, and gives its name.
    pub(crate) fn create_operator(&self) -> String {
        let mut repository = self.repository();
        let operator = format!("operator_{}", self.number());
        let mut sql = readme_grants(self, "administration").replace("powa_operator", &operator);
        if self.generation().powa_major() >= 5 {
            sql = sql.replace("powa_admin", &self.powa_roles(&mut repository, "powa_admin"));
        }
        repository.batch_execute(&format!("drop role if exists {operator}; {sql}")).unwrap();
        operator
    }

    /// Makes roles for PoWA 5 to know, and gives the name of one of them.
    pub(crate) fn powa_roles(&self, repository: &mut postgres::Client, wanted: &str) -> String {
        // Those that were made with the extension have what these get, and would be of use for the same.
        repository.batch_execute("select powa_revoke()").unwrap();
        let own = self.number();
        let names = ["admin", "read_all_data", "read_all_metrics", "write_all_data", "snapshot", "signal_backend"]
            .map(|role| (format!("powa_{role}"), self.create_role(&format!("{role}_{own}"), "")));
        for (role, name) in &names {
            repository.execute("update powa_roles set rolname = $1 where powa_role = $2", &[name, role]).unwrap();
        }
        repository.batch_execute("select powa_grant()").unwrap();
        names.into_iter().find_map(|(role, name)| (role == wanted).then_some(name)).unwrap()
    }
}
