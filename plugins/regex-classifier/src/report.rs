//! The facts of lines whose pattern brings some: reads what they tell out of the line.

use ostler_sdk::{CONTINUES, Fact, Level, Line, Verdicts};

use crate::fields;
use crate::group::Group;
use crate::outcome::Outcome;
use crate::patterns::{HEADER, facts};
use crate::requests::{Requests, milliseconds};

/// How much of a line is looked at, in bytes: lines come from the child, and facts travel further than lines.
const LINE_BYTES: usize = 2048;

/// Notes of one batch after which those are left out that a flood is full of: a fact costs as much as classifying ten
/// lines.
const FLOOD_NOTES: usize = 8;

/// Adds to a header's outcome what the words behind it say of an address: that the process listens there, or cannot.
#[cold]
pub fn with_words_behind_header(line: &[u8], own: Outcome) -> Outcome {
    let is_header = (HEADER..=HEADER + 1).contains(&own.priority) && own.level != CONTINUES;
    if !is_header || own.facts & !facts::FIELDS != 0 {
        return own;
    }
    let line = &line[..line.len().min(LINE_BYTES)];
    let more = match own.level {
        level if level >= Level::Warn.code() && says_in_use(line) => facts::PORT_IN_USE,
        level if level == Level::Info.code() && says_listening(line) => facts::READY | facts::LISTENING,
        _ => 0,
    };
    Outcome { facts: own.facts | more, ..own }
}

/// Returns whether a line says where something listens: `Server listening on http://127.0.0.1:3000`, `… at :8080`.
fn says_listening(line: &[u8]) -> bool {
    const WORD: &[u8] = b"istening ";
    let Some(at) = place_of(WORD, line) else { return false };
    if [&b"top l"[..], b"topped l", b"not l", b"longer l"].iter().any(|no| line[..at].ends_with(no)) {
        return false;
    }
    let rest = &line[at + WORD.len()..];
    let Some(rest) = rest.strip_prefix(b"on ").or_else(|| rest.strip_prefix(b"at ")) else { return false };
    let is_digit = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_digit);
    if rest.starts_with(b"http://") || rest.starts_with(b"https://") {
        return true;
    }
    if let Some(port) = rest.strip_prefix(b"port ").or_else(|| rest.strip_prefix(b"localhost:")) {
        return is_digit(port);
    }
    let address =
        rest.split(|byte| matches!(byte, b' ' | b'"' | b',' | b'\'' | b')')).next().unwrap_or_default();
    let digits = address.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let host = &address[..address.len() - digits];
    digits > 0
        && host.ends_with(b":")
        && host.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'[' | b']'))
}

/// Returns where words first stand in a line; one comparison a byte as long as they do not.
fn place_of(words: &[u8], line: &[u8]) -> Option<usize> {
    let (first, ends) = (*words.first()?, (line.len() + 1).checked_sub(words.len())?);
    (0..ends).find(|at| line[*at] == first && line[*at..].starts_with(words))
}

/// Returns whether a line says that an address is taken.
fn says_in_use(line: &[u8]) -> bool {
    let has = |words: &[u8]| place_of(words, line).is_some();
    has(b"EADDRINUSE") || has(b"already in use") && (has(b"ddress ") || has(b"ort "))
}

/// Returns the bits of the facts that a line is to tell, which was given the level and the place in its event that
/// `code` says.
///
/// What an event says again, such as an error's code among its properties, is told once.
pub fn told(own: Outcome, code: u8, group: &mut Group) -> u8 {
    if code & CONTINUES == 0 {
        let owed = if group.owes_port() { facts::PORT_IN_USE } else { 0 };
        group.begin_facts(own.facts & !owed);
        return own.facts & !owed;
    }
    let in_passing =
        if own.priority >= HEADER { !facts::FIELDS } else { facts::PORT_IN_USE | facts::REQUEST };
    group.bring(own.facts & in_passing)
}

/// Notes the facts of a line that begins an event, or those that [`told`] leaves of one that does not.
pub fn note(own: Outcome, code: u8, line: Line<'_>, requests: &mut Requests, verdicts: &mut Verdicts) {
    if own.facts & facts::FIELDS != 0
        && code >= Level::Warn.code()
        && code & CONTINUES == 0
        && verdicts.notes().len() < FLOOD_NOTES
    {
        fields::note(line, verdicts);
    }
    if own.facts & facts::REQUEST != 0 {
        requests.take(own, line, verdicts);
    } else if own.facts == facts::RELOAD && verdicts.notes().len() >= FLOOD_NOTES {
        // One change more among so many.
    } else if own.facts & !facts::FIELDS != 0 {
        note_known(own, line, verdicts);
    }
}

/// Notes that an address is taken, which an earlier line said and this one could have told better.
pub fn note_owed_port(index: usize, verdicts: &mut Verdicts) {
    verdicts.note(index, Fact::port_in_use());
}

#[cold]
fn note_known(own: Outcome, line: Line<'_>, verdicts: &mut Verdicts) {
    let text = String::from_utf8_lossy(&line.bytes[..line.bytes.len().min(LINE_BYTES)]);
    let has = |bit: u8| own.facts & bit != 0;
    let mut note = |fact: Fact| verdicts.note(line.index, fact);
    if has(facts::LISTENING)
        && let Some(url) = url(&text)
    {
        note(Fact::listening(url));
    }
    if has(facts::READY) {
        note(Fact::ready());
    }
    if has(facts::PORT_IN_USE) {
        note(with(Fact::port_in_use(), "port", port(&text)));
    }
    if has(facts::BUILD) {
        note(build(&text, own.level));
    }
    if has(facts::RELOAD) {
        note(with(Fact::reload(), "file", file(&text)));
    }
    if has(facts::MIGRATION) {
        note(with(Fact::migration_pending(), "count", number_before(&text, " ")));
    }
}

