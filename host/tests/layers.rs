//! Holds the sources against the design: imports point down, foreign crates stay where they belong, files stay short
//! and say what they are, and the top level holds only what it should.
//!
//! The rules stand in the tables below, each with its reason; `ARCHITECTURE.md` tells them in words. Each check reads
//! the files as they are, and a rule that no longer has a use is an error too, so that the tables stay true.

#[path = "layers/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Target;

/// The modules of the library and their layers. A module imports from lower layers and from itself.
const LAYERS: [(&str, u8); 16] = [
    ("background", 1),
    ("bounds", 1),
    ("model", 1),
    ("config", 1),
    ("shim", 1),
    ("traces", 1),
    ("mask", 2),
    ("plugins", 2),
    ("store", 2),
    ("pipeline", 3),
    ("supervisor", 3),
    ("api", 4),
    ("daemon", 4),
    ("mcp", 5),
    ("cli", 5),
    // What fuzzers and tests call; built for them alone.
    ("fuzz", 6),
];

/// Imports within a layer. Everything else sideways is refused.
const SIDEWAYS: [(&str, &str); 8] = [
    // Names, levels and exits are checked against their bounds.
    ("model", "bounds"),
    ("config", "bounds"),
    ("config", "model"),
    ("shim", "bounds"),
    ("shim", "model"),
    ("traces", "bounds"),
    // The wiring makes the façade.
    ("daemon", "api"),
    // The command line serves the daemon's socket, and hands agents' connections on.
    ("cli", "mcp"),
];

/// Imports that point down and are refused all the same, because the two are kept apart on purpose.
const APART: [(&str, &str, &str); 10] = [
    ("plugins", "config", "settings of plugins are handed to them"),
    ("plugins", "shim", "a plugin host knows lines, not processes"),
    ("store", "config", "the log outlives configurations"),
    ("store", "shim", "a spool position is a number to the store"),
    ("pipeline", "config", "what is read does not depend on how it was started"),
    ("supervisor", "plugins", "what plugins see comes to supervisors as signs, through the daemon"),
    ("mcp", "supervisor", "agents come in through `api`"),
    ("mcp", "pipeline", "agents come in through `api`"),
    ("mcp", "store", "agents come in through `api`"),
    ("mcp", "shim", "agents come in through `api`"),
];

/// Crates that only some files may name: a directory ends in `/`.
const FOREIGN: [(&[&str], &[&str]); 9] = [
    // Only the plugin host knows WebAssembly.
    (&["wasmtime", "wasmparser", "wit_component"], &["plugins/"]),
    // Only `mcp` knows the protocol.
    (&["rmcp"], &["mcp/"]),
    // Only the store knows SQLite.
    (&["rusqlite"], &["store/"]),
    // Only the store packs.
    (&["zstd"], &["store/"]),
    // Only the configuration is written in TOML, and only the command line is one.
    (&["toml"], &["config/"]),
    (&["clap"], &["cli/"]),
    // Only the watch of files knows ignore files.
    (&["ignore"], &["supervisor/watch/"]),
    // A shim has no runtime, so that each costs next to nothing; guests are called from plain threads.
    (&["tokio"], &["store/", "pipeline/", "supervisor/", "api/", "daemon/", "mcp/", "cli/"]),
    (&["rustix", "libc"], &UNIX),
];

/// Files that may call the system past the standard library.
const UNIX: [&str; 13] = [
    // The niceness of a thread.
    "background.rs",
    // The parent of a child: fork, exec, signals, pipes, `/proc`.
    "shim/",
    // Signals' numbers, and whether a program may be executed.
    "supervisor/",
    // Whose a directory is: what lies in it is run unchecked.
    "plugins/cache.rs",
    // The lock of a project, and whose its directories are.
    "daemon/lock.rs",
    "daemon/paths.rs",
    // Descriptors that outlive `execve`, and the children of the program that was there before.
    "daemon/takeover.rs",
    // Whether a client is of the same user; standard output given up by a daemon; its own session; signals for those
    // who wait for an end.
    "cli/server.rs",
    "cli/startup.rs",
    "cli/ending.rs",
    // The person's terminal made raw, and put back.
    "cli/terminal.rs",
    "cli/commands/daemon.rs",
    // Limits of the process and full disks, which only tests bring about.
    "store/tests/",
];

