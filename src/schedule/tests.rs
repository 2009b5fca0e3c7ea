use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::timing::{Timing, TimingRow};
use super::*;

fn at(text: &str) -> SystemTime {
    parse_time(text, &TimeZone::UTC).unwrap()
}

fn seconds(text: &str) -> Option<f64> {
    Some(at(text).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64())
}

/// The due times after an instant, with their offsets and without the date where it is that of the first.
fn due(cron: &str, zone: &str, after: &str, number: usize) -> Vec<String> {
    let cron = Cron::parse(cron, zone).unwrap();
    let mut from: Timestamp = after.parse().unwrap();
    (0..number)
        .map(|_| {
            let next = cron.next_after(from).unwrap();
            assert!(next > from, "{next} is not after {from}");
            from = next;
            next.to_zoned(cron.zone().clone()).strftime("%m-%d %H:%M:%S%:z").to_string()
        })
        .collect()
}

#[test]
fn a_time_that_is_left_out_runs_at_the_first_instant_after_it() {
    for (zone, after, expected) in [
        ("Europe/Paris", "2026-03-28T12:00Z", ["03-29 03:00:00+02:00", "03-30 02:30:00+02:00"]),
        ("America/New_York", "2026-03-07T12:00Z", ["03-08 03:00:00-04:00", "03-09 02:30:00-04:00"]),
    ] {
        assert_eq!(due("30 2 * * *", zone, after, 2), expected);
    }
    // Half an hour is left out.
    let expected = ["10-04 02:30:00+11:00", "10-05 02:10:00+11:00"];
    assert_eq!(due("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00Z", 2), expected);
    // Several that are left out run once, also with one that is due then anyway.
    let expected = ["03-29 01:40:00+01:00", "03-29 03:00:00+02:00", "03-30 01:00:00+02:00"];
    assert_eq!(due("*/20 1,2 * * *", "Europe/Paris", "2026-03-29T00:20Z", 3), expected);
    let expected = ["03-29 03:00:00+02:00", "03-30 02:15:00+02:00"];
    assert_eq!(due("15,45 2 * * *", "Europe/Paris", "2026-03-28T12:00Z", 2), expected);
    let expected = ["03-29 03:00:00+02:00", "03-30 02:00:00+02:00", "03-30 03:00:00+02:00"];
    assert_eq!(due("0 2,3 * * *", "Europe/Paris", "2026-03-28T12:00Z", 3), expected);
    // A whole day: Samoa had no 30 December 2011.
    assert_eq!(due("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", 1), ["12-31 00:00:00+14:00"]);
}

