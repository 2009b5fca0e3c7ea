//! The servers that all tests of a generation share.

use std::sync::OnceLock;

use lab::{Cluster, Generation, Workload};

/// Databases of the remote server with tables and functions in them.
pub const APPLICATIONS: [&str; 2] = ["my app", "shop"];

pub struct Bench {
    generation: Generation,
    clusters: OnceLock<Clusters>,
}

struct Clusters {
    repository: Cluster,
    remote: Cluster,
}

impl Bench {
    pub fn of(generation: Generation) -> Self {
        Self { generation, clusters: OnceLock::new() }
    }

    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    pub fn repository(&self) -> &Cluster {
        &self.clusters().repository
    }

    pub fn remote(&self) -> &Cluster {
        &self.clusters().remote
    }

    fn clusters(&self) -> &Clusters {
        self.clusters.get_or_init(|| {
            let repository = Cluster::start(&self.generation, "repository").expect("the repository server starts");
            // The statements of all tests, in all their databases, have to fit: one that a test follows must not be evicted.
            let room = [("pg_stat_statements.max", "20000")];
            let remote = Cluster::start_with(&self.generation, "remote", &room).expect("the remote server starts");
            remote.create_powa_database("powa").expect("the remote server has PoWA");
            Workload::create(&remote, &APPLICATIONS).expect("the remote server has applications");
            Clusters { repository, remote }
        })
    }
}
