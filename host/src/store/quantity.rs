//! Numbers and durations as programs print them, so that they can be compared.
//!
//! Pure. Knows nothing of fields.

use std::cmp::Ordering;
use std::fmt;

/// Units of durations with their length in nanoseconds; of two that begin alike the longer one first.
const UNITS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    // The micro sign and the Greek letter.
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];

/// A number or a duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Quantity {
    Whole(i128),
    Real(f64),
    /// Nanoseconds.
    Duration(f64),
}

impl Quantity {
    /// Reads `500`, `-1.5`, `1e-3`, `12ms` or `1m2.5s`; anything else is none.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Whole(whole));
        }
        match text.parse::<f64>() {
            Ok(real) => real.is_finite().then_some(Self::Real(real)),
            Err(_) => nanoseconds(digits)
                .map(|length| Self::Duration(if text.starts_with('-') { -length } else { length })),
        }
    }

    /// Returns how the two stand to each other; a duration and a number have no order.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            // Exact where it can be: identifiers may have more digits than a real number holds.
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(&other)),
            (Self::Duration(one), Self::Duration(other)) => one.partial_cmp(&other),
            (Self::Duration(_), _) | (_, Self::Duration(_)) => None,
            (one, other) => one.real().partial_cmp(&other.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) | Self::Duration(real) => real,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Real(real) | Self::Duration(real) => real.fmt(f),
        }
    }
}

/// Returns the length of `1m2.5s` in nanoseconds.
fn nanoseconds(text: &str) -> Option<f64> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let count: f64 = rest[..end].parse().ok()?;
        let (unit, length) = UNITS.into_iter().find(|(unit, _)| rest[end..].starts_with(unit))?;
        sum += count * length;
        rest = &rest[end + unit.len()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_read() {
        for (text, expected) in [
            ("500", Quantity::Whole(500)),
            ("-7", Quantity::Whole(-7)),
            ("12.5", Quantity::Real(12.5)),
            ("1e3", Quantity::Real(1000.0)),
            ("12ms", Quantity::Duration(12e6)),
            ("1m2.5s", Quantity::Duration(62.5e9)),
            ("3\u{b5}s", Quantity::Duration(3e3)),
            ("-1s", Quantity::Duration(-1e9)),
        ] {
            assert_eq!(Quantity::parse(text), Some(expected), "{text}");
        }
        for text in
            ["", "-", "x", "inf", "NaN", "-inf", "12px", "12ms3", "1.2.3", "ms", "1e999", "1,234", "0x1f"]
        {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_compared_has_no_order() {
        let order = |one, other| Quantity::parse(one).unwrap().compare(Quantity::parse(other).unwrap());
        assert_eq!(order("2", "10"), Some(Ordering::Less));
        assert_eq!(order("9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        assert_eq!(order("5", "5.0"), Some(Ordering::Equal));
        assert_eq!(order("1s", "999ms"), Some(Ordering::Greater));
        assert_eq!(order("1s", "1"), None);
    }
}