/// The binaries, which see the library from outside, and the one module each of them may use.
const BINARIES: [(&str, &str); 2] = [("main.rs", "cli"), ("bin/shim.rs", "shim")];

/// Lines of the longest file.
const LINES: usize = 600;

/// What the top level of the repository holds besides dot-files and what `.gitignore` names.
const TOP_LEVEL: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "config",
    "host",
    "plugins",
    "sdk",
    "tests",
    "wit",
];

/// A rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.what, self.rule)
    }
}

#[test]
fn imports_point_down_and_foreign_crates_stay_where_they_belong() {
    let sources = library();
    let breaches: Vec<Breach> = sources.iter().flat_map(|(file, text)| check_imports(file, text)).collect();
    assert_none(&breaches);
}

#[test]
fn every_allowance_is_used() {
    let sources = library();
    for (names, places) in FOREIGN {
        for place in places {
            let mut there = sources.iter().filter(|(file, _)| is_in(file, place)).peekable();
            let used = there.peek().is_none()
                || there.any(|(_, text)| names.iter().any(|name| mentions(text, name)));
            assert!(used, "{place} may name {} and does not: take it from FOREIGN", names.join(", "));
        }
    }
}

#[test]
fn every_module_has_a_layer() {
    let root = fs::read_to_string(host().join("src/lib.rs")).expect("host/src/lib.rs");
    let declared = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut last = 0;
    for module in declared {
        let layer = layer(module).unwrap_or_else(|| panic!("give `{module}` a layer in {}", file!()));
        assert!(layer >= last, "lib.rs declares `{module}` of layer {layer} after a module of layer {last}");
        last = layer;
    }
    for (from, to) in SIDEWAYS {
        assert_eq!(layer(from), layer(to), "{from} → {to} is not sideways");
    }
    for (from, to, _) in APART {
        assert!(layer(from) > layer(to), "{from} → {to} is refused already, because it does not point down");
    }
}

#[test]
fn files_say_what_they_are_and_stay_short() {
    let mut breaches = Vec::new();
    for file in ["host", "sdk", "plugins", "tests"].iter().flat_map(|dir| rust_files(&repository().join(dir)))
    {
        let text = fs::read_to_string(&file).expect("a source file");
        let name = file.strip_prefix(repository()).expect("it lies below").display().to_string();
        breaches.extend(check_file(&name, &text));
    }
    assert_none(&breaches);
}

#[test]
fn the_map_names_every_file_and_no_other() {
    let text = fs::read_to_string(host().join("ARCHITECTURE.md")).expect("host/ARCHITECTURE.md");
    let map = files_in_map(&text);
    let is_test = |file: &str| file.ends_with("tests.rs") || file.contains("/tests/");
    let files: BTreeSet<String> =
        library().into_iter().map(|(file, _)| file).filter(|file| !is_test(file)).collect();
    let missing: Vec<_> = files.difference(&map).collect();
    let gone: Vec<_> = map.difference(&files).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "host/ARCHITECTURE.md: not in the map: {missing:?}; gone: {gone:?}"
    );
}

#[test]
fn the_top_level_holds_only_what_the_design_names() {
    let ignored = fs::read_to_string(repository().join(".gitignore")).unwrap_or_default();
    let ignored: BTreeSet<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let strangers: Vec<String> = fs::read_dir(repository())
        .expect("the repository")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !ignored.contains(name.as_str()))
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "not of the top level: {strangers:?}; see TOP_LEVEL in {}", file!());
}

