//! Ostler's default classifier: gives lines the levels TRACE to FATAL by prioritised patterns.
//!
//! A line's bytes are walked through at most two tables, however many patterns there are: one of patterns bound to
//! the line's start, where headers are, and only where that finds none, one of words that may stand anywhere.

mod defaults;
mod fields;
mod group;
mod lazy;
mod matcher;
mod outcome;
mod patterns;
mod reduce;
mod report;
mod requests;
mod samples;
mod shapes;
mod table;
mod user;
mod walk;

use std::rc::Rc;

use ostler_sdk::Line;
use ostler_sdk::prelude::*;

pub use fields::read as fields_of;
use group::Group;
use matcher::Matcher;
use outcome::{CONTINUES, Outcome};
use patterns::facts;
pub use patterns::{Opens, Pattern, patterns};
use requests::Requests;
use user::User;

/// Lines behind the start of a run, or behind a change taken over, in which words behind a header are read for where
/// the process listens: later they cost more than they tell.
const FRESH_LINES: u32 = 1000;

/// One run's reading of its output.
pub struct RegexClassifier {
    defaults: Matcher,
    user: Rc<User>,
    /// One for each stream.
    groups: [Group; 2],
    requests: Requests,
    /// How many of the [`FRESH_LINES`] are left.
    fresh: u32,
}

impl Classifier for RegexClassifier {
    fn info() -> Info {
        let description = "Levels of lines by prioritised patterns, with your own beside the built-in ones.";
        samples::add_to(
            Info::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), description)
                .config_schema(user::SCHEMA),
        )
    }

    fn open(_run: &Run, config: &str) -> Result<Self, String> {
        let user = user::compile(config)?;
        Ok(Self {
            defaults: defaults::matcher(),
            user,
            groups: Default::default(),
            requests: Requests::default(),
            fresh: FRESH_LINES,
        })
    }

    fn push(&mut self, batch: &Batch<'_>, verdicts: &mut Verdicts) {
        let mut group = self.groups[batch.stream() as usize - 1];
        let mut fresh = self.fresh;
        for line in batch.lines() {
            let (mut line, mut own) = (line, self.find(line.index, line.bytes, verdicts));
            if own.is_some_and(|own| own.opens == Opens::Rewritten as u8) {
                (line, own) = self.find_behind_returns(line, verdicts);
            }
            if own.is_some_and(|own| own.facts == facts::FIELDS) {
                own = own.map(|own| requests::in_json(line.bytes, own));
            }
            if own.is_some_and(|own| own.level == CONTINUES) && !group.takes_frames() {
                // It looks like a stack frame and is none: its words count.
                own = self.defaults.find_floating(line.bytes);
            }
            if fresh > 0 {
                fresh -= 1;
                own = own.map(|own| report::with_words_behind_header(line.bytes, own));
            }
            let mut code = group.take(line.bytes, own);
            // Nothing below an error is any of what is rare.
            if code >= Level::Error.code() {
                code = self.settle(code, line, verdicts);
            }
            verdicts.codes_mut()[line.index] = code;
            let Some(own) = own.filter(|own| own.facts != 0) else { continue };
            if own.facts == facts::REQUEST {
                self.requests.take(own, line, verdicts);
            } else if own.facts != facts::FIELDS || code >= Level::Warn.code() {
                self.tell(own, code, line, &mut group, verdicts);
                fresh = if own.facts & facts::RELOAD != 0 { FRESH_LINES } else { fresh };
            }
        }
        self.fresh = fresh;
        self.requests.end_batch(verdicts);
        self.groups[batch.stream() as usize - 1] = group;
    }

    fn flush(&mut self, verdicts: &mut Verdicts) {
        for _ in self.groups.iter().filter(|group| group.owes_port()) {
            report::note_owed_port(0, verdicts);
        }
    }
}

impl RegexClassifier {
    /// Returns what a line's own words say, and notes the facts that come with it.
    #[inline]
    fn find(&self, index: usize, line: &[u8], verdicts: &mut Verdicts) -> Option<Outcome> {
        let theirs = match &self.user.matcher {
            None => None,
            Some(matcher) => matcher.find(line),
        };
        let beats_all = theirs.is_some_and(|(_, outcome)| outcome.priority >= self.defaults.best_priority());
        let ours = match self.user.defaults && !beats_all {
            true => self.defaults.find(line),
            false => None,
        };
        match (theirs, ours) {
            (Some((number, theirs)), ours)
                if ours.is_none_or(|(_, ours)| theirs.priority >= ours.priority) =>
            {
                if let Some((name, Some(category))) = self.user.names.get(usize::from(number)) {
                    report::note_match(name, category, index, verdicts);
                }
                Some(theirs)
            }
            (_, Some((_, ours))) => Some(ours),
            _ => None,
        }
    }

