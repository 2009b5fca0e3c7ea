//! The subcommand that lists the generations this machine can run.

use lab::{Generation, Result};

use crate::print::print_line;

pub(crate) fn list() -> Result<()> {
    let generations = Generation::available()?;
    if generations.is_empty() {
        print_line!("none: install PoWA's packages, or have a suite prepared with `lab prepare trixie`");
    }
    for generation in generations {
        print_line!(
            "PoWA {:<7} PostgreSQL {:<3} {}",
            generation.powa_version(),
            generation.postgres_major(),
            generation.root().map_or_else(|| "installed".to_owned(), |root| root.display().to_string()),
        );
    }
    Ok(())
}
