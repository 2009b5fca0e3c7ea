//! `servers schedule`: sets, removes or shows the schedule of a server.

use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::collector_reload::reload_collector;
use super::{Failure, describe, find};
use crate::cli::output::{self, print_error};
use crate::cli::subcommand::Context;
use crate::fleet;
use crate::fleet::server_name::ServerName;
use crate::repository::{OwnTable, RegisteredServer};
use crate::schedule::{Cron, DEFAULT_ZONE, format_time, parse_time};

/// How many of the next due times are shown.
const SHOWN_TIMES: usize = 5;

/// Sets a schedule, which takes the place of the server's frequency; without CRON, shows it with its next five times.
///
/// CRON has five fields: minute, hour, day of month, month, day of week; or six, with the second first. Each is *, or a list of
/// values, ranges (8-18, mon-fri) and steps (*/5, 10-30/5). If both the day of month and the day of week are given, either is
/// enough. Quote it, as the shell would replace *.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// The schedule, such as '*/5 8-18 * * mon-fri'
    #[arg(value_name = "CRON", value_parser = parse_cron)]
    cron: Option<String>,
    /// Time zone of the schedule, such as Europe/Paris
    #[arg(long, value_name = "ZONE", requires = "cron", default_value = DEFAULT_ZONE, value_parser = parse_zone)]
    time_zone: String,
    /// Nothing is collected before; a time such as 2026-05-07T18:00 in the time zone of the schedule, or with an offset
    #[arg(long, value_name = "TIME", requires = "cron")]
    start: Option<String>,
    /// Remove the schedule, so that the frequency holds again
    #[arg(long, conflicts_with_all = ["cron", "start"])]
    remove: bool,
}

fn parse_cron(text: &str) -> Result<String, String> {
    fleet::check_cron(text).map(|()| text.into()).map_err(|error| error.to_string())
}

fn parse_zone(name: &str) -> Result<String, String> {
    fleet::check_zone(name).map(|()| name.into()).map_err(|error| error.to_string())
}

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        match &self.cron {
            Some(cron) => self.set(cron, context).await,
            None if self.remove => self.remove(context).await,
            None => self.show(context).await,
        }
    }

    async fn set(&self, cron: &str, context: &Context) -> Result<(), Failure> {
        let cron = Cron::parse(cron, &self.time_zone)?;
        let start = self.start.as_ref().map(|start| parse_time(start, cron.zone())).transpose()?;
        let server = find(&context.repository, &self.server).await?;
        fleet::set_schedule(&context.repository, &server, &cron, start).await?;
        let changed = find(&context.repository, &self.server).await?;
        output::print(&text(&changed, SystemTime::now()))?;
        warn_if_disabled(&changed);
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }

    async fn remove(&self, context: &Context) -> Result<(), Failure> {
        let server = find(&context.repository, &self.server).await?;
        if !fleet::remove_schedule(&context.repository, &server).await? {
            output::print(&format!("{} has no schedule\n", describe(&server)))?;
            return Ok(());
        }
        let every = frequency(&server);
        output::print(&format!("the schedule of {} is removed: {every}\n", describe(&server)))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }

    async fn show(&self, context: &Context) -> Result<(), Failure> {
        let server = find(&context.repository, &self.server).await?;
        if server.timing.is_none() {
            // Without the schema, or the right to read it, nothing is known.
            fleet::require_read(&context.repository, OwnTable::Schedules).await?;
        }
        output::print(&text(&server, SystemTime::now()))?;
        warn_if_disabled(&server);
        Ok(())
    }
}

fn warn_if_disabled(server: &RegisteredServer) {
    if !server.is_active() {
        let id = server.id;
        print_error!("the server is disabled; enable it with \"powa-collector servers enable {id}\"");
    }
}

fn frequency(server: &RegisteredServer) -> String {
    if server.is_active() { format!("a snapshot every {} s", server.frequency) } else { "it is disabled".into() }
}

/// The schedule, the pause and the next due times of a server.
fn text(server: &RegisteredServer, now: SystemTime) -> String {
    let timing = server.timing.as_deref();
    let zone = fleet::zone_of(timing);
    let mut text = match timing.and_then(|timing| timing.cron.as_ref()) {
        Some(cron) => format!("{}: {} in {}\n", describe(server), cron.text(), cron.zone_name()),
        None => format!("{} has no schedule: {}\n", describe(server), frequency(server)),
    };
    let Some(timing) = timing else { return text };
    let mut line = |what: &str, time: Option<SystemTime>, zone: &TimeZone| {
        if let Some(time) = time.filter(|time| *time > now) {
            text += &format!("{what} {}\n", format_time(time, zone));
        }
    };
    line("starts at", timing.start, &zone);
    line("paused until", timing.paused_until, &zone);
    for time in timing.upcoming(now, SHOWN_TIMES) {
        line("next", Some(time), &zone);
    }
    if let Some(invalid) = &timing.invalid {
        text += &format!("{invalid}; {}\n", invalid.effect());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::schedule::{Timing, TimingRow};

    #[test]
    fn a_schedule_is_shown_with_its_next_times() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_799_971_200);
        let row = TimingRow {
            cron: Some("0 8 * * mon-fri".into()),
            time_zone: Some("Europe/Paris".into()),
            paused_until: Some(1_799_971_200.0 + 7200.0),
            ..TimingRow::default()
        };
        let mut server = RegisteredServer::example(1);
        assert_eq!(text(&server, now), "server 1, db1:5432 has no schedule: a snapshot every 300 s\n");
        server.timing = Some(Arc::new(Timing::of_row(1, &row)));
        let expected = "\
server 1, db1:5432: 0 8 * * mon-fri in Europe/Paris
paused until 2027-01-15T03:00:00+01:00
next 2027-01-15T08:00:00+01:00
next 2027-01-18T08:00:00+01:00
next 2027-01-19T08:00:00+01:00
next 2027-01-20T08:00:00+01:00
next 2027-01-21T08:00:00+01:00
";
        assert_eq!(text(&server, now), expected);
        server.timing = Some(Arc::new(Timing::of_row(1, &TimingRow { cron: Some("x".into()), ..row })));
        let found = text(&server, now);
        assert!(found.contains("paused until 2027-01-15T02:00:00Z\n"), "{found}");
        assert!(found.ends_with("the server is collected by its frequency\n"), "{found}");
    }
}
