//! The subcommand that installs a suite.

use lab::{Result, Suite};

use crate::print::print_line;

pub(crate) fn prepare(suite: Suite) -> Result<()> {
    // On standard error: it is for whoever waits, not for whoever reads the result.
    eprintln!("preparing Debian {} (takes about a minute when it isn't there yet)", suite.name());
    let generation = lab::prepare(suite)?;
    print_line!("PoWA {} on PostgreSQL {} is ready", generation.powa_version(), generation.postgres_major());
    Ok(())
}
