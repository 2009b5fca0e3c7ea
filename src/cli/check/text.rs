//! The results as text: a table with one line for each server, and the details of what is not well. Pure.

use std::fmt::Write;

use super::Outcome;
use crate::check::{CheckedRepository, CheckedServer, Finding, Findings, ServerFacts, Verdict};
use crate::cli::output::Screen;
use crate::cli::table::{Cell, Table, Tone};
use session::on_one_line;

/// Ends with a line break.
pub(super) fn of(outcome: &Outcome, is_verbose: bool, screen: Screen) -> String {
    let mut table = Table::new(&["WHAT", "RESULT", "DETAILS"]).no_wrap("RESULT");
    let mut details = String::new();
    let source = match &outcome.file {
        _ if outcome.is_from_environment => "the environment",
        Some(file) => file,
        None => "no file",
    };
    table.row(vec![Cell::new("configuration"), marked(outcome.of_configuration()), Cell::new(source)]);
    if outcome.config_error.is_none() {
        add_details(&mut details, "configuration", &outcome.configuration, is_verbose);
    }
    match &outcome.repository {
        None => {}
        Some(Ok(CheckedRepository { findings, state })) => {
            let message = summary_of(findings, || format!("PostgreSQL {}, PoWA {}", short(&state.version), state.powa));
            table.row(vec![Cell::new("repository"), marked(findings.verdict()), Cell::new(message)]);
            add_details(&mut details, "repository", findings, is_verbose);
        }
        Some(Err(findings)) => {
            let message = summary_of(findings, String::new);
            table.row(vec![Cell::new("repository"), marked(findings.verdict()), Cell::new(message)]);
            add_details(&mut details, "repository", findings, is_verbose);
        }
    }
    for server in &outcome.servers {
        let message = summary_of(&server.findings, || facts(&server.facts));
        table.row(vec![Cell::new(named(server)), marked(server.findings.verdict()), Cell::new(message)]);
        add_details(&mut details, &named(server), &server.findings, is_verbose);
    }
    let mut text = table.text(screen);
    text.push_str(&details);
    if let (Some(Ok(repository)), None) = (&outcome.repository, &outcome.unchecked) {
        let _ = write!(text, "\n{}", summary(&outcome.servers, outcome.is_anything_registered));
        for (name, verdict) in
            [("configuration", outcome.of_configuration()), ("repository", repository.findings.verdict())]
        {
            if verdict == Verdict::Wrong {
                let _ = write!(text, "; something is wrong with the {name}");
            }
        }
        text.push('\n');
        let _ = match outcome.excluded {
            0 => Ok(()),
            1 => writeln!(text, "1 server is disabled and was not checked"),
            number => writeln!(text, "{number} servers are disabled and were not checked"),
        };
    }
    text
}

/// Why the check could not run. An error of the configuration can have several lines.
pub(super) fn errors(outcome: &Outcome) -> Vec<String> {
    let repository = match &outcome.repository {
        Some(Err(_)) => Some("the repository cannot be used, so no server was checked".to_owned()),
        _ => None,
    };
    outcome.config_error.clone().into_iter().chain(repository).chain(outcome.unchecked.clone()).collect()
}

fn named(checked: &CheckedServer) -> String {
    format!("{} {}", checked.server.id, checked.server)
}

fn marked(verdict: Verdict) -> Cell {
    Cell::new(verdict.word()).with(match verdict {
        Verdict::Well => Tone::Good,
        Verdict::Warning => Tone::Warning,
        Verdict::Wrong => Tone::Bad,
        Verdict::NotTried => Tone::Faint,
    })
}

/// The last column of the table: the item with the worst finding. The details below have the rest.
fn summary_of(findings: &Findings, well: impl FnOnce() -> String) -> String {
    let Some(worst) = findings.worst() else { return well() };
    let alike = findings.iter().filter(|finding| finding.verdict == worst.verdict).count();
    match alike {
        1 => worst.item.word().to_owned(),
        number => format!("{}, and {} more", worst.item.word(), number - 1),
    }
}

