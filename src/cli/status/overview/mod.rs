//! Combines the state of the servers from the collector and the repository. Pure.

mod columns;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::output::Screen;
use crate::cli::units;
use crate::control::client::ClientError;
use crate::control::detail::{Detail, SnapshotFigures};
use crate::control::timestamp;
use crate::repository::{Collector, LastSnapshot, RegisteredServer};
use crate::server::ServerId;
use crate::server::tags::Tags;
use crate::worker::{Status, is_overdue};
use session::on_one_line;

/// The output of `status`. docs/commands.md documents its JSON.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    collectors: Vec<ConnectedCollector>,
    /// Why no collector has answered.
    unanswered: Option<String>,
    servers: Vec<ServerLine>,
}

#[derive(Debug, Serialize)]
struct ConnectedCollector {
    name: String,
    address: Option<String>,
    connected_s: Option<u64>,
}

/// One server.
#[derive(Debug, Serialize)]
struct ServerLine {
    id: i32,
    address: String,
    alias: Option<String>,
    active: bool,
    /// The worker's status, why the server is excluded, or one of [`OFF`], [`PAUSED`], [`UNKNOWN`], [`NOT_COLLECTED`].
    state: String,
    phase: Option<String>,
    /// In seconds; `None` for a disabled server.
    frequency: Option<u64>,
    /// The fields of the schedule that takes the place of the frequency.
    schedule: Option<String>,
    time_zone: Option<String>,
    /// Until when nothing is collected, because of a pause or the start of the schedule.
    #[serde(with = "timestamp")]
    paused_until: Option<SystemTime>,
    /// Why the schedule or the pause has no effect.
    invalid_schedule: Option<String>,
    /// Seconds since the last snapshot in the repository, by the repository's clock.
    age: Option<f64>,
    #[serde(with = "timestamp")]
    next: Option<SystemTime>,
    tags: Tags,
    snapshot: Option<SnapshotFigures>,
    error: Option<String>,
    #[serde(skip)]
    is_overdue: bool,
}

/// The server is disabled.
const OFF: &str = "off";
/// Nothing is collected until the end of a pause, or the start of the schedule.
const PAUSED: &str = "paused";
/// No collector has answered.
const UNKNOWN: &str = "unknown";
/// The server is enabled, and the collector does not know it.
const NOT_COLLECTED: &str = "not collected";

/// How to print an overview as text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Page<'a> {
    pub(super) screen: Screen,
    /// The height of the terminal; `None` for any number of lines.
    pub(super) lines: Option<u16>,
    /// Printed before the overview.
    pub(super) notice: Option<&'a str>,
    /// Servers were selected by tags.
    pub(super) is_filtered: bool,
}

