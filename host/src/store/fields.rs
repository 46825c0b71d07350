//! Filters on the fields of lines: `status=500`, `ms>=200`, `user.id!=7`, `path~^/api`, or a key alone.
//!
//! Pure: owns how such a filter is written, and whether a value passes it. Where values stand in a line is known by
//! `field_text`. Fields are not stored: they are read out of the text when somebody asks, and lines in which the key's
//! letters do not occur are not looked at any closer.

use std::cmp::Ordering;
use std::fmt;

use memchr::memmem::Finder;

use super::field_text::{Value, any_value};
use super::pattern::{InvalidPattern, Pattern};
use super::quantity::Quantity;

/// Longest key of a filter, in bytes.
const KEY_BYTES: usize = 256;
/// Longest text a value is compared with, in bytes.
const OPERAND_BYTES: usize = 4 << 10;
/// What a key ends at.
const OPERATORS: [char; 5] = ['=', '!', '<', '>', '~'];

/// A condition on one field of a line: a key of a JSON object, where dots lead into what is nested, or of a pair
/// `key=value`. It holds when it does for one of the values the key has in the line; a line without the key never
/// passes.
#[derive(Clone)]
pub struct FieldFilter {
    text: Box<str>,
    key: Box<str>,
    condition: Condition,
    /// Letters that a line with the key has in it.
    needle: Option<Finder<'static>>,
}

/// Why a text is not a filter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidFilter {
    #[error("no field is named before the operator")]
    NoKey,
    #[error("the name of the field is longer than {KEY_BYTES} bytes")]
    LongKey,
    #[error("the name of the field has a control character in it")]
    ControlInKey,
    #[error("the name of the field has nothing between two dots, or at its end")]
    EmptyPart,
    #[error("there is no operator `{0}`: those there are, are = != > >= < <= and ~")]
    UnknownOperator(String),
    #[error("nothing stands behind `{0}`")]
    NoOperand(&'static str),
    #[error("what stands behind the operator is longer than {OPERAND_BYTES} bytes")]
    LongOperand,
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
}

/// What is asked of a value.
#[derive(Debug, Clone)]
enum Condition {
    /// It is there.
    Present,
    Equals(Operand),
    Differs(Operand),
    /// It stands so to the operand: one of the two orders.
    Ordered(Operand, [Ordering; 2]),
    Matches(Pattern),
}

/// What values are compared with.
#[derive(Debug, Clone)]
struct Operand {
    text: Box<str>,
    quantity: Option<Quantity>,
}

impl FieldFilter {
    /// Reads a filter. Blanks around key and operand do not count; an operand in double quotes stands without them.
    /// `==` and `=~` are understood as `=` and `~`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        let end = text.find(OPERATORS).unwrap_or(text.len());
        let key = text[..end].trim();
        check_key(key)?;
        let condition = Condition::parse(&text[end..])?;
        let needle = needle(key).map(|letters| Finder::new(letters).into_owned());
        Ok(Self { text: text.into(), key: key.into(), condition, needle })
    }

    /// Returns the filter as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether `line`, which has no line end, has the field and its value is as it should be.
    pub fn is_match(&self, line: &[u8]) -> bool {
        if self.needle.as_ref().is_some_and(|needle| needle.find(line).is_none()) {
            return false;
        }
        any_value(&String::from_utf8_lossy(line), &self.key, &mut |value| self.condition.admits(value))
    }

    /// Returns what only lines that may match have in them; nothing when the key has no letters for that.
    pub(super) fn needle(&self) -> Option<&Finder<'static>> {
        self.needle.as_ref()
    }
}

impl fmt::Debug for FieldFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldFilter({:?})", self.text)
    }
}

impl PartialEq for FieldFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn check_key(key: &str) -> Result<(), InvalidFilter> {
    if key.is_empty() {
        Err(InvalidFilter::NoKey)
    } else if key.len() > KEY_BYTES {
        Err(InvalidFilter::LongKey)
    } else if key.chars().any(char::is_control) {
        Err(InvalidFilter::ControlInKey)
    } else if key.split('.').any(str::is_empty) {
        Err(InvalidFilter::EmptyPart)
    } else {
        Ok(())
    }
}

/// Returns the longest stretch of the key that every program writes as it is, also within JSON.
fn needle(key: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    key.split(|c| !is_plain(c)).max_by_key(|part| part.len()).filter(|part| !part.is_empty())
}

