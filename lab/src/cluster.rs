//! Starts and stops a server of a generation.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postgres::{Client, Config, NoTls};

use crate::generation::Generation;
use crate::guard::Guard;
use crate::launcher::{self, Launcher};
use crate::log::end_of;
use crate::{port, settings};

pub(crate) const HOST: &str = "127.0.0.1";
pub(crate) const SUPERUSER: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(15);

/// A server with its own data on its own port. Dropping it stops the server and removes the data; so does the end
/// of the process, however it ends.
pub struct Cluster {
    generation: Generation,
    directory: PathBuf,
    port: u16,
    server: Mutex<Server>,
}

struct Server {
    guard: Guard,
    pid: Option<u32>,
}

/// Why a server did not come up.
enum Failure {
    PortTaken,
    Other(anyhow::Error),
}

impl Cluster {
    /// Makes a new cluster and waits until it takes connections. `name` becomes part of the directory's name.
    ///
    /// # Errors
    /// The server does not come up; the end of its log is in the message.
    pub fn start(generation: &Generation, name: &str) -> Result<Cluster> {
        Cluster::start_with(generation, name, &[])
    }

    /// Like [`start`](Cluster::start), with settings of `postgresql.conf` that override the laboratory's.
    ///
    /// # Errors
    /// As for [`start`](Cluster::start).
    pub fn start_with(generation: &Generation, name: &str, own: &[(&str, &str)]) -> Result<Cluster> {
        let copy = |_: &Launcher, data: &Path| {
            generation.seed()?.copy_to(data)?;
            configure(data, &settings::lines(own))
        };
        Cluster::make(generation, name, copy)
            .with_context(|| format!("starting the {} cluster {name:?}", generation.label()))
    }

    /// Makes a cluster that has never had PoWA, which takes longer: PoWA makes its roles, and grants to them, where it is
    /// created for the first time.
    ///
    /// # Errors
    /// As for [`start`](Cluster::start).
    pub fn start_bare(generation: &Generation, name: &str) -> Result<Cluster> {
        let create = || -> Result<Cluster> {
            let initialize = |launcher: &Launcher, data: &Path| initialize(launcher, data, generation);
            let cluster = Cluster::make(generation, name, initialize)?;
            let role = "create role password_required";
            cluster.connect("postgres")?.batch_execute(role).context("creating the role password_required")?;
            Ok(cluster)
        };
        create().with_context(|| format!("starting the bare {} cluster {name:?}", generation.label()))
    }

    /// Its data, and what removes them.
    pub(crate) fn into_data(self) -> (PathBuf, Guard) {
        let data = self.data();
        (data, self.server.into_inner().unwrap_or_else(PoisonError::into_inner).guard)
    }