impl Overview {
    pub(super) fn new(
        servers: &[&RegisteredServer],
        last: &BTreeMap<ServerId, LastSnapshot>,
        collectors: Vec<Collector>,
        answered: Result<BTreeMap<ServerId, Detail>, ClientError>,
    ) -> Self {
        let connected = |Collector { name, address, connected_for, .. }| ConnectedCollector {
            name,
            address,
            connected_s: connected_for.map(|connected| connected.as_secs()),
        };
        let details = answered.as_ref().ok();
        let nothing = LastSnapshot::default();
        let now = SystemTime::now();
        let line = |server: &&RegisteredServer| {
            let detail = details.map(|details| details.get(&server.id));
            ServerLine::new(server, last.get(&server.id).unwrap_or(&nothing), detail, now)
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

    /// As text, ending with a line break.
    pub(super) fn text(&self, now: SystemTime, page: Page<'_>) -> String {
        let mut text = page.notice.map(|notice| format!("{notice}\n\n")).unwrap_or_default() + &self.collectors_text();
        if self.servers.is_empty() && page.is_filtered {
            return text + "No server has these tags.\n";
        }
        if self.servers.is_empty() {
            return text + "No server is registered; register one with \"powa-collector servers add\".\n";
        }
        if !self.collectors.is_empty() {
            text.push('\n');
        }
        // The headings and the line of the cursor also take a line each.
        let taken = lines_of(&text, page.screen.width) + 2;
        let room = page.lines.map_or(usize::MAX, |lines| usize::from(lines).saturating_sub(taken));
        let all = self.servers.len();
        let shown = if all > room { room.saturating_sub(1).max(1) } else { all };
        let (shown, hidden) = self.servers.split_at(shown);
        text += &columns::table(shown, now, page.screen);
        match hidden {
            [] => text,
            _ => {
                let failing = hidden.iter().filter(|line| line.is_failing()).count();
                text + &format!("and {} more, {failing} of them with an error\n", hidden.len())
            }
        }
    }

    /// One line for each connected collector.
    fn collectors_text(&self) -> String {
        let mut text = String::new();
        for ConnectedCollector { name, address, connected_s } in &self.collectors {
            text += &on_one_line(name);
            if let Some(address) = address {
                text += &format!(" from {address}");
            }
            if let Some(seconds) = connected_s {
                let since = units::duration(Duration::from_secs(*seconds));
                text += &format!(", connected to the repository for {since}");
            }
            text.push('\n');
        }
        if self.unanswered.is_none() && self.collectors.len() > 1 {
            text += "More than one collector takes snapshots for this repository; this is the state of one of them.\n";
        }
        text
    }
}

/// The lines that a text takes on a screen, with wrapped ones.
fn lines_of(text: &str, width: Option<u16>) -> usize {
    let width = width.map_or(usize::MAX, usize::from);
    text.lines().map(|line| line.chars().count().div_ceil(width).max(1)).sum()
}

impl ServerLine {
    /// `detail` is `None` where no collector has answered.
    fn new(server: &RegisteredServer, last: &LastSnapshot, detail: Option<Option<&Detail>>, now: SystemTime) -> Self {
        let timing = server.timing.as_deref();
        let cron = timing.and_then(|timing| timing.cron.as_ref());
        let paused_until = timing.and_then(|timing| timing.quiet_until(now));
        let state = match detail {
            _ if paused_until.is_some() && server.is_active() => PAUSED,
            // For example a standby, which intentionally has no snapshots.
            Some(Some(detail)) if detail.status == Status::Running.to_string() => {
                detail.left_out.as_deref().unwrap_or(&detail.status)
            }
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
            is_overdue: is_late(server, last, now) && detail.is_none_or(|detail| detail.left_out.is_none()),
            phase: detail.map(|detail| detail.phase.clone()),
            frequency: u64::try_from(server.frequency).ok(),
            schedule: cron.map(|cron| cron.text().to_owned()),
            time_zone: cron.map(|cron| cron.zone_name().to_owned()),
            paused_until,
            invalid_schedule: timing.and_then(|timing| timing.invalid.as_ref()).map(ToString::to_string),
            age: last.age.map(|age| (age.as_secs_f64() * 1000.0).round() / 1000.0),
            next: detail.and_then(|detail| detail.next),
            tags: Tags::clone(&server.tags),
            snapshot: detail.and_then(|detail| detail.snapshot.clone()),
            error: detail.map_or_else(|| first_of(&last.errors, 0), |detail| current_error(detail, &last.errors)),
        }
    }

    /// Whether there is a current error, or the last snapshot had one. Never for a disabled server.
    fn is_failing(&self) -> bool {
        self.error.is_some() && self.state != OFF && self.state != PAUSED
    }
}

/// Whether a snapshot is missing.
fn is_late(server: &RegisteredServer, last: &LastSnapshot, now: SystemTime) -> bool {
    let last = last.age.and_then(|age| now.checked_sub(age));
    match (last, u64::try_from(server.frequency)) {
        (Some(last), Ok(frequency)) => is_overdue(last, now, Duration::from_secs(frequency), server.timing.as_deref()),
        _ => false,
    }
}

/// The current error, or else the first of the last snapshot: from the collector, or if it has stored none since its start, from
/// the repository.
fn current_error(detail: &Detail, in_repository: &[String]) -> Option<String> {
    match (&detail.trouble, &detail.snapshot) {
        (Some(trouble), _) => Some(trouble.clone()),
        (None, Some(taken)) => first_of(&taken.errors, taken.more_errors),
        (None, None) => first_of(in_repository, 0),
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
    fn the_last_error_of_a_disabled_server_is_not_red() {
        let (on, off) =
            (RegisteredServer::example(1), RegisteredServer { frequency: -1, ..RegisteredServer::example(2) });
        let failed = |error: &str| LastSnapshot { age: None, errors: vec![error.into()] };
        let last = BTreeMap::from([(on.id, failed("lately")), (off.id, failed("long ago"))]);
        let overview = Overview::new(&[&on, &off], &last, vec![], Err(ClientError::NotRunning));
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
        let error = "could not connect to db1:5432: connection refused, the host is up but no server listens";
        let failed = LastSnapshot { age: Some(Duration::from_secs(7)), errors: vec![error.into()] };
        let last = servers.iter().map(|server| (server.id, failed.clone())).collect();
        let detail = |_| Detail {
            name: "db".into(),
            status: "no connection to remote server".into(),
            phase: "idle".into(),
            frequency: 300,
            schedule: None,
            time_zone: None,
            paused_until: None,
            invalid_schedule: None,
            next: None,
            last: None,
            snapshot: None,
            trouble: Some(error.into()),
            left_out: None,
            times_left_out: 0,
            taken: 0,
            failures: 1,
        };
        let details = servers.iter().map(|server| (server.id, detail(server))).collect();
        Overview::new(&servers.iter().collect::<Vec<_>>(), &last, vec![], Ok(details))
    }

    fn shown(overview: &Overview, width: Option<u16>, lines: Option<u16>) -> String {
        let screen = Screen { width, is_coloured: false };
        overview.text(SystemTime::now(), Page { screen, lines, notice: Some("It is so."), is_filtered: false })
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
        // The error has precedence over the duration.
        let wider = shown(&overview, Some(80), None);
        assert!(
            wider.contains("  could not connect to") && wider.contains("…\n") && !wider.contains("TOOK"),
            "{wider}"
        );
        // Not cut in a file.
        assert!(shown(&overview, None, None).contains("the host is up but no server listens\n"));
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
        // All servers, and the line of the cursor.
        assert_eq!(shown(&overview, Some(80), Some(34)).matches("no connection").count(), 30);
    }
}