#[test]
fn a_time_that_is_repeated_runs_the_first_time() {
    for (cron, zone, after, expected) in [
        ("30 2 * * *", "Europe/Paris", "2026-10-24T12:00Z", ["10-25 02:30:00+02:00", "10-26 02:30:00+01:00"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00Z", ["11-01 01:30:00-04:00", "11-02 01:30:00-05:00"]),
        ("40 1 * * *", "Australia/Lord_Howe", "2026-04-04T10:00Z", ["04-05 01:40:00+11:00", "04-06 01:40:00+10:30"]),
    ] {
        assert_eq!(due(cron, zone, after, 2), expected);
    }
    // From between the two.
    assert_eq!(due("30 2 * * *", "Europe/Paris", "2026-10-25T00:45Z", 1), ["10-26 02:30:00+01:00"]);
    assert_eq!(due("30 2 * * *", "Europe/Paris", "2026-10-25T01:15Z", 1), ["10-26 02:30:00+01:00"]);
    // The end of the repeated hour is no part of it.
    assert_eq!(due("0 2,3 * * *", "Europe/Paris", "2026-10-25T00:30Z", 1), ["10-25 03:00:00+01:00"]);
}

#[test]
fn what_runs_in_steps_goes_on_in_steps() {
    let expected = ["10-25 02:40:00+02:00", "10-25 02:00:00+01:00", "10-25 02:20:00+01:00"];
    assert_eq!(due("*/20 * * * *", "Europe/Paris", "2026-10-25T00:20Z", 3), expected);
    let expected = ["03-29 01:40:00+01:00", "03-29 03:00:00+02:00", "03-29 03:20:00+02:00"];
    assert_eq!(due("*/20 * * * *", "Europe/Paris", "2026-03-29T00:20Z", 3), expected);
    // Every hour: nothing is added.
    let expected = ["03-29 01:30:00+01:00", "03-29 03:30:00+02:00", "03-29 04:30:00+02:00"];
    assert_eq!(due("30 * * * *", "Europe/Paris", "2026-03-29T00:00Z", 3), expected);
    let expected = ["10-25 02:30:00+02:00", "10-25 02:30:00+01:00", "10-25 03:30:00+01:00"];
    for cron in ["30 * * * *", "30 0-23 * * *"] {
        assert_eq!(due(cron, "Europe/Paris", "2026-10-25T00:00Z", 3), expected);
    }
    let expected = ["04-05 01:45:00+11:00", "04-05 01:30:00+10:30", "04-05 01:45:00+10:30", "04-05 02:00:00+10:30"];
    assert_eq!(due("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30Z", 4), expected);
}

#[test]
fn no_instant_is_due_twice_and_steps_are_even_through_a_year() {
    for zone in ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"] {
        let cron = Cron::parse("*/30 * * * *", zone).unwrap();
        let mut from: Timestamp = "2026-01-01T00:00Z".parse().unwrap();
        let end: Timestamp = "2027-01-01T00:00Z".parse().unwrap();
        let mut number = 0;
        while from < end {
            let next = cron.next_after(from).unwrap();
            assert_eq!((next - from).get_seconds(), 1800, "{zone}, after {from}");
            (from, number) = (next, number + 1);
        }
        assert_eq!(number, 365 * 48, "{zone}");
    }
}

#[test]
fn the_calendar_is_respected() {
    assert_eq!(due("0 0 29 2 *", "UTC", "2096-03-01T00:00Z", 1), ["02-29 00:00:00+00:00"]);
    let leap = Cron::parse("0 0 29 2 *", "Africa/Casablanca").unwrap();
    let next = leap.next_after("2096-03-01T00:00Z".parse().unwrap()).unwrap();
    assert_eq!(next.to_zoned(leap.zone().clone()).date().to_string(), "2104-02-29");
    assert_eq!(due("59 23 31 12 *", "UTC", "2026-12-31T23:59Z", 1), ["12-31 23:59:00+00:00"]);
    assert_eq!(due("0 0 1 1 *", "Asia/Tokyo", "2026-12-31T14:59:59.5Z", 1), ["01-01 00:00:00+09:00"]);
    assert_eq!(
        due("*/6 * * * * *", "UTC", "2026-12-31T23:59:53.9Z", 2),
        ["12-31 23:59:54+00:00", "01-01 00:00:00+00:00"]
    );
    // The day of the month, or the day of the week. 1 December 2026 is a Tuesday.
    assert_eq!(
        due("0 0 13 * fri", "UTC", "2026-12-01T00:00Z", 4),
        ["12-04", "12-11", "12-13", "12-18"].map(|day| format!("{day} 00:00:00+00:00"))
    );
    assert_eq!(due("0 0 * * 7", "UTC", "2026-12-01T00:00Z", 1), ["12-06 00:00:00+00:00"]);
    assert_eq!(due("0 0 * * sat-sun", "UTC", "2026-12-05T00:00Z", 1), ["12-06 00:00:00+00:00"]);
}

#[test]
fn a_schedule_that_is_invalid_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "five fields (minute, hour, day of month, month, day of week), or six with the second first, got 0"),
        ("* * * *", "got 4"),
        ("0 0 0 1 1 * 2030", "got 7"),
        ("@daily", "got 1"),
        ("60 * * * *", "the minute must be * or a list of values and ranges (0 to 59)"),
        ("* 24 * * *", "the hour must be"),
        ("* * 0 * *", "the day of month must be"),
        ("* * * 13 *", "the month must be * or a list of values and ranges (1 to 12, or jan to dec)"),
        ("* * * * 8", "the day of week must be"),
        ("* * * * monday", "got monday"),
        ("* * L * *", "the day of month must be"),
        ("jan * * * *", "the minute must be"),
        ("*/0 * * * *", "the minute must be"),
        ("0 22-6 * * *", "the hour must be"),
        ("5/10 * * * *", "the minute must be"),
        ("61 * * * * *", "the second must be"),
        ("0 0 30 2 *", "never runs"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("* * * * * *", "the schedule runs 1 s after it has run, and the least is 5 s"),
        ("*/4 * * * * *", "runs 4 s after"),
        ("0,58 * * * * *", "runs 2 s after"),
        ("0,58 59,0 1,2 * * *", "runs 2 s after"),
        ("0\n0 \u{1b}[31m * *", "got \\u{1b}[31m"),
    ] {
        let error = Cron::parse(text, "UTC").unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let long = format!("{} * * * *", "1,".repeat(200));
    assert!(matches!(Cron::parse(&long, "UTC"), Err(InvalidSchedule::TooLong(_))));
    for text in ["*/5 * * * * *", "0,58 59,0 3 * * *", "0,58 */2 * * * *", "0 0 29 2 *", "0 0 30 2 mon", "0 0 30 * *"] {
        assert!(Cron::parse(text, "UTC").is_ok(), "{text}");
    }
}

