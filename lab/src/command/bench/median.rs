//! The median of several measurements.

/// The one in the middle; of an even number of them, the mean of the two there.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_owned();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match values.get(low..=high) {
        Some(middle) => middle.iter().sum::<f64>() / middle.len() as f64,
        None => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        let cases: [(&[f64], f64); 5] = [
            (&[4.0], 4.0),
            (&[9.0, 1.0], 5.0),
            (&[9.0, 1.0, 2.0], 2.0),
            (&[1.0, 1.0, 1.0], 1.0),
            (&[4.0, 1.0, 3.0, 2.0], 2.5),
        ];
        for (values, middle) in cases {
            assert_eq!(median(values), middle, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }
}
