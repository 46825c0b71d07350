//! Owns writing all matching lines of log out, page by page, so that gigabytes need no more memory than one page.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::client::Client;
use super::context::Context;
use super::exit::{CliError, Code, Outcome};
use super::follow::PAGE_LINES;
use super::render::visible;
use crate::api::LogsRequest;
use crate::model::Line;

/// How lines are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, as `--json` prints them.
    Jsonl,
    /// `TIME LEVEL PROCESS| TEXT`, control characters made visible.
    Text,
}

/// Reads a format from the command line.
pub fn format(text: &str) -> Result<Format, &'static str> {
    match text {
        "jsonl" => Ok(Format::Jsonl),
        "text" => Ok(Format::Text),
        _ => Err("the formats are jsonl and text"),
    }
}

/// Writes everything that matches `request` to a new file, or to standard output.
pub async fn export(
    mut request: LogsRequest,
    format: Format,
    output: Option<&Path>,
    client: &mut Client,
    context: &Context,
) -> Outcome {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(BufWriter::new(create(path)?)),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    // What is printed while this runs could keep it from ever ending.
    let newest = client.logs(LogsRequest { limit: Some(1), ..LogsRequest::default() }).await?.cursor;
    request.until = request.until.or(Some(newest));
    request.oldest = true;
    request.limit = Some(PAGE_LINES);
    let (mut lines, mut missing) = (0, 0);
    loop {
        let reply = client.logs(request.clone()).await?;
        missing += reply.missing;
        lines += reply.lines.len();
        reply.lines.iter().try_for_each(|line| write(&mut out, line, format))?;
        if !reply.more {
            break;
        }
        request.since = Some(reply.cursor);
    }
    out.flush()?;
    if missing > 0 {
        context.note(&format!("{missing} lines in between have been deleted or are damaged"));
    }
    if let Some(path) = output {
        context.note(&format!("{lines} lines written to {}", visible(&path.display().to_string())));
    }
    Ok(Code::Done)
}

/// Makes the file, for the user alone; never overwrites one.
fn create(path: &Path) -> Result<std::fs::File, CliError> {
    let shown = path.display().to_string();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AlreadyExists { "; choose another name" } else { "" };
        CliError::failed(format!("{} cannot be written: {error}{hint}", visible(&shown)))
    })
}

fn write(out: &mut impl Write, line: &Line, format: Format) -> io::Result<()> {
    match format {
        Format::Jsonl => serde_json::to_writer(&mut *out, line)?,
        Format::Text => {
            write!(out, "{} {:7} {}| {}", line.time, line.level.as_str(), line.process, visible(&line.text))?
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Level, ProcessName, RunId, Seq, Stream, Time};

    #[test]
    fn a_line_of_text_names_time_level_and_process_and_cannot_move_the_cursor() {
        let line = Line {
            seq: Seq(7),
            time: Time(1_795_163_365_123_000_000),
            process: ProcessName::new("api").unwrap(),
            run: RunId(2),
            stream: Stream::Stderr,
            level: Level::Warn,
            text: "tw\x1b[0mo".into(),
            partial: false,
            continues: false,
        };
        let mut out = Vec::new();
        write(&mut out, &line, Format::Text).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("2026-11-20T08:29:25.123Z warn    api| tw"), "{text}");
        assert!(!text.contains('\x1b') && text.ends_with('\n'), "{text:?}");
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        create(&path).unwrap().write_all(b"mine").unwrap();
        assert!(create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