impl Condition {
    /// Reads what stands behind the key, from the operator on.
    fn parse(text: &str) -> Result<Self, InvalidFilter> {
        use Ordering::{Equal, Greater, Less};
        let text = text.trim();
        let known = ["!=", ">=", "<=", "==", "=~", "=", ">", "<", "~"];
        let Some(operator) = known.into_iter().find(|operator| text.starts_with(operator)) else {
            return match text.chars().next() {
                None => Ok(Self::Present),
                Some(_) => Err(InvalidFilter::UnknownOperator(operator_of(text))),
            };
        };
        let operand = text[operator.len()..].trim();
        // Nothing is compared with `>5`: `ms>>5` is a slip. In quotes it is a text.
        if matches!(operator, ">" | ">=" | "<" | "<=") && operand.starts_with(['=', '<', '>', '!', '~']) {
            return Err(InvalidFilter::UnknownOperator(operator_of(text)));
        }
        let operand = unquoted(operand);
        if operand.len() > OPERAND_BYTES {
            return Err(InvalidFilter::LongOperand);
        }
        // An empty text is a value like others; an empty measure or expression is an oversight.
        if operand.is_empty() && !matches!(operator, "=" | "==" | "!=") {
            return Err(InvalidFilter::NoOperand(operator));
        }
        let ordered = |orders| Self::Ordered(Operand::new(operand), orders);
        Ok(match operator {
            "!=" => Self::Differs(Operand::new(operand)),
            ">" => ordered([Greater, Greater]),
            ">=" => ordered([Greater, Equal]),
            "<" => ordered([Less, Less]),
            "<=" => ordered([Less, Equal]),
            "~" | "=~" => Self::Matches(Pattern::new(operand)?),
            _ => Self::Equals(Operand::new(operand)),
        })
    }

    fn admits(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Present, _) => true,
            (_, Value::Nested) => false,
            (Self::Equals(operand), value) => operand.equals(value),
            (Self::Differs(operand), value) => !operand.equals(value),
            (Self::Ordered(operand, orders), value) => {
                operand.compare(value).is_some_and(|order| orders.contains(&order))
            }
            (Self::Matches(pattern), Value::Text(text)) => pattern.is_match(text.as_bytes()),
            (Self::Matches(pattern), Value::Number(number)) => {
                pattern.is_match(number.to_string().as_bytes())
            }
        }
    }
}

