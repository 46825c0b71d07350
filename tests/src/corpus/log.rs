//! Reads a log of the corpus: JSON records, one in a line.

use ostler::model::Stream;
use serde_json::{Map, Value};

/// A line that a program printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub stream: Stream,
    /// Everything up to the line end, ANSI codes included.
    pub bytes: Vec<u8>,
    /// Whether a line end followed.
    pub ended: bool,
}

/// Reads a log.
///
/// # Errors
/// What is wrong, behind the number of the line.
pub fn log(text: &str) -> Result<Vec<LogLine>, String> {
    let mut lines = Vec::new();
    for (place, record) in (1..).zip(text.lines()) {
        let at = |reason: String| format!("{place}: {reason}");
        let record: Map<String, Value> =
            serde_json::from_str(record).map_err(|error| at(error.to_string()))?;
        lines.extend(line(&record).map_err(at)?);
    }
    Ok(lines)
}

/// Returns the line that a record is; the header, deeds and the exit are none.
fn line(record: &Map<String, Value>) -> Result<Option<LogLine>, String> {
    let ended = !record.contains_key("unended");
    let Some((key, value)) = record.iter().find(|(key, _)| *key != "unended") else {
        return Err("a record without a kind".to_owned());
    };
    let text = value.as_str();
    let (stream, bytes) = match (key.as_str(), text) {
        ("out", Some(text)) => (Stream::Stdout, text.as_bytes().to_vec()),
        ("err", Some(text)) => (Stream::Stderr, text.as_bytes().to_vec()),
        ("out_base64", Some(text)) => (Stream::Stdout, base64(text)?),
        ("err_base64", Some(text)) => (Stream::Stderr, base64(text)?),
        ("about" | "command" | "corpus" | "pty" | "env" | "did" | "exit", _) => return Ok(None),
        _ => return Err(format!("a record of unknown kind `{key}`")),
    };
    Ok(Some(LogLine { stream, bytes, ended }))
}

/// Decodes base64 with its padding (RFC 4648, section 4).
fn base64(text: &str) -> Result<Vec<u8>, String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit);
        let value = value.ok_or_else(|| format!("no digit of base64: {:?}", char::from(digit)))?;
        held = held << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_streams_and_everything_else_is_passed_over() {
        let text = "{\"corpus\":1,\"about\":\"x\",\"command\":\"y\"}\n{\"out\":\"\\u001b[1ma\"}\n{\"did\":\"GET /\"}\n{\"err_base64\":\"/wBh\",\"unended\":true}\n{\"exit\":1}\n";
        let lines = log(text).unwrap();
        assert_eq!(
            lines,
            [
                LogLine { stream: Stream::Stdout, bytes: b"\x1b[1ma".to_vec(), ended: true },
                LogLine { stream: Stream::Stderr, bytes: b"\xff\0a".to_vec(), ended: false },
            ]
        );
    }

    #[test]
    fn what_is_no_record_is_named_with_its_place() {
        assert!(log("{\"corpus\":1}\nx").unwrap_err().starts_with("2: "));
        assert_eq!(log("{\"loud\":\"x\"}").unwrap_err(), "1: a record of unknown kind `loud`");
        assert!(log("{\"out_base64\":\"?\"}").unwrap_err().contains("base64"));
    }
}
