//! The servers that the tests of a generation run on. Each test has two, which no other test uses at the same time.

use std::sync::{Mutex, OnceLock, PoisonError};

use lab::{Cluster, Generation, Workload};

/// Databases of the remote server with tables and functions in them.
pub(super) const APPLICATIONS: [&str; 2] = ["my app", "shop"];

/// Pairs of servers at most: no more tests than that run side by side, but for pairs that tests have left unfit.
const PAIRS: usize = 256;

pub(crate) struct Bench {
    generation: Generation,
    pairs: [OnceLock<Pair>; PAIRS],
    /// The numbers of those that are there and not in use, and of the next one to be made.
    free: Mutex<(Vec<usize>, usize)>,
}

/// A repository server and a remote server.
pub(crate) struct Pair {
    pub repository: Cluster,
    pub remote: Cluster,
}

impl Bench {
    pub(crate) fn of(generation: Generation) -> Self {
        Self { generation, pairs: [const { OnceLock::new() }; PAIRS], free: Mutex::default() }
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// A pair that nobody else uses.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let number = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let (free, next) = &mut *free;
            free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            })
        };
        let pair = self.pairs[number].get_or_init(|| Pair::start(&self.generation));
        Lease { bench: self, number, pair }
    }
}

impl Pair {
    fn start(generation: &Generation) -> Self {
        // There are many servers that do little.
        let idle = ("autovacuum_naptime", "1min");
        let repository = Cluster::start_with(generation, "repository", &[idle]).expect("the repository server starts");
        // The statements of all tests, in all their databases, have to fit: one that a test follows must not be evicted.
        let room = ("pg_stat_statements.max", "20000");
        let remote = Cluster::start_with(generation, "remote", &[idle, room]).expect("the remote server starts");
        remote.create_powa_database("powa").expect("the remote server has PoWA");
        Workload::create(&remote, &APPLICATIONS).expect("the remote server has applications");
        Self { repository, remote }
    }

    /// Whoever was collecting when the test ended may be in the middle of a statement.
    fn end_sessions(&self) -> lab::Result<()> {
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()";
        self.remote.connect("postgres")?.execute(others, &[])?;
        Ok(())
    }
}

/// A pair for as long as a test runs.
pub(crate) struct Lease<'a> {
    bench: &'a Bench,
    number: usize,
    pub pair: &'a Pair,
}

impl Lease<'_> {
    pub(crate) fn generation(&self) -> &Generation {
        self.bench.generation()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // What a test has left that failed is not for others.
        if !std::thread::panicking() && self.pair.end_sessions().is_ok() {
            self.bench.free.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.number);
        }
    }
}
