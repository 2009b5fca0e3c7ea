//! Which failures are told of, when there are many? Whoever can cause them must fill neither a table nor a log. Pure.

use std::fmt::Display;

use crate::one_line::on_one_line;

/// As many lines are told; the rest is counted in the last of them.
const MOST: usize = 100;

/// What has failed, the first of it in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    told: Vec<String>,
    number: usize,
}

impl Failures {
    /// One more.
    pub fn add(&mut self, failure: impl Display) {
        self.number += 1;
        if self.told.len() < MOST {
            self.told.push(on_one_line(&failure.to_string()).into_owned());
        }
    }

    /// These first, then the others.
    #[must_use]
    pub fn before(mut self, others: &Self) -> Self {
        let room = MOST - self.told.len();
        self.told.extend(others.told.iter().take(room).cloned());
        self.number += others.number;
        self
    }

    /// To be told.
    pub fn lines(mut self) -> Vec<String> {
        if self.number > MOST {
            self.told.truncate(MOST - 1);
            self.told.push(format!("and {} errors more", self.number - (MOST - 1)));
        }
        self.told
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
        let told = Failures::from_iter(words(5000, "a")).lines();
        assert_eq!((told.len(), told[98].as_str(), told[99].as_str()), (100, "a 98", "and 4901 errors more"));
    }

    #[test]
    fn those_that_are_put_together_are_counted_once() {
        let told = Failures::from_iter(words(2, "refused")).before(&Failures::from_iter(words(5000, "failed"))).lines();
        assert_eq!((told.len(), told[1].as_str(), told[2].as_str()), (100, "refused 1", "failed 0"));
        assert_eq!(told[99], "and 4903 errors more");
        let told = Failures::from_iter(words(200, "refused")).before(&Failures::from_iter(words(2, "failed"))).lines();
        assert_eq!((told.len(), told[98].as_str(), told[99].as_str()), (100, "refused 98", "and 103 errors more"));
        let told = Failures::from_iter(words(60, "refused")).before(&Failures::from_iter(words(40, "failed"))).lines();
        assert_eq!((told.len(), told[99].as_str()), (100, "failed 39"));
    }

    #[test]
    fn each_is_one_line() {
        assert_eq!(Failures::from_iter(["database \"a\nb\""]).lines(), ["database \"a\\nb\""]);
    }
}
