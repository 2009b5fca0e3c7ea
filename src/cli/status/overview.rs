//! What the collector and the repository say of the servers, put together. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::output::Screen;
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::words;
use crate::control::asking::Unanswered;
use crate::control::detail::{Detail, Taken};
use crate::one_line::on_one_line;
use crate::postgres::{Collector, LastSnapshot, RegisteredServer};
use crate::server::ServerId;
use crate::timestamp;
use crate::worker::is_overdue;

/// All that is shown. Its JSON is documented in docs/commands.md.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    collectors: Vec<Connected>,
    /// Why no collector has answered.
    unanswered: Option<String>,
    servers: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Connected {
    name: String,
    connected_s: Option<u64>,
}

/// One server.
#[derive(Debug, Serialize)]
struct Line {
    id: i32,
    address: String,
    alias: Option<String>,
    /// The collector's word for it, or one of [`OFF`], [`UNKNOWN`], [`NOT_COLLECTED`].
    state: String,
    phase: Option<String>,
    /// In seconds; `None` for a server that is not to be collected from.
    frequency: Option<u64>,
    /// Of the last snapshot in the repository, by the repository's clock, in seconds.
    age: Option<f64>,
    #[serde(with = "timestamp")]
    next: Option<SystemTime>,
    snapshot: Option<Taken>,
    error: Option<String>,
}

/// It is registered, and not to be collected from.
const OFF: &str = "off";
/// No collector has answered.
const UNKNOWN: &str = "unknown";
/// It should be collected from, and the collector does not know of it.
const NOT_COLLECTED: &str = "not collected";

impl Overview {
    pub(super) fn new(
        servers: &[&RegisteredServer],
        last: &BTreeMap<ServerId, LastSnapshot>,
        collectors: Vec<Collector>,
        answered: Result<BTreeMap<ServerId, Detail>, Unanswered>,
    ) -> Self {
        let connected = |Collector { name, connected_for }| Connected {
            name,
            connected_s: connected_for.map(|connected| connected.as_secs()),
        };
        let details = answered.as_ref().ok();
        let nothing = LastSnapshot::default();
        let line = |server: &&RegisteredServer| {
            let detail = details.map(|details| details.get(&server.id));
            Line::new(server, last.get(&server.id).unwrap_or(&nothing), detail)
        };
        Self {
            servers: servers.iter().map(line).collect(),
            collectors: collectors.into_iter().map(connected).collect(),
            unanswered: answered.err().map(|reason| reason.to_string()),
        }
    }

    /// Why no collector has answered, if none has.
    pub(super) fn unanswered(&self) -> Option<&str> {
        self.unanswered.as_deref()
    }

    /// For people.
    pub(super) fn text(&self, now: SystemTime, screen: Screen) -> String {
        let mut text = String::new();
        for Connected { name, connected_s } in &self.collectors {
            text += &on_one_line(name);
            if let Some(seconds) = connected_s {
                let since = words::duration(Duration::from_secs(*seconds));
                text += &format!(", connected to the repository for {since}");
            }
            text.push('\n');
        }
        if self.unanswered.is_none() && self.collectors.len() > 1 {
            text += "More than one collector takes snapshots for this repository.\n";
        }
        if self.servers.is_empty() {
            return text + "No server is registered: \"powa-collector servers add\" registers one.\n";
        }
        let headings = ["SERVER", "STATE", "LAST", "EVERY", "TOOK", "ROWS", "NEXT", "LAST ERROR"];
        let mut table = Table::new(&headings).right("LAST").right("EVERY").right("TOOK").right("ROWS").right("NEXT");
        for heading in ["LAST", "EVERY", "TOOK", "ROWS", "NEXT"] {
            table = table.whole(heading);
        }
        for line in &self.servers {
            table.row(line.cells(now));
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text + &table.text(screen)
    }
}

impl Line {
    /// `detail` is `None` where no collector has answered.
    fn new(server: &RegisteredServer, last: &LastSnapshot, detail: Option<Option<&Detail>>) -> Self {
        let state = match detail {
            Some(Some(detail)) => &detail.status,
            _ if !server.is_active() => OFF,
            Some(None) => NOT_COLLECTED,
            None => UNKNOWN,
        };
        let detail = detail.flatten();
        Self {
            id: server.id.get(),
            address: server.address(),
            alias: server.alias.clone(),
            state: state.into(),
            phase: detail.map(|detail| detail.phase.clone()),
            frequency: u64::try_from(server.frequency).ok(),
            age: last.age.map(|age| (age.as_secs_f64() * 1000.0).round() / 1000.0),
            next: detail.and_then(|detail| detail.next),
            snapshot: detail.and_then(|detail| detail.snapshot.clone()),
            error: detail.map_or_else(|| first_of(&last.errors, 0), |detail| what_is_wrong(detail, &last.errors)),
        }
    }

    fn cells(&self, now: SystemTime) -> Vec<Cell> {
        let none = || Cell::new("-").with(Tone::Faint);
        let state = match &self.phase {
            Some(phase) if self.state == "running" && phase != "idle" => phase,
            _ => &self.state,
        };
        let tone = match self.state.as_str() {
            "running" => Tone::Good,
            OFF => Tone::Faint,
            UNKNOWN | "stopping" => Tone::Doubtful,
            _ => Tone::Bad,
        };
        let age = match self.age {
            Some(age) => {
                let text = words::duration(Duration::from_secs_f64(age)) + " ago";
                Cell::new(text).with(if self.is_overdue() { Tone::Bad } else { Tone::Plain })
            }
            None => none(),
        };
        let took = |taken: &Taken| Cell::new(words::milliseconds(taken.collect_ms.saturating_add(taken.load_ms)));
        let next = self.next.map(|next| match next.duration_since(now) {
            Ok(left) if !left.is_zero() => format!("in {}", words::duration(left)),
            _ => "now".into(),
        });
        vec![
            Cell::new(self.alias.as_ref().unwrap_or(&self.address)),
            Cell::new(state).with(tone),
            age,
            self.frequency.map_or_else(none, |seconds| Cell::new(words::duration(Duration::from_secs(seconds)))),
            self.snapshot.as_ref().map_or_else(none, took),
            self.snapshot.as_ref().map_or_else(none, |taken| Cell::new(taken.rows.to_string())),
            next.map_or_else(none, Cell::new),
            self.error.as_ref().map_or_else(Cell::default, |error| Cell::new(error).with(Tone::Bad)),
        ]
    }

    /// A snapshot is missing, and not only late.
    fn is_overdue(&self) -> bool {
        match (self.age, self.frequency) {
            (Some(age), Some(frequency)) => is_overdue(Duration::from_secs_f64(age), Duration::from_secs(frequency)),
            _ => false,
        }
    }
}

/// What is in the way now goes before what failed in the last snapshot, and what the collector says before what it has
/// written down.
fn what_is_wrong(detail: &Detail, written: &[String]) -> Option<String> {
    match (&detail.trouble, &detail.snapshot) {
        (Some(trouble), _) => Some(trouble.clone()),
        (None, Some(taken)) => first_of(&taken.errors, taken.more_errors),
        (None, None) => first_of(written, 0),
    }
}

fn first_of(errors: &[String], more: usize) -> Option<String> {
    let first = errors.first()?;
    match errors.len() - 1 + more {
        0 => Some(first.clone()),
        others => Some(format!("{first} (and {others} more)")),
    }
}
