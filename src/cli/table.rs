//! A table with a line of headings. On a terminal it is not wider than the terminal: long cells wrap, or are cut. In a file or
//! a pipe, lines can have any length.

use comfy_table::{
    Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, ContentLineStyle, TableStyle, Width,
};
use console::{measure_text_width, truncate_str};

use super::output::{self, Screen};
use session::on_one_line;

/// The meaning of a cell, as a colour. The text must have the same meaning, as colours can be off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    /// Less important than the other cells.
    Faint,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
    /// Whether long cells are cut instead of wrapped.
    is_cut: bool,
}

#[derive(Debug)]
struct Heading {
    text: &'static str,
    alignment: CellAlignment,
    /// Whether the column wraps only after all others.
    keeps_width: bool,
}

/// Spaces between two columns.
pub(super) const GAP: u16 = 2;

impl Table {
    /// An empty table. Headings are in capitals.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        let heading = |text: &&'static str| Heading { text, alignment: CellAlignment::Left, keeps_width: false };
        Self { headings: headings.iter().map(heading).collect(), rows: Vec::new(), is_cut: false }
    }

    /// Aligns a column to the right, for numbers.
    #[must_use]
    pub(super) fn align_right(mut self, heading: &str) -> Self {
        self.heading(heading).alignment = CellAlignment::Right;
        self
    }

    /// Does not wrap a column: for short cells, or cells to copy.
    #[must_use]
    pub(super) fn no_wrap(mut self, heading: &str) -> Self {
        self.heading(heading).keeps_width = true;
        self
    }

    /// Cuts long cells, so that each row is one line.
    #[must_use]
    pub(super) fn single_line(mut self) -> Self {
        self.is_cut = true;
        self
    }

    fn heading(&mut self, text: &str) -> &mut Heading {
        self.headings.iter_mut().find(|heading| heading.text == text).expect("the table has this heading")
    }

    /// Adds a row, with a cell for each heading.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.headings.len(), "a cell for each heading");
        self.rows.push(cells);
    }

    /// Ends with a line break.
    pub(super) fn text(&self, screen: Screen) -> String {
        let mut table = comfy_table::Table::new();
        table.force_no_tty().load_style(
            TableStyle::new().header_lines(ContentLineStyle::none()).content_lines(ContentLineStyle::none()),
        );
        if let Some(width) = screen.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if screen.is_coloured {
            table.enforce_styling();
            table.style_text_only();
        }
        let bold = |heading: &Heading| comfy_table::Cell::new(heading.text).add_attribute(Attribute::Bold);
        let line = |mut cells: comfy_table::Row| {
            if self.is_cut {
                cells.max_height(1);
            }
            cells
        };
        table.set_header(line(self.headings.iter().map(bold).into()));
        table.add_rows(self.rows.iter().map(|row| line(row.iter().map(styled).into())));
        let last = self.headings.len().saturating_sub(1);
        let headings_fit = screen.width.is_none_or(|width| self.width_of_headings() <= usize::from(width));
        for (index, (column, heading)) in table.column_iter_mut().zip(&self.headings).enumerate() {
            column.set_padding((0, if index == last { 0 } else { GAP }));
            column.set_cell_alignment(heading.alignment);
            if heading.keeps_width {
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if headings_fit {
                // Headings wrap only if they do not fit all together.
                let least = u16::try_from(heading.text.len()).expect("a heading is short");
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least + GAP)));
            }
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }

    fn width_of_headings(&self) -> usize {
        self.headings.iter().map(|heading| heading.text.len() + usize::from(GAP)).sum()
    }

    /// Prints the table to standard output.
    ///
    /// # Errors
    /// As [`output::print`].
    pub(super) fn print(&self) -> std::io::Result<()> {
        output::print(&self.text(Screen::of_standard_output()))
    }
}

fn styled(cell: &Cell) -> comfy_table::Cell {
    let styled = comfy_table::Cell::new(&cell.text);
    match cell.tone {
        Tone::Plain => styled,
        Tone::Good => styled.fg(Color::DarkGreen),
        Tone::Warning => styled.fg(Color::DarkYellow),
        Tone::Bad => styled.fg(Color::DarkRed),
        Tone::Faint => styled.add_attribute(Attribute::Dim),
    }
}

impl Cell {
    /// Escapes control characters, as the text can come from a server.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self { text: on_one_line(text.as_ref()).into_owned(), tone: Tone::Plain }
    }

    /// In columns.
    pub(super) fn width(&self) -> usize {
        measure_text_width(&self.text)
    }

    /// Cuts the text to `width` columns, with an ellipsis at the end.
    #[must_use]
    pub(super) fn cut(self, width: usize) -> Self {
        Self { text: truncate_str(&self.text, width, "…").into_owned(), ..self }
    }

    #[must_use]
    pub(super) fn with(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "SERVER", "WHAT IS WRONG"]).align_right("ID").no_wrap("SERVER");
        table.row(vec!["1".into(), "db1:5432".into(), "".into()]);
        table.row(vec!["10".into(), "db2:5432".into(), Cell::new("connection refused by the host").with(Tone::Bad)]);
        table
    }

    #[test]
    fn lines_are_not_cut_without_a_width() {
        let expected = "ID  SERVER    WHAT IS WRONG\n 1  db1:5432\n10  db2:5432  connection refused by the host\n";
        assert_eq!(table().text(Screen::default()), expected);
    }

    #[test]
    fn it_fits_a_narrow_screen() {
        let text = table().text(Screen { width: Some(30), is_coloured: false });
        let expected = "ID  SERVER    WHAT IS WRONG\n 1  db1:5432\n10  db2:5432  connection\n              refused by the\n              host\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn headings_wrap_only_if_necessary() {
        let mut table = Table::new(&["ID", "SERVER", "WHAT IS WRONG"]);
        table.row(vec!["1".into(), "db1:5432".into(), "connection lost".into()]);
        let text = table.text(Screen { width: Some(20), is_coloured: false });
        assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
    }

    #[test]
    fn a_screen_that_is_too_narrow_for_all_is_no_panic() {
        for width in 1..30 {
            assert!(table().text(Screen { width: Some(width), is_coloured: true }).contains("1"));
        }
    }

    #[test]
    fn text_from_a_server_stays_on_its_line() {
        let mut table = Table::new(&["WHAT"]);
        table.row(vec![Cell::new("no\nway \x1b[31mhome")]);
        assert_eq!(table.text(Screen::default()), "WHAT\nno\\nway \\u{1b}[31mhome\n");
    }

    #[test]
    fn colours_can_be_off() {
        assert!(!table().text(Screen { width: Some(80), is_coloured: false }).contains('\x1b'));
        assert!(table().text(Screen { width: Some(80), is_coloured: true }).starts_with("\x1b[1mID\x1b[0m"));
    }
}
