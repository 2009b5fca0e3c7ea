//! The columns of the table: what stands in each of a server, and which there is room for.

use std::time::{Duration, SystemTime};

use super::{Line, OFF, UNKNOWN};
use crate::cli::output::Screen;
use crate::cli::table::{Cell, GAP, Table, Tone};
use crate::cli::words;

/// A column of the table.
struct Column {
    heading: &'static str,
    /// Columns of the terminal from which on there is room for it; 0 for what is never left out for want of it.
    from: u16,
    is_figure: bool,
    cell: fn(&Line, SystemTime) -> Cell,
}

/// The first two, and the last one, may be cut.
const COLUMNS: [Column; 8] = [
    Column { heading: "SERVER", from: 0, is_figure: false, cell: |line, _| line.server() },
    Column { heading: "STATE", from: 0, is_figure: false, cell: |line, _| line.state() },
    Column { heading: "LAST", from: 0, is_figure: true, cell: |line, _| line.last() },
    Column { heading: "EVERY", from: 90, is_figure: true, cell: |line, _| line.every() },
    Column { heading: "TOOK", from: 80, is_figure: true, cell: |line, _| line.took() },
    Column { heading: "ROWS", from: 100, is_figure: true, cell: |line, _| line.rows() },
    Column { heading: "NEXT", from: 70, is_figure: true, cell: |line, now| line.next(now) },
    Column { heading: "LAST ERROR", from: 0, is_figure: false, cell: |line, _| line.error() },
];

/// An error that is cut to less than this many columns tells nothing.
const LEAST_OF_AN_ERROR: usize = 20;

/// A state or a name is not cut to less.
const LEAST_OF_A_NAME: usize = 12;

/// A line for each server. On a screen, what is too long for it is cut: the errors first.
pub(super) fn table(lines: &[Line], now: SystemTime, screen: Screen) -> String {
    let mut columns: Vec<(&Column, usize)> = COLUMNS.iter().map(|column| (column, column.width(lines, now))).collect();
    if let Some(width) = screen.width {
        columns.retain(|(column, _)| width >= column.from);
        fit(&mut columns, usize::from(width));
    }
    let headings: Vec<&'static str> = columns.iter().map(|(column, _)| column.heading).collect();
    let mut table = Table::new(&headings).one_line_each();
    for (column, _) in columns.iter().filter(|(column, _)| column.is_figure) {
        table = table.right(column.heading).whole(column.heading);
    }
    for line in lines {
        table.row(columns.iter().map(|(column, width)| (column.cell)(line, now).cut(*width)).collect());
    }
    table.text(screen)
}

/// Leaves out, and cuts, what there is no room for. The error comes last, and goes before what can be left out besides.
fn fit(columns: &mut Vec<(&Column, usize)>, screen: usize) {
    if let Some((error, width)) = columns.pop() {
        let least = width.min(LEAST_OF_AN_ERROR);
        let always: Vec<_> = columns.iter().copied().filter(|(column, _)| column.from == 0).collect();
        if needed(&always) + least <= screen {
            while needed(columns) + least > screen {
                let rarest = columns.iter().map(|(column, _)| column.from).max();
                columns.retain(|(column, _)| Some(column.from) < rarest);
            }
            columns.push((error, width.min(screen - needed(columns))));
        }
    }
    for index in [1, 0] {
        // There is no gap after the last one.
        let missing = needed(columns).saturating_sub(screen + usize::from(GAP));
        let (_, width) = &mut columns[index];
        *width = width.saturating_sub(missing).max(LEAST_OF_A_NAME.min(*width));
    }
}

/// The width of columns that another one follows.
fn needed(columns: &[(&Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + usize::from(GAP)).sum()
}

impl Column {
    /// That it takes to show all of it.
    fn width(&self, lines: &[Line], now: SystemTime) -> usize {
        let cells = lines.iter().map(|line| (self.cell)(line, now).width());
        cells.max().unwrap_or_default().max(self.heading.len())
    }
}

impl Line {
    fn server(&self) -> Cell {
        Cell::new(self.alias.as_ref().unwrap_or(&self.address))
    }

    fn state(&self) -> Cell {
        let state = match &self.phase {
            Some(phase) if self.state == "running" && phase != "idle" => phase,
            _ => &self.state,
        };
        Cell::new(state).with(match self.state.as_str() {
            "running" => Tone::Good,
            OFF => Tone::Faint,
            UNKNOWN | "stopping" => Tone::Doubtful,
            _ => Tone::Bad,
        })
    }

    fn last(&self) -> Cell {
        let tone = if self.is_overdue() { Tone::Bad } else { Tone::Plain };
        figure(self.age, |age| words::duration(Duration::from_secs_f64(age)) + " ago").with(tone)
    }

    fn every(&self) -> Cell {
        figure(self.frequency, |seconds| words::duration(Duration::from_secs(seconds)))
    }

    fn took(&self) -> Cell {
        figure(self.snapshot.as_ref(), |taken| words::milliseconds(taken.collect_ms.saturating_add(taken.load_ms)))
    }

    fn rows(&self) -> Cell {
        figure(self.snapshot.as_ref(), |taken| taken.rows.to_string())
    }

    fn next(&self, now: SystemTime) -> Cell {
        figure(self.next, |next| match next.duration_since(now) {
            Ok(left) if !left.is_zero() => format!("in {}", words::duration(left)),
            _ => "now".into(),
        })
    }

    pub(super) fn error(&self) -> Cell {
        // Of a server that is off, it is what was last written down: nothing is in the way of what nobody does.
        let tone = if self.state == OFF { Tone::Faint } else { Tone::Bad };
        self.error.as_ref().map_or_else(Cell::default, |error| Cell::new(error).with(tone))
    }
}

/// What is not known is a dash.
fn figure<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> Cell {
    value.map_or_else(|| Cell::new("-").with(Tone::Faint), |value| Cell::new(words(value)))
}
