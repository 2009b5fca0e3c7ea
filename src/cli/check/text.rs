//! What was found, for people: one line for each server, and the details of those that are not well. Pure.

use std::fmt::Write;

use super::Outcome;
use crate::check::{CheckedRepository, CheckedServer, Figures, Finding, Findings, Mark};
use crate::cli::output::Screen;
use crate::cli::table::{Cell, Table, Tone};
use crate::one_line::on_one_line;

/// All of it, with a line break at its end.
pub(super) fn of(outcome: &Outcome, is_verbose: bool, screen: Screen) -> String {
    let mut table = Table::new(&["WHAT", "RESULT", "DETAILS"]).whole("RESULT");
    let mut details = String::new();
    let file = outcome.file.as_deref().unwrap_or("no file");
    table.row(vec![Cell::new("configuration"), marked(outcome.of_configuration()), Cell::new(file)]);
    if outcome.unreadable.is_none() {
        add_details(&mut details, "configuration", &outcome.configuration, is_verbose);
    }
    match &outcome.repository {
        None => {}
        Some(Ok(CheckedRepository { findings, state })) => {
            let said = said_of(findings, || format!("PostgreSQL {}, PoWA {}", short(&state.version), state.powa));
            table.row(vec![Cell::new("repository"), marked(findings.mark()), Cell::new(said)]);
            add_details(&mut details, "repository", findings, is_verbose);
        }
        Some(Err(findings)) => {
            let said = said_of(findings, String::new);
            table.row(vec![Cell::new("repository"), marked(findings.mark()), Cell::new(said)]);
            add_details(&mut details, "repository", findings, is_verbose);
        }
    }
    for server in &outcome.servers {
        let said = said_of(&server.findings, || figures(&server.figures));
        table.row(vec![Cell::new(named(server)), marked(server.findings.mark()), Cell::new(said)]);
        add_details(&mut details, &named(server), &server.findings, is_verbose);
    }
    let mut text = table.text(screen);
    text.push_str(&details);
    if let (Some(Ok(repository)), None) = (&outcome.repository, &outcome.unchecked) {
        let _ = write!(text, "\n{}", summary(&outcome.servers, outcome.is_anything_registered));
        for (name, mark) in [("configuration", outcome.of_configuration()), ("repository", repository.findings.mark())]
        {
            if mark == Mark::Wrong {
                let _ = write!(text, "; something is wrong with the {name}");
            }
        }
        text.push('\n');
        let _ = match outcome.left_out {
            0 => Ok(()),
            1 => writeln!(text, "1 server is disabled and was not looked at"),
            number => writeln!(text, "{number} servers are disabled and were not looked at"),
        };
    }
    text
}

/// What keeps something from being looked at at all: of several lines, where the configuration says so.
pub(super) fn complaints(outcome: &Outcome) -> Vec<String> {
    let repository = match &outcome.repository {
        Some(Err(_)) => Some("the repository cannot be worked with, so no server was looked at".to_owned()),
        _ => None,
    };
    outcome.unreadable.clone().into_iter().chain(repository).chain(outcome.unchecked.clone()).collect()
}

fn named(checked: &CheckedServer) -> String {
    format!("{} {}", checked.server.id, checked.server)
}

fn marked(mark: Mark) -> Cell {
    Cell::new(mark.word()).with(match mark {
        Mark::Well => Tone::Good,
        Mark::Warning => Tone::Doubtful,
        Mark::Wrong => Tone::Bad,
        Mark::NotTried => Tone::Faint,
    })
}

/// In the table, the details below tell the rest.
fn said_of(findings: &Findings, well: impl FnOnce() -> String) -> String {
    let Some(worst) = findings.worst() else { return well() };
    let alike = findings.iter().filter(|finding| finding.mark == worst.mark).count();
    match alike {
        1 => worst.what.word().to_owned(),
        number => format!("{}, and {} more", worst.what.word(), number - 1),
    }
}

