//! The section about exit codes of each page. Pure.

use clap_mangen::roff::{Roff, bold, roman};

const INVALID: &str = "The command line is invalid.";

/// Of the codes from 0.
fn meanings(page: &str) -> &'static [&'static str] {
    match page {
        "powa-collector" => &[
            "The daemon was stopped, or the command succeeded.",
            "The daemon could not start, or the command failed.",
            "The command line is invalid, or the check could not run.",
        ],
        "powa-collector-check" => &[
            "All is well, or there are warnings only.",
            "Something is wrong.",
            "The check could not run: the configuration is invalid, the repository cannot be used, or the server is not \
             registered. Or the command line is invalid.",
        ],
        "powa-collector-status" => &[
            "A collector has answered, whatever the state of the servers.",
            "No collector or no repository has answered.",
            INVALID,
        ],
        "powa-collector-snapshot" => &[
            "The snapshot was requested; with --wait, it was stored completely.",
            "The snapshot was refused or failed, or there is no connection to the server; with --wait, also if a datasource is \
             missing in the stored snapshot.",
            INVALID,
        ],
        "powa-collector-wait" => &[
            "The snapshots are stored.",
            "No collector or no repository has answered, or a server is not registered or is disabled.",
            INVALID,
            "The time of --timeout has passed.",
        ],
        _ => &[
            "The command succeeded.",
            "The command failed, completely or in part; the reason is on standard error.",
            INVALID,
        ],
    }
}

/// The section of a page.
pub(super) fn section(page: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in meanings(page).iter().enumerate() {
        roff.control("TP", []).text([bold(code.to_string())]).text([roman(*meaning)]);
    }
    roff.to_roff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_with_their_own_codes_exist() {
        let root = super::super::root_command();
        let all: Vec<_> = root.get_subcommands().map(super::super::name).collect();
        let general = meanings("powa-collector-reload");
        let own: Vec<_> = all.iter().filter(|page| meanings(page) != general).copied().collect();
        assert_eq!(
            own,
            ["powa-collector-check", "powa-collector-status", "powa-collector-snapshot", "powa-collector-wait"]
        );
    }

    #[test]
    fn each_code_is_a_paragraph() {
        let section = section("powa-collector-snapshot");
        assert!(
            section.starts_with(".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\nThe snapshot was requested; with \\-\\-wait"),
            "{section}"
        );
        assert!(section.ends_with("\\fB2\\fR\nThe command line is invalid.\n"), "{section}");
    }
}
