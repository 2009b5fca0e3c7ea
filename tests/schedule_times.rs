//! Compares the due times of generated schedules with those of croniter, a well-known Python program.
//!
//! Left out is what croniter decides differently: days on which a clock is changed (it repeats or skips what is due then),
//! due times in winter after a time in summer or the other way round (it is wrong by the difference of the two), and `*/2`
//! as a day of the month or of the week beside the other one (it treats such a step as `*`; here, either is enough).

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};

use powa_collector::measured::due_times;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("in_utc_schedules_are_due_when_croniter_says", in_utc_schedules_are_due_when_croniter_says),
    ("in_a_time_zone_they_are_so_on_days_without_a_change", in_a_time_zone_they_are_so_on_days_without_a_change),
];

const SCHEDULES: usize = 400;
const TIMES: usize = 20;

/// Gives the times after a time, one schedule a line: fields, zone, seconds since 1970.
const CRONITER: &str = r#"
import sys
from datetime import datetime
from zoneinfo import ZoneInfo
from croniter import croniter
number = int(sys.argv[1])
for line in sys.stdin:
    cron, zone, after = line.rstrip("\n").split("\t")
    start = datetime.fromtimestamp(int(after), ZoneInfo(zone))
    times = croniter(cron, start, second_at_beginning=len(cron.split()) == 6, max_years_between_matches=20)
    print(*(int(times.get_next(datetime).timestamp()) for _ in range(number)))
"#;

/// A field: all, or a list of values, ranges and steps.
fn field(first: u32, last: u32) -> BoxedStrategy<String> {
    let range = (first..last).prop_flat_map(move |from| (Just(from), from + 1..=last));
    let item = prop_oneof![
        3 => (first..=last).prop_map(|value| value.to_string()),
        2 => range.clone().prop_map(|(from, to)| format!("{from}-{to}")),
        1 => (range, 1..9u32).prop_map(|((from, to), step)| format!("{from}-{to}/{step}")),
    ];
    let list = proptest::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    let step = (2..=last - first).prop_map(|step| format!("*/{step}"));
    prop_oneof![3 => Just(String::from("*")), 1 => step, 4 => list].boxed()
}

/// A field with names instead of some values.
fn named(numbers: BoxedStrategy<String>, names: &'static [&'static str]) -> BoxedStrategy<String> {
    let name = proptest::sample::select(names).prop_map(String::from);
    prop_oneof![3 => numbers, 1 => name].boxed()
}

fn days() -> BoxedStrategy<(String, String)> {
    let of_week = named(field(0, 6), &["sun", "MON", "tue-Fri", "sat,sun"]);
    let has_step = |field: &String| field.starts_with("*/");
    let both = (field(1, 31), of_week.clone()).prop_filter("a step beside a restriction", move |(month, week)| {
        !(has_step(month) && week != "*" || has_step(week) && month != "*")
    });
    prop_oneof![
        1 => field(1, 31).prop_map(|month| (month, String::from("*"))),
        1 => of_week.prop_map(|week| (String::from("*"), week)),
        2 => both,
    ]
    .boxed()
}

fn schedule() -> BoxedStrategy<(String, u64)> {
    let months = named(field(1, 12), &["jan", "feb", "Mar-MAY", "jun,dec"]);
    let seconds = prop_oneof![3 => Just(None), 1 => (0..60u32).prop_map(|second| Some(second.to_string()))];
    // From 2024 to 2030.
    (seconds, field(0, 59), field(0, 23), days(), months, 1_704_067_200..1_893_456_000u64)
        .prop_map(|(second, minute, hour, (day, day_of_week), month, after)| {
            let second = second.map(|second| second + " ").unwrap_or_default();
            (format!("{second}{minute} {hour} {day} {month} {day_of_week}"), after)
        })
        .boxed()
}

/// Schedules that run at all, with a time to begin at. The same with each run.
fn schedules() -> Vec<(String, u64)> {
    let (mut runner, strategy) = (TestRunner::deterministic(), schedule());
    let generated = std::iter::repeat_with(|| strategy.new_tree(&mut runner).unwrap().current());
    generated.filter(|(cron, after)| due_times(cron, "UTC", *after, 1).is_ok()).take(SCHEDULES).collect()
}

fn due_by_croniter(schedules: &[(String, u64)], zone: &str) -> Vec<Vec<u64>> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/croniter/bin/python");
    let mut command = Command::new(python);
    command.args(["-c", CRONITER, &TIMES.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{python}: {error}: scripts/install-python-programs croniter"));
    let mut input = String::new();
    for (cron, after) in schedules {
        writeln!(input, "{cron}\t{zone}\t{after}").unwrap();
    }
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "croniter failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(' ').map(|time| time.parse().unwrap()).collect()).collect()
}

fn in_utc_schedules_are_due_when_croniter_says() {
    let schedules = schedules();
    for ((cron, after), expected) in schedules.iter().zip(due_by_croniter(&schedules, "UTC")) {
        assert_eq!(due_times(cron, "UTC", *after, TIMES), Ok(expected), "{cron} after {after}");
    }
}

/// The noons of the years that are compared.
fn noons(zone: &str) -> Vec<u64> {
    due_times("0 12 * * *", zone, 1_704_000_000, 80 * 366).unwrap()
}

/// When it is noon, in seconds of the day in UTC; `None` within two days of a change of the clock.
fn noon_far_from_changes(noons: &[u64], time: u64) -> Option<u64> {
    let next = noons.partition_point(|noon| *noon < time);
    let around = noons.get(next.saturating_sub(2)..next + 3)?;
    around.windows(2).all(|pair| pair[1] - pair[0] == 86_400).then(|| around[0] % 86_400)
}

fn in_a_time_zone_they_are_so_on_days_without_a_change() {
    let schedules = schedules();
    for zone in ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"] {
        let (noons, mut compared) = (noons(zone), 0);
        for ((cron, after), expected) in schedules.iter().zip(due_by_croniter(&schedules, zone)) {
            // From each time to the next one, so that a change in between spoils only one comparison.
            for (from, next) in std::iter::once(*after).chain(expected.iter().copied()).zip(&expected) {
                let noon = noon_far_from_changes(&noons, from);
                if noon.is_some() && noon == noon_far_from_changes(&noons, *next) {
                    assert_eq!(due_times(cron, zone, from, 1), Ok(vec![*next]), "{cron} in {zone} after {from}");
                    compared += 1;
                }
            }
        }
        assert!(compared > SCHEDULES * TIMES / 2, "only {compared} were compared in {zone}");
    }
}
