//! Every example in `config/examples/` loads, and no example is without a header that says what it shows.

use std::path::{Path, PathBuf};

use super::super::load;

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let entries = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    examples.sort();
    examples
}

#[test]
fn every_example_loads() {
    let names: Vec<String> = examples()
        .iter()
        .map(|dir| {
            let file = dir.join("ostler.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("# "), "{} has no header", file.display());
            let project = load(&file).unwrap_or_else(|error| panic!("{error}"));
            assert!(!project.processes.is_empty(), "{} has no process", file.display());
            dir.file_name().unwrap().to_string_lossy().into_owned()
        })
        .collect();
    assert_eq!(names, ["django", "log-patterns", "node", "shop", "vite"]);
}

#[test]
fn the_example_of_log_patterns_has_some() {
    let dir = examples().into_iter().find(|dir| dir.ends_with("log-patterns")).unwrap();
    assert!(!load(&dir.join("ostler.toml")).unwrap().patterns.is_empty());
}
