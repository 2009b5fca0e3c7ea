//! How far is a server's clock from this machine's, and how long does an answer take?

use std::time::{Duration, Instant, SystemTime};

/// Asks a server for its time.
pub(super) const QUESTION: &str = include_str!("../../sql/clock.sql");

/// How often it is asked: the answer that was there the soonest tells the most.
const TIMES: usize = 5;

/// A server's clock, as seen from here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockReading {
    /// In seconds; below zero for one that is slow.
    pub ahead: f64,
    /// The shortest of several. The reading may be wrong by half of it.
    pub round_trip: Duration,
}

impl ClockReading {
    /// Asks some times for the seconds since 1970.
    pub(super) async fn taken<E, Answer>(mut ask: impl FnMut() -> Answer) -> Result<Self, E>
    where
        Answer: Future<Output = Result<f64, E>>,
    {
        let mut best: Option<Self> = None;
        for _ in 0..TIMES {
            let (begun, asked) = (SystemTime::now(), Instant::now());
            let there = ask().await?;
            let round_trip = asked.elapsed();
            let here = (begun + round_trip / 2).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            if best.is_none_or(|best| round_trip < best.round_trip) {
                best = Some(Self { ahead: there - here.as_secs_f64(), round_trip });
            }
        }
        Ok(best.expect("it was asked"))
    }

    /// How many seconds this clock is ahead of another one at least, whichever is ahead: zero where it cannot be told.
    pub fn surely_ahead_of(&self, other: &Self) -> f64 {
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
    async fn a_clock_is_as_far_away_as_it_says() {
        let mut asked = 0;
        let ask = || {
            asked += 1;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            ready(Ok::<_, ()>(now.as_secs_f64() - 100.0))
        };
        let reading = ClockReading::taken(ask).await.unwrap();
        assert!((reading.ahead + 100.0).abs() < 1.0, "{reading:?}");
        assert_eq!(asked, TIMES);
    }

    #[test]
    fn what_may_be_the_way_is_not_the_clock() {
        assert_eq!(reading(5.0, 1000).surely_ahead_of(&reading(2.0, 3000)), 1.0);
        assert_eq!(reading(-5.0, 1000).surely_ahead_of(&reading(0.0, 1000)), -4.0);
        assert_eq!(reading(0.3, 1000).surely_ahead_of(&reading(0.0, 0)), 0.0);
        assert_eq!(reading(f64::NAN, 0).surely_ahead_of(&reading(0.0, 0)), 0.0);
    }
}