/// The last column for a server that is well.
pub(in crate::cli) fn facts(facts: &ServerFacts) -> String {
    let facts = [
        facts.version.as_ref().map(|version| format!("PostgreSQL {}", short(version))),
        facts.powa.as_ref().map(|version| format!("PoWA {version}")),
        facts.is_encrypted.map(|is| if is { "TLS" } else { "no TLS" }.to_owned()),
        facts.clock.map(|clock| format!("{:.1} ms", clock.round_trip.as_secs_f64() * 1000.0)),
        facts.datasources.map(|(number, rows)| format!("{number} datasources, {rows} rows")),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Without the suffix of a package.
fn short(version: &str) -> &str {
    version.split_once(' ').map_or(version, |(number, _)| number)
}

/// The warnings and errors, with their cures.
pub(in crate::cli) fn details(name: &str, findings: &Findings) -> String {
    let mut text = String::new();
    add_details(&mut text, name, findings, false);
    text
}

/// Not in a table, as long lines are easier to copy.
fn add_details(text: &mut String, name: &str, findings: &Findings, is_verbose: bool) {
    if findings.worst().is_none() && !is_verbose {
        return;
    }
    let is_shown = |finding: &&Finding| is_verbose || matches!(finding.verdict, Verdict::Wrong | Verdict::Warning);
    let _ = writeln!(text, "\n{}:", on_one_line(name));
    let mut cures = Vec::new();
    for finding in findings.iter().filter(is_shown) {
        let about = finding.about.as_ref().map(|about| format!("{about}: ")).unwrap_or_default();
        let message = format!("{about}{}", finding.message);
        let line = format!("  {:<9} {:<12} {message}", finding.verdict.word(), finding.item.word());
        let _ = writeln!(text, "{}", line.trim_end());
        let printed_before = cures.len();
        for cure in &finding.cures {
            // Several findings can have the same cure.
            if !cures.contains(&cure) {
                let _ = writeln!(text, "            {}: {}", cure.kind.word(), cure.text);
                cures.push(cure);
            }
        }
        if cures.len() == printed_before && !finding.cures.is_empty() {
            text.push_str("            see the cure above\n");
        }
    }
}

fn summary(servers: &[CheckedServer], is_anything_registered: bool) -> String {
    let number = |verdict| servers.iter().filter(|server| server.findings.verdict() == verdict).count();
    let (all, wrong, warned) = (servers.len(), number(Verdict::Wrong), number(Verdict::Warning));
    let servers = if all == 1 { "1 server".to_owned() } else { format!("{all} servers") };
    match (all, wrong, warned) {
        (0, ..) if !is_anything_registered => {
            "no server is registered; register one with \"powa-collector servers add\"".into()
        }
        (0, ..) => "no server is enabled; \"powa-collector servers list\" shows those that are registered".into(),
        (1, 0, 0) => "1 server: well".into(),
        (_, 0, 0) => format!("{servers}: all well"),
        (_, 0, warned) => format!("{servers}: {warned} with warnings"),
        (_, wrong, 0) => format!("{servers}: {wrong} wrong"),
        (_, wrong, warned) => format!("{servers}: {wrong} wrong, {warned} with warnings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckItem, CureKind};
    use crate::repository::RegisteredServer;
    use crate::repository::RepositoryState;

    fn server(id: i32, findings: Findings) -> CheckedServer {
        let facts = ServerFacts {
            version: Some("17.2 (Debian 17.2-1)".into()),
            powa: Some("5.0.2".into()),
            is_encrypted: Some(true),
            datasources: Some((42, 3411)),
            ..ServerFacts::default()
        };
        CheckedServer { server: RegisteredServer::example(id), findings, facts }
    }

    fn outcome(servers: Vec<CheckedServer>) -> Outcome {
        let file = Some("/etc/powa-collector.conf".into());
        let repository = CheckedRepository::of(RepositoryState::example());
        Outcome { file, repository: Some(Ok(repository)), servers, ..Outcome::default() }
    }

    fn well() -> Findings {
        let mut findings = Findings::default();
        findings.well(CheckItem::Login, "as the role \"powa\"");
        findings
    }

    #[test]
    fn the_first_line_names_what_is_at_fault() {
        let invalid = Outcome { repository: None, config_error: Some("no".into()), ..outcome(vec![]) };
        let first = |outcome: &Outcome| of(outcome, false, Screen::default()).lines().nth(1).map(str::to_owned);
        assert_eq!(first(&invalid).as_deref(), Some("configuration  wrong   /etc/powa-collector.conf"));
        let of_environment = Outcome { is_from_environment: true, ..invalid };
        assert_eq!(first(&of_environment).as_deref(), Some("configuration  wrong   the environment"));
    }

    #[test]
    fn a_fleet_that_is_well_takes_one_line_a_server() {
        let text = of(&outcome((1..=300).map(|id| server(id, well())).collect()), false, Screen::default());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 300 + 2, "{text}");
        assert_eq!(lines[3], "1 db1:5432      well    PostgreSQL 17.2, PoWA 5.0.2, TLS, 42 datasources, 3411 rows");
        assert_eq!(lines[304], "300 servers: all well");
    }

    #[test]
    fn the_summary_names_a_configuration_that_is_wrong() {
        let mut outcome = outcome(vec![server(1, well())]);
        outcome.configuration.push(Finding::new(CheckItem::Spool, Verdict::Wrong, "full"));
        let text = of(&outcome, false, Screen::default());
        let end = "\n1 server: well; something is wrong with the configuration\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn servers_that_were_not_checked_are_counted() {
        let text = |excluded| {
            let outcome = Outcome { excluded, ..outcome(vec![server(1, well())]) };
            of(&outcome, false, Screen::default())
        };
        assert!(text(0).ends_with("\n1 server: well\n"), "{}", text(0));
        assert!(text(1).ends_with("\n1 server is disabled and was not checked\n"), "{}", text(1));
        assert!(text(2).ends_with("\n2 servers are disabled and were not checked\n"), "{}", text(2));
    }

    #[test]
    fn each_cure_is_printed_once_and_what_is_well_only_if_verbose() {
        let wrong = |what| Finding::new(what, Verdict::Wrong, "no").cured_by(CureKind::RemoteSql, "grant all");
        let mut findings = well();
        findings.extend([wrong(CheckItem::Privileges), wrong(CheckItem::Datasources).about("it")]);
        let outcome = outcome(vec![server(1, well()), server(2, findings)]);
        let text = of(&outcome, false, Screen::default());
        let details = "\n2 db2:5432     wrong   privileges, and 1 more\n\n2 db2:5432:\n  wrong     privileges   no\n            \
                       remote server: grant all;\n  wrong     datasources  it: no\n            see the \
                       cure above\n\n2 servers: 1 wrong\n";
        assert!(text.ends_with(details), "{text}");
        let text = of(&outcome, true, Screen::default());
        assert!(text.contains("\n1 db1:5432:\n  well      login        as the role \"powa\"\n"), "{text}");
    }
}
