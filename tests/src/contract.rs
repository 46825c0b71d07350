//! The text of the plugin contract, the newest and the released ones. Never changes a file: what is to be tried
//! otherwise is changed on the way in.

use std::fs;
use std::path::{Path, PathBuf};

use ostler::plugins::Version;
use wit_parser::{PackageId, Resolve, SourceMap};

/// Returns the folder of the newest version.
pub fn newest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// Returns the folder of a version that this host carries.
pub fn folder(version: Version) -> PathBuf {
    if version == Version::NEWEST { newest() } else { newest().join("released").join(version.name()) }
}

/// Returns the versions in `wit/released`, in the order of their names.
pub fn released() -> Vec<String> {
    let entries = fs::read_dir(newest().join("released")).expect("wit/released");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Returns the names of the files of the contract in `folder`, in order, with their texts.
pub fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect();
    files.sort();
    files
}

/// Adds the package in `folder` under another version, its text changed by `change`.
///
/// # Panics
/// With the place of what is wrong in the text.
pub fn push(
    resolve: &mut Resolve,
    folder: &Path,
    version: &str,
    change: impl Fn(&str) -> String,
) -> PackageId {
    let mut map = SourceMap::default();
    for (name, text) in files(folder) {
        let own = text.lines().find(|line| line.starts_with("package ostler:plugin@")).expect("a package");
        map.push(Path::new(&name), change(&text).replace(own, &format!("package ostler:plugin@{version};")));
    }
    let group = map.parse().unwrap_or_else(|(_, error)| panic!("{error}"));
    resolve.push_group(group).unwrap_or_else(|error| panic!("{error:#}"))
}
