//! Owns how a schedule is written: five cron fields or one word, and whether it ever comes due.
//!
//! The grammar is the library's, POSIX with `L`, `W` and `#`; what is wrong is told in our words, by field. Knows the
//! calendar, not the clock: time zones and the next moment are the supervisor's.

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Weekday};
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};

use super::source::shown;
use super::suggest;

/// Longest schedule in bytes; nobody writes longer ones by hand.
const LENGTH: usize = 256;
/// Years in which a schedule must come due at least once: 29 February does.
const YEARS: i32 = 5;
/// The fields in their order, with what they take.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, or `L` for the last"),
    ("month", "1 to 12 or `JAN` to `DEC`"),
    ("day of the week", "0 to 7 or `SUN` to `SAT`"),
];
/// The words that stand for all five fields.
const WORDS: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error("{0}")]
    Malformed(String),
    /// It is read, but no day of the next five years fits.
    #[error("it never comes due")]
    Never,
}

impl CronError {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(_) => {
                "write minute, hour, day of the month, month and day of the week, such as `*/5 * * * *`, or `@hourly`"
            }
            Self::Never => "no day of the next five years fits all its fields; 30 February is such a day",
        }
    }
}

/// Reads a schedule.
///
/// # Errors
/// When it is malformed, with the field that is wrong.
pub fn parse_cron(text: &str) -> Result<Cron, CronError> {
    if text.len() > LENGTH {
        return Err(CronError::Malformed(format!("it is longer than {LENGTH} bytes")));
    }
    let text = text.trim();
    if text.starts_with('@') && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        let meant = suggest::did_you_mean(text, WORDS)
            .unwrap_or_else(|| format!("the words are {}", suggest::listed(WORDS)));
        return Err(CronError::Malformed(format!("`{}` is unknown; {meant}", shown(text))));
    }
    parser(text).ok_or_else(|| CronError::Malformed(what_is_wrong(text)))
}

/// Checks that a text is a schedule and comes due some day.
pub(super) fn check(text: &str) -> Result<(), CronError> {
    let cron = parse_cron(text)?;
    if comes_due(&cron, Zoned::now().date()) { Ok(()) } else { Err(CronError::Never) }
}

fn parser(text: &str) -> Option<Cron> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(text).ok()
}

/// Finds the field that is wrong by reading each by itself.
fn what_is_wrong(text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let plural = if fields.len() == 1 { "" } else { "s" };
        return format!("it has {} field{plural} instead of 5", fields.len());
    }
    let wrong = (0..FIELDS.len()).find(|index| {
        let mut alone = ["*"; 5];
        alone[*index] = fields[*index];
        parser(&alone.join(" ")).is_none()
    });
    match wrong {
        Some(index) => {
            let (name, range) = FIELDS[index];
            format!("`{}` is no {name}, which goes from {range}", shown(fields[index]))
        }
        None => "its fields do not go together".to_owned(),
    }
}

/// Tells whether any day from this one on fits. The time of day does not matter as long as there is one.
fn comes_due(cron: &Cron, from: Date) -> bool {
    let pattern = &cron.pattern;
    if pattern.hours.values().is_empty() || pattern.minutes.values().is_empty() {
        return false;
    }
    from.series(1.day()).take_while(|date| i32::from(date.year() - from.year()) <= YEARS).any(|date| {
        let (year, month, day) = (i32::from(date.year()), date.month() as u32, date.day() as u32);
        pattern.month_match(month).unwrap_or(false)
            && pattern.day_match(year, month, day, weekday(date)).unwrap_or(false)
    })
}

fn weekday(date: Date) -> Weekday {
    match date.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Monday,
        jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
        jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
        jiff::civil::Weekday::Thursday => Weekday::Thursday,
        jiff::civil::Weekday::Friday => Weekday::Friday,
        jiff::civil::Weekday::Saturday => Weekday::Saturday,
        jiff::civil::Weekday::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_due(text: &str) -> bool {
        comes_due(&parse_cron(text).unwrap(), jiff::civil::date(2026, 11, 20))
    }

    #[test]
    fn schedules_as_people_write_them_come_due() {
        for text in [
            "* * * * *",
            "*/5 * * * *",
            " 0 9-17 * * MON-FRI ",
            "30 4 1,15 * 5",
            "0 0 29 2 *",
            "0 0 L * *",
            "0 0 15W * *",
            "0 12 * * 1#2",
            "0 0 30 2 MON",
            "@hourly",
            "@Daily",
            "@weekly",
            "@monthly",
            "@yearly",
        ] {
            assert!(is_due(text), "{text}");
        }
    }

    #[test]
    fn days_that_do_not_exist_never_come() {
        for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 , * * *", "0 0 31 4 +MON"] {
            assert!(!is_due(text), "{text}");
            assert_eq!(check(text), Err(CronError::Never));
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_field() {
        let said = |text| parse_cron(text).unwrap_err().to_string();
        assert_eq!(said("61 * * * *"), "`61` is no minute, which goes from 0 to 59");
        assert_eq!(said("* 24 * * *"), "`24` is no hour, which goes from 0 to 23");
        assert_eq!(
            said("* * * * FRUI"),
            "`FRUI` is no day of the week, which goes from 0 to 7 or `SUN` to `SAT`"
        );
        assert_eq!(said("* * * *"), "it has 4 fields instead of 5");
        assert_eq!(said("*/5 * * * * *"), "it has 6 fields instead of 5");
        assert_eq!(said(""), "it has 0 fields instead of 5");
        assert_eq!(said("@dayly"), "`@dayly` is unknown; did you mean `@daily`?");
        assert_eq!(said(&"*".repeat(300)), "it is longer than 256 bytes");
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "[-0-9*/,LW#?+@A-Z ]{0,40}|\\PC{0,40}") {
            let _ = check(&text);
        }
    }
}
