//! Owns what `ostler init` proposes: the text of an `ostler.toml` for the files of a project.
//!
//! Deliberately modest: it looks at names and at a few words in them, in the project's directory and one level below,
//! and proposes commands a person can read and change. To understand a framework, its output and its failures is the
//! work of adapters, which are plugins. Pure: a list of names and a way to read them go in, a text comes out.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Command, CommandError};
use super::types::Project;
use crate::model::ProcessName;

/// Most processes proposed; a directory of a hundred packages is not to become a hundred processes.
const PROCESSES: usize = 20;

/// Directories that hold other people's projects or what was built.
const PASSED_OVER: [&str; 7] = ["build/", "dist/", "node_modules/", "target/", "tests/", "vendor/", "venv/"];

/// A process to propose.
struct Proposal {
    name: String,
    command: String,
    shell: bool,
    env: Option<(&'static str, String)>,
    /// The `ready` line's table without its braces.
    ready: Option<String>,
    /// Why it is proposed, for the comment.
    because: String,
    cwd: String,
}

impl Proposal {
    fn new(name: &str, command: impl Into<String>, because: impl Into<String>) -> Self {
        let (command, because, cwd) = (command.into(), because.into(), String::new());
        Self { name: name.to_owned(), command, shell: false, env: None, ready: None, because, cwd }
    }

    fn tcp(self, port: u16) -> Self {
        Self { ready: Some(format!("tcp = {port}")), ..self }
    }

    fn log(self, regex: &str) -> Self {
        Self { ready: Some(format!("log = {}", quoted(regex))), ..self }
    }
}

/// One directory of the project as the rules see it.
struct Folder<'a> {
    /// Empty for the project's own directory, else with a `/` at the end.
    prefix: &'a str,
    files: &'a BTreeSet<String>,
    read: &'a dyn Fn(&str) -> Option<String>,
}

impl Folder<'_> {
    fn has(&self, name: &str) -> bool {
        self.files.contains(&format!("{}{name}", self.prefix))
    }

    /// Returns the text of a file, empty when there is none.
    fn text(&self, name: &str) -> String {
        if !self.has(name) {
            return String::new();
        }
        (self.read)(&format!("{}{name}", self.prefix)).unwrap_or_default()
    }

    /// Returns how Python is run here.
    fn python(&self) -> &'static str {
        if self.has("uv.lock") {
            "uv run python"
        } else if self.has("poetry.lock") {
            "poetry run python"
        } else if self.has(".venv/") {
            ".venv/bin/python"
        } else {
            "python3"
        }
    }

    /// Tells whether the project's Python requirements name a package.
    fn requires_python(&self, package: &str) -> bool {
        ["requirements.txt", "pyproject.toml"].iter().any(|file| {
            self.text(file).to_ascii_lowercase().lines().any(|line| {
                let line = line.trim_start_matches([' ', '\t', '"', '\'']);
                let found = line
                    .strip_prefix(package)
                    .or_else(|| line.split_once(&format!("\"{package}")).map(|(_, rest)| rest));
                found.is_some_and(|rest| {
                    !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                })
            })
        })
    }
}

/// Tells whether a subdirectory, written with a `/` at its end, is looked into.
pub(super) fn is_worth_a_look(directory: &str) -> bool {
    !directory.starts_with('.') && !PASSED_OVER.contains(&directory)
}

/// Returns the text of an `ostler.toml` for these files. Names of directories end in `/`; files of a subdirectory are
/// listed as `sub/file`.
pub(super) fn propose(
    project_name: &str,
    files: &BTreeSet<String>,
    read: &dyn Fn(&str) -> Option<String>,
) -> String {
    let root = Folder { prefix: "", files, read };
    let procfile = procfile(&root);
    let mut proposals = if procfile.is_empty() { proposals_in(&root) } else { procfile };
    if proposals.is_empty() {
        for directory in files.iter().filter(|name| name.ends_with('/') && is_worth_a_look(name)) {
            let folder = Folder { prefix: directory, files, read };
            let cwd = directory.trim_end_matches('/');
            proposals.extend(proposals_in(&folder).into_iter().map(|proposal| Proposal {
                cwd: cwd.to_owned(),
                name: cwd.to_owned(),
                ..proposal
            }));
        }
    }
    proposals.truncate(PROCESSES);
    render(project_name, &proposals)
}