#[test]
fn a_time_zone_has_a_name_of_the_database() {
    for (name, spelled) in [("Europe/Paris", "Europe/Paris"), ("europe/paris", "Europe/Paris"), ("UTC", "UTC")] {
        assert_eq!(Cron::parse("0 0 * * *", name).unwrap().zone_name(), spelled);
    }
    for (name, reason) in [
        ("Europe/Pariss", "\"Europe/Pariss\" is no time zone; did you mean \"Europe/Paris\"?"),
        ("nowhere at all", "use a name of the IANA database, such as Europe/Paris"),
        ("", "is no time zone"),
        ("../../etc/passwd", "is no time zone"),
        ("/etc/localtime", "is no time zone"),
        ("+02:00", "is no time zone"),
    ] {
        let error = Cron::parse("0 0 * * *", name).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn a_schedule_is_the_same_however_it_is_spaced() {
    let one = Cron::parse(" */5  8-18 * *\tmon-fri ", "Europe/Paris").unwrap();
    assert_eq!(one.text(), "*/5 8-18 * * mon-fri");
    assert_eq!(one, Cron::parse("*/5 8-18 * * mon-fri", "Europe/Paris").unwrap());
    assert_ne!(one, Cron::parse("*/5 8-18 * * mon-fri", "UTC").unwrap());
}

fn row() -> TimingRow {
    TimingRow {
        cron: Some("0 * * * *".into()),
        time_zone: Some("UTC".into()),
        changed_at: seconds("2026-05-01T10:30Z"),
        ..TimingRow::default()
    }
}

#[test]
fn nothing_is_due_before_the_start_the_end_of_a_pause_or_the_last_change() {
    let next = |row: TimingRow, last: Option<&str>| Timing::of_row(1, &row).next_after(last.map(at)).unwrap();
    assert_eq!(next(row(), None), at("2026-05-01T11:00Z"));
    assert_eq!(next(row(), Some("2026-05-01T09:00Z")), at("2026-05-01T11:00Z"));
    assert_eq!(next(row(), Some("2026-05-01T11:00:00.1Z")), at("2026-05-01T12:00Z"));
    for (start, due) in [("2026-05-02T07:00Z", "2026-05-02T07:00Z"), ("2026-05-02T07:00:01Z", "2026-05-02T08:00Z")] {
        assert_eq!(next(TimingRow { start_at: seconds(start), ..row() }, Some("2026-05-01T11:00Z")), at(due));
        assert_eq!(next(TimingRow { paused_until: seconds(start), ..row() }, Some("2026-05-01T11:00Z")), at(due));
    }
}

#[test]
fn it_is_quiet_until_the_later_of_start_and_pause() {
    let (start, end) = ("2026-05-02T07:00Z", "2026-05-03T07:00Z");
    let timing = Timing::of_row(1, &TimingRow { start_at: seconds(start), paused_until: seconds(end), ..row() });
    assert_eq!(timing.quiet_until(at("2026-05-01T00:00Z")), Some(at(end)));
    assert_eq!(timing.quiet_until(at(end)), None);
    assert_eq!(Timing::of_row(1, &row()).quiet_until(at(start)), None);
    let forever = Timing::of_row(1, &TimingRow { paused_until: Some(f64::INFINITY), ..row() });
    assert_eq!(forever.quiet_until(at("9000-01-01T00:00Z")), Some(at("9999-01-01T00:00Z")));
    assert!(forever.next_after(None).is_some() && forever.invalid.is_none());
}

#[test]
fn what_is_invalid_in_a_row_is_named_and_left_out() {
    let other = |cron: &str, zone: Option<&str>| TimingRow {
        cron: Some(cron.into()),
        time_zone: zone.map(Into::into),
        paused_until: seconds("2026-05-02T07:00Z"),
        ..row()
    };
    for (row, column) in [
        (
            other("never\n", Some("UTC")),
            "powa_collector.schedules row with srvid 7: invalid cron: \"never\\n\": a schedule has",
        ),
        (
            other("0 * * * *", Some("Mars/Phobos")),
            "row with srvid 7: invalid time_zone: \"Mars/Phobos\": \"Mars/Phobos\" is no",
        ),
        (TimingRow { cron: None, ..other("", Some("UTC")) }, "invalid time_zone: there is no schedule"),
    ] {
        let timing = Timing::of_row(7, &row);
        let message = timing.invalid.as_ref().unwrap().to_string();
        assert!(message.contains(column), "{message}");
        assert!(timing.cron.is_none() && timing.paused_until.is_some());
    }
    let timing = Timing::of_row(7, &TimingRow { start_at: Some(f64::NEG_INFINITY), ..row() });
    assert!(timing.cron.is_some() && timing.start.is_none());
    assert!(timing.invalid.unwrap().to_string().contains("invalid start_at: the time is before 1970"));
}

#[test]
fn the_next_times_are_listed() {
    let times = Timing::of_row(1, &row()).upcoming(at("2026-06-01T00:00Z"), 3);
    assert_eq!(times, ["01:00Z", "02:00Z", "03:00Z"].map(|time| at(&format!("2026-06-01T{time}"))));
    assert_eq!(
        Timing::of_row(1, &TimingRow { cron: None, time_zone: None, ..row() }).upcoming(at("2026-06-01T00:00Z"), 3),
        []
    );
}

#[test]
fn a_time_is_local_or_has_an_offset() {
    let paris = jiff::tz::db().get("Europe/Paris").unwrap();
    for (text, time) in [
        ("2026-05-07T18:00", "2026-05-07T16:00:00Z"),
        ("2026-05-07 18:00:30", "2026-05-07T16:00:30Z"),
        ("2026-05-07T18:00Z", "2026-05-07T18:00:00Z"),
        ("2026-05-07T18:00+02:00", "2026-05-07T16:00:00Z"),
        // Left out, and repeated.
        ("2026-03-29T02:30", "2026-03-29T01:30:00Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
    ] {
        assert_eq!(format_time(parse_time(text, &paris).unwrap(), &TimeZone::UTC), time, "{text}");
    }
    assert_eq!(format_time(at("2026-05-07T18:00Z"), &paris), "2026-05-07T20:00:00+02:00");
    for text in ["", "tomorrow", "18:00", "2026-05-07", "2026-13-07T18:00", "2026-05-07T25:00"] {
        assert_eq!(parse_time(text, &paris), Err(InvalidTime::Format), "{text}");
    }
    assert_eq!(parse_time("9999-06-01T00:00Z", &paris), Err(InvalidTime::TooFar));
}

#[test]
fn a_rare_time_is_found_fast_enough_for_the_main_task() {
    let rare = Cron::parse("59 59 23 29 2 *", "Africa/Casablanca").unwrap();
    let started = std::time::Instant::now();
    for _ in 0..10 {
        rare.next_after("2096-03-01T00:00Z".parse().unwrap()).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}
