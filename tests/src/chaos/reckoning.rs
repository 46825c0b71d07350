//! The reckoning: what the children have really done, held against what Ostler says they did.
//!
//! Pure: takes both and returns every difference in a sentence.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Token, Told, parse};
use crate::shown::Exit;

/// What Ostler knows of one run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    pub run: u64,
    pub process: String,
    pub ended: bool,
    /// `None` while it is not known to have ended, and where it never began.
    pub exit: Option<Exit>,
    /// What is said beside the exit, or instead of it.
    pub note: String,
    pub child: Option<Token>,
    pub lines: Vec<Stored>,
}

/// A line as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub text: String,
    /// It is one of Ostler's own.
    pub remark: bool,
    pub partial: bool,
}

/// What was done to the children. Who is in neither list was let be, or asked to end.
#[derive(Debug, Default)]
pub struct Deeds {
    pub killed: BTreeSet<Token>,
    /// Their shim was killed.
    pub bereaved: BTreeSet<Token>,
    /// Processes that do not end when they are asked to.
    pub deaf: BTreeSet<String>,
}

const UNKNOWN: Exit = Exit { code: None, signal: None };

/// Returns every difference.
pub fn differences(tolds: &[Told], runs: &[Run], deeds: &Deeds) -> Vec<String> {
    let mut found = Vec::new();
    let mut run_of: BTreeMap<Token, &Run> = BTreeMap::new();
    let mut childless: Vec<&Run> = Vec::new();
    for run in runs {
        let printed = run.lines.iter().filter_map(|line| parse(&line.text));
        let mut tokens: BTreeSet<Token> = printed.clone().map(|(_, token, _)| token).collect();
        tokens.extend(run.child);
        if let Some((name, ..)) = printed.clone().find(|(name, ..)| *name != run.process) {
            found.push(format!("run {} of {} has lines of {name}", run.run, run.process));
        }
        match tokens.len() {
            0 => childless.push(run),
            1 => {}
            _ => found.push(format!("run {} of {} has several children: {tokens:?}", run.run, run.process)),
        }
        for token in tokens {
            if let Some(other) = run_of.insert(token, run) {
                found.push(format!("runs {} and {} have the same child {token}", other.run, run.run));
            }
        }
        if !run.ended {
            found.push(format!("run {} of {} has no end", run.run, run.process));
        }
    }
    let mut known: BTreeSet<u64> = BTreeSet::new();
    for told in tolds {
        match run_of.get(&told.token) {
            Some(run) => {
                known.insert(run.run);
                let of = format!("run {} of {} (child {})", run.run, run.process, told.token);
                let wrong = [exit_of(told, run, deeds), lines_of(told, run, deeds)];
                found.extend(wrong.into_iter().flatten().map(|what| format!("{of}: {what}")));
            }
            // Neither its pid nor a line of it was seen: its shim was killed at once, or the disk was full.
            None => match childless.iter().position(|run| fits(told, run, deeds)) {
                Some(place) => drop(known.insert(childless.remove(place).run)),
                None => {
                    found.push(format!("nobody knows of child {} of {}: {told:?}", told.token, told.name))
                }
            },
        }
    }
    for run in runs.iter().filter(|run| !known.contains(&run.run)) {
        found.extend(never_began(run).map(|what| format!("run {} of {}: {what}", run.run, run.process)));
    }
    found
}

/// Returns whether a run of which no child is known can have been that of this one.
fn fits(told: &Told, run: &Run, deeds: &Deeds) -> bool {
    run.process == told.name && exit_of(told, run, deeds).is_none() && lines_of(told, run, deeds).is_none()
}

/// A run of which there is no child's record must say why, or have been killed before it could make one.
fn never_began(run: &Run) -> Option<String> {
    match run.exit {
        Some(Exit { code: Some(code), .. }) => Some(format!("exit code {code}, and its child has no record")),
        None | Some(UNKNOWN) if run.note.is_empty() => {
            Some("it has no child, and nothing says why".to_owned())
        }
        _ => None,
    }
}