/// Checks the paths in one file; `file` is relative to `host/src`.
fn check_imports(file: &str, text: &str) -> Vec<Breach> {
    let module = module_of(file);
    let breach =
        |line, what: String, rule: String| Breach { file: format!("host/src/{file}"), line, what, rule };
    let mut breaches = Vec::new();
    if let Some(line) = source::hides_its_place(text) {
        let rule = "a file's module is told by its place, so neither `#[path]` nor `include!`".to_owned();
        breaches.push(breach(line, "a module from elsewhere".to_owned(), rule));
    }
    for path in source::paths(text) {
        let broken = match path.target(&module) {
            Target::Own(_) if file == "lib.rs" => None,
            Target::Own(target) => check_own(file, &module, &target),
            Target::Foreign(name) if name == "ostler" => check_binary(file, path.segments.get(1)),
            Target::Foreign(name) => check_foreign(file, &name),
        };
        if let Some(rule) = broken {
            breaches.push(breach(path.line, format!("`{}`", path.segments.join("::")), rule));
        }
    }
    breaches
}

fn check_own(file: &str, module: &[String], target: &[String]) -> Option<String> {
    let Some(to) = target.first().filter(|name| *name != "*") else {
        return Some(
            "the crate's root has no name of its own here: import the module that is meant".to_owned(),
        );
    };
    let from = module.first()?;
    if from == to {
        return None;
    }
    let Some(above) = layer(to) else {
        return Some(format!("`{to}` is no module with a layer; the crate's root holds nothing else"));
    };
    let below = layer(from)?;
    if let Some((_, _, why)) = APART.iter().find(|(a, b, _)| a == from && b == to) {
        return Some(format!("{from}/ and {to}/ are kept apart: {why}"));
    }
    match above.cmp(&below) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal if SIDEWAYS.contains(&(from, to)) => None,
        std::cmp::Ordering::Equal => {
            Some(format!("{file} is of layer {below} as `{to}` is, and may not know it"))
        }
        std::cmp::Ordering::Greater => Some(format!(
            "{file} is of layer {below} and may not know `{to}` of layer {above}: imports point down"
        )),
    }
}

/// In the library `ostler` is the contract's package, in a binary the library.
fn check_binary(file: &str, to: Option<&String>) -> Option<String> {
    let (_, allowed) = BINARIES.iter().find(|(binary, _)| *binary == file)?;
    (to.map(String::as_str) != Some(allowed)).then(|| format!("{file} only calls `ostler::{allowed}`"))
}

fn check_foreign(file: &str, name: &str) -> Option<String> {
    let (_, places) = FOREIGN.iter().find(|(names, _)| names.contains(&name))?;
    let allowed = places.iter().any(|place| is_in(file, place));
    (!allowed).then(|| format!("only {} may name the crate {name}", places.join(", ")))
}

fn is_in(file: &str, place: &str) -> bool {
    if place.ends_with('/') { file.starts_with(place) } else { file == place }
}

fn mentions(text: &str, name: &str) -> bool {
    source::paths(text).iter().any(|path| path.segments.first().is_some_and(|first| first == name))
}

fn check_file(name: &str, text: &str) -> Vec<Breach> {
    let breach =
        |line, what: String, rule: &str| Breach { file: name.to_owned(), line, what, rule: rule.to_owned() };
    let mut breaches = Vec::new();
    // A crate's root may begin with its README instead.
    let mut lines = text.lines();
    if !lines.any(|line| line.starts_with("//! ") || line.starts_with("#![doc = include_str!")) {
        breaches.push(breach(
            1,
            "no `//!`".to_owned(),
            "a file begins with what it owns and what it never does",
        ));
    } else if !text.starts_with("//! ") && !text.starts_with("#![doc = include_str!") {
        breaches.push(breach(1, "`//!` is not its first line".to_owned(), "a file begins with what it owns"));
    }
    let count = text.lines().count();
    if count > LINES {
        let what = format!("{count} lines");
        breaches.push(breach(count, what, "a file has one idea and at most 600 lines: split it"));
    }
    breaches
}

