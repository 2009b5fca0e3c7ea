//! A bounded list of errors: remote servers can cause any number of them, which must not fill a table or the log. Pure.

use std::fmt::Display;

use session::on_one_line;

/// Maximum number of lines; the last one counts the rest.
const MAX_LINES: usize = 100;

/// The errors, of which the first are kept as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    lines: Vec<String>,
    number: usize,
}

impl Failures {
    /// Adds an error.
    pub(crate) fn add(&mut self, failure: impl Display) {
        self.number += 1;
        if self.lines.len() < MAX_LINES {
            self.lines.push(on_one_line(&failure.to_string()).into_owned());
        }
    }

    /// These errors, followed by the others.
    #[must_use]
    pub(crate) fn before(mut self, others: &Self) -> Self {
        let room = MAX_LINES - self.lines.len();
        self.lines.extend(others.lines.iter().take(room).cloned());
        self.number += others.number;
        self
    }

    /// The lines to report.
    pub(crate) fn lines(mut self) -> Vec<String> {
        if self.number > MAX_LINES {
            self.lines.truncate(MAX_LINES - 1);
            self.lines.push(format!("and {} errors more", self.number - (MAX_LINES - 1)));
        }
        self.lines
    }
}

impl<T: Display> FromIterator<T> for Failures {
    fn from_iter<I: IntoIterator<Item = T>>(failures: I) -> Self {
        let mut all = Self::default();
        failures.into_iter().for_each(|failure| all.add(failure));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(number: usize, what: &str) -> Vec<String> {
        (0..number).map(|n| format!("{what} {n}")).collect()
    }

    #[test]
    fn many_are_counted() {
        assert_eq!(Failures::default().lines(), [""; 0]);
        assert_eq!(Failures::from_iter(words(100, "a")).lines(), words(100, "a"));
        let lines = Failures::from_iter(words(5000, "a")).lines();
        assert_eq!((lines.len(), lines[98].as_str(), lines[99].as_str()), (100, "a 98", "and 4901 errors more"));
    }

    #[test]
    fn those_that_are_put_together_are_counted_once() {
        let lines =
            Failures::from_iter(words(2, "refused")).before(&Failures::from_iter(words(5000, "failed"))).lines();
        assert_eq!((lines.len(), lines[1].as_str(), lines[2].as_str()), (100, "refused 1", "failed 0"));
        assert_eq!(lines[99], "and 4903 errors more");
        let lines = Failures::from_iter(words(200, "refused")).before(&Failures::from_iter(words(2, "failed"))).lines();
        assert_eq!((lines.len(), lines[98].as_str(), lines[99].as_str()), (100, "refused 98", "and 103 errors more"));
        let lines = Failures::from_iter(words(60, "refused")).before(&Failures::from_iter(words(40, "failed"))).lines();
        assert_eq!((lines.len(), lines[99].as_str()), (100, "failed 39"));
    }

    #[test]
    fn each_failure_is_one_line() {
        assert_eq!(Failures::from_iter(["database \"a\nb\""]).lines(), ["database \"a\\nb\""]);
    }
}
