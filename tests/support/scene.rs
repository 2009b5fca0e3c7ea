//! The environment of one test: a repository database of its own, a remote server, and a directory.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::{Cluster, Generation, Proxy, Registration};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, NoTls, Row};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bench::Lease;
use super::{Bench, Collector, PACE, SECRET, assert_no_secret, program, wait_for, wait_until};

pub(crate) struct Scene<'a> {
    lease: Rc<Lease<'a>>,
    repository: RepositoryServer<'a>,
    /// The repository's database.
    pub database: String,
    directory: TempDir,
    /// Its collectors do by themselves what they do more often than otherwise.
    is_hurried: Cell<bool>,
    /// What looks into the repository again and again does so in one session.
    session: Mutex<Option<Client>>,
}

/// Tests that stop or crash it need one of their own.
enum RepositoryServer<'a> {
    Shared(&'a Cluster),
    Own(Box<Cluster>),
}

static SCENES: AtomicU32 = AtomicU32::new(0);

impl<'a> Scene<'a> {
    pub(crate) fn on(bench: &'a Bench) -> Self {
        Self::with_shared(Rc::new(bench.lease()))
    }

    fn with_shared(lease: Rc<Lease<'a>>) -> Self {
        let repository = RepositoryServer::Shared(&lease.pair.repository);
        Self::with(lease, repository)
    }

    /// One whose repository is a server of its own.
    pub(crate) fn apart(&self, settings: &[(&str, &str)]) -> Self {
        let own = Cluster::start_with(self.generation(), "own-repository", settings).unwrap();
        let apart = Self::with(Rc::clone(&self.lease), RepositoryServer::Own(Box::new(own)));
        apart.is_hurried.set(self.is_hurried.get());
        apart
    }

    fn with(lease: Rc<Lease<'a>>, repository: RepositoryServer<'a>) -> Self {
        let database = format!("powa \"{}\"", SCENES.fetch_add(1, Ordering::Relaxed));
        let scene = Self {
            lease,
            repository,
            database,
            directory: tempfile::tempdir().unwrap(),
            is_hurried: Cell::new(false),
            session: Mutex::default(),
        };
        scene.repository_server().create_powa_database(&scene.database).unwrap();
        scene
    }

    /// One with another repository database.
    pub(crate) fn another(&self) -> Self {
        let another = Self::with_shared(Rc::clone(&self.lease));
        another.is_hurried.set(self.is_hurried.get());
        another
    }

    /// From now on, what a collector does by itself it does five times as often: a server is visited every second whose
    /// row says every five.
    pub(crate) fn hurry(&self) {
        self.is_hurried.set(true);
    }

    /// What tells its roles from those of other tests: they belong to the whole server.
    pub(crate) fn number(&self) -> String {
        self.database.replace(|c: char| !c.is_ascii_digit(), "")
    }

    pub(crate) fn generation(&self) -> &Generation {
        self.lease.generation()
    }

    pub(crate) fn repository_server(&self) -> &Cluster {
        match &self.repository {
            RepositoryServer::Shared(cluster) => cluster,
            RepositoryServer::Own(cluster) => cluster,
        }
    }

    pub(crate) fn remote_server(&self) -> &'a Cluster {
        &self.lease.pair.remote
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// The superuser in the repository, with PoWA in the search path.
    pub(crate) fn repository(&self) -> Client {
        with_powa(self.repository_server().connect(&self.database).unwrap())
    }