/// Returns the marks that `text` begins with, for an error.
fn operator_of(text: &str) -> String {
    text.chars().take_while(|c| OPERATORS.contains(c)).take(3).collect()
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

impl Operand {
    fn new(text: &str) -> Self {
        Self { text: text.into(), quantity: Quantity::parse(text) }
    }

    /// Texts are the same when all their letters are; numbers also when they are written differently, as `5` and `5.0`.
    fn equals(&self, value: Value<'_>) -> bool {
        let quantity = match value {
            Value::Text(text) if *text == *self.text => return true,
            // `007` and `1e3` are more likely names than numbers.
            Value::Text(text) => Quantity::parse(text).filter(|_| is_plain_number(text)),
            Value::Number(number) => Some(number),
            Value::Nested => None,
        };
        let own = self.quantity.filter(|_| is_plain_number(&self.text));
        quantity.zip(own).is_some_and(|(value, own)| value.compare(own) == Some(Ordering::Equal))
    }

    /// Numbers are compared with numbers, durations with durations, and with any other text, such as a time, texts.
    fn compare(&self, value: Value<'_>) -> Option<Ordering> {
        match (self.quantity, value) {
            (Some(own), Value::Number(number)) => number.compare(own),
            (Some(own), Value::Text(text)) => Quantity::parse(text)?.compare(own),
            (None, Value::Text(text)) => Some(text.cmp(&*self.text)),
            _ => None,
        }
    }
}

fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leads_with_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    !leads_with_zero && !digits.contains(['e', 'E'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(filter: &str, line: &str) -> bool {
        FieldFilter::parse(filter)
            .unwrap_or_else(|error| panic!("{filter}: {error}"))
            .is_match(line.as_bytes())
    }

    const JSON: &str = r#"{"level":"error","status":500,"ms":12.5,"user":{"id":7,"name":"Ann \"A\""},"http.path":"/api/x","tags":["db",{"k":1}],"ok":true,"none":null,"id":9007199254740993}"#;
    const PAIRS: &str = r#"2026-11-20T08:29:25Z level=error status=500 ms=12.5 took=1.2s user.id=7 path=/api/x, msg="two words, status=200" ok=true n=1,234 at="2026-11-20T08:29""#;

    #[test]
    fn an_operator_written_twice_is_no_measure() {
        let refused = FieldFilter::parse("status>>5").unwrap_err();
        assert_eq!(refused, InvalidFilter::UnknownOperator(">>".to_owned()));
        assert!(FieldFilter::parse("name>\">5\"").is_ok(), "in quotes it is a text");
    }

    #[test]
    fn each_operator_asks_what_it_says() {
        for (filter, expected) in [
            ("status=500", true),
            ("status = 500", true),
            ("status==500", true),
            ("status=\"500\"", true),
            ("status=500.0", true),
            ("status=50", false),
            ("status!=500", false),
            ("status!=200", true),
            ("status>=500", true),
            ("status>500", false),
            ("status>499.5", true),
            ("status<501", true),
            ("status<=500", true),
            ("status<=499", false),
            ("ms<12.6", true),
            ("user.id=7", true),
            ("status", true),
            ("statu", false),
            ("ok=true", true),
            ("status~^5..$", true),
            ("status=~^5", true),
            ("status~^4", false),
            ("level=error", true),
            ("level=ERROR", false),
            ("level~(?i)^ERR", true),
            ("gone", false),
            ("gone!=1", false),
        ] {
            assert_eq!(holds(filter, JSON), expected, "{filter} in JSON");
            assert_eq!(holds(filter, PAIRS), expected, "{filter} in pairs");
        }
    }

    #[test]
    fn json_is_read_where_it_is_nested_quoted_or_a_list() {
        for (filter, expected) in [
            ("user.name=Ann \"A\"", true),
            ("user.name~Ann", true),
            ("http.path~^/api", true),
            ("user", true),
            ("user=7", false),
            ("user!=7", false),
            ("tags=db", true),
            ("tags.k=1", true),
            ("tags.k>1", false),
            ("none=null", true),
            ("none!=x", true),
            ("id=9007199254740993", true),
            ("id=9007199254740992", false),
            ("id>9007199254740992", true),
            ("name~Ann", false),
        ] {
            assert_eq!(holds(filter, JSON), expected, "{filter}");
        }
    }

    #[test]
    fn durations_are_compared_with_durations_and_times_as_they_are_written() {
        for (filter, expected) in [
            ("took>=1s", true),
            ("took>1200ms", false),
            ("took=1200ms", true),
            ("took>1", false),
            ("ms>1s", false),
            ("at>=2026-11-20T08", true),
            ("at<2026-11-20T08:29:00", true),
            ("at<2026-11-20T08:28", false),
            ("n=1,234", true),
        ] {
            assert_eq!(holds(filter, PAIRS), expected, "{filter}");
        }
        assert!(holds("zip=01234", "zip=01234") && !holds("zip=1234", "zip=01234"));
        assert!(!holds("commit=1000", "commit=1e3") && holds("x>=1000", "x=1e3"));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_reason() {
        let refused = |text: &str| FieldFilter::parse(text).unwrap_err().to_string();
        assert_eq!(refused("=500"), "no field is named before the operator");
        assert_eq!(refused(""), "no field is named before the operator");
        assert_eq!(refused("a!~b"), "there is no operator `!~`: those there are, are = != > >= < <= and ~");
        assert_eq!(refused("a!"), "there is no operator `!`: those there are, are = != > >= < <= and ~");
        assert_eq!(refused("ms>="), "nothing stands behind `>=`");
        assert_eq!(refused("path~"), "nothing stands behind `~`");
        assert!(refused("a..b=1").contains("between two dots") && refused(".a").contains("between two dots"));
        assert!(refused("a\u{1b}[0m=1").contains("control character"));
        assert!(refused(&"k".repeat(300)).contains("longer than 256"));
        assert!(refused(&format!("k={}", "v".repeat(5000))).contains("longer than 4096"));
        assert!(refused("path~(").contains("not a regular expression"));
        FieldFilter::parse("user=").unwrap();
    }

    #[test]
    fn only_what_every_program_writes_alike_is_searched_for_beforehand() {
        assert_eq!(needle("user.id"), Some("user"));
        assert_eq!(needle("größe"), Some("gr"));
        assert_eq!(needle("http/status"), Some("status"));
        assert_eq!(needle("ä"), None);
        assert!(holds("ä=1", r#"{"\u00e4":1}"#) && holds("ä=1", "ä=1"));
    }

    proptest! {
        #[test]
        fn nothing_panics(filter in "\\PC{0,40}", line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(filter) = FieldFilter::parse(&filter) {
                filter.is_match(&line);
            }
        }

        #[test]
        fn the_needle_never_hides_a_match(
            key in "[a-zä._-]{1,6}",
            line in "[a-zä._{}\\[\\]\":=, 0-9-]{0,60}",
        ) {
            prop_assume!(check_key(&key).is_ok());
            let with = FieldFilter::parse(&key).unwrap();
            let without = FieldFilter { needle: None, ..with.clone() };
            prop_assert_eq!(with.is_match(line.as_bytes()), without.is_match(line.as_bytes()));
        }

        #[test]
        fn what_a_program_writes_is_found(key in "[a-z_]{1,8}(\\.[a-z_]{1,8}){0,3}", value in "[ -~ä]{0,20}", number: i64) {
            let mut nested = serde_json::json!(value);
            for part in key.rsplit('.') {
                nested = serde_json::json!({"a0": 1, part: nested});
            }
            let same = FieldFilter::parse(&format!("{key}=\"{value}\"")).unwrap();
            prop_assert!(same.is_match(nested.to_string().as_bytes()), "{}", nested);
            let flat = serde_json::json!({&key: number}).to_string();
            let equals = FieldFilter::parse(&format!("{key}={number}")).unwrap();
            let greater = FieldFilter::parse(&format!("{key}>{number}")).unwrap();
            prop_assert!(equals.is_match(flat.as_bytes()) && !greater.is_match(flat.as_bytes()));
            let pair = format!("at first, {key}={number} at last");
            prop_assert!(equals.is_match(pair.as_bytes()) && !greater.is_match(pair.as_bytes()));
        }
    }
}
