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
    let of_configuration = if outcome.unreadable.is_some() { Mark::Wrong } else { Mark::Well };
    table.row(vec![Cell::new("configuration"), marked(of_configuration), Cell::new(file)]);
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
    if matches!(outcome.repository, Some(Ok(_))) && outcome.unchecked.is_none() {
        let _ = write!(text, "\n{}\n", summary(&outcome.servers));
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

fn figures(figures: &Figures) -> String {
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
        for cure in &finding.cures {
            // One cure may be that of several findings.
            if !cures.contains(&cure) {
                let _ = writeln!(text, "            {}: {}", cure.place.word(), cure.text);
                cures.push(cure);
            }
        }
    }
}

fn summary(servers: &[CheckedServer]) -> String {
    let number = |mark| servers.iter().filter(|server| server.findings.mark() == mark).count();
    let (all, wrong, warned) = (servers.len(), number(Mark::Wrong), number(Mark::Warning));
    let of = |number: usize, what: &str| format!("{number} of {all} {what}");
    match (all, wrong, warned) {
        (0, ..) => "no server is active: \"powa-collector servers list\" shows those that are registered".into(),
        (1, 0, 0) => "1 server, and all is well".into(),
        (_, 0, 0) => format!("{all} servers, and all is well"),
        (_, 0, warned) => of(warned, "servers with warnings"),
        (_, wrong, 0) => of(wrong, "servers with something wrong"),
        (_, wrong, warned) => format!("{}, {warned} with warnings", of(wrong, "servers with something wrong")),
    }
}