fn with(fact: Fact, key: &str, value: Option<String>) -> Fact {
    match value {
        Some(value) => fact.field(key, value),
        None => fact,
    }
}

/// Returns how a build goes: what failed has the level for it, and what has only begun says what it is doing.
fn build(text: &str, level: u8) -> Fact {
    let fact = Fact::build(match level >= Level::Error.code() {
        true => "failed",
        false if ["ompiling", " building ", "Creating "].iter().any(|word| text.contains(word)) => "started",
        false => "ok",
    });
    let fact = with(fact, "ms", milliseconds(text));
    let errors = number_before(text, " error").or_else(|| number_before(text, " previous error"));
    with(with(fact, "errors", errors), "warnings", number_before(text, " warning"))
}

/// Returns the first number that stands before these words.
fn number_before(text: &str, words: &str) -> Option<String> {
    text.match_indices(words).find_map(|(at, _)| {
        let digits = text[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
        let start = at - digits;
        let whole = text[..start].bytes().next_back().is_none_or(|byte| !byte.is_ascii_alphanumeric());
        (digits > 0 && digits < 10 && whole).then(|| text[start..at].to_owned())
    })
}

/// Returns the file in a line about one that changed: in quotes, before `changed`, or behind what is done.
fn file(text: &str) -> Option<String> {
    if text.starts_with("Restarting ") || text.starts_with("[nodemon]") {
        return None;
    }
    if let Some((_, rest)) = text.split_once('\'') {
        return rest.split_once('\'').map(|(file, _)| file.to_owned());
    }
    if let Some((before, _)) = text.split_once(" changed") {
        return before.rsplit(' ').next().map(str::to_owned);
    }
    let after = |word: &str| text.split_once(word).map(|(_, rest)| rest);
    let rest = after("page reload ").or_else(|| after("hmr update "))?;
    rest.split([' ', ',']).next().filter(|file| !file.is_empty()).map(str::to_owned)
}

/// Notes that a pattern of the user's matched.
#[cold]
pub fn note_match(pattern: &str, category: &str, index: usize, verdicts: &mut Verdicts) {
    verdicts.note(index, Fact::new("match").field("pattern", pattern).field("category", category));
}

/// Returns the address in a line: a url as it stands, or one made of `at HOST:PORT` or `on port N`.
fn url(text: &str) -> Option<String> {
    if let Some(start) = text.find("http://").or_else(|| text.find("https://")) {
        let url = text[start..].split(|c: char| c.is_whitespace() || "])>\"',;".contains(c)).next()?;
        return Some(url.trim_end_matches('.').to_owned());
    }
    let after = |words: &str| text.find(words).map(|at| &text[at + words.len()..]);
    if let Some(rest) = after(" port ").or_else(|| after(" port(s): ")) {
        return Some(format!("http://localhost:{}", digits(rest)?));
    }
    let rest = after("istening on ").or_else(|| after("istening at ")).or_else(|| after(" at "))?;
    let address =
        rest.split(|c: char| c.is_whitespace() || ")}\"',;".contains(c)).next()?.trim_end_matches('.');
    let (host, _) = address.rsplit_once(':')?;
    Some(format!("http://{}{address}", if host.is_empty() { "localhost" } else { "" }))
}

/// Returns the port in a line about a taken one: after the word, or at the end of an address.
fn port(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let by_word = lower.match_indices("port ").find_map(|(at, word)| digits(&lower[at + word.len()..]));
    // `('127.0.0.1', 8000)`, `:::8201`, `0.0.0.0:3000`; the last, for what stands before it may be a time.
    let by_address = || {
        let ends = lower.match_indices(':').chain(lower.match_indices("', "));
        ends.filter_map(|(at, mark)| Some((at, digits(&lower[at + mark.len()..])?)))
            .max_by_key(|(at, _)| *at)
            .map(|(_, digits)| digits)
    };
    by_word.or_else(by_address).map(str::to_owned)
}

/// Returns the port number that a text begins with.
fn digits(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse::<u16>().ok().map(|_| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_made() {
        let url = |line: &str| url(line).unwrap_or_default();
        assert_eq!(url("Starting development server at http://127.0.0.1:8123/"), "http://127.0.0.1:8123/");
        assert_eq!(url("  INFO  Server running on [http://127.0.0.1:8000]."), "http://127.0.0.1:8000");
        assert_eq!(url("Tomcat started on port 8083 (http)"), "http://localhost:8083");
        assert_eq!(
            url("Running ShopWeb.Endpoint with Bandit 1.6 at 127.0.0.1:4000 (http)"),
            "http://127.0.0.1:4000"
        );
        assert_eq!(url("level=info msg=\"listening on 0.0.0.0:8080\" at=12:30"), "http://0.0.0.0:8080");
        assert_eq!(url("{\"level\":\"info\",\"msg\":\"Listening on :8080\"}"), "http://localhost:8080");
        assert_eq!(url("INFO: listening on [::1]:8080."), "http://[::1]:8080");
        assert_eq!(url("nothing here"), "");
    }

    #[test]
    fn ports_are_found_by_word_or_in_an_address() {
        let port = |line: &str| port(line).unwrap_or_default();
        assert_eq!(port("Port 5000 is in use by another program."), "5000");
        assert_eq!(port("Error: listen EADDRINUSE: address already in use :::8201"), "8201");
        assert_eq!(
            port(
                "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use"
            ),
            "8000"
        );
        assert_eq!(port("Error: That port is already in use."), "");
        assert_eq!(port("listen tcp :99999: bind: address already in use"), "");
    }
}
