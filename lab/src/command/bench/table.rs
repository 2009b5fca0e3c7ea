//! Prints the figures as a table.

use std::fs;
use std::path::Path;

use anyhow::Context;
use lab::Result;
use serde_json::json;

use super::figure::{Figure, Mark, Unit};
use super::machine::Machine;

const BEGIN: &str = "<!-- the table of the last run -->";
const END: &str = "<!-- end of the table -->";
const HEAD: [&str; 8] = ["case", "PoWA", "what", "ours", "Python", "ratio", "mark", ""];

/// A table that is Markdown, and can be read as it is.
pub(super) fn print(figures: &[Figure]) -> String {
    let rows: Vec<[String; 8]> = figures.iter().map(row).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let line = |cells: &[String; 8]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join(" | ");
    let mut text = line(&HEAD.map(str::to_owned)) + &format!("| {rule} |\n");
    text.extend(rows.iter().map(line));
    text
}

fn row(figure: &Figure) -> [String; 8] {
    let number = |value| spell(value, figure.unit);
    let mark = match figure.mark {
        Some(Mark::AtMost(most)) => format!("at most {}", number(most)),
        Some(Mark::AtLeast(least)) => format!("at least {}", number(least)),
        Some(Mark::Share(share)) => format!("at most {} of it", share_of(share)),
        None => String::new(),
    };
    let reached = match figure.is_reached() {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "",
    };
    [
        figure.case.to_owned(),
        figure.powa.clone(),
        figure.what.clone(),
        number(figure.ours),
        figure.python.map(number).unwrap_or_default(),
        figure.ratio().map(share_of).unwrap_or_default(),
        mark,
        reached.to_owned(),
    ]
}

fn share_of(ratio: f64) -> String {
    format!("{ratio:.2}")
}

fn spell(value: f64, unit: Unit) -> String {
    let number = match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 10.0 && value.fract() != 0.0 => format!("{value:.2}"),
        middle if middle < 100.0 && value.fract() != 0.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match unit {
        Unit::Count => number,
        Unit::PerSecond => format!("{number}{}", unit.name()),
        _ => format!("{number} {}", unit.name()),
    }
}

pub(super) fn write_json(machine: &Machine, figures: &[Figure], file: &Path) -> Result<()> {
    let figures: Vec<_> = figures.iter().map(Figure::to_json).collect();
    let content = json!({ "machine": machine.to_json(), "figures": figures });
    fs::write(file, format!("{content:#}\n")).with_context(|| format!("writing {}", file.display()))
}

/// Puts the table into a document, in place of the one before, with what it was measured on.
pub(super) fn record(machine: &Machine, figures: &[Figure], document: &Path) -> Result<()> {
    put_between_marks(&format!("{machine}\n{}", print(figures)), document)
}

fn put_between_marks(new: &str, document: &Path) -> Result<()> {
    let text = fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
    let places = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let place = || format!("{} has no place for the table: {BEGIN} and {END}", document.display());
    let (before, after) = places.with_context(place)?;
    fs::write(document, format!("{before}{BEGIN}\n{new}{END}{after}"))
        .with_context(|| format!("writing {}", document.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(what: &str, ours: f64, python: Option<f64>, mark: Option<Mark>) -> Figure {
        Figure {
            case: "case",
            powa: "5.0.2".to_owned(),
            what: what.to_owned(),
            unit: Unit::Seconds,
            ours,
            python,
            mark,
        }
    }

    #[test]
    fn a_number_has_its_significant_digits() {
        let cases = [
            (0.0, Unit::Count, "0"),
            (6.0, Unit::Count, "6"),
            (9.25, Unit::Count, "9.25"),
            (1001.0, Unit::Count, "1001"),
            (3.968, Unit::PerSecond, "3.97/s"),
            (0.0123, Unit::Seconds, "0.01 s"),
            (26.85, Unit::Seconds, "26.9 s"),
            (735.6, Unit::Milliseconds, "736 ms"),
            (23.0, Unit::Megabytes, "23 MB"),
        ];
        for (value, unit, spelt) in cases {
            assert_eq!(spell(value, unit), spelt, "{value}");
        }
    }

    #[test]
    fn columns_stand_below_each_other_and_a_mark_says_what_became_of_it() {
        let figures = [
            figure("a", 0.5, Some(5.0), Some(Mark::Share(0.1))),
            figure("which is longer", 12.0, None, Some(Mark::AtMost(1.0))),
        ];
        let table = "\
| case | PoWA  | what            | ours   | Python | ratio | mark               |         |
| ---- | ----- | --------------- | ------ | ------ | ----- | ------------------ | ------- |
| case | 5.0.2 | a               | 0.50 s | 5 s    | 0.10  | at most 0.10 of it | reached |
| case | 5.0.2 | which is longer | 12 s   |        |       | at most 1 s        | missed  |
";
        assert_eq!(print(&figures), table);
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let document = tempfile::NamedTempFile::new().unwrap();
        fs::write(&document, format!("before\n\n{BEGIN}\nold\n{END}\n\nafter\n")).unwrap();
        for what in ["new", "newer"] {
            let figures = [figure(what, 1.0, None, None)];
            put_between_marks(&print(&figures), document.path()).unwrap();
            let text = fs::read_to_string(&document).unwrap();
            assert_eq!(text, format!("before\n\n{BEGIN}\n{}{END}\n\nafter\n", print(&figures)));
        }
    }

    #[test]
    fn a_document_without_a_place_for_it_stays_as_it_is() {
        let document = tempfile::NamedTempFile::new().unwrap();
        for text in ["nothing", BEGIN, END] {
            fs::write(&document, text).unwrap();
            let error = put_between_marks("table", document.path()).unwrap_err();
            assert!(error.to_string().contains("no place for the table"), "{error}");
            assert_eq!(fs::read_to_string(&document).unwrap(), text);
        }
    }
}
