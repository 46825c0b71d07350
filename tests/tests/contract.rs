//! The contract's own tests: its text, what may be changed in it, and components of every version that was released.

use std::fs;
use std::path::{Path, PathBuf};

use ostler::model::Stream;
use ostler::plugins::{
    Note, Packed, Plugin, PluginEngine, REGEX_CLASSIFIER, Registry, RunInfo, Version, run_samples,
};
use ostler_tests::contract::{files, folder, newest, push, released};
use wit_parser::{PackageId, Resolve};

/// What plugins are built for, and the one world that only hosts have.
const WORLDS: [&str; 5] =
    ["adapter-plugin", "classifier-plugin", "framework-plugin", "host", "validator-plugin"];

fn unchanged(text: &str) -> String {
    text.to_owned()
}

fn worlds(resolve: &Resolve, package: PackageId) -> Vec<&str> {
    let mut names: Vec<&str> = resolve.packages[package].worlds.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_contract_is_one_package_of_the_newest_version() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(newest()).unwrap();
    assert_eq!(
        resolve.packages[package].name.to_string(),
        format!("ostler:plugin@{}", Version::NEWEST.name())
    );
    assert_eq!(worlds(&resolve, package), WORLDS);
}

#[test]
fn the_sdk_has_the_same_text() {
    assert_eq!(files(&newest().join("../sdk/wit")), files(&newest()));
}

#[test]
fn every_version_is_kept_under_its_own_name() {
    for name in released() {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(newest().join("released").join(&name)).unwrap();
        assert_eq!(resolve.packages[package].name.to_string(), format!("ostler:plugin@{name}"));
    }
    for version in Version::ALL {
        assert!(folder(version).is_dir(), "{}", folder(version).display());
    }
}

/// Says what a plugin that was built for the text in `old` would notice of that in `new`, changed by `change`.
fn check(old: &Path, new: &Path, change: impl Fn(&str) -> String) -> Result<(), String> {
    let mut before = Resolve::default();
    let package = push(&mut before, old, "0.0.1", unchanged);
    for world in worlds(&before, package) {
        let mut resolve = Resolve::default();
        let old = push(&mut resolve, old, "0.0.1", unchanged);
        let new = push(&mut resolve, new, "0.0.2", &change);
        let old = resolve.select_world(&[old], Some(world)).map_err(|error| format!("{error:#}"))?;
        let new = resolve.select_world(&[new], Some(world)).map_err(|error| format!("{error:#}"))?;
        wit_component::semver_check(resolve, old, new)
            .map_err(|error| format!("world {world}: {error:#}"))?;
    }
    // Hosts of either version must be able to ask plugins of either, so what plugins export stays word for word.
    let after = files(new);
    for (name, text) in files(old) {
        let interface = name.trim_end_matches(".wit");
        let exported = files(old).iter().any(|(_, text)| text.contains(&format!("export {interface};")));
        let now =
            after.iter().find(|(other, _)| *other == name).map(|(_, text)| without_comments(&change(text)));
        if exported && now.as_ref() != Some(&without_comments(&text)) {
            return Err(format!("{name} is exported by plugins and has changed: make it a new interface"));
        }
    }
    Ok(())
}

fn without_comments(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = code.filter(|line| !line.starts_with("package "));
    code.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Returns what two versions that fit each other have in common, for sorting with their other numbers.
fn numbers(version: &str) -> (String, Vec<u64>) {
    let numbers: Vec<u64> = version.split('.').map(|part| part.parse().expect("a number")).collect();
    let line = if numbers[0] == 0 { format!("0.{}", numbers[1]) } else { numbers[0].to_string() };
    (line, numbers)
}

#[test]
fn what_was_released_fits_what_it_has_become() {
    let mut all: Vec<String> = released();
    all.sort_by_key(|version| numbers(version).1);
    let (line, _) = numbers(Version::NEWEST.name());
    let same_line = |version: &&String| numbers(version).0 == line;
    // Before the first release of a line there is nothing to hold it against.
    if let Some(last) = all.iter().rev().find(same_line) {
        check(&newest().join("released").join(last), &newest(), unchanged).unwrap();
    }
    // Released ones are held against those before them, in case that one was changed after all.
    for pair in all.windows(2).filter(|pair| numbers(&pair[0]).0 == numbers(&pair[1]).0) {
        let of = |version: &String| newest().join("released").join(version);
        check(&of(&pair[0]), &of(&pair[1]), unchanged).unwrap();
    }
}

#[test]
fn the_check_notices_what_plugins_would_notice() {
    let change = |from: &'static str, to: &'static str| {
        let all: String = files(&newest()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(all.matches(from).count(), 1, "{from}");
        check(&newest(), &newest(), move |text| text.replace(from, to))
    };
    // What plugins import may get more; words may change.
    let more = "write: func(level: level, message: string);\n  flush: func();";
    assert_eq!(change("write: func(level: level, message: string);", more), Ok(()));
    assert_eq!(change("/// Reads output.", "/// Reads what is printed."), Ok(()));
    for (from, to) in [
        (
            "enum level { trace, debug, info, warn, error, fatal }",
            "enum level { trace, debug, info, warn, error, fatal, doom }",
        ),
        ("first-line: u64,", "first-line: u64, last: bool,"),
        ("first-line: u64,", "first: u64,"),
        ("flush: func() -> verdicts;", "flush: func() -> verdicts; rest: func();"),
        ("look-at: func() -> list<string>;", ""),
        (
            "open: static func(config: string) -> result<guard, string>;",
            "open: static func() -> result<guard, string>;",
        ),
        ("allow,\n    deny(denial),", "deny(denial),\n    allow,"),
        ("describe: func() -> plugin-info;", "describe: func() -> plugin-info; more: func();"),
    ] {
        assert!(change(from, to).is_err(), "{from} -> {to}");
    }
    assert!(check(&folder(Version::V0_1), &folder(Version::V0_2), unchanged).is_err());
    assert!(check(&folder(Version::V0_2), &newest(), unchanged).is_err());
}

#[test]
fn built_in_plugins_are_of_their_worlds() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(newest()).unwrap();
    let world = resolve.select_world(&[package], Some("classifier-plugin")).unwrap();
    wit_component::targets(&resolve, world, REGEX_CLASSIFIER).unwrap();
}

/// What a component of a released version must be and say, as its `.expect` has it: lines with a key and a value, an
/// empty line, then lines of output. Before each stands its level's letter as in samples, a capital where it continues
/// the event before; below it, after `!`, the facts in it.
#[derive(Debug, PartialEq, Eq)]
struct Golden {
    head: Vec<(String, String)>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    mark: char,
    text: String,
    facts: Vec<String>,
}

impl Golden {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            (key.to_owned(), value.to_owned())
        };
        let mut lines: Vec<Line> = Vec::new();
        for line in body.lines() {
            let (mark, text) = pair(line);
            match (mark.as_str(), lines.last_mut()) {
                ("!", Some(before)) => before.facts.push(text),
                _ => {
                    let mark = mark.chars().next().expect("a mark");
                    lines.push(Line { mark, text, facts: Vec::new() });
                }
            }
        }
        Self { head: head.lines().map(pair).collect(), lines }
    }
}

