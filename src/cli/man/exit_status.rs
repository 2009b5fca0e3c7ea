//! What the exit codes of each command mean, as a section of its page. Pure.

use clap_mangen::roff::{Roff, bold, roman};

const WRONG: &str = "The command line is wrong.";

/// Of 0, 1 and 2.
fn meanings(page: &str) -> [&'static str; 3] {
    match page {
        "powa-collector" => [
            "It was stopped, or a command did what it was asked to.",
            "It could not start, or a command could not do it.",
            "The command line is wrong, or check could not look at anything.",
        ],
        "powa-collector-check" => [
            "All is well, or there are warnings only.",
            "Something is wrong.",
            "It could not be looked at: the configuration is not valid, the repository cannot be worked with, or there is \
             no such server. Or the command line is wrong.",
        ],
        "powa-collector-status" => {
            ["A collector has answered, however the servers are.", "None has, or the repository has not.", WRONG]
        }
        "powa-collector-snapshot" => [
            "The snapshot was asked for; with --wait, all of it was stored.",
            "It was refused, or failed, or there is no connection to the server; with --wait, also if something is missing in \
             what was stored.",
            WRONG,
        ],
        _ => ["It did what it was asked to.", "It could not, or not all of it: standard error tells why.", WRONG],
    }
}

/// The section of a page.
pub(super) fn section(page: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in meanings(page).into_iter().enumerate() {
        roff.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    roff.to_roff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_has_codes_of_its_own_is_one() {
        let whole = super::super::whole();
        let all: Vec<_> = whole.get_subcommands().map(super::super::name).collect();
        let general = meanings("powa-collector-reload");
        let own: Vec<_> = all.iter().filter(|page| meanings(page) != general).copied().collect();
        assert_eq!(own, ["powa-collector-check", "powa-collector-status", "powa-collector-snapshot"]);
    }

    #[test]
    fn each_code_is_a_paragraph() {
        let section = section("powa-collector-snapshot");
        assert!(
            section.starts_with(".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\nThe snapshot was asked for; with \\-\\-wait"),
            "{section}"
        );
        assert!(section.ends_with("\\fB2\\fR\nThe command line is wrong.\n"), "{section}");
    }
}
