//! Measures how the cost grows with the fleet and with the content of a server.
//!
//! Nothing is compared here: the question is whether the growth is linear. Each `Growth` is one measured quantity, and
//! one panel of the picture.

mod servers;
mod statements;

use lab::Result;

use crate::command::bench::Setting;
use crate::command::bench::figure::{Figure, Unit};
use crate::command::bench::line::Line;
use crate::command::bench::picture::{self, Panel};

/// What grows with what.
struct Growth {
    what: &'static str,
    unit: Unit,
    /// What there is more and more of, in the plural.
    of: &'static str,
    /// So many of them are told the slope of.
    each: f64,
    /// In which unit the slope is told, and how many of those the other unit is; nothing of what only has a limit.
    slope: Option<(Unit, f64)>,
    points: Vec<(f64, f64)>,
}

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let (servers, statements) = (servers::measure(setting)?, statements::measure(setting)?);
    if let Some(file) = setting.picture {
        // Side by side, as there are as many of either.
        let panels: Vec<_> =
            servers.iter().zip(&statements).flat_map(|(left, right)| [left.panel(), right.panel()]).collect();
        picture::draw(&panels, file)?;
    }
    let figures = servers.iter().chain(&statements).flat_map(|growth| growth.figures(case, setting));
    Ok(figures.collect())
}

impl Growth {
    /// All that was measured, then the line through it.
    fn figures(&self, case: &'static str, setting: &Setting<'_>) -> Vec<Figure> {
        let figure = |what, unit, value| Figure::new(case, setting.generation, what, unit, value);
        let measured = self.points.iter().map(|(x, y)| (format!("{}, {} {}", self.what, grouped(*x), self.of), *y));
        let mut figures: Vec<_> = measured.map(|(what, y)| figure(what, self.unit, y)).collect();
        if let Some((unit, times)) = self.slope {
            let line = Line::through(&self.points);
            let (x, share) = line.farthest(&self.points);
            let off = format!("{}, farthest from the line, at {} {}", self.what, grouped(x), self.of);
            figures.push(figure(format!("{}, {}", self.what, self.each_of()), unit, line.slope * self.each * times));
            figures.push(figure(off, Unit::Percent, share * 100.0));
        }
        figures
    }

    fn panel(&self) -> Panel<'_> {
        let line = self.slope.map(|_| Line::through(&self.points));
        let caption = match (line, self.slope) {
            (Some(line), Some((unit, times))) => {
                format!("{:+.2} {} {}", line.slope * self.each * times, unit.name(), self.each_of())
            }
            _ => format!("{:.0} at most", self.points.iter().map(|point| point.1).fold(0.0, f64::max)),
        };
        let title = match self.unit {
            Unit::Count => self.what.to_owned(),
            unit => format!("{} ({})", self.what, unit.name()),
        };
        Panel { title, points: &self.points, of: self.of, line, caption }
    }

    fn each_of(&self) -> String {
        match self.of.strip_suffix('s') {
            Some(one) if self.each == 1.0 => format!("for each {one}"),
            _ => format!("for each {} {}", grouped(self.each), self.of),
        }
    }
}

/// A whole number as it is read: 100,000.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(1.0, "1"), (999.0, "999"), (1_000.0, "1,000"), (25_000.0, "25,000"), (1e6, "1,000,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
