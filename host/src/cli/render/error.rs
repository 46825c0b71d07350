//! Owns how errors look: `error: …`, `hint: …`, and the last lines of the run they are about.

use serde_json::json;

use super::line::{Clock, LineFormat};
use super::style::{BAD, FAINT, GOOD, Palette};
use super::text::visible_lines;
use crate::api::without_libraries;
use crate::cli::exit::Complaint;

/// Returns the error for people.
pub fn complaint(palette: Palette, clock: Clock, complaint: &Complaint) -> String {
    let mut shown = format!("{} {}\n", palette.paint(BAD, "error:"), visible_lines(&complaint.message));
    let format = LineFormat::of_lines(palette, clock, &complaint.lines);
    for line in &without_libraries(&complaint.lines) {
        shown.push_str("  ");
        shown.push_str(&format.show(line));
    }
    if let Some(hint) = &complaint.hint {
        shown.push_str(&format!("{} {}\n", palette.paint(GOOD, "hint:"), visible_lines(hint)));
    }
    shown
}

/// Returns a remark for people.
pub fn note(palette: Palette, text: &str) -> String {
    format!("{} {}\n", palette.paint(FAINT, "note:"), visible_lines(text))
}

/// Returns the error for programs, as one line: `{"error":{"kind":…,"message":…,"hint":…,"lines":[…]}}`.
pub fn complaint_json(complaint: &Complaint) -> String {
    let error = json!({
        "kind": complaint.kind,
        "message": complaint.message,
        "hint": complaint.hint,
        "lines": complaint.lines,
    });
    format!("{}\n", json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ApiError, ErrorKind};
    use crate::cli::exit::CliError;
    use crate::cli::render::line::tests::line;
    use crate::model::{Level, Stream};

    fn told(error: CliError) -> Complaint {
        let CliError::Told(complaint) = error else { panic!("nothing to tell") };
        *complaint
    }

    #[test]
    fn an_error_brings_its_lines_and_its_hint() {
        let mut error = ApiError::new(ErrorKind::Failed, "`api` ended with exit code 1 after 210 ms")
            .hint("free port 8000");
        error.lines = vec![line(Stream::Stderr, Level::Error, "Error: That port is already in use.\x1b[0m")];
        let told = told(error.into());
        let clock = Clock::utc(jiff::civil::date(2026, 11, 20));
        insta::assert_snapshot!(complaint(Palette::PLAIN, clock, &told), @r"
        error: `api` ended with exit code 1 after 210 ms
          08:29:25 api | Error: That port is already in use.␛[0m
        hint: free port 8000
        ");
        insta::assert_snapshot!(complaint_json(&told), @r#"{"error":{"hint":"free port 8000","kind":"failed","lines":[{"level":"error","process":"api","run":1,"seq":1,"stream":"stderr","text":"Error: That port is already in use.\u001b[0m","time":"2026-11-20T08:29:25.123Z"}],"message":"`api` ended with exit code 1 after 210 ms"}}"#);
    }
}