/// Returns the files that the block below "The map" names: directories and root files at the start of a line, the files
/// of the directory above indented.
fn files_in_map(text: &str) -> BTreeSet<String> {
    let block = text.split("## The map").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap_or_default();
    let mut files = BTreeSet::new();
    let mut dir = "";
    for line in block.lines() {
        let mut words = line.split_whitespace().peekable();
        if !line.starts_with(' ') {
            dir = words.next_if(|word| word.ends_with('/')).unwrap_or_default();
        }
        files.extend(words.take_while(|word| word.ends_with(".rs")).map(|file| format!("{dir}{file}")));
    }
    files
}

/// Returns the module that a file below `host/src` is.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    let is_root = stem == "lib" || BINARIES.iter().any(|(binary, _)| *binary == file);
    if is_root { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// Returns the library's files and binaries: their paths below `host/src` and their texts.
fn library() -> Vec<(String, String)> {
    let src = host().join("src");
    let files = rust_files(&src);
    assert!(
        files.len() > 50,
        "only {} files in {}: the scanner looks in the wrong place",
        files.len(),
        src.display()
    );
    let read = |file: PathBuf| {
        let name = file.strip_prefix(&src).expect("it lies below").to_string_lossy().into_owned();
        (name, fs::read_to_string(&file).expect("a source file"))
    };
    files.into_iter().map(read).collect()
}

/// Returns the sources below `dir`, but for what is built and for the corpus, whose programs are there to be wrong.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("tests/corpus") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn host() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> &'static Path {
    host().parent().expect("host/ lies in the repository")
}

fn assert_none(breaches: &[Breach]) {
    let told: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(breaches.is_empty(), "{} breaches:\n{}\n", told.len(), told.join("\n"));
}

/// The checks themselves: what has to be found, and what must not be.
mod the_scanner {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        check_imports(file, text).into_iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn tells_file_line_import_and_rule() {
        let breaches =
            check_imports("store/reader.rs", "use crate::model::Line;\nuse crate::pipeline::Pipeline;\n");
        let told: Vec<String> = breaches.iter().map(Breach::to_string).collect();
        assert_eq!(
            told,
            [
                "host/src/store/reader.rs:2: `crate::pipeline::Pipeline`: store/reader.rs is of layer 2 and may not know \
              `pipeline` of layer 3: imports point down"
            ]
        );
    }

    #[test]
    fn finds_imports_however_they_are_written() {
        let text = "use crate::{\n  bounds,\n  api::{self, Api},\n  model::Line as L, daemon::*,\n};\n\
                    fn f() {\n  let x = crate :: mcp::serve();\n  super::super::cli::main();\n}\n\
                    mod tests {\n  use super::super::super::supervisor::State;\n  mod deeper { use super::*; }\n}\n\
                    pub(crate) type T<'a> = &'a crate::plugins::Chain;\n\
                    macro_rules! m { () => { $crate::config::find() } }\n";
        assert_eq!(lines("store/writer.rs", text), [3, 3, 4, 7, 8, 11, 14, 15]);
    }

    #[test]
    fn knows_code_from_words_about_it() {
        let text = "//! See [`crate::api`].\n/* use crate::api::Api; /* nested */ use crate::mcp; */\n\
                    const A: &str = \"use crate::api; \\\" crate::mcp\";\n\
                    const B: &str = r#\"\" use crate::api;\"#;\nconst C: char = '\"'; const D: u8 = b'\\'';\n\
                    fn f<'a>(x: &'a str) -> impl Fn() + use<'a> { move || drop(x) }\n\
                    use crate::r#model::Line;\nuse crate::api;\n";
        assert_eq!(lines("store/frame.rs", text), [8]);
    }

