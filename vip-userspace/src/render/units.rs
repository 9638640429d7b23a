//! Figures that fit into a column: three digits and a unit.

/// SI prefixes above one.
const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// A count: `999`, `12.3k`.
pub(super) fn number(count: u64) -> String {
    let (digits, prefix) = scale(count);
    format!("{digits}{prefix}")
}

/// A number of bytes, in powers of ten: `999 B`, `12.3 kB`.
pub(super) fn bytes(count: u64) -> String {
    let (digits, prefix) = scale(count);
    format!("{digits} {prefix}B")
}

/// A part of one: `25.0%`.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

/// A time in its two largest units: `59s`, `1m 5s`, `2d 3h`.
pub(super) fn time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Three digits, rounded to the nearest, and the prefix that they count.
fn scale(count: u64) -> (String, &'static str) {
    if count < 1000 {
        return (count.to_string(), "");
    }
    let mut power = usize::try_from(count.ilog10() / 3).unwrap_or_default();
    // A count of the rounding's last digit, so that no float rounds twice: 999,950 is 1.00M, not 1000k.
    loop {
        let unit = 1000_u128.pow(u32::try_from(power).unwrap_or_default());
        for decimals in (0..=2).rev() {
            let fraction = 10_u128.pow(decimals);
            let rounded = (u128::from(count) * fraction + unit / 2) / unit;
            if rounded < 1000 {
                let (whole, rest) = (rounded / fraction, rounded % fraction);
                let digits = match decimals {
                    0 => whole.to_string(),
                    decimals => format!("{whole}.{rest:0width$}", width = decimals as usize),
                };
                return (digits, PREFIXES[power]);
            }
        }
        power += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits_and_round_to_the_nearest() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (12_345, "12.3k"),
            (99_949, "99.9k"),
            (99_951, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (1_234_567_890, "1.23G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(number(count), text, "{count}");
        }
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_500_000), "1.50 MB");
    }

    #[test]
    fn times_have_their_two_largest_units() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (65, "1m 5s"), (3720, "1h 2m"), (183_600, "2d 3h")] {
            assert_eq!(time(seconds), text);
        }
    }
}
