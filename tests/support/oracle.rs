//! Passes the same connection parameters to psql and to a collector, and compares the results.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lab::{Certificate, Cluster, Registration, Tls};
use serde_json::json;

use super::{CLIENT, Collector, Psql, SECRET, Scene, program, refusals, wait_for};

/// Where it is told what the collector does otherwise than libpq.
const DIFFERENCES: &str = include_str!("../../docs/connections.md");

/// Groups of roles, and what `pg_hba.conf` says of each: whom it does not let in, it rejects.
const WAYS: &[(&str, &str)] = &[
    ("anyhow", "host all +anyhow all trust"),
    ("only_tls", "hostssl all +only_tls all trust"),
    ("only_plain", "hostnossl all +only_plain all trust"),
    ("scram", "host all +scram all scram-sha-256"),
    ("md5", "host all +md5 all md5"),
    ("clear", "host all +clear all password"),
    ("certificate", "hostssl all +certificate all cert map=clients"),
    ("scram_and_certificate", "hostssl all +scram_and_certificate all scram-sha-256 clientcert=verify-ca"),
];

/// Connection parameters, and what becomes of them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What kind of role it is: a name of `WAYS`.
    pub way: &'static str,
    pub host: String,
    pub password: Option<String>,
    pub given: Vec<(&'static str, String)>,
    /// `plain`, `TLS`, a version of TLS, or else some of the words with which psql refuses.
    pub expected: &'static str,
    /// What the collector says where psql's words may have several reasons.
    pub because: Option<&'static str>,
    /// What becomes of it with the collector, if that is something else on purpose: `plain`, `TLS`, or the words with
    /// which it refuses.
    pub difference: Option<&'static str>,
    /// The password is for one database only; those that PoWA visits besides have none.
    pub is_for_one_database: bool,
    /// The first version of libpq of which this is true.
    pub since: u32,
}

impl Case {
    /// One with the right password, at 127.0.0.1.
    pub(crate) fn new(way: &'static str, given: &[(&'static str, &str)], expected: &'static str) -> Self {
        let given = given.iter().map(|(keyword, value)| (*keyword, (*value).to_owned())).collect();
        let password = Some(format!("{SECRET}-right"));
        Self {
            way,
            host: "127.0.0.1".into(),
            password,
            given,
            expected,
            because: None,
            difference: None,
            is_for_one_database: false,
            since: 0,
        }
    }

    /// What the collector says, where psql has the same words for several reasons, if this is one that they refuse.
    #[must_use]
    pub(crate) fn because(self, words: &'static str) -> Self {
        Self { because: Some(words), ..self }
    }

    /// The collector does something else, and says so in its documentation, with the `sentence`.
    #[must_use]
    pub(crate) fn but_ours_is(self, ours: &'static str, sentence: &'static str) -> Self {
        assert!(DIFFERENCES.contains(sentence), "{sentence:?} is not documented");
        Self { difference: Some(ours), ..self }
    }

    #[must_use]
    pub(crate) fn for_one_database(self) -> Self {
        Self { is_for_one_database: true, ..self }
    }

    #[must_use]
    pub(crate) fn at(self, host: &str) -> Self {
        Self { host: host.into(), ..self }
    }

    #[must_use]
    pub(crate) fn password(self, password: Option<&str>) -> Self {
        Self { password: password.map(|password| format!("{SECRET}-{password}")), ..self }
    }

    #[must_use]
    pub(crate) fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }

    /// What is wrong with what has become of it with the collector, if anything is.
    fn objection(&self, server: &Cluster, psql: Option<&Outcome>, collector: &Outcome) -> Option<String> {
        let expected = self.difference.unwrap_or(self.expected);
        let is_other_version = self.difference.is_none()
            && matches!((psql, collector), (Some(psql @ Outcome::Tls(_)), Outcome::Tls(_)) if psql != collector);
        match collector {
            _ if is_other_version => Some("it is not what psql has".into()),
            Outcome::Refused(message) if !is_outcome(expected) => {
                let words = if self.difference.is_some() { expected } else { refusals::words_for(self) };
                refusals::check_message(message, self, server, words).err()
            }
            _ => (!collector.is(expected)).then(|| format!("it is not {expected}")),
        }
    }
}

/// Whether this is what becomes of one who is let in.
fn is_outcome(expected: &str) -> bool {
    expected == "plain" || expected.starts_with("TLS")
}