    #[test]
    fn lets_the_root_not_be_renamed_nor_taken_whole() {
        for text in ["use crate as ostler;", "use crate::*;", "use crate::{self as c};", "use super::*;"] {
            assert_eq!(lines("model.rs", text), [1], "{text}");
        }
        assert_eq!(lines("api/mod.rs", "use super::store::Store;\nuse super::*;\n"), [2]);
        assert_eq!(
            lines("api/wait.rs", "use super::*;\nuse super::types::Caller;\nuse self::x::Y;\n"),
            [0; 0]
        );
        assert_eq!(lines("api/wait.rs", "use crate::Api;\n"), [1], "the root holds modules only");
        assert_eq!(lines("api/mod.rs", "#[path = \"../daemon/mod.rs\"]\nmod wait;\n"), [1]);
    }

    #[test]
    fn keeps_neighbours_apart() {
        assert_eq!(lines("pipeline/mod.rs", "use crate::supervisor::Handle;"), [1]);
        assert_eq!(lines("supervisor/mod.rs", "use crate::pipeline::Pipeline;"), [1]);
        assert_eq!(lines("api/mod.rs", "use crate::daemon::Paths;"), [1]);
        assert_eq!(lines("daemon/mod.rs", "use crate::api::Api;"), [0; 0]);
        assert_eq!(lines("mcp/mod.rs", "use crate::cli::main;"), [1]);
        assert_eq!(lines("cli/server.rs", "use crate::{bounds, mcp};"), [0; 0]);
        assert_eq!(lines("mcp/mod.rs", "use crate::store::Store;"), [1]);
    }

    #[test]
    fn keeps_foreign_crates_where_they_belong() {
        let text = "use wasmtime::Engine;\nfn f() -> ::rmcp::Error { ::libc::getpid(); rusqlite::open() }\n";
        assert_eq!(lines("api/mod.rs", text), [1, 2, 2, 2]);
        assert_eq!(lines("plugins/engine.rs", "use wasmtime::{Config, Engine};"), [0; 0]);
        assert_eq!(lines("plugins/engine.rs", "use rustix::process::geteuid;"), [1]);
        assert_eq!(lines("plugins/cache.rs", "use rustix::process::geteuid;"), [0; 0]);
        assert_eq!(lines("shim/run.rs", "use tokio::net::UnixStream;"), [1]);
    }

    #[test]
    fn lets_a_binary_call_one_module() {
        assert_eq!(lines("main.rs", "fn main() { ostler::cli::main() }"), [0; 0]);
        assert_eq!(lines("main.rs", "fn main() { ostler::daemon::main() }"), [1]);
        assert_eq!(lines("bin/shim.rs", "use ostler::shim::run;\nuse ostler::store::Store;\n"), [2]);
        assert_eq!(lines("plugins/bindings.rs", "use ostler::plugin::{log, types};"), [0; 0]);
    }

    #[test]
    fn reads_the_map() {
        let text = "## The map\nSee a.rs.\n```text\nlib.rs  the root of x.rs\nbin/shim.rs  one\n\napi/  the verbs\n  \
                    mod.rs  `Api`\n  logs.rs wait.rs  two\napi/v1/\n  old.rs  and y.rs\n```\n## After z.rs\n";
        let found: Vec<String> = files_in_map(text).into_iter().collect();
        assert_eq!(
            found,
            ["api/logs.rs", "api/mod.rs", "api/v1/old.rs", "api/wait.rs", "bin/shim.rs", "lib.rs"]
        );
    }

    #[test]
    fn measures_files() {
        let count = |text: &str| check_file("x.rs", text).len();
        assert_eq!(count("//! What it owns.\n"), 0);
        assert_eq!(count("#![doc = include_str!(\"../README.md\")]\n"), 0);
        assert_eq!(count("use std::fs;\n//! Too late.\n"), 1);
        assert_eq!(count("fn main() {}\n"), 1);
        assert_eq!(count(&format!("//! Long.\n{}", "\n".repeat(LINES))), 1);
    }
}