/// What there is to tell of a server that is well.
pub(in crate::cli) fn figures(figures: &Figures) -> String {
    let told = [
        figures.version.as_ref().map(|version| format!("PostgreSQL {}", short(version))),
        figures.powa.as_ref().map(|version| format!("PoWA {version}")),
        figures.is_encrypted.map(|is| if is { "TLS" } else { "no TLS" }.to_owned()),
        figures.clock.map(|clock| format!("{:.1} ms", clock.round_trip.as_secs_f64() * 1000.0)),
        figures.datasources.map(|(number, rows)| format!("{number} datasources, {rows} rows")),
    ];
    told.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Without what a packager has added.
fn short(version: &str) -> &str {
    version.split_once(' ').map_or(version, |(number, _)| number)
}

/// What is not well, with its cures.
pub(in crate::cli) fn details(name: &str, findings: &Findings) -> String {
    let mut text = String::new();
    add_details(&mut text, name, findings, false);
    text
}

/// Not in a table: what is to be copied is best on a line of its own, however long.
fn add_details(text: &mut String, name: &str, findings: &Findings, is_verbose: bool) {
    if findings.worst().is_none() && !is_verbose {
        return;
    }
    let told = |finding: &&Finding| is_verbose || matches!(finding.mark, Mark::Wrong | Mark::Warning);
    let _ = writeln!(text, "\n{}:", on_one_line(name));
    let mut cures = Vec::new();
    for finding in findings.iter().filter(told) {
        let about = finding.about.as_ref().map(|about| format!("{about}: ")).unwrap_or_default();
        let said = format!("{about}{}", finding.said);
        let line = format!("  {:<9} {:<12} {said}", finding.mark.word(), finding.what.word());
        let _ = writeln!(text, "{}", line.trim_end());
        let told_before = cures.len();
        for cure in &finding.cures {
            // One cure may be that of several findings.
            if !cures.contains(&cure) {
                let _ = writeln!(text, "            {}: {}", cure.place.word(), cure.text);
                cures.push(cure);
            }
        }
        if cures.len() == told_before && !finding.cures.is_empty() {
            text.push_str("            cured as above\n");
        }
    }
}

fn summary(servers: &[CheckedServer], is_anything_registered: bool) -> String {
    let number = |mark| servers.iter().filter(|server| server.findings.mark() == mark).count();
    let (all, wrong, warned) = (servers.len(), number(Mark::Wrong), number(Mark::Warning));
    let of = |number: usize, what: &str| format!("{number} of {all} {what}");
    match (all, wrong, warned) {
        (0, ..) if !is_anything_registered => {
            "no server is registered: \"powa-collector servers add\" registers one".into()
        }
        (0, ..) => "no server is active: \"powa-collector servers list\" shows those that are registered".into(),
        (1, 0, 0) => "1 server, and all is well with it".into(),
        (_, 0, 0) => format!("{all} servers, and all is well with them"),
        (_, 0, warned) => of(warned, "servers with warnings"),
        (_, wrong, 0) => of(wrong, "servers with something wrong"),
        (_, wrong, warned) => format!("{}, {warned} with warnings", of(wrong, "servers with something wrong")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Place, What};
    use crate::postgres::{RegisteredServer, RepositoryState};

    fn server(id: i32, findings: Findings) -> CheckedServer {
        let figures = Figures {
            version: Some("17.2 (Debian 17.2-1)".into()),
            powa: Some("5.0.2".into()),
            is_encrypted: Some(true),
            datasources: Some((42, 3411)),
            ..Figures::default()
        };
        CheckedServer { server: RegisteredServer::example(id), findings, figures }
    }

    fn outcome(servers: Vec<CheckedServer>) -> Outcome {
        let file = Some("/etc/powa-collector.conf".into());
        let repository = CheckedRepository::of(RepositoryState::example());
        Outcome { file, repository: Some(Ok(repository)), servers, ..Outcome::default() }
    }

    fn well() -> Findings {
        let mut findings = Findings::default();
        findings.well(What::Login, "as the role \"powa\"");
        findings
    }

    #[test]
    fn a_fleet_that_is_well_takes_one_line_a_server() {
        let text = of(&outcome((1..=300).map(|id| server(id, well())).collect()), false, Screen::default());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 300 + 2, "{text}");
        assert_eq!(lines[3], "1 db1:5432      well    PostgreSQL 17.2, PoWA 5.0.2, TLS, 42 datasources, 3411 rows");
        assert_eq!(lines[304], "300 servers, and all is well with them");
    }

    #[test]
    fn in_the_end_it_is_not_told_that_all_is_well_if_the_configuration_is_not() {
        let mut outcome = outcome(vec![server(1, well())]);
        outcome.configuration.push(Finding::new(What::Spool, Mark::Wrong, "full"));
        let text = of(&outcome, false, Screen::default());
        let end = "\n1 server, and all is well with it; something is wrong with the configuration\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn those_that_were_not_looked_at_are_counted_in_the_end() {
        let text = |left_out| {
            let outcome = Outcome { left_out, ..outcome(vec![server(1, well())]) };
            of(&outcome, false, Screen::default())
        };
        assert!(text(0).ends_with("\n1 server, and all is well with it\n"), "{}", text(0));
        assert!(text(1).ends_with("\n1 server is disabled and was not looked at\n"), "{}", text(1));
        assert!(text(2).ends_with("\n2 servers are disabled and were not looked at\n"), "{}", text(2));
    }

    #[test]
    fn what_is_wrong_is_told_with_each_cure_once_and_all_of_it_when_asked_for() {
        let wrong = |what| Finding::new(what, Mark::Wrong, "no").cured_by(Place::Remote, "grant all");
        let mut findings = well();
        findings.extend([wrong(What::Privileges), wrong(What::Datasources).about("it")]);
        let outcome = outcome(vec![server(1, well()), server(2, findings)]);
        let text = of(&outcome, false, Screen::default());
        let details = "\n2 db2:5432     wrong   privileges, and 1 more\n\n2 db2:5432:\n  wrong     privileges   no\n            \
                       remote server: grant all;\n  wrong     datasources  it: no\n            cured as \
                       above\n\n1 of 2 servers with something wrong\n";
        assert!(text.ends_with(details), "{text}");
        let text = of(&outcome, true, Screen::default());
        assert!(text.contains("\n1 db1:5432:\n  well      login        as the role \"powa\"\n"), "{text}");
    }
}
