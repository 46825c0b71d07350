//! What the fuzz targets in `tests/fuzz` call: a function for each reader of foreign bytes, which panics when a promise
//! of that reader is broken.
//!
//! Built for tests and fuzzers alone. The same functions are driven by ordinary tests, with bytes at random and with
//! the seeds of the targets, so that they cannot rot. Owns no code that the program runs.

use std::fmt::Debug;

use crate::api::{self, is_cursor};
use crate::bounds;
use crate::config;
use crate::mask::{MaskState, Masker};
use crate::model::Seq;
use crate::pipeline::lines::{LineSplitter, Lines};
use crate::shim;
use crate::store::{self, Cursor, Pattern};
use crate::traces as errors;

#[cfg(test)]
mod tests;

/// A target: its name, and what it is given bytes to.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 8] = [
    ("control", control),
    ("spool", shim::fuzz_spool),
    ("frame", store::fuzz_frame),
    ("lines", lines),
    ("mask", mask),
    ("query", query),
    ("words", words),
    ("traces", traces),
];

/// Gives bytes to the target of this name.
///
/// # Panics
/// When a promise is broken, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target `{name}`"));
    target(bytes);
}

/// The frames between a daemon and a shim: what is read is never longer than what there was, and is read again from
/// what it is written as.
pub fn control(bytes: &[u8]) {
    frames(bytes, shim::Request::decode, shim::Request::encode);
    frames(bytes, shim::Report::decode, shim::Report::encode);
}

fn frames<F: PartialEq + Debug>(
    mut bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<Option<(F, usize)>, shim::FrameError>,
    encode: impl Fn(&F, &mut Vec<u8>),
) {
    while let Ok(Some((frame, length))) = decode(bytes) {
        assert!(length > 0 && length <= bytes.len(), "{frame:?} of {length} bytes out of {}", bytes.len());
        assert!(length <= shim::control::FRAME_BYTES + 4);
        let mut written = Vec::new();
        encode(&frame, &mut written);
        let again = decode(&written).expect("what was read can be written");
        assert_eq!(again.map(|(again, _)| again), Some(frame));
        bytes = &bytes[length..];
    }
}

/// The line splitter: any chunking gives the same lines, of bounded length, without line ends and escapes.
pub fn lines(bytes: &[u8]) {
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let whole = split(&[bytes]);
    let size = usize::from(*seed).max(1);
    let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
    assert_eq!(whole, split(&chunks), "in chunks of {size} bytes");
    for line in whole.iter() {
        assert!(line.len() <= bounds::LINE_BYTES);
        assert!(!line.contains(&b'\n') && !line.contains(&0x1b), "{line:?}");
    }
    assert!(whole.after.is_sorted() && whole.after.iter().all(|after| *after <= bytes.len() as u64));
}

fn split(chunks: &[&[u8]]) -> Lines {
    let (mut splitter, mut lines, mut start) = (LineSplitter::default(), Lines::default(), 0);
    for chunk in chunks {
        splitter.push(chunk, start, &mut lines);
        start += chunk.len() as u64;
    }
    splitter.finish(&mut lines);
    assert_eq!(splitter.unfinished_from(), None);
    lines
}

/// The mask: a line stays one line, what is masked is not masked again, and a line of JSON stays one.
pub fn mask(bytes: &[u8]) {
    let masker = Masker::default();
    let (mut state, mut again) = (MaskState::default(), MaskState::default());
    for line in bytes.split(|byte| *byte == b'\n') {
        let masked = masker.mask_line(&mut state, line).into_owned();
        assert!(!masked.contains(&b'\n'));
        if let Ok(text) = std::str::from_utf8(line) {
            assert!(std::str::from_utf8(&masked).is_ok(), "`{text}` is text no more");
        }
        if serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object()) {
            let json = serde_json::from_slice::<serde_json::Value>(&masked);
            assert!(json.is_ok(), "{line:?} became {masked:?}");
        }
        let twice = masker.mask_line(&mut again, &masked);
        assert_eq!(twice.as_ref(), masked, "masked again");
    }
}

/// Requests on the daemon's socket, and what in them says which lines are meant: cursors, durations, times, regular
/// expressions.
pub fn query(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<api::Request>(bytes) {
        let written = serde_json::to_vec(&request).expect("what was read can be written");
        let again = serde_json::from_slice::<api::Request>(&written).expect("what was written can be read");
        assert_eq!(again, request);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    assert!(!is_cursor(text) || text.parse::<Cursor>().is_ok());
    let moved = api::cursor_at(text, Seq(7));
    assert!(moved == text || moved.parse().is_ok_and(|cursor: Cursor| cursor.seq == Seq(7)));
    let (pattern, line) = text.split_once('\n').unwrap_or((text, text));
    // Longer ones take their time to be compiled, which is bounded elsewhere.
    if pattern.len() < 256
        && let Ok(pattern) = Pattern::new(pattern)
    {
        let _ = pattern.is_match(line.as_bytes());
        assert!(Pattern::new(pattern.as_str()).is_ok());
    }
}

/// Small languages of the configuration: durations, sizes, globs, cron, addresses, command lines, and all of it.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(duration) = config::parse_duration(text) {
        assert_eq!(config::parse_duration(&format!("{}ms", duration.as_millis())), Ok(duration));
    }
    if let Ok((from, to)) = config::parse_duration_range(text) {
        assert!(from <= to);
    }
    let _ = config::parse_bytes(text);
    let _ = config::parse_glob(text);
    let _ = config::parse_cron(text);
    let _ = config::Command::from_line(text);
    if let Some(endpoint) = config::Endpoint::parse(text) {
        assert_eq!(config::Endpoint::parse(&endpoint.to_string()), Some(endpoint), "{text}");
    }
    if let Some(url) = config::HttpUrl::parse(text) {
        assert!(url.target.starts_with('/') && !url.target.contains(char::is_whitespace), "{}", url.target);
    }
    if let Err(error) = config::load_text(std::path::Path::new("/project/ostler.toml"), text) {
        assert!(!error.to_string().is_empty());
    }
}

/// Errors as programs print them: whatever is read of one is bounded, and has a name that can be read again.
pub fn traces(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shape = errors::read(&text, Some("/project"));
    assert!(shape.frames.len() <= bounds::TRACE_FRAMES && shape.causes.len() <= bounds::TRACE_CAUSES);
    let texts =
        [&shape.kind, &shape.message].into_iter().chain(shape.frames.iter().map(|frame| &frame.function));
    texts.for_each(|text| assert!(text.chars().count() <= bounds::TRACE_TEXT + 1, "{text}"));
    let fingerprint = errors::Fingerprint::of("api", &shape);
    assert_eq!(errors::Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
}
