//! The section with related pages: the parents, siblings and subcommands of a command.

use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

use super::name;

/// `parents` are in order from the top.
pub(super) fn section(command: &Command, parents: &[&Command]) -> String {
    let siblings = parents.last().into_iter().flat_map(|parent| parent.get_subcommands());
    let children = command.get_subcommands();
    let own = siblings.chain(children).map(name).filter(|page| *page != name(command));
    let pages = parents.iter().map(|parent| name(parent)).chain(own).chain(parents.is_empty().then_some("psql"));
    let mut inlines = Vec::new();
    for page in pages {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend([bold(page), roman("(1)")]);
    }
    let mut roff = Roff::new();
    // Do not hyphenate names or justify the line.
    roff.control("SH", ["SEE ALSO"]).control("nh", []).control("ad", ["l"]).text(inlines);
    roff.to_roff()
}
