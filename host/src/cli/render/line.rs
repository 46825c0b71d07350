//! Owns how a line of log looks: time, padded name, and the text in the colour of its level.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::style::{self, FAINT, NameStyles, Palette};
use super::text::visible;
use crate::model::{Line, ProcessName, Stream, Time};

/// Tells times as the person's clock does; the date only when it is not today's.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    today: Date,
}

impl Clock {
    /// Returns the clock of this machine.
    pub fn local() -> Self {
        let zone = TimeZone::system();
        let today = Timestamp::now().to_zoned(zone.clone()).date();
        Self { zone, today }
    }

    #[cfg(test)]
    pub fn utc(today: Date) -> Self {
        Self { zone: TimeZone::UTC, today }
    }

    /// Returns `08:29:25`, or `2026-11-20 08:29:25` for another day.
    pub fn show(&self, time: Time) -> String {
        let timestamp = Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH);
        let zoned = timestamp.to_zoned(self.zone.clone());
        let format = if zoned.date() == self.today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        zoned.strftime(format).to_string()
    }
}

/// Turns lines into text, each with the name of its process.
#[derive(Debug, Clone)]
pub struct LineFormat {
    palette: Palette,
    clock: Clock,
    names: NameStyles,
    width: usize,
}

impl LineFormat {
    /// Makes a format with room for `names`; lines of others are shown too, only less aligned.
    pub fn new<'n>(
        palette: Palette,
        clock: Clock,
        names: impl IntoIterator<Item = &'n ProcessName> + Clone,
    ) -> Self {
        let width = names.clone().into_iter().map(|name| name.as_str().len()).max().unwrap_or(0);
        Self { palette, clock, names: NameStyles::new(names), width }
    }

    /// Makes a format for lines that stand alone.
    pub fn of_lines(palette: Palette, clock: Clock, lines: &[Line]) -> Self {
        Self::new(palette, clock, lines.iter().map(|line| &line.process))
    }

    /// Returns the line with its line end.
    ///
    /// `|` sets off what the process printed, in yellow when it came from standard error, and `*` what Ostler
    /// remarks in between.
    pub fn show(&self, line: &Line) -> String {
        let palette = self.palette;
        // A program on a terminal that writes `\r\n` itself has the terminal add another return.
        let text = visible(line.text.trim_end_matches('\r'));
        let name = format!("{:width$}", line.process.as_str(), width = self.width);
        let (mark, mark_style, text_style) = match line.stream {
            Stream::Stdout => ("|", FAINT, style::of_level(line.level)),
            Stream::Stderr => ("|", style::WARNING, style::of_level(line.level)),
            Stream::Ostler => ("*", FAINT, FAINT),
        };
        let mut shown = String::with_capacity(text.len() + 64);
        let _ = writeln!(
            shown,
            "{} {} {} {}",
            palette.paint(FAINT, self.clock.show(line.time)),
            palette.paint(self.names.of(&line.process), name),
            palette.paint(mark_style, mark),
            palette.paint(text_style, text),
        );
        shown
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::{Level, RunId, Seq};

    /// Makes a line of `api` on 2026-11-20 at 08:29:25 UTC.
    pub fn line(stream: Stream, level: Level, text: &str) -> Line {
        Line {
            seq: Seq(1),
            time: Time(1_795_163_365_123_000_000),
            process: ProcessName::new("api").unwrap(),
            run: RunId(1),
            stream,
            level,
            text: text.to_owned(),
            partial: false,
            continues: false,
        }
    }

    fn format(palette: Palette) -> LineFormat {
        let names = ["api", "worker"].map(|name| ProcessName::new(name).unwrap());
        LineFormat::new(palette, Clock::utc(jiff::civil::date(2026, 11, 20)), &names)
    }

    #[test]
    fn names_are_padded_and_remarks_are_marked() {
        let format = format(Palette::PLAIN);
        let lines = [
            line(Stream::Stdout, Level::Info, "\"GET / HTTP/1.1\" 200"),
            line(Stream::Stderr, Level::Error, "KeyError: 'x'"),
            line(Stream::Ostler, Level::Unknown, "exited with exit code 1"),
        ];
        insta::assert_snapshot!(lines.map(|line| format.show(&line)).concat(), @r#"
        08:29:25 api    | "GET / HTTP/1.1" 200
        08:29:25 api    | KeyError: 'x'
        08:29:25 api    * exited with exit code 1
        "#);
    }

    #[test]
    fn another_day_shows_its_date() {
        let clock = Clock::utc(jiff::civil::date(2026, 11, 21));
        assert_eq!(clock.show(line(Stream::Stdout, Level::Info, "").time), "2026-11-20 08:29:25");
    }

    #[test]
    fn a_process_cannot_drive_the_terminal() {
        for palette in [Palette::PLAIN, Palette::COLOURED] {
            let shown =
                format(palette).show(&line(Stream::Stdout, Level::Unknown, "\x1b]0;owned\x07\u{202e}"));
            assert!(shown.ends_with("␛]0;owned␇<U+202E>\n"), "{shown:?}");
        }
    }

    #[test]
    fn levels_have_colours() {
        let shown = format(Palette::COLOURED).show(&line(Stream::Stdout, Level::Error, "boom"));
        assert!(shown.ends_with("\x1b[31mboom\x1b[0m\n"), "{shown:?}");
    }
}
