//! Judges the result of a soak test.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use lab::Result;
use postgres::fallible_iterator::FallibleIterator;

use super::collector::{GRACE, REPOSITORY_SESSIONS, Use};
use super::fixture::{DATABASE, Fixture};
use super::injection::{self, Injection};
use super::log::{LogSummary, Loud};
use crate::print::print_line;

/// The allowed growth of memory: allocators keep some, but a leak of 1 kB for each snapshot exceeds this within an hour.
const MORE_MEMORY_KB: u64 = 8 * 1024;
/// The allowed growth of descriptors, threads and tasks, for work in progress.
const MORE_DESCRIPTORS: u64 = 8;
const MORE_THREADS: u64 = 4;
const MORE_TASKS: u64 = 8;
const SKIPPED: &str = ": snapshots are skipped";
/// How many lines of evidence are printed for each question.
const EVIDENCE: usize = 20;

/// The results of all checks, in their order.
#[derive(Default)]
pub(super) struct Judgement {
    rows: Vec<Row>,
}

struct Row {
    question: &'static str,
    allowed: String,
    found: String,
    is_well: bool,
    evidence: Vec<String>,
}

impl Judgement {
    fn add(&mut self, question: &'static str, allowed: String, found: String, is_well: bool) {
        self.rows.push(Row { question, allowed, found, is_well, evidence: Vec::new() });
    }

    /// Adds a check that passes if nothing was found.
    fn none(&mut self, question: &'static str, found: Vec<String>) {
        let row = Row {
            question,
            allowed: "none".into(),
            found: if found.is_empty() { "none".into() } else { found.len().to_string() },
            is_well: found.is_empty(),
            evidence: found,
        };
        self.rows.push(row);
    }

