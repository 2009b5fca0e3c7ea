//! What the collector and the repository say of the servers, put together. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::output::Screen;
use crate::cli::table::{Cell, GAP, Table, Tone};
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

/// What it is shown on, for people.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Page<'a> {
    pub(super) screen: Screen,
    /// As many can be seen; `None` where there may be any number.
    pub(super) lines: Option<u16>,
    /// What is said before it.
    pub(super) said: Option<&'a str>,
}

/// A column of the table.
struct Column {
    heading: &'static str,
    /// Columns of the terminal from which on there is room for it; 0 for what is never left out for want of it.
    from: u16,
    is_figure: bool,
    cell: fn(&Line, SystemTime) -> Cell,
}

/// The first two, and the last one, may be cut.
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
    pub(super) fn text(&self, now: SystemTime, page: Page<'_>) -> String {
        let mut text = page.said.map(|said| format!("{said}\n\n")).unwrap_or_default() + &self.connected();
        if self.servers.is_empty() {
            return text + "No server is registered: \"powa-collector servers add\" registers one.\n";
        }
        if !self.collectors.is_empty() {
            text.push('\n');
        }
        // Beside the servers, there are the headings, and the line after the last one.
        let taken = lines_of(&text, page.screen.width) + 2;
        let room = page.lines.map_or(usize::MAX, |lines| usize::from(lines).saturating_sub(taken));
        let all = self.servers.len();
        let shown = if all > room { room.saturating_sub(1).max(1) } else { all };
        let (shown, left_out) = self.servers.split_at(shown);
        text += &table(shown, now, page.screen);
        match left_out {
            [] => text,
            _ => {
                let failing = left_out.iter().filter(|line| line.is_failing()).count();
                text + &format!("and {} more, {failing} of them with an error\n", left_out.len())
            }
        }
    }

    /// The collectors that are connected, a line each.
    fn connected(&self) -> String {
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
            text += "More than one collector takes snapshots for this repository; one of them tells this.\n";
        }
        text
    }
}

/// The lines that a text takes on a screen.
fn lines_of(text: &str, width: Option<u16>) -> usize {
    let width = width.map_or(usize::MAX, usize::from);
    text.lines().map(|line| line.chars().count().div_ceil(width).max(1)).sum()
}

/// An error that is cut to less than this many columns tells nothing.
const LEAST_OF_AN_ERROR: usize = 20;

/// A state or a name is not cut to less.
const LEAST_OF_A_NAME: usize = 12;

/// A line for each server. On a screen, what is too long for it is cut: the errors first.
fn table(lines: &[Line], now: SystemTime, screen: Screen) -> String {
    let mut columns: Vec<(&Column, usize)> = COLUMNS.iter().map(|column| (column, column.width(lines, now))).collect();
    if let Some(width) = screen.width {
        columns.retain(|(column, _)| width >= column.from);
        fit(&mut columns, usize::from(width));
    }
    let headings: Vec<&'static str> = columns.iter().map(|(column, _)| column.heading).collect();
    let mut table = Table::new(&headings).one_line_each();
    for (column, _) in columns.iter().filter(|(column, _)| column.is_figure) {
        table = table.right(column.heading).whole(column.heading);
    }
    for line in lines {
        table.row(columns.iter().map(|(column, width)| (column.cell)(line, now).cut(*width)).collect());
    }
    table.text(screen)
}

/// Leaves out, and cuts, what there is no room for. The error comes last, and goes before what can be left out besides.
fn fit(columns: &mut Vec<(&Column, usize)>, screen: usize) {
    if let Some((error, width)) = columns.pop() {
        let least = width.min(LEAST_OF_AN_ERROR);
        let always: Vec<_> = columns.iter().copied().filter(|(column, _)| column.from == 0).collect();
        if needed(&always) + least <= screen {
            while needed(columns) + least > screen {
                let rarest = columns.iter().map(|(column, _)| column.from).max();
                columns.retain(|(column, _)| Some(column.from) < rarest);
            }
            columns.push((error, width.min(screen - needed(columns))));
        }
    }
    for index in [1, 0] {
        // There is no gap after the last one.
        let missing = needed(columns).saturating_sub(screen + usize::from(GAP));
        let (_, width) = &mut columns[index];
        *width = width.saturating_sub(missing).max(LEAST_OF_A_NAME.min(*width));
    }
}