fn exit_of(told: &Told, run: &Run, deeds: &Deeds) -> Option<String> {
    let (killed, bereaved) = (deeds.killed.contains(&told.token), deeds.bereaved.contains(&told.token));
    let Some(exit) = run.exit else {
        return Some(format!("no exit is known ({:?}), but {told:?}", run.note));
    };
    let by_code = told.exit.is_some() && exit == Exit { code: told.exit, signal: None };
    let by_kill = exit == Exit { code: None, signal: Some(libc::SIGKILL) };
    let fits = match exit {
        UNKNOWN => bereaved && run.note.contains("shim died"),
        _ if by_code => true,
        _ => by_kill && (killed || bereaved || deeds.deaf.contains(&told.name)),
    };
    (!fits).then(|| {
        let done = if killed { ", and was killed" } else { "" };
        format!("ended with {exit:?} ({:?}), but the child was to exit with {:?}{done}", run.note, told.exit)
    })
}

fn lines_of(told: &Told, run: &Run, deeds: &Deeds) -> Option<String> {
    let bereaved = deeds.bereaved.contains(&told.token);
    let pieces = whole(&run.lines);
    let (mut next, mut slack) = (1, 0);
    for (place, piece) in pieces.iter().enumerate() {
        let beside = |other: Option<usize>| {
            other.and_then(|other| pieces.get(other)).is_some_and(|other| matches!(other, Piece::Gap(_)))
        };
        match piece {
            Piece::Line(number) if (next..=next + slack).contains(number) => {
                (next, slack) = (number + 1, 0);
            }
            Piece::Line(number) if *number < next => {
                return Some(format!("line {number} is stored again, behind line {}", next - 1));
            }
            Piece::Line(number) => {
                return Some(format!("behind line {} comes line {number}, without a word", next - 1));
            }
            Piece::Gap(lines) => next += lines,
            Piece::Scrap(text) => match (beside(place.checked_sub(1)), beside(Some(place + 1))) {
                // The front of a line whose end, newline included, is in the gap.
                (false, true) => {}
                // The end of a line, newline included.
                (true, false) => next += 1,
                // Either.
                (true, true) => slack += 1,
                // A shim that was killed has read no further.
                (false, false) if bereaved && place + 1 == pieces.len() => {}
                (false, false) => return Some(format!("behind line {} comes {text:?}", next - 1)),
            },
        }
    }
    let stored = next - 1;
    // What a shim had not read when it was killed is lost with it.
    let least = if bereaved { 0 } else { told.written };
    let fits = stored <= told.attempted && stored + slack >= least;
    (!fits).then(|| {
        format!(
            "{stored} lines are stored or counted, but {} to {} were printed",
            told.written, told.attempted
        )
    })
}

enum Piece {
    Line(u64),
    /// So many lines are missing here.
    Gap(u64),
    /// Part of a line.
    Scrap(String),
}

/// Puts lines that were stored in pieces together again, and reads them. Remarks other than of gaps are passed over.
fn whole(lines: &[Stored]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut begun = String::new();
    let add = |text: String| match parse(&text) {
        Some((.., number)) => Piece::Line(number),
        None => Piece::Scrap(text),
    };
    for line in lines {
        if line.remark {
            if let Some(gap) = dropped(&line.text) {
                if !begun.is_empty() {
                    pieces.push(add(std::mem::take(&mut begun)));
                }
                pieces.push(Piece::Gap(gap));
            }
            continue;
        }
        begun.push_str(&line.text);
        if !line.partial {
            pieces.push(add(std::mem::take(&mut begun)));
        }
    }
    if !begun.is_empty() {
        pieces.push(add(begun));
    }
    pieces
}

