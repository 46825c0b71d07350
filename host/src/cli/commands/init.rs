//! `ostler init`

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::{CliError, Code, Context, Outcome};
use crate::config;

/// Writes an ostler.toml for what it finds in the folder
///
/// It looks for files such as `manage.py`, `package.json` and `Procfile`, here and one folder
/// below, and proposes a process for each. Read the result and change it: nothing is started.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Shows what it would write, and writes nothing
    #[arg(long)]
    dry_run: bool,
}

/// Proposes a configuration and writes it, unless there is one.
pub fn run(args: &Args, context: &Context) -> Outcome {
    let dir = context.project().map_or(Path::new("."), |dir| dir.as_path());
    let dir = dir.canonicalize().map_err(|error| CliError::usage(format!("{}: {error}", dir.display())))?;
    let text = config::propose(&dir)
        .map_err(|error| CliError::failed(format!("{} cannot be listed: {error}", dir.display())))?;
    if args.dry_run {
        context.print(&text)?;
        return Ok(Code::Done);
    }
    let file = dir.join(config::FILE_NAME);
    write_new(&file, &text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::failed(format!("{} exists already", file.display()))
            .hint("`ostler init --dry-run` shows what would be written"),
        _ => CliError::failed(format!("{} cannot be written: {error}", file.display())),
    })?;
    context.print(&format!("wrote {}{}\n", file.display(), next_step(&file, &text)))?;
    Ok(Code::Done)
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

/// Returns what was found and what to do now.
fn next_step(file: &Path, text: &str) -> String {
    let names: Vec<String> = config::load_text(file, text)
        .map(|project| project.order.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    match names.as_slice() {
        [] => ": nothing was recognised here, so describe a process in it, then run `ostler up`".to_owned(),
        [name] => format!(" with the process {name}; `ostler up` starts it"),
        names => format!(" with the processes {}; `ostler up` starts them", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_exists_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(config::FILE_NAME);
        write_new(&file, "mine").unwrap();
        assert_eq!(write_new(&file, "theirs").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }

    #[test]
    fn the_next_step_names_what_was_found() {
        let file = Path::new("ostler.toml");
        assert_eq!(
            next_step(file, "[process.api]\ncommand = \"true\"\n"),
            " with the process api; `ostler up` starts it"
        );
        assert!(next_step(file, "").contains("nothing was recognised"));
    }
}
