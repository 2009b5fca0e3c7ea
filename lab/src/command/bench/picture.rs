//! Draws the measured growth as SVG.
//!
//! One panel for each quantity, in two columns, narrow enough for a phone; with a background, as the page may be dark.

use std::fs;
use std::path::Path;

use anyhow::Context;
use lab::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::line::Line;

const COLUMNS: usize = 2;
/// Of a panel.
const SIZE: (u32, u32) = (290, 235);
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(225, 228, 232);
const MEASURED: RGBColor = RGBColor(9, 105, 218);
const STRAIGHT: RGBColor = RGBColor(188, 76, 0);

/// One of the small pictures.
pub(super) struct Panel<'a> {
    /// The quantity and its unit.
    pub title: String,
    pub points: &'a [(f64, f64)],
    /// The horizontal axis.
    pub of: &'a str,
    /// The line through the points, if they lie on one.
    pub line: Option<Line>,
    /// Describes the line.
    pub caption: String,
}

pub(super) fn draw(panels: &[Panel<'_>], file: &Path) -> Result<()> {
    let rows = panels.len().div_ceil(COLUMNS);
    let (columns, all_rows) = (u32::try_from(COLUMNS)?, u32::try_from(rows)?);
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, (SIZE.0 * columns, SIZE.1 * all_rows)).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(Error::from).and_then(|()| {
            let places = area.split_evenly((rows, COLUMNS));
            panels.iter().zip(places).try_for_each(|(panel, place)| panel.draw(&place))
        });
        drawn.and_then(|()| area.present().map_err(Error::from)).context("drawing a picture")?;
    }
    fs::write(file, picture).with_context(|| format!("writing {}", file.display()))
}

impl Panel<'_> {
    fn draw(&self, place: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let style = |size: i32, color: &RGBColor| (FONT, size).into_font().color(color);
        place.draw_text(&self.title, &style(19, &INK), (14, 10))?;
        place.draw_text(&self.caption, &style(16, &STRAIGHT), (14, 32))?;
        let most = |of: fn(&(f64, f64)) -> f64| self.points.iter().map(of).fold(0.0, f64::max);
        let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.15);
        let mut chart = ChartBuilder::on(place)
            .margin_top(54)
            .margin_right(20)
            .margin_left(6)
            .margin_bottom(6)
            .x_label_area_size(40)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..right * 1.02, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(FAINT)
            .x_labels(5)
            .y_labels(5)
            .x_desc(self.of)
            .axis_desc_style(style(16, &FAINT))
            .label_style(style(16, &FAINT))
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        if let Some(line) = self.line {
            let ends = [0.0, right].map(|x| (x, line.at(x).max(0.0)));
            chart.draw_series(LineSeries::new(ends, STRAIGHT.stroke_width(2)))?;
        }
        chart.draw_series(self.points.iter().map(|point| Circle::new(*point, 4, MEASURED.filled())))?;
        Ok(())
    }
}

/// A number at an axis: 100k, 0.5.
fn short(number: f64) -> String {
    match number {
        thousands if thousands >= 10_000.0 => format!("{:.0}k", thousands / 1_000.0),
        whole if whole >= 10.0 || whole.fract() == 0.0 => format!("{whole:.0}"),
        part => format!("{part:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_an_axis_are_short() {
        for (number, text) in [(0.0, "0"), (0.5, "0.5"), (5.0, "5"), (25.0, "25"), (1_000.0, "1000"), (20_000.0, "20k")]
        {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn a_picture_has_each_panel_and_each_point() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("growth.svg");
        let points = [(1.0, 10.0), (500.0, 12.0), (1_000.0, 14.0)];
        let panel = |title: &str| Panel {
            title: title.to_owned(),
            points: &points,
            of: "servers",
            line: Some(Line::through(&points)),
            caption: "+4 kB for each server".to_owned(),
        };
        draw(&[panel("memory (MB)"), panel("CPU (ms)"), panel("connections")], &file).unwrap();
        let picture = fs::read_to_string(file).unwrap();
        for (part, times) in [("memory (MB)", 1), ("+4 kB for each server", 3), ("<circle", 9), ("servers\n", 3)] {
            assert_eq!(picture.matches(part).count(), times, "{part}: {picture}");
        }
    }
}
