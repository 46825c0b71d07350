//! Owns putting lines of log on standard output, a batch at a time: text for people, or JSON.

use std::io::{self, BufWriter, Write};

use super::render::{Clock, LineFormat, Palette};
use crate::model::{Line, ProcessName};

/// Prints lines one way.
#[derive(Debug, Clone)]
pub enum Printer {
    /// One object a line.
    Json,
    Text(Box<LineFormat>),
}

impl Printer {
    /// Makes a printer of text with room for `names`.
    pub fn text<'n>(palette: Palette, names: impl IntoIterator<Item = &'n ProcessName> + Clone) -> Self {
        Self::Text(Box::new(LineFormat::new(palette, Clock::local(), names)))
    }

    /// Writes the lines and flushes, so that whoever reads a pipe has each batch at once.
    ///
    /// # Errors
    /// When standard output cannot be written; `BrokenPipe` when its reader has gone.
    pub fn print(&self, lines: &[Line]) -> io::Result<()> {
        self.write(lines, &mut BufWriter::new(io::stdout().lock()))
    }

    fn write(&self, lines: &[Line], out: &mut impl Write) -> io::Result<()> {
        for line in lines {
            match self {
                Self::Json => {
                    serde_json::to_writer(&mut *out, line)?;
                    out.write_all(b"\n")?;
                }
                Self::Text(format) => out.write_all(format.show(line).as_bytes())?,
            }
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Level, RunId, Seq, Stream, Time};

    #[test]
    fn json_has_one_object_a_line_with_exactly_the_promised_keys() {
        let line = Line {
            seq: Seq(7),
            time: Time(1_795_163_365_123_000_000),
            process: ProcessName::new("api").unwrap(),
            run: RunId(2),
            stream: Stream::Stderr,
            level: Level::Unknown,
            text: "two\x1b[0m".into(),
            partial: false,
            continues: false,
        };
        let prompt = Line { text: "> ".into(), partial: true, ..line.clone() };
        let mut out = Vec::new();
        Printer::Json.write(&[line, prompt], &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"seq":7,"time":"2026-11-20T08:29:25.123Z","process":"api","run":2,"stream":"stderr","level":"unknown","text":"two\u001b[0m"}
        {"seq":7,"time":"2026-11-20T08:29:25.123Z","process":"api","run":2,"stream":"stderr","level":"unknown","text":"> ","partial":true}
        "#);
    }
}