/// Returns how many lines are missing where Ostler says so.
fn dropped(text: &str) -> Option<u64> {
    text.strip_prefix("[ostler] ")?.split_once(" lines (")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::ledger::line;

    const TOKEN: Token = Token { pid: 7, start: 70 };

    fn told(printed: u64, exit: Option<i32>) -> Told {
        Told { name: "anna".into(), token: TOKEN, attempted: printed, written: printed, exit }
    }

    fn stored(number: u64) -> Stored {
        text(line("anna", TOKEN, number).trim_end())
    }

    fn text(text: &str) -> Stored {
        Stored { text: text.to_owned(), remark: false, partial: false }
    }

    fn gap(lines: u64) -> Stored {
        Stored {
            remark: true,
            ..text(&format!("[ostler] {lines} lines (9 bytes) of output were dropped here"))
        }
    }

    fn run(lines: impl IntoIterator<Item = Stored>, exit: Exit) -> Run {
        let (process, child) = ("anna".to_owned(), Some(TOKEN));
        let (note, lines) = (String::new(), lines.into_iter().collect());
        Run { run: 1, process, ended: true, exit: Some(exit), note, child, lines }
    }

    fn code(code: i32) -> Exit {
        Exit { code: Some(code), signal: None }
    }

    fn found(told: Told, run: Run) -> String {
        differences(&[told], &[run], &Deeds::default()).join("\n")
    }

    #[test]
    fn what_fits_is_passed_over() {
        assert_eq!(found(told(5, Some(3)), run((1..=5).map(stored), code(3))), "");
        let mut halfway = told(5, Some(3));
        halfway.attempted = 6;
        for lines in [5, 6] {
            assert_eq!(found(halfway.clone(), run((1..=lines).map(stored), code(3))), "");
        }
    }

    #[test]
    fn a_line_that_is_missing_or_stored_twice_is_found() {
        let lost = run([1, 2, 4, 5].map(stored), code(3));
        assert!(found(told(5, Some(3)), lost).contains("behind line 2 comes line 4"));
        let twice = run([1, 2, 2, 3].map(stored), code(3));
        assert!(found(told(3, Some(3)), twice).contains("line 2 is stored again"));
        let short = run([1, 2].map(stored), code(3));
        assert!(found(told(3, Some(3)), short).contains("2 lines are stored or counted, but 3 to 3"));
    }

    #[test]
    fn lines_that_are_counted_as_dropped_are_accounted_for() {
        let counted = [stored(1), gap(3), stored(5)];
        assert_eq!(found(told(5, Some(3)), run(counted.clone(), code(3))), "");
        assert!(found(told(6, Some(3)), run(counted, code(3))).contains("5 lines"));
        let (second, fourth) = (stored(2).text, stored(4).text);
        let cut = [stored(1), text(&second[..20]), gap(2), text(&fourth[40..]), stored(5)];
        assert_eq!(found(told(5, Some(3)), run(cut, code(3))), "");
        let scrap = [stored(1), text(&second[..20]), stored(3)];
        assert!(found(told(3, Some(3)), run(scrap, code(3))).contains("behind line 1 comes"));
    }

    #[test]
    fn a_line_that_was_stored_in_pieces_is_one() {
        let second = stored(2).text;
        let front = Stored { partial: true, ..text(&second[..30]) };
        let lines = [stored(1), front, text(&second[30..]), stored(3)];
        assert_eq!(found(told(3, Some(3)), run(lines, code(3))), "");
    }

    #[test]
    fn an_exit_that_is_wrong_or_not_known_is_found() {
        let lines = || (1..=2).map(stored);
        let unknown = Run { note: "its shim died, …".into(), ..run(lines(), UNKNOWN) };
        let killed = run(lines(), Exit { code: None, signal: Some(libc::SIGKILL) });
        assert!(found(told(2, Some(4)), run(lines(), code(3))).contains("was to exit with Some(4)"));
        assert!(found(told(2, None), killed.clone()).contains("ended with"));
        assert!(found(told(2, Some(4)), unknown.clone()).contains("ended with"));
        let deeds = Deeds { killed: [TOKEN].into(), bereaved: [TOKEN].into(), ..Deeds::default() };
        for run in [killed, unknown] {
            assert_eq!(differences(&[told(2, None)], &[run], &deeds), [""; 0]);
        }
    }

    #[test]
    fn a_child_that_nobody_knows_of_is_found() {
        let other = Told { token: Token { pid: 8, start: 80 }, ..told(3, Some(0)) };
        let known = run([1].map(stored), code(3));
        let both = [told(1, Some(3)), other];
        // As on a full disk: nobody could write down who the child was, and all it printed was dropped.
        let dropped = |lines| Run { run: 2, child: None, ..run([gap(lines)], code(0)) };
        let found = |runs: &[Run]| differences(&both, runs, &Deeds::default()).join("\n");
        assert_eq!(found(&[known.clone(), dropped(3)]), "");
        for runs in [&[known.clone()][..], &[known.clone(), dropped(2)]] {
            assert!(found(runs).contains("nobody knows of child 8-80"), "{}", found(runs));
        }
    }
}
