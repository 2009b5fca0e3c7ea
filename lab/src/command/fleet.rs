//! Starts what `run` and `demo` need: a repository and the remote servers registered in it.

use std::thread;

use lab::{Cluster, Error, Generation, Registration, Result};

use crate::print::print_line;

const ALIASES: [&str; 2] = ["alpha", "beta"];
const REPOSITORY_DATABASE: &str = "powa";
const FREQUENCY: i32 = 5;

/// A repository server and remote servers, each with PoWA in its database `powa`.
pub(super) struct Fleet {
    pub repository: Cluster,
    pub remotes: Vec<Remote>,
}

pub(super) struct Remote {
    pub alias: &'static str,
    pub cluster: Cluster,
}

impl Fleet {
    /// Starts the servers side by side.
    pub(super) fn start(generation: &Generation) -> Result<Fleet> {
        let (repository, remotes) = thread::scope(|scope| {
            let repository = scope.spawn(|| start(generation, "repository"));
            let remotes = ALIASES.map(|alias| (alias, scope.spawn(move || start(generation, alias))));
            (join(repository), remotes.map(|(alias, thread)| (alias, join(thread))))
        });
        let remotes = remotes
            .into_iter()
            .map(|(alias, cluster)| Ok(Remote { alias, cluster: cluster? }))
            .collect::<Result<_>>()?;
        Ok(Fleet { repository: repository?, remotes })
    }

    /// Registers the remote servers in the repository, by alias.
    pub(super) fn register(&self) -> Result<()> {
        for remote in &self.remotes {
            let registration =
                Registration { alias: Some(remote.alias), frequency: FREQUENCY, ..Registration::of(&remote.cluster) };
            registration.register(&self.repository, REPOSITORY_DATABASE)?;
        }
        Ok(())
    }

    /// Where the repository is.
    pub(super) fn repository_dsn(&self) -> String {
        self.repository.dsn(REPOSITORY_DATABASE)
    }

    /// Prints the DSN and the log of every server.
    pub(super) fn describe(&self) {
        let remotes = self.remotes.iter().map(|remote| (remote.alias, &remote.cluster));
        for (name, cluster) in std::iter::once(("repository", &self.repository)).chain(remotes) {
            print_line!("{name:<10}  {}  (log: {})", cluster.dsn("powa"), cluster.log().display());
        }
    }
}

fn start(generation: &Generation, name: &str) -> Result<Cluster> {
    let cluster = Cluster::start(generation, name)?;
    cluster.create_powa_database("powa")?;
    Ok(cluster)
}

fn join(thread: thread::ScopedJoinHandle<'_, Result<Cluster>>) -> Result<Cluster> {
    thread.join().unwrap_or_else(|_| Err(Error::msg("the thread that started a server panicked")))
}
