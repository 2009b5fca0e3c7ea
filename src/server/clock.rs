//! Measures the offset of a server's clock, and the round-trip time.

use std::time::{Duration, Instant, SystemTime};

/// The query for a server's time.
pub(crate) const QUERY: &str = include_str!("../../sql/clock.sql");

/// Number of measurements: the one with the shortest round trip is the most accurate.
const SAMPLES: usize = 5;

/// The offset of a server's clock to the local one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClockReading {
    /// In seconds; negative if the server's clock is slow.
    pub ahead: f64,
    /// The shortest round trip. The offset may be wrong by half of it.
    pub round_trip: Duration,
}

impl ClockReading {
    /// Measures, with a query that returns the seconds since 1970.
    pub(crate) async fn taken<E, Answer>(mut ask: impl FnMut() -> Answer) -> Result<Self, E>
    where
        Answer: Future<Output = Result<f64, E>>,
    {
        let mut best: Option<Self> = None;
        for _ in 0..SAMPLES {
            let (started, asked) = (SystemTime::now(), Instant::now());
            let there = ask().await?;
            let round_trip = asked.elapsed();
            let here = (started + round_trip / 2).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            if best.is_none_or(|best| round_trip < best.round_trip) {
                best = Some(Self { ahead: there - here.as_secs_f64(), round_trip });
            }
        }
        Ok(best.expect("at least one measurement"))
    }

    /// How many seconds this clock is ahead of another at least (negative: behind); zero if within the measurement
    /// error.
    pub(crate) fn surely_ahead_of(&self, other: &Self) -> f64 {
        let ahead = self.ahead - other.ahead;
        let unsure = (self.round_trip + other.round_trip).as_secs_f64() / 2.0;
        if ahead.is_finite() { ahead.signum() * (ahead.abs() - unsure).max(0.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn reading(ahead: f64, round_trip: u64) -> ClockReading {
        ClockReading { ahead, round_trip: Duration::from_millis(round_trip) }
    }

    #[tokio::test]
    async fn the_difference_of_clocks_is_computed() {
        let mut asked = 0;
        let ask = || {
            asked += 1;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            ready(Ok::<_, ()>(now.as_secs_f64() - 100.0))
        };
        let reading = ClockReading::taken(ask).await.unwrap();
        assert!((reading.ahead + 100.0).abs() < 1.0, "{reading:?}");
        assert_eq!(asked, SAMPLES);
    }

    #[test]
    fn the_round_trip_is_not_a_difference_of_clocks() {
        assert_eq!(reading(5.0, 1000).surely_ahead_of(&reading(2.0, 3000)), 1.0);
        assert_eq!(reading(-5.0, 1000).surely_ahead_of(&reading(0.0, 1000)), -4.0);
        assert_eq!(reading(0.3, 1000).surely_ahead_of(&reading(0.0, 0)), 0.0);
        assert_eq!(reading(f64::NAN, 0).surely_ahead_of(&reading(0.0, 0)), 0.0);
    }
}
