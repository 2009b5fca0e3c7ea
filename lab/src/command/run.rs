//! The subcommand that runs servers until Ctrl-C.

use lab::{Generation, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::fleet::Fleet;
use crate::print::print_line;

pub(crate) fn run(generation: &Generation) -> Result<()> {
    let fleet = Fleet::start(generation)?;
    print_line!("PoWA {} on PostgreSQL {}:", generation.powa_version(), generation.postgres_major());
    fleet.describe();
    print_line!("Ctrl-C ends and removes them.");
    // Until here a signal ends this process at once, and the servers with it.
    Signals::new([SIGINT, SIGTERM, SIGHUP])?.forever().next();
    Ok(())
}
