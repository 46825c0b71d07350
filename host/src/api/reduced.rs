//! Traces among the lines of a log: which lines a reader with little room can do without.
//!
//! Lines come one by one and from two streams at once; here those of one event are found, and each is given its part.
//! Never reads the log, and changes no line.

use std::collections::HashMap;

use super::Api;
use crate::model::{Line, RunId, Stream};
use crate::traces;

impl Api {
    /// Returns the project's directory, which tells its own code from that of libraries.
    pub fn project_dir(&self) -> Option<String> {
        self.parts.fleet.project().dir.to_str().map(str::to_owned)
    }
}

/// What becomes of a line when traces are told without the frames of libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It is told as it is.
    Told,
    /// The first of those that are left out: this is told in its place.
    Remark(String),
    /// Left out; a remark before it counts it.
    LeftOut,
}

/// Fewest lines of an event that has something to leave out: what was raised, and two frames.
const LINES: usize = 3;

/// Returns the part of each of `lines`, which are given in order and without gaps between those of one event. `project`
/// is the project's directory, where it is known. An event whose beginning is not among them is understood as far as it
/// goes.
pub fn reduced(lines: &[Line], project: Option<&str>) -> Vec<Part> {
    let mut parts = vec![Part::Told; lines.len()];
    let mut open: HashMap<(RunId, Stream), Open> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        if line.stream == Stream::Ostler {
            continue;
        }
        let event = open.entry((line.run, line.stream)).or_default();
        if line.continues {
            let blanks = std::mem::take(&mut event.blanks);
            event.lines.extend(blanks);
            event.lines.push(index);
        } else if line.text.trim().is_empty() && !event.lines.is_empty() {
            event.blanks.push(index);
        } else {
            let over = std::mem::take(event);
            over.settle(lines, project, &mut parts);
            event.lines.push(index);
        }
    }
    for event in open.into_values() {
        event.settle(lines, project, &mut parts);
    }
    parts
}

/// Returns from which of `lines` on at most `most` are told.
pub(super) fn start_of_last(lines: &[Line], most: usize) -> usize {
    let parts = reduced(lines, None);
    let told = parts.iter().enumerate().rev().filter(|(_, part)| **part != Part::LeftOut);
    told.map(|(index, _)| index).take(most).last().unwrap_or(lines.len())
}

/// Returns the lines as [`reduced`] would have them told, for readers who see lines one by one.
pub fn without_libraries(lines: &[Line]) -> Vec<Line> {
    let parts = reduced(lines, None);
    let told = lines.iter().zip(parts).filter_map(|(line, part)| match part {
        Part::Told => Some(line.clone()),
        Part::Remark(text) => Some(Line { text, ..line.clone() }),
        Part::LeftOut => None,
    });
    told.collect()
}

/// An event of which more lines may follow.
#[derive(Default)]
struct Open {
    /// Its lines, as places in what was given.
    lines: Vec<usize>,
    /// Blank lines after them, which are of it when one follows that is.
    blanks: Vec<usize>,
}

impl Open {
    fn settle(self, lines: &[Line], project: Option<&str>, parts: &mut [Part]) {
        // A piece of a line is none.
        if self.lines.len() < LINES || self.lines.iter().any(|index| lines[*index].partial) {
            return;
        }
        let text = self.lines.iter().map(|index| lines[*index].text.as_str()).collect::<Vec<_>>().join("\n");
        for left_out in traces::library_lines(&text, project) {
            let mut remark = Some(left_out.remark);
            for place in left_out.lines {
                if let Some(index) = self.lines.get(place) {
                    parts[*index] = remark.take().map_or(Part::LeftOut, Part::Remark);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Level, ProcessName, Seq, Time};

    fn line(stream: Stream, text: &str, continues: bool) -> Line {
        Line {
            seq: Seq(1),
            time: Time(0),
            process: ProcessName::new("api").unwrap(),
            run: RunId(1),
            stream,
            level: Level::Error,
            text: text.to_owned(),
            partial: false,
            continues,
        }
    }

    fn python() -> Vec<Line> {
        [
            "Traceback (most recent call last):",
            "  File \"/srv/shop/views.py\", line 3, in cart",
            "    total()",
            "  File \"/venv/lib/python3.13/site-packages/django/a.py\", line 1, in a",
            "    b()",
            "  File \"/venv/lib/python3.13/site-packages/django/b.py\", line 1, in b",
            "    raise ValueError(1)",
            "ValueError: 1",
        ]
        .into_iter()
        .enumerate()
        .map(|(index, text)| line(Stream::Stderr, text, index > 0))
        .collect()
    }

    fn told(lines: &[Line]) -> Vec<String> {
        without_libraries(lines).into_iter().map(|line| line.text).collect()
    }

    const TOLD: [&str; 5] = [
        "Traceback (most recent call last):",
        "  File \"/srv/shop/views.py\", line 3, in cart",
        "    total()",
        "  … 2 frames of libraries left out",
        "ValueError: 1",
    ];

    #[test]
    fn frames_of_libraries_are_left_out_between_lines_of_another_stream_too() {
        assert_eq!(told(&python()), TOLD);
        let mut mixed = python();
        mixed.insert(6, line(Stream::Stdout, "between", false));
        let mut expected = TOLD.to_vec();
        expected.insert(4, "between");
        assert_eq!(told(&mixed), expected);
    }

    #[test]
    fn a_trace_without_its_beginning_is_still_one() {
        assert_eq!(told(&python()[1..]), TOLD[1..]);
    }

    #[test]
    fn lines_that_belong_to_nothing_and_pieces_of_lines_stay() {
        let mut apart = python();
        apart.iter_mut().for_each(|line| line.continues = false);
        assert_eq!(told(&apart).len(), apart.len());
        let mut pieces = python();
        pieces[4].partial = true;
        assert_eq!(told(&pieces).len(), pieces.len());
        assert_eq!(reduced(&[], None), []);
    }

    #[test]
    fn the_last_lines_are_counted_as_they_are_told() {
        let lines = python();
        assert_eq!([0, 1, 2, 3, 4, 9].map(|most| start_of_last(&lines, most)), [8, 7, 3, 2, 1, 0]);
        assert_eq!(start_of_last(&[], 3), 0);
    }

    #[test]
    fn blank_lines_within_an_event_are_of_it() {
        let mut lines = python();
        lines.insert(3, line(Stream::Stderr, "", false));
        assert_eq!(told(&lines).len(), TOLD.len() + 1);
        lines.push(line(Stream::Stderr, "", false));
        lines.push(line(Stream::Stderr, "next", false));
        assert_eq!(told(&lines).len(), TOLD.len() + 3);
    }
}