    pub(super) fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.is_well)
    }

    pub(super) fn print(&self) {
        print_line!("\n{:<52} {:<26} {:<20}", "what", "allowed", "found");
        for row in &self.rows {
            let verdict = if row.is_well { "" } else { "NOT WELL" };
            print_line!("{:<52} {:<26} {:<20} {verdict}", row.question, row.allowed, row.found);
        }
        for row in self.rows.iter().filter(|row| !row.evidence.is_empty()) {
            print_line!("\n{}:", row.question);
            row.evidence.iter().take(EVIDENCE).for_each(|line| print_line!("    {line}"));
            if row.evidence.len() > EVIDENCE {
                print_line!("    and {} more", row.evidence.len() - EVIDENCE);
            }
        }
    }

    /// Checks that the collector's usage has not grown.
    pub(super) fn compare(&mut self, before: Use, after: Use) {
        let mb = |kb: u64| format!("{:.1} MB", Duration::from_millis(kb).as_secs_f64() / 1.024);
        let limit = before.resident_kb + MORE_MEMORY_KB;
        self.add(
            "resident memory",
            format!("{} + {}", mb(before.resident_kb), mb(MORE_MEMORY_KB)),
            mb(after.resident_kb),
            after.resident_kb <= limit,
        );
        for (question, before, more, after) in [
            ("file descriptors", before.descriptors, MORE_DESCRIPTORS, after.descriptors),
            ("threads", before.threads, MORE_THREADS, after.threads),
            ("tasks", before.tasks, MORE_TASKS, after.tasks),
        ] {
            let is_well = after > 0 && after <= before + more;
            self.add(question, format!("{before} + {more}"), after.to_string(), is_well);
        }
    }

    /// Sessions of the collector: no more than promised in the repository, and one for each database of a server.
    pub(super) fn count_sessions(&mut self, fixture: &Fixture) -> Result<()> {
        let sql = "select application_name, coalesce(state, ''), pid from pg_catalog.pg_stat_activity
                    where datname = $1 and backend_type = 'client backend' and application_name <> 'lab'";
        let sessions = fixture.repository.connect("postgres")?.query(sql, &[&DATABASE]).context("counting sessions")?;
        let number = sessions.len();
        let is_well = (1..=REPOSITORY_SESSIONS).contains(&number);
        self.add("sessions in the repository", format!("1 to {REPOSITORY_SESSIONS}"), number.to_string(), is_well);
        if let Some(row) = self.rows.last_mut().filter(|row| !row.is_well) {
            row.evidence.extend(sessions.iter().map(|session| {
                let (name, state, pid): (String, String, i32) = (session.get(0), session.get(1), session.get(2));
                format!("{pid}: {name}, {state}")
            }));
        }
        let sql = "select application_name, datname::text, count(*) from pg_catalog.pg_stat_activity
                    where application_name like 'PoWA %' group by 1, 2 having count(*) > 1";
        let mut twice = Vec::new();
        for cluster in &fixture.clusters {
            for row in cluster.connect("postgres")?.query(sql, &[]).context("counting sessions")? {
                let (name, database, number): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
                twice.push(format!("{name}: {number} sessions in {database:?}"));
            }
        }
        self.none("remote databases with two sessions for one server", twice);
        Ok(())
    }

    /// Checks that every server is running, and not overdue.
    pub(super) fn look_at_servers(&mut self, fixture: &Fixture) -> Result<()> {
        let mut silent: BTreeSet<_> = fixture.servers.iter().map(|server| server.id.to_string()).collect();
        let mut not_running = Vec::new();
        for (id, status) in statuses(fixture)? {
            silent.remove(&id);
            if status != "running" {
                not_running.push(format!("{id}: {status}"));
            }
        }
        not_running.extend(silent.into_iter().map(|id| format!("{id}: no worker")));
        self.none("servers that are not running", not_running);
        let sql = "select s.alias, (extract(epoch from clock_timestamp() - m.snapts))::float8
                     from powa_servers s join powa_snapshot_metas m on m.srvid = s.id where s.id > 0 order by s.id";
        let limit = fixture.frequencies(2).as_secs_f64();
        let mut overdue = Vec::new();
        for row in fixture.repository.connect(DATABASE)?.query(sql, &[]).context("reading powa_snapshot_metas")? {
            let (alias, age): (String, f64) = (row.get(0), row.get(1));
            if age > limit {
                overdue.push(format!("{alias}: last snapshot {age:.1} s ago"));
            }
        }
        self.none("servers without a snapshot in two frequencies", overdue);
        Ok(())
    }

    /// Checks that warnings and errors are explained by a fault, and that there are none after the consequences of the last.
    pub(super) fn explain(&mut self, log: &LogSummary, injection: &Injection<'_>, [started, warm, calm]: [Instant; 3]) {
        let Injection { journal, errors, .. } = injection;
        let at = |moment: Instant| format!("{:.1} s", moment.saturating_duration_since(started).as_secs_f64());
        let loud = log.loud.iter().filter(|loud| !is_fault_of_powa(&loud.line));
        let (early, late): (Vec<_>, Vec<_>) = loud.partition(|loud| loud.at < calm);
        let unexplained = early.into_iter().filter(|loud| !journal.explains(loud.server, (loud.at, loud.at)));
        // It means that the machine is too slow for so many servers, which is allowed until caches are warm.
        let (slow, unexplained): (Vec<_>, Vec<_>) = unexplained.partition(|loud| loud.line.contains(SKIPPED));
        let line = |loud: &Loud| format!("{}: {}", at(loud.at), loud.line);
        self.none("warnings and errors in the log without a reason", unexplained.into_iter().map(line).collect());
        let slow = slow.into_iter().filter(|loud| loud.at > warm);
        self.none("snapshots skipped without a reason", slow.map(line).collect());
        self.none("warnings and errors in the log after all was healed", late.into_iter().map(line).collect());
        let of_ours = errors.seen.iter().filter(|error| !is_fault_of_powa(&error.text));
        let unexplained = of_ours.filter(|error| !journal.explains(Some(error.server), error.between));
        let text =
            |error: &injection::Error| format!("{}: server {}: {}", at(error.between.1), error.server, error.text);
        self.none("errors in powa_snapshot_metas without a reason", unexplained.map(text).collect());
        let last = errors.last().filter(|(_, text)| !is_fault_of_powa(text));
        let last = last.map(|(server, text)| format!("server {server}: {text}"));
        self.none("errors in powa_snapshot_metas after all was healed", last.collect());
    }

    /// Checks that exactly the snapshots in the log are stored. (A snapshot that was given up while the result of its commit
    /// was unknown may be stored too, although the log reports it as lost.)
    pub(super) fn count_snapshots(&mut self, fixture: &Fixture, log: &LogSummary) -> Result<()> {
        let sql = "select m.srvid, m.coalesce_seq - 1 from powa_snapshot_metas m where m.srvid > 0 order by m.srvid";
        let mut different = Vec::new();
        let mut total = 0;
        for row in fixture.repository.connect(DATABASE)?.query(sql, &[]).context("counting snapshots")? {
            let (id, stored): (i32, i64) = (row.get(0), row.get(1));
            let number = |of: &BTreeMap<i32, i64>| of.get(&id).copied().unwrap_or(0);
            let (taken, lost) = (number(&log.taken), number(&log.lost));
            total += stored;
            if stored < taken || stored > taken + lost {
                different.push(format!("server {id}: {stored} stored, {taken} told of, {lost} told to be lost"));
            }
        }
        self.add("snapshots", "some".into(), total.to_string(), total > 0);
        self.none("servers whose snapshots are not those of the log", different);
        Ok(())
    }

    pub(super) fn look_at_the_end(&mut self, status: ExitStatus, took: Duration) {
        let is_well = status.success() && took <= GRACE;
        self.add("end after SIGTERM", format!("0, in {} s", GRACE.as_secs()), format!("{status}, {took:.1?}"), is_well);
    }
}

/// Whether the collector reports a bug of this version of PoWA, which is not a consequence of an injected fault.
fn is_fault_of_powa(text: &str) -> bool {
    text.contains("PoWA ") && text.contains(" has a fault: ")
}

/// The collector's report about its workers, which may be several answers.
fn statuses(fixture: &Fixture) -> Result<BTreeMap<String, String>> {
    let mut client = fixture.repository.connect(DATABASE)?;
    client.batch_execute("listen soak; notify powa_collector, 'WORKERS_STATUS soak'").context("asking for statuses")?;
    let mut statuses = BTreeMap::new();
    let mut answers = client.notifications();
    let mut answers = answers.timeout_iter(Duration::from_secs(5));
    while statuses.len() < fixture.servers.len() {
        let Some(answer) = answers.next().context("waiting for statuses")? else { break };
        let object = answer.payload().strip_prefix("WORKERS_STATUS OK ").unwrap_or("{}");
        statuses.extend(serde_json::from_str::<BTreeMap<String, String>>(object).context("reading statuses")?);
    }
    Ok(statuses)
}
