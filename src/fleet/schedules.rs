//! Schedules and pauses of servers: which are accepted, and what they need in the repository.

use std::time::{Duration, SystemTime};

use super::Error;
use super::own_tables::require_change;
use crate::repository::{OwnTable, RegisteredServer, Repository};
use crate::schedule::{Cron, DEFAULT_ZONE, InvalidTime, Timing, parse_time};

/// The longest pause that is given as a duration: ten years.
const MAX_PAUSE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Why a pause cannot be like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPause {
    #[error("a pause must be a duration such as 30m, 2h or \"1day 12h\"")]
    Format,
    #[error("a pause must be longer than zero, and at most ten years")]
    Length,
    #[error("the end of the pause is in the past")]
    Past,
}

/// The repository has no schema of the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the repository has no schema powa_collector; run \"powa-collector setup\"")]
pub(crate) struct NoCollectorSchema;

/// A duration of a pause, such as `2h`.
pub(crate) fn parse_pause(text: &str) -> Result<Duration, InvalidPause> {
    let pause = humantime::parse_duration(text).map_err(|_| InvalidPause::Format)?;
    if pause.is_zero() || pause > MAX_PAUSE { Err(InvalidPause::Length) } else { Ok(pause) }
}

/// A time for a server: with an offset, or local in the time zone of its schedule, or in UTC if it has none.
pub(crate) fn parse_time_of(server: &RegisteredServer, text: &str) -> Result<SystemTime, InvalidTime> {
    parse_time(text, &zone_of(server.timing.as_deref()))
}

/// The time zone of a schedule, or UTC without one.
pub(crate) fn zone_of(timing: Option<&Timing>) -> jiff::tz::TimeZone {
    timing.and_then(|timing| timing.cron.as_ref()).map_or(jiff::tz::TimeZone::UTC, |cron| cron.zone().clone())
}

/// Accepts the fields of a schedule, in any time zone.
pub(crate) fn check_cron(text: &str) -> Result<(), crate::schedule::InvalidSchedule> {
    Cron::parse(text, DEFAULT_ZONE).map(drop)
}

/// Accepts the name of a time zone.
pub(crate) fn check_zone(name: &str) -> Result<(), crate::schedule::InvalidSchedule> {
    Cron::parse("0 0 * * *", name).map(drop)
}

/// Sets the schedule of a server, which takes the place of its frequency. A pause is kept.
pub(crate) async fn set_schedule(
    repository: &Repository,
    server: &RegisteredServer,
    cron: &Cron,
    start: Option<SystemTime>,
) -> Result<(), Error> {
    require_change(repository, OwnTable::Schedules).await?;
    Ok(repository.save_schedule(server.id, cron, start).await?)
}

/// Removes the schedule of a server, so that its frequency holds again. Returns whether it had one.
pub(crate) async fn remove_schedule(repository: &Repository, server: &RegisteredServer) -> Result<bool, Error> {
    require_change(repository, OwnTable::Schedules).await?;
    Ok(repository.remove_schedule(server.id).await?)
}

/// Pauses a server: nothing is collected until then, except on request.
pub(crate) async fn pause(repository: &Repository, server: &RegisteredServer, until: SystemTime) -> Result<(), Error> {
    if until <= SystemTime::now() {
        return Err(InvalidPause::Past.into());
    }
    require_change(repository, OwnTable::Schedules).await?;
    Ok(repository.pause(server.id, until).await?)
}

/// Ends the pause of a server. Returns whether it was paused.
pub(crate) async fn resume(repository: &Repository, server: &RegisteredServer) -> Result<bool, Error> {
    require_change(repository, OwnTable::Schedules).await?;
    Ok(repository.resume(server.id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_a_unit_and_an_end() {
        assert_eq!(parse_pause("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_pause("1day 12h"), Ok(Duration::from_secs(36 * 3600)));
        for (text, error) in [
            ("", InvalidPause::Format),
            ("2", InvalidPause::Format),
            ("-2h", InvalidPause::Format),
            ("soon", InvalidPause::Format),
            ("0s", InvalidPause::Length),
            ("11years", InvalidPause::Length),
        ] {
            assert_eq!(parse_pause(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_in_the_zone_of_the_schedule() {
        let mut server = RegisteredServer::example(1);
        let utc = parse_time_of(&server, "2026-05-07T18:00").unwrap();
        let row = crate::schedule::TimingRow {
            cron: Some("0 * * * *".into()),
            time_zone: Some("Europe/Paris".into()),
            ..Default::default()
        };
        server.timing = Some(std::sync::Arc::new(Timing::of_row(1, &row)));
        let paris = parse_time_of(&server, "2026-05-07T18:00").unwrap();
        assert_eq!(utc.duration_since(paris).unwrap(), Duration::from_secs(7200));
    }
}