/// The rules, one for each framework.
fn proposals_in(folder: &Folder<'_>) -> Vec<Proposal> {
    [django, flask, fastapi, node, rails, laravel, phoenix, go, cargo]
        .into_iter()
        .filter_map(|rule| rule(folder))
        .collect()
}

fn django(folder: &Folder<'_>) -> Option<Proposal> {
    folder.has("manage.py").then(|| {
        let command = format!("{} manage.py runserver 8000", folder.python());
        Proposal::new("web", command, "manage.py: Django").tcp(8000)
    })
}

fn flask(folder: &Folder<'_>) -> Option<Proposal> {
    (!folder.has("manage.py") && folder.requires_python("flask")).then(|| {
        let command = format!("{} -m flask run --debug --port 5000", folder.python());
        Proposal::new("web", command, "Flask is required").tcp(5000)
    })
}

fn fastapi(folder: &Folder<'_>) -> Option<Proposal> {
    if folder.has("manage.py") || !folder.requires_python("fastapi") {
        return None;
    }
    let module = if folder.has("app/") { "app.main:app" } else { "main:app" };
    let command = format!("{} -m uvicorn {module} --reload --port 8000", folder.python());
    Some(Proposal::new("api", command, "FastAPI is required").tcp(8000))
}

fn node(folder: &Folder<'_>) -> Option<Proposal> {
    let package: serde_json::Value = serde_json::from_str(&folder.text("package.json")).ok()?;
    let script = ["dev", "start"].into_iter().find(|script| package["scripts"][script].is_string())?;
    let manager =
        [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun")]
            .into_iter()
            .find(|(lock, _)| folder.has(lock))
            .map_or("npm", |(_, manager)| manager);
    let because = format!("package.json has a script `{script}`");
    let proposal = Proposal::new("frontend", format!("{manager} run {script}"), because);
    let line = package["scripts"][script].as_str().unwrap_or_default();
    // Both move to another port when theirs is taken, so their word counts and not a port.
    Some(match line.split_whitespace().next() {
        Some("vite") => proposal.log(r"ready in \d+"),
        Some("next") => proposal.log(r"Ready in \d+"),
        _ => proposal,
    })
}

fn rails(folder: &Folder<'_>) -> Option<Proposal> {
    folder.has("bin/").then_some(())?;
    folder
        .text("Gemfile")
        .contains("rails")
        .then(|| Proposal::new("web", "bin/rails server -p 3000", "the Gemfile has Rails").tcp(3000))
}

fn laravel(folder: &Folder<'_>) -> Option<Proposal> {
    (folder.has("artisan") && folder.has("composer.json"))
        .then(|| Proposal::new("web", "php artisan serve --port=8000", "artisan: Laravel").tcp(8000))
}

fn phoenix(folder: &Folder<'_>) -> Option<Proposal> {
    let text = folder.text("mix.exs");
    if text.contains(":phoenix") {
        return Some(Proposal::new("web", "mix phx.server", "mix.exs has Phoenix").tcp(4000));
    }
    folder.has("mix.exs").then(|| Proposal::new("app", "mix run --no-halt", "mix.exs"))
}

fn go(folder: &Folder<'_>) -> Option<Proposal> {
    (folder.has("go.mod") && folder.has("main.go"))
        .then(|| Proposal::new("app", "go run .", "go.mod and main.go"))
}

fn cargo(folder: &Folder<'_>) -> Option<Proposal> {
    let is_binary = folder.has("src/main.rs") || folder.text("Cargo.toml").contains("[[bin]]");
    let is_package = folder.text("Cargo.toml").contains("[package]");
    // Of a subdirectory's `src` nothing is known: what does not say it is a library is taken for a program.
    let is_library = folder.has("src/lib.rs") || folder.text("Cargo.toml").contains("[lib]");
    let may_be = is_binary || !is_library;
    (is_package && may_be).then(|| Proposal::new("app", "cargo run", "Cargo.toml"))
}

/// Each line of a Procfile is `name: command`. Ports are given out in steps of a hundred, as its other runners do.
fn procfile(folder: &Folder<'_>) -> Vec<Proposal> {
    let Some(file) = ["Procfile.dev", "Procfile"].into_iter().find(|file| folder.has(file)) else {
        return Vec::new();
    };
    let text = folder.text(file);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let entries = lines.map(|(name, command)| (name.trim(), command.trim()));
    let usable = entries.filter(|(name, command)| ProcessName::new(name).is_ok() && !command.is_empty());
    usable
        .zip((5000u32..).step_by(100))
        .filter_map(|((name, command), port)| {
            let shell = match Command::from_line(command) {
                Ok(_) => false,
                Err(CommandError::NeedsShell { .. } | CommandError::Assignment { .. }) => true,
                // What no shell could run either is left out.
                Err(CommandError::Empty | CommandError::Nul | CommandError::Quote) => return None,
            };
            let env = command.contains("PORT").then(|| ("PORT", port.to_string()));
            Some(Proposal { shell, env, ..Proposal::new(name, command, file) })
        })
        .take(PROCESSES)
        .collect()
}

fn render(project_name: &str, proposals: &[Proposal]) -> String {
    let mut text = format!(
        "# What Ostler runs in this project, as `ostler init` found it. Change what does not fit.\n\n\
         [project]\nname = {}\n",
        quoted(project_name)
    );
    if proposals.is_empty() {
        text.push_str(
            "\n# Nothing was recognised here. A process looks like this:\n#\n\
             # [process.web]\n# command = \"npm run dev\"      # split like a shell would, run without one\n\
             # ready = { tcp = 3000 }        # or log = \"a regular expression\", or http = \"http://…\"\n",
        );
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for proposal in proposals {
        let name = free_name(&proposal.name, &mut taken);
        text.push_str(&format!("\n# {}\n[process.{}]\n", comment(&proposal.because), key(&name)));
        text.push_str(&format!("command = {}\n", quoted(&proposal.command)));
        if proposal.shell {
            text.push_str("shell = true\n");
        }
        if !proposal.cwd.is_empty() {
            text.push_str(&format!("cwd = {}\n", quoted(&proposal.cwd)));
        }
        if let Some((name, value)) = &proposal.env {
            text.push_str(&format!("env = {{ {name} = {} }}\n", quoted(value)));
        }
        if let Some(ready) = &proposal.ready {
            text.push_str(&format!("ready = {{ {ready} }}\n"));
        }
    }
    text
}

/// Turns a proposed name into a valid one that no process before it has.
fn free_name(wanted: &str, taken: &mut BTreeMap<String, usize>) -> String {
    let base = Project::empty(std::path::Path::new(wanted)).name;
    let base: String = base.chars().take(50).collect();
    let mut name = base.clone();
    while taken.contains_key(&name) {
        let count = taken.entry(base.clone()).or_default();
        *count += 1;
        name = format!("{base}-{}", *count + 1);
    }
    taken.insert(name.clone(), 0);
    name
}

/// A name with a dot has to be quoted to be one key.
fn key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_owned() }
}

/// Returns a TOML string: literal where that reads better, as for regular expressions and commands with quotes.
fn quoted(text: &str) -> String {
    let is_plain = !text.contains(['\'', '\n']) && !text.chars().any(char::is_control);
    if is_plain && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
