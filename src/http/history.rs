//! How long snapshots took and how old they were, in the last hour: few bytes a server, and no more of them with time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use crate::server::ServerId;
use crate::worker::Account;

/// From one point to the next.
pub(super) const BETWEEN_POINTS: Duration = Duration::from_secs(30);

/// An hour of them.
const MOST_POINTS: usize = 120;

/// The points of all servers there are.
#[derive(Default)]
pub(super) struct History(BTreeMap<ServerId, VecDeque<Point>>);

#[derive(Clone, Copy)]
struct Point {
    /// Milliseconds that the last snapshot took to be collected and loaded.
    took: Option<u32>,
    /// Seconds since it was begun.
    age: Option<u32>,
}

impl Point {
    fn of(account: &Account, now: SystemTime) -> Self {
        let progress = &account.progress;
        let took = progress.report.as_ref().map(|report| report.collecting + report.loading);
        let age = progress.last.and_then(|last| now.duration_since(last).ok());
        Self { took: took.map(|took| bounded(took.as_millis())), age: age.map(|age| bounded(age.as_secs().into())) }
    }
}

fn bounded(number: u128) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

impl History {
    /// Adds a point for each server, forgets those that are not there any more, and gives what was added as a member of
    /// a JSON object a server: what it took, and the age.
    pub(super) fn add(&mut self, accounts: &BTreeMap<ServerId, Account>, now: SystemTime) -> String {
        self.0.retain(|id, _| accounts.contains_key(id));
        let mut added = String::from("{");
        for (id, account) in accounts {
            let point = Point::of(account, now);
            let points = self.0.entry(*id).or_default();
            if points.len() == MOST_POINTS {
                points.pop_front();
            }
            points.push_back(point);
            let comma = if added.len() > 1 { "," } else { "" };
            let (took, age) = (number(point.took), number(point.age));
            write!(added, "{comma}\"{id}\":[{took},{age}]").expect("a String takes everything");
        }
        added + "}"
    }

    /// All of it, as a JSON object with what they took and the ages of each server, the newest last.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (id, points) in &self.0 {
            let comma = if json.len() > 1 { "," } else { "" };
            let list = |of: fn(&Point) -> Option<u32>| -> String {
                let numbers: Vec<_> = points.iter().map(|point| number(of(point))).collect();
                numbers.join(",")
            };
            let (took, age) = (list(|point| point.took), list(|point| point.age));
            write!(json, "{comma}\"{id}\":{{\"took\":[{took}],\"age\":[{age}]}}").expect("a String takes everything");
        }
        json + "}"
    }
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "null".into(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Report;
    use crate::worker::{Progress, Status};

    fn account(milliseconds: u64, last: SystemTime) -> Account {
        let report = Report { collecting: Duration::from_millis(milliseconds), ..Report::default() };
        let progress = Progress { report: Some(Arc::new(report)), last: Some(last), ..Progress::default() };
        Account { name: "a".into(), frequency: Duration::from_secs(5), status: Status::Running, progress }
    }

    #[test]
    fn an_hour_is_kept_of_those_who_are_there() {
        let mut history = History::default();
        let [first, second] = [1, 2].map(|id| ServerId::new(id).unwrap());
        let begun = SystemTime::UNIX_EPOCH;
        history.add(&[(first, account(7, begun))].into(), begun);
        let unknown = Account { progress: Progress::default(), ..account(0, begun) };
        for seconds in 0..200 {
            let now = begun + Duration::from_secs(seconds);
            history.add(&[(second, account(seconds, begun))].into(), now);
        }
        let added = history.add(&[(second, account(9, begun)), (first, unknown)].into(), begun);
        assert_eq!(serde_json::from_str::<Value>(&added).unwrap(), json!({"1": [null, null], "2": [9, 0]}));
        let all: Value = serde_json::from_str(&history.to_json()).unwrap();
        assert_eq!(all["1"], json!({"took": [null], "age": [null]}));
        let ages = all["2"]["age"].as_array().unwrap();
        assert_eq!((ages.len(), &ages[0], &ages[119]), (MOST_POINTS, &json!(81), &json!(0)));
    }

    #[test]
    fn a_thousand_servers_cost_less_than_three_megabytes() {
        // A ring that is full has grown to the next power of two.
        assert!(1000 * MOST_POINTS.next_power_of_two() * size_of::<Point>() < 3 << 20);
    }
}
