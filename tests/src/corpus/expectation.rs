//! Reads an expectation of the corpus: what each line of a log means.

use ostler::model::Stream;

/// Kind and fields, the fields in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub kind: String,
    pub fields: Vec<(String, String)>,
}

/// What one line of a log means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The line's number in its file.
    pub place: usize,
    pub stream: Stream,
    /// `t d i w e f`, or `-` for none.
    pub level: char,
    /// `+` where it begins an event, `.` where it continues one, `_` for a blank line of none.
    pub mark: char,
    /// The line as people see it.
    pub text: String,
    pub facts: Vec<Fact>,
    /// Of a structured line, in the order of their keys.
    pub fields: Vec<(String, String)>,
}

/// Reads an expectation.
///
/// # Errors
/// What is wrong, behind the number of the line.
pub fn expectation(text: &str) -> Result<Vec<Expected>, String> {
    let mut lines: Vec<Expected> = Vec::new();
    for (place, text) in (1..).zip(text.split('\n')) {
        let at = |reason: &str| format!("{place}: {reason}");
        if text.starts_with('#') || text.trim().is_empty() {
            continue;
        }
        if let Some(note) = text.strip_prefix("      ") {
            let line = lines.last_mut().ok_or_else(|| at("a note before the first line"))?;
            take_note(line, note).map_err(|reason| at(&reason))?;
        } else {
            lines.push(line(place, text).ok_or_else(|| at("neither `o i + |text` nor a note"))?);
        }
    }
    Ok(lines)
}

fn line(place: usize, text: &str) -> Option<Expected> {
    let (columns, text) = text.split_once('|')?;
    let mut columns = columns.split(' ');
    let stream = match columns.next()? {
        "o" => Stream::Stdout,
        "e" => Stream::Stderr,
        _ => return None,
    };
    let mut letter = |known: &str| {
        let mut letters = columns.next()?.chars();
        letters.next().filter(|letter| known.contains(*letter) && letters.next().is_none())
    };
    let (level, mark) = (letter("tdiwef-")?, letter("+._")?);
    Some(Expected {
        place,
        stream,
        level,
        mark,
        text: text.to_owned(),
        facts: Vec::new(),
        fields: Vec::new(),
    })
}

fn take_note(line: &mut Expected, note: &str) -> Result<(), String> {
    if let Some(fact) = note.strip_prefix("* ") {
        let (kind, rest) = fact.split_once(' ').unwrap_or((fact, ""));
        let mut fields = pairs(rest)?;
        fields.sort();
        line.facts.push(Fact { kind: kind.to_owned(), fields });
        line.facts.sort();
        return Ok(());
    }
    let fields = note.strip_prefix(": ").ok_or("neither `* kind key=value` nor `: key=value`")?;
    line.fields.extend(pairs(fields)?);
    line.fields.sort();
    Ok(())
}

/// Reads `key=value` pairs; values are bare or JSON strings.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let wrong = || format!("{rest:?} is not key=value");
        let (key, value) = rest.split_once('=').ok_or_else(wrong)?;
        let value_and_rest = if value.starts_with('"') {
            let mut strings = serde_json::Deserializer::from_str(value).into_iter::<String>();
            let string = strings.next().and_then(Result::ok).ok_or_else(wrong)?;
            (string, &value[strings.byte_offset()..])
        } else {
            let end = value.find(' ').unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        pairs.push((key.to_owned(), value_and_rest.0));
        rest = value_and_rest.1;
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_levels_marks_facts_and_fields() {
        let text = "# said\n\ne e + |a | b\n      * build state=failed errors=2\n      * ready\no - _ |\n      : b=\"x \\\"y\\\"\" a=1\n";
        let lines = expectation(text).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            (lines[0].place, lines[0].stream, lines[0].level, lines[0].mark),
            (3, Stream::Stderr, 'e', '+')
        );
        assert_eq!(lines[0].text, "a | b");
        assert_eq!(
            lines[0].facts[0],
            Fact { kind: "build".into(), fields: vec![pair("errors", "2"), pair("state", "failed")] }
        );
        assert_eq!(lines[0].facts[1], Fact { kind: "ready".into(), fields: vec![] });
        assert_eq!((lines[1].stream, lines[1].level, lines[1].mark), (Stream::Stdout, '-', '_'));
        assert_eq!(lines[1].fields, [pair("a", "1"), pair("b", "x \"y\"")]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert!(expectation("o z + |x").unwrap_err().starts_with("1: neither"));
        assert!(expectation("o i + |x\n      % y").unwrap_err().starts_with("2: neither"));
        assert!(expectation("      * ready").unwrap_err().starts_with("1: a note before"));
        assert!(expectation("o i + |x\n      * build state").unwrap_err().contains("is not key=value"));
    }
}
