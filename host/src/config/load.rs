//! Owns the files: finds `ostler.toml`, reads it and what it names, and puts a project together.
//!
//! The only place of the configuration that touches the file system, with `envfile` for files that are read at each
//! start. Reads are bounded: a path may lead to anything, `/dev/zero` included.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::file::ConfigFile;
use super::source::Source;
use super::types::{LogPattern, Project};
use super::{check, detect, patterns, recover};

/// The name of the file that makes a directory a project.
pub const FILE_NAME: &str = "ostler.toml";

/// Largest file of any kind that configuration reads, in bytes.
pub const FILE_BYTES: u64 = 1 << 20;

/// Most entries of a directory that [`propose`] looks at.
const PROPOSE_ENTRIES: usize = 2000;

/// Finds the nearest `ostler.toml` in `start` or a directory above it.
pub fn find(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|dir| dir.join(FILE_NAME)).find(|file| file.is_file())
}

/// Reads and checks a project's `ostler.toml` and the pattern files it names.
///
/// # Errors
/// Every problem that was found, each with its place.
pub fn load(file: &Path) -> Result<Project, ConfigError> {
    let text = read_bounded(file).map_err(|error| unreadable(file, &error))?;
    load_text(file, &text)
}

/// Returns the text of a project's `ostler.toml`, for [`load_text`]; none when there is no such file.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> Result<Option<String>, ConfigError> {
    match read_bounded(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Checks `text` as the contents of `file`, which need not exist; reads the pattern files it names.
///
/// # Errors
/// As [`load`].
pub fn load_text(file: &Path, text: &str) -> Result<Project, ConfigError> {
    let mut problems = Vec::new();
    let source = Source { path: file, text };
    let dir = file.parent().unwrap_or(Path::new(""));
    let read = recover::read::<ConfigFile>(source, &mut problems);
    let project = read.map(|read| {
        let mut checked = check::project(source, dir, read, &mut problems);
        checked.project.pattern_files = checked.patterns.iter().map(|file| file.get_ref().clone()).collect();
        checked.project.patterns = read_patterns(source, checked.patterns, &mut problems);
        checked.project
    });
    match (ConfigError::from_problems(problems), project) {
        (None, Some(project)) => Ok(project),
        (Some(error), _) => Err(error),
        (None, None) => Err(Problem::of_file(file, "cannot be read as configuration").into()),
    }
}

fn read_patterns(
    source: Source<'_>,
    files: Vec<Spanned<PathBuf>>,
    problems: &mut Vec<Problem>,
) -> Vec<LogPattern> {
    let mut all = Vec::new();
    for file in files {
        match read_bounded(file.get_ref()) {
            Ok(text) => all.extend(patterns::read(Source { path: file.get_ref(), text: &text }, problems)),
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", file.get_ref().display());
                problems.push(source.problem(file.span(), message));
            }
        }
        if all.len() > patterns::PATTERNS {
            let message = format!("with this file there are more than {} patterns", patterns::PATTERNS);
            problems.push(source.problem(file.span(), message));
            break;
        }
    }
    all
}

/// Writes the text of an `ostler.toml` for what is found in a directory; says so in the text when nothing is.
///
/// # Errors
/// When the directory cannot be listed.
pub fn propose(dir: &Path) -> io::Result<String> {
    let mut files = list(dir, "")?;
    let inner: Vec<String> = files.iter().filter(|name| name.ends_with('/')).cloned().collect();
    for subdirectory in inner.iter().filter(|name| detect::is_worth_a_look(name)) {
        // A directory that may not be listed holds nothing that could be proposed.
        files.extend(list(&dir.join(subdirectory), subdirectory).unwrap_or_default());
    }
    let read = |name: &str| read_bounded(&dir.join(name)).ok();
    Ok(detect::propose(&Project::empty(dir).name, &files, &read))
}

/// Returns the names in a directory, each after `prefix`, those of directories with a `/` at the end.
fn list(dir: &Path, prefix: &str) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in dir.read_dir()?.take(PROPOSE_ENTRIES) {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str() {
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.insert(format!("{prefix}{name}{slash}"));
        }
    }
    Ok(names)
}

/// Reads a regular file of at most [`FILE_BYTES`] of UTF-8. Asks before it opens: opening a pipe would wait.
pub(super) fn read_bounded(path: &Path) -> io::Result<String> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("it is larger than {} KiB", FILE_BYTES >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
    let problem = Problem::of_file(file, format!("cannot be read: {error}"));
    let hint = (error.kind() == io::ErrorKind::NotFound)
        .then(|| "`ostler init` writes one for what it finds in the directory".to_owned());
    problem.hint(hint).into()
}
