//! What a process finds itself in, as far as libpq cares: `PG...` variables, the user of the operating system, folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Conninfo;

/// Read once, and passed on: nothing else asks the operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// What the variables give, by the keywords they stand for.
    pub variables: Conninfo,
    /// `PGSERVICEFILE`, `PGSYSCONFDIR`
    pub service_file: Option<PathBuf>,
    pub system_folder: PathBuf,
    /// The user's home folder, with `.pgpass`, `.pg_service.conf` and `.postgresql/`.
    pub home: Option<PathBuf>,
    /// The name of the operating system's user.
    pub user: Option<String>,
    /// The folder of sockets, if it is there.
    pub socket_folder: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        todo!()
    }
}