    /// The row of a query that changes nothing, as the superuser in the repository. The session is kept for the next
    /// query. One that the test has ended, or that looks for PoWA where it was before, is replaced by a new one.
    pub(crate) fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Row {
        // Whoever panicked while it was locked has left a session that still works, or is replaced.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = session.as_mut().and_then(|kept| kept.query_one(sql, parameters).ok()) {
            return row;
        }
        session.insert(self.repository()).query_one(sql, parameters).unwrap()
    }

    /// The superuser in a database of the remote server, with PoWA in the search path if it has it.
    pub(crate) fn remote(&self, database: &str) -> Client {
        with_powa(self.lease.pair.remote.connect(database).unwrap())
    }

    /// Another database with PoWA on the remote server, for a test that spoils it. It is dropped with the guard.
    pub(crate) fn own_remote(&self) -> OwnRemote<'a> {
        let name = format!("remote {}", SCENES.fetch_add(1, Ordering::Relaxed));
        self.lease.pair.remote.create_powa_database(&name).unwrap();
        OwnRemote { cluster: &self.lease.pair.remote, name }
    }

    /// The same in another encoding than UTF-8.
    pub(crate) fn own_remote_in(&self, encoding: &str) -> OwnRemote<'a> {
        let name = format!("remote {}", SCENES.fetch_add(1, Ordering::Relaxed));
        self.lease.pair.remote.create_powa_database_in(&name, encoding).unwrap();
        OwnRemote { cluster: &self.lease.pair.remote, name }
    }

    /// Leaves the databases of remote servers alone, of which there are as many as other tests make: a snapshot takes
    /// little then. That is so of servers that are registered later, too.
    pub(crate) fn without_databases(&self) {
        if self.generation().powa_major() > 4 {
            self.repository().batch_execute("delete from powa_db_modules; delete from powa_catalogs").unwrap();
        }
    }

    /// When somebody else on the channel of the commands hears one.
    pub(crate) fn when_heard(&self, command: &'static str) -> Receiver<Instant> {
        let mut client = self.repository();
        client.batch_execute("listen powa_collector").unwrap();
        let (tell, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut notifications = client.notifications();
            let mut all = notifications.blocking_iter();
            // The session is ended with its database.
            while let Ok(Some(other)) = all.next() {
                if other.payload() == command && tell.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        heard
    }

    /// Registers the remote server, with a snapshot every five seconds.
    pub(crate) fn register(&self) -> i32 {
        self.register_as(Registration::of(&self.lease.pair.remote))
    }

    pub(crate) fn register_as(&self, registration: Registration) -> i32 {
        let password = registration.password.or(Some(SECRET));
        Registration { password, ..registration }.register(self.repository_server(), &self.database).unwrap()
    }

    /// Registers a server as one of several with the same address and port, which PoWA does not let be. Needs an alias,
    /// which no other has, and gives its password as it is, or none.
    pub(crate) fn register_beside_others(&self, registration: Registration) -> i32 {
        let lift = "alter table powa_servers drop constraint if exists powa_servers_hostname_port_key";
        self.repository().batch_execute(lift).unwrap();
        let alias = registration.alias.expect("it has an alias");
        let elsewhere = Registration { hostname: alias, ..registration.clone() };
        let server = elsewhere.register(self.repository_server(), &self.database).unwrap();
        let move_there = "update powa_servers set hostname = $1 where id = $2";
        self.repository().execute(move_there, &[&registration.hostname, &server]).unwrap();
        server
    }

    /// A connection string for the repository; the name of its database needs to be escaped in one.
    pub(crate) fn dsn(&self, user: &str) -> String {
        let server = self.repository_server();
        self.dsn_at(server.host(), &server.port().to_string(), user)
    }

    /// The same by another way, or by several.
    pub(crate) fn dsn_at(&self, hosts: &str, ports: &str, user: &str) -> String {
        let database = self.database.replace('\'', "\\'");
        format!("host={hosts} port={ports} user={user} password={SECRET} dbname='{database}'")
    }

    /// A configuration by which the repository is reached through a proxy.
    pub(crate) fn through(&self, proxy: &Proxy) -> Value {
        json!({"repository": {"dsn": self.dsn_at(proxy.host(), &proxy.port().to_string(), "postgres")}})
    }

    pub(crate) fn config(&self, more: Value) -> PathBuf {
        let mut config = json!({"repository": {"dsn": self.dsn("postgres")}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.config_file(&config.to_string())
    }

    pub(crate) fn config_file(&self, text: &str) -> PathBuf {
        let file = self.directory.path().join("powa-collector.conf");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Starts a collector and waits until it listens.
    pub(crate) fn collector(&self) -> Collector {
        self.collector_with(json!({}))
    }

    pub(crate) fn collector_with(&self, more: Value) -> Collector {
        let collector = Collector::run(self.command(more));
        self.wait_until_listening(&collector);
        collector
    }

    /// One that logs all there is.
    pub(crate) fn verbose_collector(&self, more: Value) -> Collector {
        let mut command = self.command(more);
        command.env("RUST_LOG", "trace");
        let collector = Collector::run(command);
        self.wait_until_listening(&collector);
        collector
    }

    /// What starts a collector with a configuration, at this scene's pace.
    fn command(&self, more: Value) -> Command {
        let mut command = program();
        command.arg("-c").arg(self.config(more));
        if self.is_hurried.get() {
            command.env(PACE, "5");
        }
        command
    }

    /// The name of its session appears before it listens.
    pub(crate) fn wait_until_listening(&self, collector: &Collector) {
        collector.wait_for_log("ready");
        assert_eq!(
            self.count(
                "select count(*) from pg_stat_activity where datname = current_database()
            and application_name like 'PoWA collector - main thread%'"
            ),
            1
        );
    }

    /// Sessions of the collector in this test's repository whose role is like a pattern.
    pub(crate) fn sessions_of(&self, client: &mut Client, role: &str) -> i64 {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and application_name like 'PoWA collector - ' || $1";
        client.query_one(sql, &[&role]).unwrap().get(0)
    }

    /// A session is there until its process has noticed that the collector has gone.
    pub(crate) fn wait_until_nobody_is_left(&self) {
        let mut repository = self.repository();
        wait_until("no session to be left", || self.sessions_of(&mut repository, "%") == 0);
    }

    /// Snapshots of a server so far.
    pub(crate) fn snapshots(&self, server: i32) -> i64 {
        let sql = "select coalesce_seq - 1 from powa_snapshot_metas where srvid = $1";
        self.row(sql, &[&server]).get(0)
    }

    pub(crate) fn wait_for_snapshots(&self, server: i32, number: i64) {
        wait_until(&format!("snapshot {number} of server {server}"), || self.snapshots(server) >= number);
    }

    /// The errors of the last snapshot.
    pub(crate) fn errors(&self, server: i32) -> Vec<String> {
        let sql = "select coalesce(errors, '{}') from powa_snapshot_metas where srvid = $1";
        self.row(sql, &[&server]).get(0)
    }

    /// Snapshots of a server so far, and the errors of the last try, as they were at one moment.
    pub(crate) fn snapshots_and_errors(&self, server: i32) -> (i64, Vec<String>) {
        let sql = "select coalesce_seq - 1, coalesce(errors, '{}') from powa_snapshot_metas where srvid = $1";
        let row = self.row(sql, &[&server]);
        (row.get(0), row.get(1))
    }

    /// The errors of all servers, if the test has left a PoWA to ask.
    fn all_errors(&self) -> Vec<String> {
        let Ok(client) = self.lease.pair.repository.connect(&self.database) else { return vec![] };
        let rows = with_powa(client).query("select coalesce(unnest(errors), '') from powa_snapshot_metas", &[]);
        rows.unwrap_or_default().iter().map(|row| row.get(0)).collect()
    }

    pub(crate) fn wait_for_error(&self, server: i32, text: &str) -> String {
        wait_for(&format!("the error {text:?}"), || self.errors(server).into_iter().find(|error| error.contains(text)))
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.row(sql, &[]).get(0)
    }

    /// Sends a command as superuser, and gives the answer.
    pub(crate) fn ask(&self, command: &str, arguments: &str) -> String {
        Listening::on(self.repository(), "answers").ask(command, arguments)
    }

    pub(crate) fn wait_for_status(&self, server: i32, status: &str) {
        let expected = format!("WORKERS_STATUS OK {{\"{server}\": \"{status}\"}}");
        let mut listening = Listening::on(self.repository(), "answers");
        wait_until(&expected, || listening.ask("WORKERS_STATUS", &server.to_string()) == expected);
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        let errors = if std::thread::panicking() { vec![] } else { self.all_errors() };
        // What cannot be dropped now goes with the cluster.
        if let RepositoryServer::Shared(cluster) = self.repository {
            drop(cluster.drop_database(&self.database));
        }
        assert_no_secret("powa_snapshot_metas.errors", errors.iter().map(String::as_str));
    }
}

/// A database with PoWA that a test may spoil.
pub(crate) struct OwnRemote<'a> {
    cluster: &'a Cluster,
    pub name: String,
}

impl<'a> OwnRemote<'a> {
    pub(crate) fn connect(&self) -> Client {
        with_powa(self.cluster.connect(&self.name).unwrap())
    }

    /// The log of its server, which it shares with others.
    pub(crate) fn log(&self) -> PathBuf {
        self.cluster.log()
    }

    pub(crate) fn registration(&self) -> Registration<'_> {
        Registration { dbname: &self.name, ..Registration::of(self.cluster) }
    }
}

impl Drop for OwnRemote<'_> {
    fn drop(&mut self) {
        // Neither the database nor what was done in it is for the tests to come.
        let forget = "select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = $1";
        let mut remote = self.cluster.connect("powa").unwrap();
        remote.execute(forget, &[&self.name]).unwrap();
        self.cluster.drop_database(&self.name).unwrap();
    }
}

/// With PoWA in the search path, if the database has it.
pub(crate) fn with_powa(mut client: Client) -> Client {
    let sql = "select set_config('search_path', string_agg(distinct quote_ident(nspname), ', ') || ', public', false)
        from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname = 'powa' having count(*) > 0";
    client.query(sql, &[]).unwrap();
    client
}

/// A session that sends commands and hears the answers.
pub(crate) struct Listening {
    client: Client,
    channel: String,
}

impl Listening {
    pub(crate) fn on(mut client: Client, channel: &str) -> Self {
        client.batch_execute(&format!("listen \"{}\"", channel.replace('"', "\"\""))).unwrap();
        Self { client, channel: channel.into() }
    }

    /// Any role.
    pub(crate) fn as_role(scene: &Scene, role: &str) -> Self {
        Self::on(Client::connect(&scene.dsn(role), NoTls).unwrap(), "answers")
    }

    pub(crate) fn send(&mut self, payload: &str) {
        self.client.execute("select pg_notify('powa_collector', $1)", &[&payload]).unwrap();
    }

    /// What is heard within a time.
    pub(crate) fn hear(&mut self, patience: Duration) -> Option<String> {
        let heard = self.client.notifications().timeout_iter(patience).next().unwrap();
        let payload = heard.map(|heard| heard.payload().to_owned());
        assert_no_secret("an answer", payload.as_deref());
        payload
    }

    /// Sends a command with this channel, and gives the answer.
    pub(crate) fn ask(&mut self, command: &str, arguments: &str) -> String {
        let space = if arguments.is_empty() { "" } else { " " };
        self.send(&format!("{command} {}{space}{arguments}", self.channel));
        self.hear(Duration::from_secs(20)).unwrap_or_else(|| panic!("no answer to {command} {arguments}"))
    }
}
