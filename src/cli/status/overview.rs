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
    address: Option<String>,
    connected_s: Option<u64>,
}

/// One server.
#[derive(Debug, Serialize)]
struct Line {
    id: i32,
    address: String,
    alias: Option<String>,
    active: bool,
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

/// A column of the table.
struct Column {
    heading: &'static str,
    /// Columns of the terminal from which on there is room for it.
    from: u16,
    is_figure: bool,
    cell: fn(&Line, SystemTime) -> Cell,
}

const COLUMNS: [Column; 8] = [
    Column { heading: "SERVER", from: 0, is_figure: false, cell: |line, _| line.server() },
    Column { heading: "STATE", from: 0, is_figure: false, cell: |line, _| line.state() },
    Column { heading: "LAST", from: 0, is_figure: true, cell: |line, _| line.last() },
    Column { heading: "EVERY", from: 90, is_figure: true, cell: |line, _| line.every() },
    Column { heading: "TOOK", from: 80, is_figure: true, cell: |line, _| line.took() },
    Column { heading: "ROWS", from: 100, is_figure: true, cell: |line, _| line.rows() },
    Column { heading: "NEXT", from: 70, is_figure: true, cell: |line, now| line.next(now) },
    Column { heading: "LAST ERROR", from: 0, is_figure: false, cell: |line, _| line.error() },
];

impl Overview {
    pub(super) fn new(
        servers: &[&RegisteredServer],
        last: &BTreeMap<ServerId, LastSnapshot>,
        collectors: Vec<Collector>,
        answered: Result<BTreeMap<ServerId, Detail>, Unanswered>,
    ) -> Self {
        let connected = |Collector { name, address, connected_for }| Connected {
            name,
            address,
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
        for Connected { name, address, connected_s } in &self.collectors {
            text += &on_one_line(name);
            if let Some(address) = address {
                text += &format!(" from {address}");
            }
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
        let is_shown = |column: &&Column| screen.width.is_none_or(|width| width >= column.from);
        let columns: Vec<&Column> = COLUMNS.iter().filter(is_shown).collect();
        let headings: Vec<&'static str> = columns.iter().map(|column| column.heading).collect();
        let mut table = Table::new(&headings);
        for column in columns.iter().filter(|column| column.is_figure) {
            table = table.right(column.heading).whole(column.heading);
        }
        for line in &self.servers {
            table.row(columns.iter().map(|column| (column.cell)(line, now)).collect());
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
            active: server.is_active(),
            state: state.into(),
            phase: detail.map(|detail| detail.phase.clone()),
            frequency: u64::try_from(server.frequency).ok(),
            age: last.age.map(|age| (age.as_secs_f64() * 1000.0).round() / 1000.0),
            next: detail.and_then(|detail| detail.next),
            snapshot: detail.and_then(|detail| detail.snapshot.clone()),
            error: detail.map_or_else(|| first_of(&last.errors, 0), |detail| what_is_wrong(detail, &last.errors)),
        }
    }

    fn server(&self) -> Cell {
        Cell::new(self.alias.as_ref().unwrap_or(&self.address))
    }

    fn state(&self) -> Cell {
        let state = match &self.phase {
            Some(phase) if self.state == "running" && phase != "idle" => phase,
            _ => &self.state,
        };
        Cell::new(state).with(match self.state.as_str() {
            "running" => Tone::Good,
            OFF => Tone::Faint,
            UNKNOWN | "stopping" => Tone::Doubtful,
            _ => Tone::Bad,
        })
    }

    fn last(&self) -> Cell {
        let tone = if self.is_overdue() { Tone::Bad } else { Tone::Plain };
        figure(self.age, |age| words::duration(Duration::from_secs_f64(age)) + " ago").with(tone)
    }

    fn every(&self) -> Cell {
        figure(self.frequency, |seconds| words::duration(Duration::from_secs(seconds)))
    }

    fn took(&self) -> Cell {
        figure(self.snapshot.as_ref(), |taken| words::milliseconds(taken.collect_ms.saturating_add(taken.load_ms)))
    }

    fn rows(&self) -> Cell {
        figure(self.snapshot.as_ref(), |taken| taken.rows.to_string())
    }

    fn next(&self, now: SystemTime) -> Cell {
        figure(self.next, |next| match next.duration_since(now) {
            Ok(left) if !left.is_zero() => format!("in {}", words::duration(left)),
            _ => "now".into(),
        })
    }

    fn error(&self) -> Cell {
        // Of a server that is off, it is what was last written down: nothing is in the way of what nobody does.
        let tone = if self.state == OFF { Tone::Faint } else { Tone::Bad };
        self.error.as_ref().map_or_else(Cell::default, |error| Cell::new(error).with(tone))
    }

    /// A snapshot is missing, and not only late.
    fn is_overdue(&self) -> bool {
        match (self.age, self.frequency) {
            (Some(age), Some(frequency)) => is_overdue(Duration::from_secs_f64(age), Duration::from_secs(frequency)),
            _ => false,
        }
    }
}

/// What is not known is a dash.
fn figure<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> Cell {
    value.map_or_else(|| Cell::new("-").with(Tone::Faint), |value| Cell::new(words(value)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_way_now_is_red() {
        let (on, off) =
            (RegisteredServer::example(1), RegisteredServer { frequency: -1, ..RegisteredServer::example(2) });
        let failed = |error: &str| LastSnapshot { age: None, errors: vec![error.into()] };
        let last = BTreeMap::from([(on.id, failed("lately")), (off.id, failed("long ago"))]);
        let overview = Overview::new(&[&on, &off], &last, vec![], Err(Unanswered::Nobody));
        let text = overview.text(SystemTime::now(), Screen { width: None, is_coloured: true });
        let coloured = |text: &str, tone| {
            let mut table = Table::new(&["X"]);
            table.row(vec![Cell::new(text).with(tone)]);
            let text = table.text(Screen { width: None, is_coloured: true });
            text.lines().nth(1).unwrap().to_owned()
        };
        for shown in [coloured("lately", Tone::Bad), coloured("long ago", Tone::Faint)] {
            assert!(text.contains(&shown), "{shown:?}: {text:?}");
        }
        let json = serde_json::to_value(&overview).unwrap();
        assert_eq!(json["servers"][1]["error"], "long ago");
    }
}