/// The width of columns that another one follows.
fn needed(columns: &[(&Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + usize::from(GAP)).sum()
}

impl Column {
    /// That it takes to show all of it.
    fn width(&self, lines: &[Line], now: SystemTime) -> usize {
        let cells = lines.iter().map(|line| (self.cell)(line, now).width());
        cells.max().unwrap_or_default().max(self.heading.len())
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

    /// Something is in the way of a server that is to be collected from, or failed in the last snapshot.
    fn is_failing(&self) -> bool {
        self.error.is_some() && self.state != OFF
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
        let screen = Screen { width: None, is_coloured: true };
        let text = overview.text(SystemTime::now(), Page { screen, ..Page::default() });
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

    fn failing(number: i32) -> Overview {
        let servers: Vec<_> = (1..=number).map(RegisteredServer::example).collect();
        let error = "could not connect to db1:5432: connection refused, as nobody is there who would answer";
        let failed = LastSnapshot { age: Some(Duration::from_secs(7)), errors: vec![error.into()] };
        let last = servers.iter().map(|server| (server.id, failed.clone())).collect();
        let detail = |_| Detail {
            name: "db".into(),
            status: "no connection to remote server".into(),
            phase: "idle".into(),
            frequency: 300,
            next: None,
            last: None,
            snapshot: None,
            trouble: Some(error.into()),
            taken: 0,
            failures: 1,
        };
        let details = servers.iter().map(|server| (server.id, detail(server))).collect();
        Overview::new(&servers.iter().collect::<Vec<_>>(), &last, vec![], Ok(details))
    }

    fn shown(overview: &Overview, width: Option<u16>, lines: Option<u16>) -> String {
        let screen = Screen { width, is_coloured: false };
        overview.text(SystemTime::now(), Page { screen, lines, said: Some("It is so.") })
    }

    #[test]
    fn a_server_is_a_line_however_narrow_the_screen_is() {
        let overview = failing(3);
        for width in [20, 30, 37, 40, 50, 60, 70, 76, 80, 100, 120, 200] {
            let text = shown(&overview, Some(width), None);
            assert_eq!(text.lines().count(), 2 + 1 + 3, "{width}:\n{text}");
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
        }
        let narrow = shown(&overview, Some(40), None);
        assert!(narrow.contains("db1:5432  no connection to remo…  7s ago\n"), "{narrow}");
        assert!(!shown(&overview, Some(60), None).contains("LAST ERROR"));
        // What is wrong is worth more than how long a snapshot took.
        let wider = shown(&overview, Some(80), None);
        assert!(
            wider.contains("  could not connect to") && wider.contains("…\n") && !wider.contains("TOOK"),
            "{wider}"
        );
        // In a file, all of it is there.
        assert!(shown(&overview, None, None).contains("as nobody is there who would answer\n"));
    }

    #[test]
    fn there_are_no_more_lines_than_can_be_seen() {
        let overview = failing(30);
        for (lines, servers, rest) in [(24, 19, "and 11 more, 11 of them with an error\n"), (3, 1, "and 29 more, 29")] {
            let text = shown(&overview, Some(80), Some(lines));
            assert_eq!(text.matches("no connection").count(), servers, "{text}");
            assert!(text.contains(rest), "{text}");
        }
        assert_eq!(shown(&overview, Some(80), Some(24)).lines().count(), 23);
        // All of them, and the line that the cursor is in.
        assert_eq!(shown(&overview, Some(80), Some(34)).matches("no connection").count(), 30);
    }
}