    /// Returns what of a line is seen in the end, behind its last carriage return, and what that says.
    #[cold]
    fn find_behind_returns<'l>(
        &self,
        line: Line<'l>,
        verdicts: &mut Verdicts,
    ) -> (Line<'l>, Option<Outcome>) {
        let bytes = line.bytes;
        let end = bytes.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
        let line = Line { index: line.index, bytes: &bytes[start..end] };
        (line, self.find(line.index, line.bytes, verdicts))
    }

    /// Takes note of what an error may be besides: the end of a request. Returns the code without the bit for a fact
    /// that is owed, which is told now.
    #[cold]
    fn settle(&mut self, code: u8, line: Line<'_>, verdicts: &mut Verdicts) -> u8 {
        if self.requests.awaits() && shapes::exception_of_rails(line.bytes).is_some() {
            self.requests.fail();
        }
        if code & group::DUE != 0 {
            report::note_owed_port(line.index, verdicts);
        }
        code & !group::DUE
    }

    /// Notes the facts of a line.
    #[cold]
    fn tell(&mut self, own: Outcome, code: u8, line: Line<'_>, group: &mut Group, verdicts: &mut Verdicts) {
        let told = report::told(own, code, group);
        report::note(Outcome { facts: told, ..own }, code, line, &mut self.requests, verdicts);
    }
}

export_classifier!(RegexClassifier);

#[cfg(test)]
mod tests {
    use ostler_sdk::testing::{assert_samples, classify, push};
    use ostler_sdk::{Fact, Stream};

    use super::*;

    #[test]
    fn golden_samples_get_their_levels() {
        assert_samples::<RegexClassifier>();
    }

    #[test]
    fn each_stream_has_its_own_state() {
        let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
        let frame = "  File \"/srv/app.py\", line 3, in f";
        assert_eq!(push(&mut session, Stream::Stderr, &["Traceback (most recent call last):"]).levels, "e");
        assert_eq!(push(&mut session, Stream::Stdout, &[frame, "Gone: x"]).levels, "--");
        assert_eq!(push(&mut session, Stream::Stderr, &[frame, "Gone: x"]).levels, "ee");
    }

    /// What the plugin says of lines that are given to it in pieces of these lengths, streams taking turns as a
    /// shuffle would have it.
    fn in_pieces(lines: [&[String]; 2], mut random: impl FnMut(usize) -> usize) -> [String; 2] {
        let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
        let mut said = [String::new(), String::new()];
        let mut at = [0, 0];
        while (0..2).any(|stream| at[stream] < lines[stream].len()) {
            let stream = random(2);
            let piece = &lines[stream][at[stream]..lines[stream].len().min(at[stream] + random(9))];
            at[stream] += piece.len();
            let piece: Vec<&str> = piece.iter().map(String::as_str).collect();
            let of = if stream == 0 { Stream::Stdout } else { Stream::Stderr };
            let outcome = push(&mut session, of, &piece);
            for (level, event) in outcome.levels.chars().zip(outcome.events.chars()) {
                said[stream].push(if event == '|' { level.to_ascii_uppercase() } else { level });
            }
        }
        said
    }

    #[test]
    fn levels_and_events_do_not_depend_on_batches_or_on_the_other_stream() {
        let samples = RegexClassifier::info().samples;
        let all: Vec<String> = samples.into_iter().flat_map(|sample| sample.lines).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..30 {
            // Any lines in any order: the samples', cut up and shuffled by runs of lines.
            let mut shuffled: [Vec<String>; 2] = Default::default();
            for lines in &mut shuffled {
                for _ in 0..40 {
                    let start = random(all.len());
                    lines.extend(all[start..all.len().min(start + random(12))].iter().cloned());
                }
            }
            let lines = [&shuffled[0][..], &shuffled[1][..]];
            let whole =
                lines.map(|lines| in_pieces([lines, &[]], |below| if below == 2 { 0 } else { 8 })[0].clone());
            assert_eq!(in_pieces(lines, &mut random), whole);
        }
    }

