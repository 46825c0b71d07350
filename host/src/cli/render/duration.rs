//! Owns durations in a few characters.

use std::time::Duration;

/// Returns a duration with its two largest units: `812ms`, `12s`, `3m 4s`, `2h 5m`, `3d 4h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        let shown = [812, 59_999, 60_000, 3_599_000, 7_500_000, 273_600_000]
            .map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(shown, ["812ms", "59s", "1m 0s", "59m 59s", "2h 5m", "3d 4h"]);
    }
}
