//! Fits a line to measured points, and tells whether the growth is linear.

/// The straight line that is nearest to some points (least squares).
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub slope: f64,
    pub begin: f64,
}

impl Line {
    /// # Panics
    /// There are fewer than two points.
    pub(super) fn through(points: &[(f64, f64)]) -> Line {
        assert!(points.len() > 1, "a line goes through two points");
        let number = points.len() as f64;
        let middle = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / number;
        let (x, y) = (middle(|point| point.0), middle(|point| point.1));
        let (mut with, mut alone) = (0.0, 0.0);
        for point in points {
            with += (point.0 - x) * (point.1 - y);
            alone += (point.0 - x).powi(2);
        }
        let slope = if alone > 0.0 { with / alone } else { 0.0 };
        Line { slope, begin: y - slope * x }
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        self.begin + self.slope * x
    }

    /// The point that is farthest from it: where that is, and how far, as a share of all that the points rise or fall.
    pub(super) fn farthest(&self, points: &[(f64, f64)]) -> (f64, f64) {
        let off = |point: &(f64, f64)| (point.1 - self.at(point.0)).abs();
        let (x, far) =
            points.iter().map(|point| (point.0, off(point))).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0.0, 0.0));
        let values = || points.iter().map(|point| point.1);
        let range = values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min);
        (x, if range > 0.0 { far / range } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_the_points_that_are_on_it() {
        let line = Line::through(&[(1.0, 5.0), (2.0, 7.0), (10.0, 23.0)]);
        assert!((line.slope - 2.0).abs() < 1e-9 && (line.begin - 3.0).abs() < 1e-9, "{line:?}");
        assert!(line.farthest(&[(1.0, 5.0), (10.0, 23.0)]).1 < 1e-9);
    }

    #[test]
    fn points_off_the_line_are_detected() {
        let points = [(0.0, 0.0), (1.0, 1.0), (2.0, 5.0), (3.0, 3.0), (4.0, 4.0)];
        let (x, share) = Line::through(&points).farthest(&points);
        assert_eq!(x, 2.0);
        assert!((share - 0.48).abs() < 1e-9, "{share}");
    }

    #[test]
    fn constant_values_have_no_slope() {
        let points = [(1.0, 6.0), (100.0, 6.0)];
        let line = Line::through(&points);
        assert_eq!((line.slope, line.begin, line.farthest(&points).1), (0.0, 6.0, 0.0));
    }
}
