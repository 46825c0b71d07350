//! Compiles the default patterns to the tables that the plugin embeds, so that the guest starts at once.

#[path = "src/outcome.rs"]
mod outcome;
#[path = "src/patterns.rs"]
mod patterns;
#[path = "src/reduce.rs"]
mod reduce;
#[path = "src/table.rs"]
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use outcome::Outcome;
use patterns::Pattern;
use table::{Anchor, Failure, Rule, Table};

/// Automaton of the default patterns before it is reduced, in bytes.
const AUTOMATON_LIMIT: usize = 64 << 20;
/// Both tables together, in bytes: past it, the plugin's file and the processor's cache would suffer.
const TABLES_LIMIT: usize = 2 << 20;

fn main() {
    for input in [
        "build.rs",
        "src/frameworks.rs",
        "src/outcome.rs",
        "src/patterns.rs",
        "src/reduce.rs",
        "src/table.rs",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let patterns = patterns::patterns();
    let (outcomes, numbers) = outcomes(&patterns);

    let mut source = format!("const OUTCOMES: [Outcome; {}] = {outcomes:?};\n", outcomes.len());
    let mut bytes = 0;
    for (name, anchor) in [("anchored", Anchor::Start), ("floating", Anchor::Anywhere)] {
        let table = compile(&patterns, &numbers, anchor);
        bytes += write_table(&table, name, &directory);
        write!(source, "{}", declare(&table, name)).expect("a string takes everything");
    }
    assert!(
        bytes <= TABLES_LIMIT,
        "the tables of the default patterns have {bytes} bytes, more than {TABLES_LIMIT}"
    );
    fs::write(directory.join("defaults.rs"), source).expect("OUT_DIR is writable");
}

/// Returns the distinct outcomes, and each pattern's number among them.
fn outcomes(patterns: &[Pattern]) -> (Vec<Outcome>, Vec<u16>) {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let numbers = patterns
        .iter()
        .map(|pattern| {
            let outcome = Outcome {
                priority: pattern.priority,
                level: pattern.level.map_or(outcome::CONTINUES, |level| level.code()),
                facts: pattern.facts,
                opens: pattern.opens as u8,
            };
            let number = outcomes.iter().position(|other| *other == outcome).unwrap_or_else(|| {
                outcomes.push(outcome);
                outcomes.len() - 1
            });
            u16::try_from(number).expect("there are few outcomes")
        })
        .collect();
    (outcomes, numbers)
}

fn compile(patterns: &[Pattern], numbers: &[u16], anchor: Anchor) -> Table<'static> {
    let rules: Vec<Rule<'_>> = patterns
        .iter()
        .zip(numbers)
        .filter(|(pattern, _)| table::anchor(&pattern.regex).ok() == Some(anchor))
        .map(|(pattern, &outcome)| Rule { regex: &pattern.regex, outcome, priority: pattern.priority })
        .collect();
    match table::build(&rules, anchor, AUTOMATON_LIMIT) {
        Ok(table) => table,
        Err(Failure::TooLarge) => panic!("the default patterns need more than {AUTOMATON_LIMIT} bytes"),
        Err(Failure::Invalid(reason)) => panic!("a default pattern does not compile: {reason}"),
    }
}

/// Writes a table's numbers as the target reads them, and returns how many bytes they are.
fn write_table(table: &Table<'_>, name: &str, directory: &Path) -> usize {
    let big_endian = env::var("CARGO_CFG_TARGET_ENDIAN").is_ok_and(|endian| endian == "big");
    let encode = |number: &u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let bytes: Vec<u8> = [&table.next, &table.outcome, &table.last]
        .into_iter()
        .flat_map(|part| part.iter().flat_map(encode))
        .collect();
    fs::write(directory.join(format!("{name}.bin")), &bytes).expect("OUT_DIR is writable");
    bytes.len()
}

/// Returns the Rust source that puts the written table together again.
fn declare(table: &Table<'_>, name: &str) -> String {
    format!(
        r#"
static {upper}_NUMBERS: &Aligned<[u8]> = &Aligned {{ bytes: *include_bytes!(concat!(env!("OUT_DIR"), "/{name}.bin")) }};
const {upper}: Layout = Layout {{
    classes: &{classes:?},
    shift: {shift}, start: {start}, finals: {finals}, special: {special}, states: {states},
}};
"#,
        upper = name.to_uppercase(),
        classes = table.classes,
        shift = table.shift,
        start = table.start,
        finals = table.finals,
        special = table.special,
        states = table.last.len(),
    )
}
