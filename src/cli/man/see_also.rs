//! Which pages a page refers to: those above it, beside it and below it.

use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

use super::name;

/// The section of a page, whose parents come in the order from the top.
pub(super) fn section(command: &Command, parents: &[&Command]) -> String {
    let beside = parents.last().into_iter().flat_map(|parent| parent.get_subcommands());
    let below = command.get_subcommands();
    let own = beside.chain(below).map(name).filter(|page| *page != name(command));
    // What a PostgreSQL administrator has at hand.
    let pages = parents.iter().map(|parent| name(parent)).chain(own).chain(parents.is_empty().then_some("psql"));
    let mut inlines = Vec::new();
    for page in pages {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend([bold(page), roman("(1)")]);
    }
    let mut roff = Roff::new();
    // Names are not to be broken, nor spread over the line.
    roff.control("SH", ["SEE ALSO"]).control("nh", []).control("ad", ["l"]).text(inlines);
    roff.to_roff()
}
