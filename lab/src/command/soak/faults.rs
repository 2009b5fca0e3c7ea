//! Lists the faults, and draws the next one.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::fixture::Fixture;

/// The target of a fault. A target has one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One server: its proxy, its sessions, its rows in the repository.
    Server(usize),
    /// A cluster, and so all servers that share it.
    Cluster(usize),
    Repository,
    /// The command channel.
    Commands,
}

/// The kind of a fault.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Freeze,
    Delay(Duration),
    Refuse,
    /// Resets all connections at once.
    Cut,
    /// Resets one connection in the middle of a row with a statement.
    CutInARow,
    Terminate,
    Restart,
    Crash,
    /// The row in `powa_snapshot_metas`.
    Lock,
    Deactivate,
    Frequency(i32),
    /// Copies all its catalogs, which takes a while.
    RefreshCatalogs,
    Raise(&'static str),
    Sleep(&'static str, u32),
    Reloads(u32),
    Signals(u32),
    /// Commands of a role that may send them.
    Commands(u32),
    /// Commands of a role that may not send them.
    Flood(u32),
    /// Invalid commands of a role that may not send any.
    Garbage(u32),
}

/// A fault to be injected.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub target: Target,
    pub kind: Kind,
    pub lasts: Duration,
}

/// Source functions that all generations have, on every server.
const SOURCES: [&str; 4] =
    ["powa_databases_src", "powa_statements_src", "powa_user_functions_src", "powa_stat_bgwriter_src"];

impl Fault {
    /// Draws mostly faults of one server: a fault of the repository explains all errors for a while, and so hides many.
    pub(super) fn any(random: &mut Rng, fixture: &Fixture) -> Fault {
        let target = match random.u32(..100) {
            0..77 => Target::Server(random.usize(..fixture.servers.len())),
            77..85 => Target::Cluster(random.usize(..fixture.clusters.len())),
            85..88 => Target::Repository,
            _ => Target::Commands,
        };
        let source = SOURCES[random.usize(..SOURCES.len())];
        let delay = Kind::Delay(Duration::from_millis(random.u64(20..500)));
        let many = random.u32(100..2_000);
        let kinds = match target {
            Target::Server(_) => vec![
                Kind::Freeze,
                Kind::Freeze,
                delay,
                Kind::Refuse,
                Kind::Cut,
                Kind::CutInARow,
                Kind::Terminate,
                Kind::Lock,
                Kind::Deactivate,
                Kind::Frequency(random.i32(6..60)),
                Kind::RefreshCatalogs,
            ],
            Target::Cluster(_) => vec![
                Kind::Restart,
                Kind::Crash,
                Kind::Terminate,
                Kind::Raise(source),
                Kind::Sleep(source, random.u32(1..12)),
            ],
            Target::Repository => {
                vec![Kind::Freeze, Kind::Refuse, Kind::Cut, delay, Kind::Terminate, Kind::Restart, Kind::Crash]
            }
            Target::Commands => vec![
                Kind::Reloads(many),
                Kind::Signals(many),
                Kind::Commands(many / 10),
                Kind::Flood(many),
                Kind::Garbage(many),
            ],
        };
        let kind = kinds[random.usize(..kinds.len())].clone();
        let seconds = match (target, &kind) {
            (_, Kind::Cut | Kind::Terminate | Kind::Signals(_)) => 0.0..0.1,
            (_, Kind::Lock | Kind::Restart | Kind::Crash) => 0.5..8.0,
            (Target::Repository, _) => 2.0..30.0,
            _ => 2.0..20.0,
        };
        let lasts = Duration::from_secs_f64(seconds.start + random.f64() * (seconds.end - seconds.start));
        Fault { target, kind, lasts }
    }

    /// Describes the target and the fault.
    pub(super) fn describe(&self, fixture: &Fixture) -> String {
        let whom = match self.target {
            Target::Server(number) => format!("server {}", fixture.servers[number].alias),
            Target::Cluster(number) => format!("cluster {number} ({} servers)", fixture.servers_of(number).len()),
            Target::Repository => "repository".to_owned(),
            Target::Commands => "commands".to_owned(),
        };
        format!("{whom}: {}, for {:.1} s", self.kind, self.lasts.as_secs_f64())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Freeze => write!(f, "frozen"),
            Kind::Delay(delay) => write!(f, "{} ms away", delay.as_millis()),
            Kind::Refuse => write!(f, "refuses connections"),
            Kind::Cut => write!(f, "connections cut"),
            Kind::CutInARow => write!(f, "a connection to be cut in the middle of a row"),
            Kind::Terminate => write!(f, "sessions terminated"),
            Kind::Restart => write!(f, "stopped, and started again"),
            Kind::Crash => write!(f, "crashed, and started again"),
            Kind::Lock => write!(f, "its row in powa_snapshot_metas locked"),
            Kind::Deactivate => write!(f, "deactivated"),
            Kind::Frequency(seconds) => write!(f, "frequency changed to {seconds} s"),
            Kind::RefreshCatalogs => write!(f, "its catalogs are asked for"),
            Kind::Raise(source) => write!(f, "{source}() raises"),
            Kind::Sleep(source, seconds) => write!(f, "{source}() sleeps for {seconds} s"),
            Kind::Reloads(number) => write!(f, "{number} RELOADs"),
            Kind::Signals(number) => write!(f, "{number} SIGHUPs"),
            Kind::Commands(number) => write!(f, "{number} commands by a superuser"),
            Kind::Flood(number) => write!(f, "{number} commands by a role without rights"),
            Kind::Garbage(number) => write!(f, "{number} payloads of garbage by a role without rights"),
        }
    }
}
