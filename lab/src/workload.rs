//! Keeps a remote server busy, so that there is something to collect.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use postgres::Client;
use postgres_protocol::escape::escape_identifier;

use crate::cluster::Cluster;

const BETWEEN_STATEMENTS: Duration = Duration::from_millis(20);
const BETWEEN_CONNECTIONS: Duration = Duration::from_millis(500);

/// Sessions that run a mix of statements in several databases until this is dropped.
pub struct Workload {
    sessions: Vec<Session>,
}

struct Session {
    /// Nothing is ever sent: dropping it is the sign to stop.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workload {
    /// Creates `databases`, each with tables, an index and a function, and runs every kind of statement once.
    ///
    /// # Errors
    /// One of them exists, or the server refuses.
    pub fn create(cluster: &Cluster, databases: &[&str]) -> Result<()> {
        let mut server = cluster.connect("postgres")?;
        for database in databases {
            server
                .batch_execute(&format!("create database {}", escape_identifier(database)))
                .with_context(|| format!("creating the database {database:?}"))?;
            let mut client = cluster.connect(database)?;
            client
                .batch_execute(include_str!("../sql/workload.sql"))
                .with_context(|| format!("creating the workload's tables in {database:?}"))?;
            for step in 0..STATEMENT_KINDS {
                run(&mut client, step).with_context(|| format!("trying the workload in {database:?}"))?;
            }
        }
        Ok(())
    }

    /// Starts one session in each of `databases`, which [`create`](Workload::create) has made. A session that
    /// loses its server connects again.
    ///
    /// # Errors
    /// A thread can't be started.
    pub fn start(cluster: &Cluster, databases: &[&str]) -> Result<Workload> {
        let mut workload = Workload { sessions: Vec::new() };
        for database in databases {
            let config: postgres::Config = cluster.dsn(database).parse().context("reading a DSN of our own making")?;
            let (stop, stopped) = mpsc::channel();
            let thread = thread::Builder::new()
                .name(format!("workload {database}"))
                .spawn(move || {
                    let ends_within = |pause| stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                    loop {
                        // The server may be stopped for a while, and that is its own business.
                        if let Ok(client) = config.connect(postgres::NoTls) {
                            keep_busy(client, ends_within);
                        }
                        if ends_within(BETWEEN_CONNECTIONS) {
                            return;
                        }
                    }
                })
                .context("starting a workload's thread")?;
            workload.sessions.push(Session { stop: Some(stop), thread: Some(thread) });
        }
        Ok(workload)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        for session in &mut self.sessions {
            session.stop.take();
        }
        for session in &mut self.sessions {
            if let Some(thread) = session.thread.take() {
                // A session that panicked has said so on standard error.
                let _ = thread.join();
            }
        }
    }
}

fn keep_busy(mut client: Client, ends_within: impl Fn(Duration) -> bool) {
    for step in 0.. {
        if run(&mut client, step).is_err() || ends_within(BETWEEN_STATEMENTS) {
            return;
        }
    }
}

const STATEMENT_KINDS: u32 = 7;

/// Runs one statement. The last kind changes its shape as the steps go on, so that new statements keep appearing.
fn run(client: &mut Client, step: u32) -> Result<(), postgres::Error> {
    let customer = step * 37 % 500 + 1;
    let statement = match step % STATEMENT_KINDS {
        0 => format!("select name, balance from customer where id = {customer}"),
        1 => format!("select count(*) from purchase where customer_id = {customer} and amount > {}", step % 90),
        2 => format!("update customer set balance = balance + {} where id = {customer}", step % 10),
        3 => format!("insert into purchase (customer_id, amount) values ({customer}, {})", step % 100),
        4 => format!("select turnover({customer})"),
        5 => format!(
            "select c.name, sum(p.amount) from customer c join purchase p on p.customer_id = c.id \
             where c.region = '{}' group by c.name order by 2 desc limit 10",
            ["north", "east", "south", "west"][step as usize / 7 % 4]
        ),
        _ => {
            let columns = vec!["id"; step as usize / 70 % 40 + 1];
            format!("select {} from purchase where amount = {} limit 5", columns.join(", "), step % 100)
        }
    };
    client.batch_execute(&statement)
}
