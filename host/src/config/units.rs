//! Owns how durations, ranges of durations and byte sizes are written: `30s`, `1m30s`, `200ms..30s`, `512MB`.
//!
//! Pure text to numbers; the caller knows which key the text belongs to and where it stands.

use std::time::Duration;

/// Longest duration a key takes: longer ones are slips, and sums with them could overflow a clock.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Units of time from the largest to the smallest, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes; decimal and binary prefixes mean what they say.
const SIZE_UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("kiB", 1 << 10),
];

/// Why a text is not a duration, a range or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("it is empty")]
    Empty,
    #[error("a number is expected at `{0}`")]
    NoNumber(String),
    #[error("a unit is missing after `{0}`")]
    NoUnit(String),
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    #[error("units go from large to small, each once")]
    Order,
    #[error("it is too large")]
    TooLarge,
    #[error("its start is above its end")]
    Backwards,
}

/// Reads a duration such as `200ms`, `30s`, `1m30s` or `2h`, at most 366 days.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::Empty);
    }
    let mut total = 0u64;
    let mut units_left = TIME_UNITS.as_slice();
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest)?;
        let Some(index) = units_left.iter().position(|(name, _)| *name == unit) else {
            let known = TIME_UNITS.iter().any(|(name, _)| *name == unit);
            return Err(if known { UnitError::Order } else { UnitError::UnknownUnit(unit.to_owned()) });
        };
        let milliseconds = number.checked_mul(units_left[index].1).ok_or(UnitError::TooLarge)?;
        total = total.checked_add(milliseconds).ok_or(UnitError::TooLarge)?;
        units_left = &units_left[index + 1..];
        rest = after;
    }
    let duration = Duration::from_millis(total);
    if duration > LONGEST { Err(UnitError::TooLarge) } else { Ok(duration) }
}

/// Reads `200ms..30s` as its two ends; a single duration is both.
pub fn parse_duration_range(text: &str) -> Result<(Duration, Duration), UnitError> {
    let Some((from, to)) = text.split_once("..") else {
        return parse_duration(text).map(|both| (both, both));
    };
    let (from, to) = (parse_duration(from)?, parse_duration(to)?);
    if from > to { Err(UnitError::Backwards) } else { Ok((from, to)) }
}

/// Reads a size such as `1GiB` or `512MB` in bytes; a number without a unit is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| UnitError::TooLarge);
    }
    let (number, unit, rest) = number_and_unit(text)?;
    if !rest.is_empty() {
        return Err(UnitError::UnknownUnit(format!("{unit}{rest}")));
    }
    let (_, bytes) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| UnitError::UnknownUnit(unit.to_owned()))?;
    number.checked_mul(*bytes).ok_or(UnitError::TooLarge)
}

/// Splits `90s…` into 90, `s` and what follows.
fn number_and_unit(text: &str) -> Result<(u64, &str, &str), UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber(text.to_owned()));
    }
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    if unit.is_empty() {
        return Err(UnitError::NoUnit(number.to_string()));
    }
    Ok((number, unit, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("200ms"), Ok(200));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1h 30m"), Ok(5_400_000));
        assert_eq!(millis("2 h"), Ok(7_200_000));
        assert_eq!(millis("0s"), Ok(0));
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_reason() {
        assert_eq!(parse_duration(""), Err(UnitError::Empty));
        assert_eq!(parse_duration("10"), Err(UnitError::NoUnit("10".into())));
        assert_eq!(parse_duration("10 sec"), Err(UnitError::UnknownUnit("sec".into())));
        assert_eq!(parse_duration("s"), Err(UnitError::NoNumber("s".into())));
        assert_eq!(parse_duration("-1s"), Err(UnitError::NoNumber("-1s".into())));
        assert_eq!(parse_duration("30s1m"), Err(UnitError::Order));
        assert_eq!(parse_duration("99999999999999999999s"), Err(UnitError::TooLarge));
        assert_eq!(parse_duration("400d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn ranges_have_two_ends_in_order() {
        let seconds = Duration::from_secs;
        assert_eq!(parse_duration_range("1s..30s"), Ok((seconds(1), seconds(30))));
        assert_eq!(parse_duration_range("5s"), Ok((seconds(5), seconds(5))));
        assert_eq!(parse_duration_range("30s..1s"), Err(UnitError::Backwards));
        assert_eq!(parse_duration_range("1s.."), Err(UnitError::Empty));
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("512MB"), Ok(512_000_000));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("1 KiB"), Ok(1024));
        assert_eq!(parse_bytes("1GiB2"), Err(UnitError::UnknownUnit("GiB2".into())));
        assert_eq!(parse_bytes("20000000TiB"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_duration_range(&text);
            let _ = parse_bytes(&text);
        }

        #[test]
        fn milliseconds_round_trip(millis in 0u64..1_000_000_000) {
            prop_assert_eq!(parse_duration(&format!("{millis}ms")), Ok(Duration::from_millis(millis)));
        }
    }
}
