//! A measured value of each collector, and the target.

use lab::Generation;
use serde_json::{Value, json};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub case: &'static str,
    pub powa: String,
    pub what: String,
    pub unit: Unit,
    pub ours: f64,
    /// `None` if the Python collector cannot be measured, or need not be.
    pub python: Option<f64>,
    pub mark: Option<Mark>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Count,
    PerSecond,
    Seconds,
    Milliseconds,
    Kilobytes,
    Megabytes,
    Percent,
}

/// The target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    AtMost(f64),
    AtLeast(f64),
    /// Of what the Python collector takes in the same run.
    Share(f64),
}

impl Figure {
    pub(crate) fn new(
        case: &'static str,
        generation: &Generation,
        what: impl Into<String>,
        unit: Unit,
        ours: f64,
    ) -> Self {
        let (powa, what) = (generation.powa_version().to_owned(), what.into());
        Self { case, powa, what, unit, ours, python: None, mark: None }
    }

    pub(crate) fn against(self, python: f64) -> Self {
        Self { python: Some(python), ..self }
    }

    pub(crate) fn mark(self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// Our value divided by the Python collector's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.python.filter(|python| *python > 0.0).map(|python| self.ours / python)
    }

    /// Whether the mark is reached; nothing if there is none, or nothing to compare with.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        Some(match self.mark? {
            Mark::AtMost(most) => self.ours <= most,
            Mark::AtLeast(least) => self.ours >= least,
            Mark::Share(share) => self.ours <= share * self.python?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mark = self.mark.map(|mark| match mark {
            Mark::AtMost(most) => json!({ "at_most": most }),
            Mark::AtLeast(least) => json!({ "at_least": least }),
            Mark::Share(share) => json!({ "share": share }),
        });
        json!({
            "case": self.case, "powa": self.powa, "what": self.what, "unit": self.unit.name(),
            "ours": self.ours, "python": self.python, "ratio": self.ratio(),
            "mark": mark, "reached": self.is_reached(),
        })
    }
}

impl Unit {
    /// The unit behind a number; empty for a count.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::PerSecond => "/s",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Kilobytes => "kB",
            Self::Megabytes => "MB",
            Self::Percent => "%",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ours: f64, python: Option<f64>, mark: Option<Mark>) -> Figure {
        Figure {
            case: "case",
            powa: "5.0.2".to_owned(),
            what: "what".to_owned(),
            unit: Unit::Seconds,
            ours,
            python,
            mark,
        }
    }

    #[test]
    fn a_mark_is_reached_or_missed_if_there_is_something_to_compare() {
        let cases = [
            (1.0, None, None, None),
            (1.0, None, Some(Mark::AtMost(1.0)), Some(true)),
            (1.1, None, Some(Mark::AtMost(1.0)), Some(false)),
            (0.0, None, Some(Mark::AtMost(0.0)), Some(true)),
            (4.0, None, Some(Mark::AtLeast(4.0)), Some(true)),
            (3.9, None, Some(Mark::AtLeast(4.0)), Some(false)),
            (0.7, Some(7.0), Some(Mark::Share(0.1)), Some(true)),
            (0.8, Some(7.0), Some(Mark::Share(0.1)), Some(false)),
            (0.8, None, Some(Mark::Share(0.1)), None),
        ];
        for (ours, python, mark, reached) in cases {
            assert_eq!(figure(ours, python, mark).is_reached(), reached, "{ours} {python:?} {mark:?}");
        }
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        let cases =
            [(1.0, Some(4.0), Some(0.25)), (0.0, Some(4.0), Some(0.0)), (1.0, Some(0.0), None), (1.0, None, None)];
        for (ours, python, ratio) in cases {
            assert_eq!(figure(ours, python, None).ratio(), ratio, "{ours} {python:?}");
        }
    }

    #[test]
    fn the_json_has_the_values_of_the_table() {
        let json = figure(1.5, Some(3.0), Some(Mark::Share(0.1))).to_json();
        let whole = json!({
            "case": "case", "powa": "5.0.2", "what": "what", "unit": "s",
            "ours": 1.5, "python": 3.0, "ratio": 0.5, "mark": { "share": 0.1 }, "reached": false,
        });
        assert_eq!(json, whole);
        let json = figure(1.5, None, None).to_json();
        assert!(["python", "ratio", "mark", "reached"].iter().all(|key| json[key].is_null()), "{json}");
    }
}
