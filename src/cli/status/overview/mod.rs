//! What the collector and the repository say of the servers, put together. Pure.

mod columns;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::output::Screen;
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
        text += &columns::table(shown, now, page.screen);
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
    use crate::cli::table::{Cell, Table, Tone};

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
