//! The duration and age of each server's snapshots in the last hour, for the charts of the status page. Memory is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use crate::server::ServerId;
use crate::worker::WorkerDetail;

/// Time from one point to the next.
pub(super) const POINT_INTERVAL: Duration = Duration::from_secs(30);

/// Points of an hour.
const MAX_POINTS: usize = 120;

/// The points of all current servers, the oldest first.
#[derive(Default)]
pub(super) struct History(BTreeMap<ServerId, VecDeque<Point>>);

#[derive(Clone, Copy)]
struct Point {
    /// Milliseconds to collect and load the last snapshot.
    took: Option<u32>,
    /// Seconds since the last snapshot began.
    age: Option<u32>,
}

impl Point {
    fn of(account: &WorkerDetail, now: SystemTime) -> Self {
        let progress = &account.progress;
        let took = progress.report.as_ref().map(|report| report.collecting + report.loading);
        let age = progress.last.and_then(|last| now.duration_since(last).ok());
        Self {
            took: took.map(|took| saturating(took.as_millis())),
            age: age.map(|age| saturating(age.as_secs().into())),
        }
    }
}

fn saturating(number: u128) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

impl History {
    /// Adds a point for each server, and drops servers that were removed. Returns the added points as a JSON object with a
    /// member `"ID":[TOOK,AGE]` for each server.
    pub(super) fn add(&mut self, accounts: &BTreeMap<ServerId, WorkerDetail>, now: SystemTime) -> String {
        self.0.retain(|id, _| accounts.contains_key(id));
        let mut added = String::from("{");
        for (id, account) in accounts {
            let point = Point::of(account, now);
            let points = self.0.entry(*id).or_default();
            if points.len() == MAX_POINTS {
                points.pop_front();
            }
            points.push_back(point);
            let comma = if added.len() > 1 { "," } else { "" };
            let (took, age) = (number(point.took), number(point.age));
            write!(added, "{comma}\"{id}\":[{took},{age}]").expect("writing to a String cannot fail");
        }
        added + "}"
    }

    /// All points, as a JSON object with a member `"ID":{"took":[...],"age":[...]}` for each server, the newest point last.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (id, points) in &self.0 {
            let comma = if json.len() > 1 { "," } else { "" };
            let list = |of: fn(&Point) -> Option<u32>| -> String {
                let numbers: Vec<_> = points.iter().map(|point| number(of(point))).collect();
                numbers.join(",")
            };
            let (took, age) = (list(|point| point.took), list(|point| point.age));
            write!(json, "{comma}\"{id}\":{{\"took\":[{took}],\"age\":[{age}]}}")
                .expect("writing to a String cannot fail");
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
    use crate::worker::Status;
    use crate::worker::detail::Progress;

    fn account(milliseconds: u64, last: SystemTime) -> WorkerDetail {
        let report = Report { collecting: Duration::from_millis(milliseconds), ..Report::default() };
        let progress = Progress { report: Some(Arc::new(report)), last: Some(last), ..Progress::default() };
        WorkerDetail {
            name: "a".into(),
            alias: None,
            address: "a:5432".into(),
            frequency: Duration::from_secs(5),
            timing: None,
            status: Status::Running,
            progress,
        }
    }

    #[test]
    fn an_hour_is_kept_of_those_who_are_there() {
        let mut history = History::default();
        let [first, second] = [1, 2].map(|id| ServerId::new(id).unwrap());
        let start = SystemTime::UNIX_EPOCH;
        history.add(&[(first, account(7, start))].into(), start);
        let unknown = WorkerDetail { progress: Progress::default(), ..account(0, start) };
        for seconds in 0..200 {
            let now = start + Duration::from_secs(seconds);
            history.add(&[(second, account(seconds, start))].into(), now);
        }
        let added = history.add(&[(second, account(9, start)), (first, unknown)].into(), start);
        assert_eq!(serde_json::from_str::<Value>(&added).unwrap(), json!({"1": [null, null], "2": [9, 0]}));
        let all: Value = serde_json::from_str(&history.to_json()).unwrap();
        assert_eq!(all["1"], json!({"took": [null], "age": [null]}));
        let ages = all["2"]["age"].as_array().unwrap();
        assert_eq!((ages.len(), &ages[0], &ages[119]), (MAX_POINTS, &json!(81), &json!(0)));
    }

    #[test]
    fn a_thousand_servers_cost_less_than_three_megabytes() {
        // The capacity of a full ring is the next power of two.
        assert!(1000 * MAX_POINTS.next_power_of_two() * size_of::<Point>() < 3 << 20);
    }
}
