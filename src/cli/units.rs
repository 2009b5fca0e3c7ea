//! Formats durations and sizes. Pure.

use std::time::Duration;

/// In the two largest units: `12s`, `5m 12s`, `3h 2m`, `2days 1h`.
pub(super) fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..HOUR => 1,
        HOUR..DAY => MINUTE,
        _ => HOUR,
    };
    humantime::format_duration(Duration::from_secs(seconds - seconds % unit)).to_string()
}

/// As [`duration`], but more precise below a minute.
pub(super) fn milliseconds(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds}ms"),
        1000..60_000 => format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => duration(Duration::from_millis(milliseconds)),
    }
}

/// In powers of 1024, as PostgreSQL's `pg_size_pretty()`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 10 * 1024 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        let words = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([0, 59, 3599, 3661, 90_061].map(words), ["0s", "59s", "59m 59s", "1h 1m", "1day 1h"]);
        assert_eq!([0, 999, 1999, 61_999].map(milliseconds), ["0ms", "999ms", "1.9s", "1m 1s"]);
    }

    #[test]
    fn a_size_has_two_to_five_digits() {
        assert_eq!([0, 9999, 10_240, 5 << 30].map(size), ["0 bytes", "9999 bytes", "10 kB", "5120 MB"]);
    }
}