/// What a plugin says of lines of standard output, in batches of at most `size`.
fn say(plugin: &Plugin, texts: &[&str], size: usize) -> Vec<Line> {
    let mut instance = plugin.instantiate().unwrap();
    let run =
        RunInfo { process: "build".into(), command: vec!["make".into(), "all".into()], ..RunInfo::default() };
    let session = instance.open(&run, "").unwrap();
    let mut said: Vec<Line> = Vec::new();
    for lines in texts.chunks(size) {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            ends.push(u32::try_from(text.len()).unwrap());
        }
        let first = said.len();
        let batch = Packed { text: &text, ends: &ends, stream: Stream::Stdout, first_line: first as u64 };
        let verdicts = instance.push(session, batch).unwrap();
        for (line, code) in lines.iter().zip(verdicts.levels) {
            let letter = b"-tdiwef"[usize::from(code & 0x7f)] as char;
            let mark = if code & 0x80 == 0 { letter } else { letter.to_ascii_uppercase() };
            said.push(Line { mark, text: (*line).to_owned(), facts: Vec::new() });
        }
        for note in verdicts.notes {
            let line = first + note.line as usize;
            said[line].facts.push(told(&note));
        }
    }
    instance.finish(session).unwrap();
    said
}

fn told(note: &Note) -> String {
    let fields = note.fields.iter().map(|(key, value)| format!(" {key}={value}"));
    note.kind.clone() + &fields.collect::<String>()
}

fn fixtures(version: Version) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/contract").join(version.name());
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no component in {}", folder.display());
    paths
}

#[test]
fn components_of_every_version_say_what_they_always_said() {
    let engine = PluginEngine::new().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    for version in Version::ALL {
        for path in fixtures(version) {
            let shown = path.display();
            let golden = Golden::read(&path.with_extension("expect"));
            let bytes = fs::read(&path).unwrap();
            let plugin = Registry::load_one(&engine, &cache, &bytes)
                .unwrap_or_else(|refusal| panic!("{shown}: {refusal}"));
            let report = run_samples(&plugin).unwrap();
            assert!(report.mismatches.is_empty() && report.malformed.is_empty(), "{shown}: {report:?}");
            let head = [
                ("plugin", format!("{} {}", plugin.info.name, plugin.info.version)),
                ("contract", plugin.contract.name().to_owned()),
                ("samples", format!("{} of {} lines", report.samples, report.lines)),
            ];
            let head: Vec<(String, String)> = head.map(|(key, value)| (key.to_owned(), value)).to_vec();
            let texts: Vec<&str> = golden.lines.iter().map(|line| line.text.as_str()).collect();
            for size in [1, 3, texts.len().max(1)] {
                let lines = if plugin.kinds.classifier { say(&plugin, &texts, size) } else { Vec::new() };
                assert_eq!(Golden { head: head.clone(), lines }, golden, "{shown} in batches of {size}");
            }
        }
    }
}

#[test]
fn a_run_and_its_configuration_reach_components_of_every_version() {
    let engine = PluginEngine::new().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    for version in Version::ALL {
        let make = fixtures(version).into_iter().find(|path| path.ends_with("make-levels.wasm")).unwrap();
        let plugin = Registry::load_one(&engine, &cache, &fs::read(make).unwrap()).unwrap();
        let run = RunInfo { process: "build".into(), ..RunInfo::default() };
        let mut instance = plugin.instantiate().unwrap();
        let refused = instance.open(&run, "{}").unwrap_err().to_string();
        assert_eq!(refused, "refused its configuration: takes no configuration, and got {}");
        let refused = instance.open(&RunInfo::default(), "").unwrap_err().to_string();
        assert_eq!(refused, "refused its configuration: a run has a process");
        instance.open(&run, "").unwrap();
    }
}