/// Cases while a server shows a certificate, or has no TLS at all.
pub(crate) struct Round<'a> {
    pub name: &'static str,
    pub certificate: Option<&'a Certificate>,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Plain,
    Tls(String),
    Refused(String),
}

impl Outcome {
    /// Whether it is this: of a refusal, some of the words.
    fn is(&self, expected: &str) -> bool {
        match self {
            Self::Plain => expected == "plain",
            Self::Tls(version) => expected == "TLS" || expected == version,
            Self::Refused(words) => !is_outcome(expected) && words.contains(expected),
        }
    }
}

/// A remote server of a test's own that lets roles in by many ways.
pub(crate) struct Gate<'a> {
    scene: &'a Scene<'a>,
    pub cluster: Cluster,
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Whom it believes about clients, and which of these are revoked.
    clients: PathBuf,
    revoked_clients: PathBuf,
    players: Cell<usize>,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>, clients: PathBuf, revoked_clients: PathBuf) -> Self {
        let settings = [
            ("listen_addresses", "127.0.0.1,::1"),
            // Of the directory with the data: the cluster's own.
            ("unix_socket_directories", ".."),
            ("log_connections", "on"),
        ];
        let cluster = Cluster::start_with(scene.generation(), "gate", &settings).unwrap();
        cluster.create_powa_database("powa").unwrap();
        let groups: String = WAYS.iter().map(|(way, _)| format!("create role {way};")).collect();
        cluster.connect("postgres").unwrap().batch_execute(&groups).unwrap();
        let rejections: Vec<_> = WAYS.iter().map(|(way, _)| format!("host all +{way} all reject")).collect();
        let lines = WAYS.iter().map(|(_, line)| *line).chain(rejections.iter().map(String::as_str));
        cluster.admit(&lines.chain(["local all all trust"]).collect::<Vec<_>>()).unwrap();
        let home = scene.directory().join("home");
        std::fs::create_dir(&home).unwrap();
        Self { scene, cluster, home, environment: vec![], clients, revoked_clients, players: Cell::default() }
    }

    /// The home directory of psql and of the collector, empty at first.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Plays all rounds, and tells of every case in which psql is not as expected, or the collector not as psql.
    pub(crate) fn play(&self, rounds: &[Round]) {
        let mut wrong = vec![];
        for round in rounds {
            self.show(round.certificate);
            let cases: Vec<_> = round.cases.iter().map(|case| self.player(case)).collect();
            self.map_clients();
            let of_psql: Vec<_> = cases.iter().map(|player| self.psql(player)).collect();
            let of_collector = self.collector(&cases);
            for ((player, psql), collector) in cases.iter().zip(of_psql).zip(of_collector) {
                let case = player.case;
                let of_psql =
                    psql.as_ref().filter(|psql| !psql.is(case.expected)).map(|_| "psql is not as expected".into());
                let objections = of_psql.into_iter().chain(case.objection(&self.cluster, psql.as_ref(), &collector));
                for objection in objections {
                    let round = round.name;
                    wrong.push(format!("{round}: {objection}: {case:?}\n  psql: {psql:?}\n  collector: {collector:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Shows a certificate from now on, or takes TLS away.
    pub(crate) fn show(&self, certificate: Option<&Certificate>) {
        match certificate {
            None => self.cluster.set(&[("ssl", "off")]).unwrap(),
            Some(certificate) => {
                let (clients, revoked_clients) = (Some(&*self.clients), Some(&*self.revoked_clients));
                self.cluster.offer_tls(&Tls { certificate, clients, revoked_clients }).unwrap();
            }
        }
    }

    /// Ends the collector's sessions.
    pub(crate) fn hang_up(&self) {
        let sql =
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'PoWA collector%'";
        self.cluster.connect("postgres").unwrap().execute(sql, &[]).unwrap();
    }

    /// The role that the next case to be played will have, or one of those after it.
    pub(crate) fn role_of_next(&self, cases: usize) -> String {
        format!("player_{}", self.players.get() + 1 + cases)
    }

    fn player<'c>(&self, case: &'c Case) -> Player<'c> {
        let role = self.role_of_next(0);
        self.players.set(self.players.get() + 1);
        let encryption = if case.way == "md5" { "md5" } else { "scram-sha-256" };
        let sql = format!(
            "set password_encryption = '{encryption}';
            create role {role} login superuser password '{SECRET}-right' in role {}",
            case.way
        );
        self.cluster.connect("postgres").unwrap().batch_execute(&sql).unwrap();
        Player { case, role }
    }

    fn map_clients(&self) {
        let lines: Vec<_> = (1..=self.players.get()).map(|n| format!("clients {CLIENT} player_{n}")).collect();
        self.cluster.map_users(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    }

    /// Nothing, if this psql is too old to know.
    fn psql(&self, player: &Player) -> Option<Outcome> {
        let mut psql = Psql::of(self.scene.generation(), &self.home);
        for (name, value) in &self.environment {
            psql = psql.env(name, value);
        }
        if psql.major() < player.case.since {
            return None;
        }
        let port = self.cluster.port().to_string();
        let fixed = [("host", &player.case.host), ("port", &port), ("user", &player.role)];
        let given = player.case.given.iter().map(|(keyword, value)| (*keyword, value));
        let password = player.case.password.iter().map(|password| ("password", password));
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let conninfo: String = fixed
            .into_iter()
            .chain(given)
            .chain(password)
            .map(|(keyword, value)| format!("{keyword}='{}' ", quoted(value)))
            .collect();
        Some(match psql.connect(&format!("{conninfo} dbname=powa")) {
            Err(words) => Outcome::Refused(words),
            Ok(session) => session.tls.map_or(Outcome::Plain, Outcome::Tls),
        })
    }

    /// One collector for all of them, which visits each as a remote server.
    fn collector(&self, players: &[Player]) -> Vec<Outcome> {
        let scene = self.scene.another();
        let mut overrides = BTreeMap::new();
        let servers: Vec<_> = players
            .iter()
            .map(|player| {
                let registration = Registration {
                    hostname: &player.case.host,
                    alias: Some(&player.role),
                    username: &player.role,
                    password: player.case.password.as_deref(),
                    frequency: 3600,
                    extensions: &[],
                    ..Registration::of(&self.cluster)
                };
                let server = scene.register_beside_others(registration);
                let given: BTreeMap<_, _> = player.case.given.iter().cloned().collect();
                overrides.insert(server.to_string(), given);
                server
            })
            .collect();
        let already_logged = self.cluster.logged();
        let mut command = program();
        // The environment is about the remote servers; the repository has no TLS.
        let repository = format!("{} sslmode=disable", scene.dsn("postgres"));
        // A machine that is slow is no difference: psql would wait as long as it takes.
        let timeouts = json!({"connect": 50, "query": 50});
        let config = json!({"repository": {"dsn": repository}, "timeouts": timeouts, "remote": {"servers": overrides}});
        command.arg("-c").arg(scene.config(config)).env("HOME", &self.home);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let collector = Collector::run(command);
        scene.wait_until_listening(&collector);
        let outcomes = players.iter().zip(servers).map(|(player, server)| {
            wait_for(&format!("what becomes of {player:?}"), || {
                let (snapshots, errors) = scene.snapshots_and_errors(server);
                if snapshots > 0 {
                    player.check_errors_of_snapshot(&errors, scene.generation().powa_major());
                    return Some(authorized(&self.cluster.logged_since(already_logged), &player.role));
                }
                (!errors.is_empty()).then(|| Outcome::Refused(errors.join("; ")))
            })
        });
        let outcomes = outcomes.collect();
        collector.stop();
        outcomes
    }
}

#[derive(Debug)]
struct Player<'a> {
    case: &'a Case,
    role: String,
}

impl Player<'_> {
    /// What may have gone wrong in a snapshot that was taken.
    fn check_errors_of_snapshot(&self, errors: &[String], powa: u32) {
        // What older PoWA collects is all in its own database.
        if !self.case.is_for_one_database || powa < 5 {
            assert_eq!(errors, [""; 0], "{self:?}");
            return;
        }
        let refused = ["the server asks for a password, but none is configured", "password authentication failed"];
        let is_about_another =
            |error: &String| refused.iter().any(|words| error.contains(words)) && !error.contains("database \"powa\"");
        assert!(!errors.is_empty() && errors.iter().all(is_about_another), "{self:?}: {errors:?}");
    }
}

/// How a role was let in, by the server's log.
fn authorized(log: &str, role: &str) -> Outcome {
    let mark = format!("connection authorized: user={role} ");
    let line = log.lines().find(|line| line.contains(&mark)).unwrap_or_else(|| panic!("{role} was never let in"));
    match line.split_once("SSL enabled (protocol=") {
        Some((_, tls)) => Outcome::Tls(tls.split(',').next().unwrap().to_owned()),
        None => Outcome::Plain,
    }
}