    #[test]
    fn an_event_without_end_is_cut() {
        let frame = format!("    at f ({}:1:1)", "x".repeat(100));
        let lines: Vec<&str> =
            std::iter::once("ERROR: x").chain(std::iter::repeat_n(&frame[..], 5000)).collect();
        let outcome = classify::<RegexClassifier>(&lines);
        assert!(outcome.levels.chars().all(|level| level == 'e'));
        let begins: Vec<usize> =
            outcome.events.char_indices().filter(|(_, event)| *event == '-').map(|(at, _)| at).collect();
        assert_eq!(begins, [0, 2000, 4000]);
    }

    #[test]
    fn the_facts_of_an_event_are_those_of_its_beginning() {
        let lines = [
            "Error: listen EADDRINUSE: address already in use :::8201",
            "    at f {",
            "  code: 'EADDRINUSE'",
            "}",
        ];
        let outcome = classify::<RegexClassifier>(&lines);
        assert_eq!(outcome.events, "-|||");
        assert_eq!(outcome.notes.len(), 1, "{:?}", outcome.notes);
    }

    #[test]
    fn of_a_line_written_over_what_is_seen_counts() {
        let lines = [
            "  10% of errors\r 100% done",
            "    Building [=>  ] 1/2: x\rerror[E0425]: cannot find function `f` in this scope",
            "  --> src/main.rs:11:20",
            "working\rERROR: it broke\r",
            "error\r",
            "\r\r",
            "    Building [=>  ] 1/2: x\r    Finished `dev` profile in 0.20s",
            "    Building [=>  ] 1/2: x",
        ];
        let outcome = classify::<RegexClassifier>(&lines);
        assert_eq!(outcome.levels, "-eeee-ii");
        assert_eq!(outcome.events, "--|-----");
        let [note] = &outcome.notes[..] else { panic!("{:?}", outcome.notes) };
        assert_eq!((note.line, &note.fact), (6, &Fact::build("ok").field("ms", "200")));
    }

    #[test]
    fn words_behind_a_header_tell_where_a_process_listens_while_it_starts() {
        let facts = |line: &str| -> Vec<String> {
            classify::<RegexClassifier>(&[line]).notes.into_iter().map(|note| note.fact.kind).collect()
        };
        for line in [
            "INFO: Server listening on port 8601",
            "2026-11-20 08:29:25 INFO shop - Listening at http://127.0.0.1:8080/",
            "[info] listening on :8080",
            "level=info msg=\"listening on 0.0.0.0:8080\"",
            "{\"level\":30,\"msg\":\"Server listening at http://127.0.0.1:3000\"}",
        ] {
            assert_eq!(facts(line), ["listening", "ready"], "{line}");
        }
        for line in [
            "DEBUG: listening on port 8601",
            "INFO: stopped listening on port 8601",
            "INFO: listening on events",
            "INFO: listening on 12 channels",
            "INFO: no longer listening on :8080",
        ] {
            assert!(facts(line).is_empty(), "{line}");
        }
        assert_eq!(facts("ERROR: bind: address already in use"), ["port-in-use"]);
        assert_eq!(facts("panic: listen tcp :8080: bind: address already in use"), ["port-in-use"]);
        assert_eq!(facts("ERROR: the name is already in use").len(), 0);
    }

    #[test]
    fn words_behind_a_header_are_not_read_for_ever() {
        let listening = "INFO: listening on port 8601";
        let mut lines = vec!["INFO: x"; FRESH_LINES as usize];
        lines.extend([listening, "/srv/app/views.py changed, reloading.", listening]);
        let notes = classify::<RegexClassifier>(&lines).notes;
        let kinds: Vec<&str> = notes.iter().map(|note| note.fact.kind.as_str()).collect();
        assert_eq!(kinds, ["reload", "listening", "ready"]);
    }

