//! A table for people: a line of headings, and a line for each row. On a terminal it is as wide as that at most, and cells
//! go on in the next line, or are cut; elsewhere lines are as long as they are.

use comfy_table::{
    Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, ContentLineStyle, TableStyle, Width,
};
use console::{measure_text_width, truncate_str};

use super::output::{self, Screen};
use crate::one_line::on_one_line;

/// How a cell is meant. Colours only underline what the text says: not everybody sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Doubtful,
    Bad,
    /// Of less weight than the others.
    Faint,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// Headings and rows.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
    /// Whether what does not fit is cut, and does not go on in the next line.
    is_cut: bool,
}

#[derive(Debug)]
struct Heading {
    text: &'static str,
    side: CellAlignment,
    /// Whether the cells stay on one line as long as others can be broken.
    is_whole: bool,
}

/// Between two columns.
pub(super) const GAP: u16 = 2;

impl Table {
    /// With these headings, in capitals as a habit, and no row.
    pub(super) fn new(headings: &[&'static str]) -> Self {
        let heading = |text: &&'static str| Heading { text, side: CellAlignment::Left, is_whole: false };
        Self { headings: headings.iter().map(heading).collect(), rows: Vec::new(), is_cut: false }
    }

    /// Aligns the column with that heading to the right, as numbers are.
    #[must_use]
    pub(super) fn right(mut self, heading: &str) -> Self {
        self.heading(heading).side = CellAlignment::Right;
        self
    }

    /// Never breaks the cells of the column with that heading: what is short, or what is to be copied.
    #[must_use]
    pub(super) fn whole(mut self, heading: &str) -> Self {
        self.heading(heading).is_whole = true;
        self
    }

    /// Cuts what does not fit, so that each row is one line.
    #[must_use]
    pub(super) fn one_line_each(mut self) -> Self {
        self.is_cut = true;
        self
    }

    fn heading(&mut self, text: &str) -> &mut Heading {
        self.headings.iter_mut().find(|heading| heading.text == text).expect("it is one of those it was made with")
    }

    /// Adds a row: a cell for each heading.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.headings.len(), "a cell for each heading");
        self.rows.push(cells);
    }

    /// The table as text, with a line break at its end.
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
            column.set_cell_alignment(heading.side);
            if heading.is_whole {
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if headings_fit {
                // A heading is broken only if there is no room for all of them.
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

    /// Prints it to standard output.
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
        Tone::Doubtful => styled.fg(Color::DarkYellow),
        Tone::Bad => styled.fg(Color::DarkRed),
        Tone::Faint => styled.add_attribute(Attribute::Dim),
    }
}

impl Cell {
    /// The text may be what a server has said: it is kept on its line.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self { text: on_one_line(text.as_ref()).into_owned(), tone: Tone::Plain }
    }

    /// In columns.
    pub(super) fn width(&self) -> usize {
        measure_text_width(&self.text)
    }

    /// To so many columns, with an ellipsis in place of the rest.
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
        let mut table = Table::new(&["ID", "SERVER", "WHAT IS WRONG"]).right("ID").whole("SERVER");
        table.row(vec!["1".into(), "db1:5432".into(), "".into()]);
        table.row(vec!["10".into(), "db2:5432".into(), Cell::new("nobody is there, or so it seems").with(Tone::Bad)]);
        table
    }

    #[test]
    fn lines_are_as_long_as_they_are_where_that_is_no_trouble() {
        let expected = "ID  SERVER    WHAT IS WRONG\n 1  db1:5432\n10  db2:5432  nobody is there, or so it seems\n";
        assert_eq!(table().text(Screen::default()), expected);
    }

    #[test]
    fn it_fits_a_narrow_screen() {
        let text = table().text(Screen { width: Some(30), is_coloured: false });
        let expected =
            "ID  SERVER    WHAT IS WRONG\n 1  db1:5432\n10  db2:5432  nobody is there,\n              or so it seems\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn headings_are_broken_where_nothing_else_helps() {
        let mut table = Table::new(&["ID", "SERVER", "WHAT IS WRONG"]);
        table.row(vec!["1".into(), "db1:5432".into(), "nobody is there".into()]);
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
    fn what_a_server_says_stays_on_its_line() {
        let mut table = Table::new(&["WHAT"]);
        table.row(vec![Cell::new("no\nway \x1b[31mhome")]);
        assert_eq!(table.text(Screen::default()), "WHAT\nno\\nway \\u{1b}[31mhome\n");
    }

    #[test]
    fn there_are_no_colours_unless_they_are_wanted() {
        assert!(!table().text(Screen { width: Some(80), is_coloured: false }).contains('\x1b'));
        assert!(table().text(Screen { width: Some(80), is_coloured: true }).starts_with("\x1b[1mID\x1b[0m"));
    }
}
