//! The columns of the table, and which of them fit on a screen.

use std::time::{Duration, SystemTime};

use super::{OFF, PAUSED, ServerLine, UNKNOWN};
use crate::cli::output::Screen;
use crate::cli::table::{Cell, GAP, Table, Tone};
use crate::cli::units;

/// A column of the table.
struct Column {
    heading: &'static str,
    /// The width of the terminal from which on the column is shown. 0 for columns that are always shown.
    min_screen: u16,
    is_number: bool,
    cell: fn(&ServerLine, SystemTime) -> Cell,
}

/// The first two and the last one can be cut.
const COLUMNS: [Column; 8] = [
    Column { heading: "SERVER", min_screen: 0, is_number: false, cell: |line, _| line.server() },
    Column { heading: "STATE", min_screen: 0, is_number: false, cell: |line, _| line.state() },
    Column { heading: "LAST", min_screen: 0, is_number: true, cell: |line, _| line.last() },
    Column { heading: "EVERY", min_screen: 90, is_number: true, cell: |line, _| line.every() },
    Column { heading: "TOOK", min_screen: 80, is_number: true, cell: |line, _| line.took() },
    Column { heading: "ROWS", min_screen: 100, is_number: true, cell: |line, _| line.rows() },
    Column { heading: "NEXT", min_screen: 70, is_number: true, cell: |line, now| line.next(now) },
    Column { heading: "LAST ERROR", min_screen: 0, is_number: false, cell: |line, _| line.error() },
];

/// In columns. A shorter error says nothing.
const MIN_ERROR_WIDTH: usize = 20;

/// Of names and states, in columns.
const MIN_NAME_WIDTH: usize = 12;

/// One line for each server. On a screen, long cells are cut: the errors first.
pub(super) fn table(lines: &[ServerLine], now: SystemTime, screen: Screen) -> String {
    let mut columns: Vec<(&Column, usize)> = COLUMNS.iter().map(|column| (column, column.width(lines, now))).collect();
    if let Some(width) = screen.width {
        columns.retain(|(column, _)| width >= column.min_screen);
        fit(&mut columns, usize::from(width));
    }
    let headings: Vec<&'static str> = columns.iter().map(|(column, _)| column.heading).collect();
    let mut table = Table::new(&headings).single_line();
    for (column, _) in columns.iter().filter(|(column, _)| column.is_number) {
        table = table.align_right(column.heading).no_wrap(column.heading);
    }
    for line in lines {
        table.row(columns.iter().map(|(column, width)| (column.cell)(line, now).cut(*width)).collect());
    }
    table.text(screen)
}

/// Drops optional columns and cuts cells until the table fits. The error has precedence over optional columns.
fn fit(columns: &mut Vec<(&Column, usize)>, screen: usize) {
    if let Some((error, width)) = columns.pop() {
        let least = width.min(MIN_ERROR_WIDTH);
        let always: Vec<_> = columns.iter().copied().filter(|(column, _)| column.min_screen == 0).collect();
        if needed(&always) + least <= screen {
            while needed(columns) + least > screen {
                let widest = columns.iter().map(|(column, _)| column.min_screen).max();
                columns.retain(|(column, _)| Some(column.min_screen) < widest);
            }
            columns.push((error, width.min(screen - needed(columns))));
        }
    }
    for index in [1, 0] {
        // There is no gap after the last column.
        let missing = needed(columns).saturating_sub(screen + usize::from(GAP));
        let (_, width) = &mut columns[index];
        *width = width.saturating_sub(missing).max(MIN_NAME_WIDTH.min(*width));
    }
}

/// The width of columns, each with a gap.
fn needed(columns: &[(&Column, usize)]) -> usize {
    columns.iter().map(|(_, width)| width + usize::from(GAP)).sum()
}

impl Column {
    /// The width without any cut.
    fn width(&self, lines: &[ServerLine], now: SystemTime) -> usize {
        let cells = lines.iter().map(|line| (self.cell)(line, now).width());
        cells.max().unwrap_or_default().max(self.heading.len())
    }
}

impl ServerLine {
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
            OFF | PAUSED => Tone::Faint,
            UNKNOWN | "stopping" => Tone::Warning,
            _ => Tone::Bad,
        })
    }

    fn last(&self) -> Cell {
        let tone = if self.is_overdue { Tone::Bad } else { Tone::Plain };
        value_or_dash(self.age, |age| units::duration(Duration::from_secs_f64(age)) + " ago").with(tone)
    }

    fn every(&self) -> Cell {
        match &self.schedule {
            Some(schedule) => Cell::new(schedule),
            None => value_or_dash(self.frequency, |seconds| units::duration(Duration::from_secs(seconds))),
        }
    }

    fn took(&self) -> Cell {
        value_or_dash(self.snapshot.as_ref(), |taken| {
            units::milliseconds(taken.collect_ms.saturating_add(taken.load_ms))
        })
    }

    fn rows(&self) -> Cell {
        value_or_dash(self.snapshot.as_ref(), |taken| taken.rows.to_string())
    }

    fn next(&self, now: SystemTime) -> Cell {
        value_or_dash(self.next, |next| match next.duration_since(now) {
            Ok(left) if !left.is_zero() => format!("in {}", units::duration(left)),
            _ => "now".into(),
        })
    }

    pub(super) fn error(&self) -> Cell {
        // The error of a disabled server is an old one.
        let tone = if self.state == OFF || self.state == PAUSED { Tone::Faint } else { Tone::Bad };
        self.error
            .as_ref()
            .or(self.invalid_schedule.as_ref())
            .map_or_else(Cell::default, |error| Cell::new(error).with(tone))
    }
}

fn value_or_dash<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> Cell {
    value.map_or_else(|| Cell::new("-").with(Tone::Faint), |value| Cell::new(format(value)))
}
