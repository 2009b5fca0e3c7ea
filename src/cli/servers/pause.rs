//! `servers pause` and `servers resume`: whether a server is collected for a while.

use std::time::{Duration, SystemTime};

use super::collector_reload::reload_collector;
use super::{Failure, describe, find};
use crate::cli::output;
use crate::cli::subcommand::Context;
use crate::fleet::server_name::ServerName;
use crate::fleet::{self, parse_pause};
use crate::repository::RegisteredServer;
use crate::schedule::format_time;

/// Pauses a server: nothing is collected until a time, except by "powa-collector snapshot".
///
/// The frequency or the schedule is kept, and the server does not count as overdue. Another pause replaces this one.
#[derive(Debug, clap::Args)]
#[command(override_usage = "powa-collector servers pause <SERVER> <--for DURATION|--until TIME>")]
pub(super) struct PauseArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    #[command(flatten)]
    end: End,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct End {
    /// How long, such as 30m, 2h or "1day 12h"
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_pause)]
    duration: Option<Duration>,
    /// Until when; a time such as 2026-05-07T18:00 in the time zone of the schedule (without one, UTC), or with an offset
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Ends the pause of a server.
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
}

impl End {
    fn time(&self, server: &RegisteredServer) -> Result<SystemTime, Failure> {
        match (&self.until, self.duration) {
            (Some(until), _) => Ok(fleet::parse_time_of(server, until)?),
            (None, duration) => Ok(SystemTime::now() + duration.unwrap_or_default()),
        }
    }
}

impl PauseArguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = find(&context.repository, &self.server).await?;
        let until = self.end.time(&server)?;
        fleet::pause(&context.repository, &server, until).await?;
        let zone = fleet::zone_of(server.timing.as_deref());
        output::print(&format!("{} is paused until {}\n", describe(&server), format_time(until, &zone)))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}

impl ResumeArguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = find(&context.repository, &self.server).await?;
        if !fleet::resume(&context.repository, &server).await? {
            output::print(&format!("{} is not paused\n", describe(&server)))?;
            return Ok(());
        }
        output::print(&format!("the pause of {} is over\n", describe(&server)))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}
