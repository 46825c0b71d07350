//! The facts of lines whose pattern brings some: reads the url or the port out of the line.

use ostler_sdk::{Fact, Verdicts};

use crate::patterns::facts;

/// Longest value of a field, in bytes: lines come from the child, and facts travel further than lines.
const VALUE_BYTES: usize = 2048;

/// Notes the facts that `bits` stand for, with what the line tells about them.
#[cold]
pub fn note(bits: u8, index: usize, line: &[u8], verdicts: &mut Verdicts) {
    if bits & facts::LISTENING != 0
        && let Some(url) = url(line)
    {
        verdicts.note(index, Fact::listening(url));
    }
    if bits & facts::READY != 0 {
        verdicts.note(index, Fact::ready());
    }
    if bits & facts::PORT_IN_USE != 0 {
        let fact = Fact::port_in_use();
        verdicts.note(
            index,
            match port(line) {
                Some(port) => fact.field("port", port),
                None => fact,
            },
        );
    }
}

/// Notes that a pattern of the user's matched.
#[cold]
pub fn note_match(pattern: &str, category: &str, index: usize, verdicts: &mut Verdicts) {
    verdicts.note(index, Fact::new("match").field("pattern", pattern).field("category", category));
}

/// Returns the address in a line: a url as it stands, or one made of `at HOST:PORT` or `on port N`.
fn url(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&line[..line.len().min(VALUE_BYTES)]);
    if let Some(start) = text.find("http://").or_else(|| text.find("https://")) {
        let url = text[start..].split(|c: char| c.is_whitespace() || "])>\"',;".contains(c)).next()?;
        return Some(url.trim_end_matches('.').to_owned());
    }
    let after = |words: &str| text.find(words).map(|at| &text[at + words.len()..]);
    if let Some(rest) = after(" port ").or_else(|| after(" port(s): ")) {
        return Some(format!("http://localhost:{}", digits(rest)?));
    }
    let address = after(" at ")?.split_whitespace().next()?;
    address.contains(':').then(|| format!("http://{address}"))
}

/// Returns the port in a line about a taken one: after the word, or at the end of an address.
fn port(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&line[..line.len().min(VALUE_BYTES)]);
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
        let url = |line: &str| url(line.as_bytes()).unwrap_or_default();
        assert_eq!(url("Starting development server at http://127.0.0.1:8123/"), "http://127.0.0.1:8123/");
        assert_eq!(url("  INFO  Server running on [http://127.0.0.1:8000]."), "http://127.0.0.1:8000");
        assert_eq!(url("Tomcat started on port 8083 (http)"), "http://localhost:8083");
        assert_eq!(
            url("Running ShopWeb.Endpoint with Bandit 1.6 at 127.0.0.1:4000 (http)"),
            "http://127.0.0.1:4000"
        );
        assert_eq!(url("nothing here"), "");
    }

    #[test]
    fn ports_are_found_by_word_or_in_an_address() {
        let port = |line: &str| port(line.as_bytes()).unwrap_or_default();
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