    #[test]
    fn a_taken_port_is_told_once_and_where_it_is_told_best() {
        let notes = |lines: &[&str]| -> Vec<(u32, Fact)> {
            let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
            let mut notes = push(&mut session, Stream::Stdout, lines).notes;
            let mut verdicts = Verdicts::default();
            session.flush(&mut verdicts);
            notes.extend(verdicts.into_parts().1);
            notes.into_iter().map(|note| (note.line, note.fact)).collect()
        };
        let bare = "Address already in use";
        let port = "Port 5001 is in use by another program. Either identify";
        let told = Fact::port_in_use().field("port", "5001");
        assert_eq!(notes(&[bare, port]), [(1, told.clone())]);
        assert_eq!(notes(&[bare, "", "going on"]), [(2, Fact::port_in_use())]);
        assert_eq!(notes(&[bare, "", "", "", "x"]), [(3, Fact::port_in_use())]);
        assert_eq!(notes(&[bare, "Port 5 of call"]), [(1, Fact::port_in_use())]);
        assert_eq!(notes(&[bare, bare, port]), [(1, Fact::port_in_use()), (2, told)]);
        // Nothing follows: it is told when the run ends.
        assert_eq!(notes(&[bare]), [(0, Fact::port_in_use())]);
        let panic =
            ["thread 'main' (1) panicked at src/main.rs:22:67:", "kind: AddrInUse", "note: AddrInUse"];
        assert_eq!(notes(&panic), [(1, Fact::port_in_use())]);
    }

    #[test]
    fn standard_error_alone_is_no_error() {
        let mut session = RegexClassifier::open(&Run::default(), "").unwrap();
        assert_eq!(push(&mut session, Stream::Stderr, &["just saying"]).levels, "-");
    }

    #[test]
    fn facts_come_with_the_lines_of_known_frameworks() {
        let facts = |line: &str| -> Vec<Fact> {
            classify::<RegexClassifier>(&[line]).notes.into_iter().map(|note| note.fact).collect()
        };
        let listening = |url: &str| Fact::listening(url);
        let in_use = |port: &str| vec![Fact::port_in_use().field("port", port)];
        assert_eq!(
            facts("Starting development server at http://127.0.0.1:8123/"),
            [listening("http://127.0.0.1:8123/"), Fact::ready()]
        );
        assert_eq!(
            facts(" * Running on http://127.0.0.1:5000"),
            [listening("http://127.0.0.1:5000"), Fact::ready()]
        );
        assert_eq!(facts("INFO:     Application startup complete."), [Fact::ready()]);
        assert_eq!(
            facts("INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)"),
            [listening("http://127.0.0.1:8000")]
        );
        assert_eq!(facts("  VITE v8.3.8  ready in 304 ms"), [Fact::ready()]);
        assert_eq!(facts("  ➜  Local:   http://localhost:5173/"), [listening("http://localhost:5173/")]);
        assert_eq!(facts("   - Local:        http://localhost:3000"), [listening("http://localhost:3000")]);
        assert_eq!(facts(" ✓ Ready in 490ms"), [Fact::ready()]);
        assert_eq!(facts("Error: That port is already in use."), [Fact::port_in_use()]);
        assert_eq!(facts("Error: Port 5173 is already in use"), in_use("5173"));
        assert_eq!(facts("Error: listen EADDRINUSE: address already in use :::8201"), in_use("8201"));
        assert_eq!(facts("Port 5000 is in use by another program. Either identify"), in_use("5000"));
        assert_eq!(facts("INFO: nothing special"), []);
        let request = Fact::request;
        assert_eq!(
            facts("INFO:     127.0.0.1:46162 - \"GET /x?y=1 HTTP/1.1\" 200 OK"),
            [request("GET", "/x?y=1", "200")]
        );
        assert_eq!(
            facts(" GET / 500 in 1.5s (next.js: 1s)"),
            [request("GET", "/", "500").field("ms", "1500")]
        );
        assert_eq!(
            facts("webpack 5.103.0 compiled with 2 errors in 467 ms"),
            [Fact::build("failed").field("ms", "467").field("errors", "2")]
        );
        assert_eq!(
            facts("/srv/app/views.py changed, reloading."),
            [Fact::reload().field("file", "/srv/app/views.py")]
        );
        assert_eq!(
            facts("8:29:25 AM [vite] (client) hmr update /src/a.js"),
            [Fact::reload().field("file", "/src/a.js")]
        );
        assert_eq!(
            facts("You have 18 unapplied migration(s). Your project may not work properly"),
            [Fact::migration_pending().field("count", "18")]
        );
        assert_eq!(
            facts("Post office listening on http://127.0.0.1:8301"),
            [listening("http://127.0.0.1:8301"), Fact::ready()]
        );
        assert_eq!(facts("Debugger listening on ws://127.0.0.1:9229/d7a1"), []);
    }
}