    /// Makes a cluster of what `fill` puts into its data directory, and waits until it takes connections.
    pub(crate) fn make(
        generation: &Generation,
        name: &str,
        fill: impl FnOnce(&Launcher, &Path) -> Result<()>,
    ) -> Result<Cluster> {
        let launcher = Launcher::new(generation)?;
        let temporary = launcher.temporary();
        let directory = tempfile::Builder::new()
            .prefix(&format!("lab-{name}-"))
            .tempdir_in(&temporary)
            .with_context(|| format!("making a directory in {}", temporary.display()))?;
        launcher.give(directory.path())?;
        let data = directory.path().join("data");
        let log = directory.path().join("server.log");

        let mut postgres = launcher.command("postgres");
        postgres.arg("-D").arg(launcher.inside(&data));
        let guard = Guard::over(directory.path(), &log, &postgres)?;
        // From here on the directory is the guard's to remove.
        let directory = directory.keep();

        fill(&launcher, &data)?;
        let mut cluster = Cluster {
            generation: generation.clone(),
            directory,
            port: 0,
            server: Mutex::new(Server { guard, pid: None }),
        };
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    fn start_on_a_free_port(&mut self) -> Result<()> {
        for _ in 0..10 {
            self.port = port::free()?;
            match self.bring_up() {
                Ok(()) => return Ok(()),
                Err(Failure::PortTaken) => {}
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        bail!("every port that was free a moment ago was taken when PostgreSQL wanted it")
    }

    /// Starts the server again after [`stop`](Cluster::stop) or [`crash`](Cluster::crash), on the same port with
    /// the same data, and waits until it takes connections.
    ///
    /// # Errors
    /// It is running, or does not come up; the end of its log is in the message.
    pub fn start_again(&self) -> Result<()> {
        ensure!(self.pid().is_none(), "the server is running");
        match self.bring_up() {
            Ok(()) => Ok(()),
            Err(Failure::PortTaken) => bail!("port {} was taken while the server was stopped", self.port),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    /// Ends the server in good order (a fast shutdown: sessions are terminated) and keeps the data.
    ///
    /// # Errors
    /// The server's guard is gone.
    pub fn stop(&self) -> Result<()> {
        self.end("INT")
    }

    /// Ends the server as a crash would (an immediate shutdown) and keeps the data.
    ///
    /// # Errors
    /// The server's guard is gone.
    pub fn crash(&self) -> Result<()> {
        self.end("QUIT")
    }

    fn end(&self, signal: &str) -> Result<()> {
        let mut server = self.server();
        server.guard.stop(signal)?;
        server.pid = None;
        Ok(())
    }

    fn bring_up(&self) -> Result<(), Failure> {
        let already_logged = self.logged();
        let mut server = self.server();
        let pid = server.guard.start(self.port).map_err(Failure::Other)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let refused = match self.connect("postgres") {
                // With the port taken, somebody else may be the one that answers.
                Ok(_) if !has_ended(pid) => {
                    server.pid = Some(pid);
                    return Ok(());
                }
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if has_ended(pid) {
                if self.logged_since(already_logged).contains("Address already in use") {
                    return Err(Failure::PortTaken);
                }
                return Err(Failure::Other(anyhow::anyhow!("the server ended; its log:\n{}", end_of(&self.log()))));
            }
            if Instant::now() > deadline {
                // What is left of it would hold the data when the next start wants them.
                let _ = server.guard.stop("QUIT");
                let error = refused.unwrap_or_else(|| anyhow::anyhow!("no answer"));
                return Err(Failure::Other(error.context(format!(
                    "the server took no connection within {} s; its log:\n{}",
                    START_LIMIT.as_secs(),
                    end_of(&self.log()),
                ))));
            }
            std::thread::sleep(POLL);
        }
    }

    /// How much was logged so far, in bytes.
    pub fn logged(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |log| log.len())
    }

    /// What was logged since it was so much.
    pub fn logged_since(&self, length: u64) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let new = log.get(usize::try_from(length).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(new).into_owned()
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        // A thread that panicked while it held the lock has left a guard that still works.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this server is one of.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The address that the server listens on.
    pub fn host(&self) -> &str {
        HOST
    }

    /// The port that the server listens on, the same for as long as the cluster is there.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the running server, for tests that freeze it; nothing while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server().pid
    }

    /// The directory of the cluster, for files that belong to it. It is removed with the cluster, even if this process is killed.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The file that the server logs to.
    pub fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// A URI with which the superuser connects to `dbname`.
    pub fn dsn(&self, dbname: &str) -> String {
        let dbname = utf8_percent_encode(dbname, NON_ALPHANUMERIC);
        format!("postgresql://{SUPERUSER}@{HOST}:{}/{dbname}", self.port)
    }

    /// Connects the superuser to `dbname`.
    ///
    /// # Errors
    /// The server refuses, or does not answer within five seconds.
    pub fn connect(&self, dbname: &str) -> Result<Client> {
        Config::new()
            .host(HOST)
            .port(self.port)
            .user(SUPERUSER)
            .dbname(dbname)
            .application_name("lab")
            .connect_timeout(Duration::from_secs(5))
            .connect(NoTls)
            .with_context(|| format!("connecting to database {dbname:?} of the cluster on port {}", self.port))
    }
}

/// Whether the process is gone, or would be had its parent looked after it: the guard does that only later.
fn has_ended(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The state follows the program's name, which is in parentheses and may hold any character.
    status.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

fn initialize(launcher: &Launcher, data: &Path, generation: &Generation) -> Result<()> {
    let mut initdb = launcher.command("initdb");
    initdb
        .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"])
        // Small ones are copied soon.
        .arg("--wal-segsize=1")
        .args(["--username", SUPERUSER, "--pgdata"])
        .arg(launcher.inside(data));
    launcher::run(initdb, "initdb")?;
    configure(data, &settings::of_laboratory(generation.postgres_major()))?;
    fs::write(data.join("pg_hba.conf"), settings::HOST_BASED_AUTHENTICATION).context("writing pg_hba.conf")
}

/// Adds lines to `postgresql.conf`. The file is there and written to, so that it stays PostgreSQL's own.
fn configure(data: &Path, lines: &str) -> Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .context("writing postgresql.conf")
}
