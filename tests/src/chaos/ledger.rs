//! What a child has really printed, in a file that survives its SIGKILL; and the lines themselves.
//!
//! A number is written down before its line is printed, and again when it was. Whoever is killed in between has
//! printed either as many lines as the one says or as many as the other.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Length of a line, newline included, unless its numbers need more.
const LINE_BYTES: usize = 80;
const RECORD_BYTES: usize = 24;

/// A process, told from all others by when it began: its pid, and its start in ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    pub pid: u32,
    pub start: u64,
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.pid, self.start)
    }
}

impl Token {
    /// Returns the token of a living process.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 22 of `proc_pid_stat(5)`, counted from behind the name, which may hold anything.
        let start = stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, start) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }
}

/// Makes the line with a number.
pub fn line(name: &str, token: Token, number: u64) -> String {
    let mut line = format!("{name} {token} {number} ");
    let end = format!(" ={number}\n");
    while line.len() + end.len() < LINE_BYTES {
        line.push('.');
    }
    line + &end
}

/// Returns the name, token and number of a whole line; none of a piece of one.
pub fn parse(text: &str) -> Option<(&str, Token, u64)> {
    let mut words = text.split(' ');
    let (name, token, number) = (words.next()?, words.next()?, words.next()?);
    let end = words.next_back()?.strip_prefix('=')?;
    (end == number).then_some((name, Token::parse(token)?, number.parse().ok()?))
}

/// The record that a child keeps of itself.
#[derive(Debug)]
pub struct Ledger(File);

impl Ledger {
    /// Makes the record. From here on the child takes orders.
    pub fn open(dir: &Path, name: &str, token: Token) -> io::Result<Self> {
        let path = dir.join(format!("{name}.{token}"));
        let hidden = dir.join(format!(".{name}.{token}"));
        let file = OpenOptions::new().write(true).create_new(true).open(&hidden)?;
        file.write_all_at(&[0; RECORD_BYTES], 0)?;
        fs::rename(hidden, path)?;
        Ok(Self(file))
    }

    /// Notes that the lines up to this number are about to be printed.
    pub fn attempt(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(&number.to_le_bytes(), 0)
    }

    /// Notes that they are.
    pub fn written(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(&number.to_le_bytes(), 8)
    }

    /// Notes with which code the child is about to exit.
    pub fn exit(&self, code: u8) -> io::Result<()> {
        self.0.write_all_at(&(u64::from(code) + 1).to_le_bytes(), 16)
    }
}

/// What the record of one child says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub name: String,
    pub token: Token,
    /// It has not printed more lines than this.
    pub attempted: u64,
    /// It has printed this many.
    pub written: u64,
    /// The code it was about to exit with.
    pub exit: Option<i32>,
}

/// Reads all records in `dir`.
///
/// # Errors
/// When one cannot be read, or is none.
pub fn read_all(dir: &Path) -> io::Result<Vec<Told>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let Some((name, token)) = file_name.split_once('.').filter(|(name, _)| !name.is_empty()) else {
            continue;
        };
        let token = Token::parse(token).ok_or_else(|| io::Error::other(file_name.clone()))?;
        let bytes = fs::read(entry.path())?;
        let number = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        let exit = number(16).checked_sub(1).and_then(|code| i32::try_from(code).ok());
        all.push(Told { name: name.to_owned(), token, attempted: number(0), written: number(8), exit });
    }
    Ok(all)
}

/// Returns the children with records in `dir` that live, by name.
pub fn living(dir: &Path, name: &str) -> BTreeSet<Token> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let tokens = entries.filter_map(|entry| {
        let file_name = entry.file_name();
        let (child, token) = file_name.to_str()?.split_once('.')?;
        Token::parse(token).filter(|_| child == name)
    });
    tokens.filter(|token| super::census::lives(*token)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token { pid: 12, start: 3456 };

    #[test]
    fn a_line_is_read_back_and_a_piece_of_it_is_not() {
        let line = line("anna", TOKEN, 117);
        assert_eq!(line.len(), LINE_BYTES);
        let text = line.trim_end();
        assert_eq!(parse(text), Some(("anna", TOKEN, 117)));
        for cut in 1..text.len() {
            assert_eq!(parse(&text[..cut]), None, "{:?}", &text[..cut]);
        }
    }

    #[test]
    fn a_record_tells_what_was_noted_last() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), "anna", TOKEN).unwrap();
        let told = |attempted, written, exit| {
            vec![Told { name: "anna".into(), token: TOKEN, attempted, written, exit }]
        };
        assert_eq!(read_all(dir.path()).unwrap(), told(0, 0, None));
        ledger.attempt(8).unwrap();
        ledger.written(7).unwrap();
        ledger.exit(0).unwrap();
        assert_eq!(read_all(dir.path()).unwrap(), told(8, 7, Some(0)));
    }
}
