//! The committed components: their manifest, and the digest that ties each to its sources.
//!
//! It never builds anything. `plugins/prebuilt/manifest.toml` names for each component the file, its SHA-256, the
//! digest of the sources it was built from, and the compiler. A source that changes without its component being
//! built again changes the digest, and the test below fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The manifest, relative to the workspace.
pub const MANIFEST: &str = "plugins/prebuilt/manifest.toml";

/// The manifest of the committed components.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One for each component.
    pub component: Vec<Component>,
}

/// One committed component.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The plugin's folder in `plugins/`, and its name.
    pub name: String,
    /// The component, relative to the manifest.
    pub file: PathBuf,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// [`source_digest`] of the sources it was built from.
    pub sources: String,
    /// What `rustc --version` said.
    pub toolchain: String,
    /// The target it was compiled for.
    pub target: String,
    /// Environment of the build that changes its outcome.
    pub environment: BTreeMap<String, String>,
}

/// Reads the manifest.
///
/// # Errors
/// When the file is missing or not as described.
pub fn manifest(workspace: &Path) -> io::Result<Manifest> {
    let text = fs::read_to_string(workspace.join(MANIFEST))?;
    toml::from_str(&text).map_err(io::Error::other)
}

/// Returns the SHA-256 of a file, in lower-case hex.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(path: &Path) -> io::Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)))
}

/// Returns the digest of everything that decides what a plugin's component is, but for the compiler.
///
/// It is the SHA-256, in lower-case hex, over these files in the order of their paths relative to the workspace:
/// `plugins/NAME/Cargo.toml`, `plugins/NAME/build.rs`, all of `plugins/NAME/src`, `sdk/Cargo.toml`, all of `sdk/src`
/// and `wit/*.wit`, without what lies in folders there: released versions are what other components were built from.
/// Each goes in as its path with `/`, a zero byte, its length as 8 bytes in little-endian order, and its bytes. After
/// the files come the direct dependencies of the plugin and the SDK, tests' apart, in the order of their names:
/// `NAME VERSION` as locked, and a line feed. Indirect ones are left to the rebuild in CI, so that an update of the lock
/// file seldom asks for new components.
///
/// # Errors
/// When a file cannot be read or a manifest is not as Cargo wants it.
pub fn source_digest(workspace: &Path, plugin: &str) -> io::Result<String> {
    let folder = format!("plugins/{plugin}");
    let mut files = BTreeSet::new();
    for part in [&format!("{folder}/Cargo.toml"), &format!("{folder}/build.rs"), "sdk/Cargo.toml"] {
        if workspace.join(part).exists() {
            files.insert((*part).to_owned());
        }
    }
    for part in [&format!("{folder}/src"), "sdk/src"] {
        collect(workspace, part, &mut files)?;
    }
    collect_contract(workspace, &mut files)?;
    let mut hasher = Sha256::new();
    for file in files {
        let bytes = fs::read(workspace.join(&file))?;
        hasher.update(file.as_bytes());
        hasher.update([0]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    for dependency in locked_dependencies(workspace, &[&folder, "sdk"])? {
        hasher.update(dependency);
        hasher.update("\n");
    }
    Ok(hex(&hasher.finalize()))
}

/// Adds the files below `folder`, relative to the workspace and with `/`.
fn collect(workspace: &Path, folder: &str, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(workspace.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("file names are UTF-8"))?;
        let path = format!("{folder}/{name}");
        if entry.file_type()?.is_dir() {
            collect(workspace, &path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}

/// Adds the files of the contract's newest version.
fn collect_contract(workspace: &Path, files: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(workspace.join("wit"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("file names are UTF-8"))?;
        if name.ends_with(".wit") {
            files.insert(format!("wit/{name}"));
        }
    }
    Ok(())
}

/// Returns `NAME VERSION` of each direct dependency of the packages in `folders`, in order, tests' apart.
fn locked_dependencies(workspace: &Path, folders: &[&str]) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in folders {
        let manifest = read_table(&workspace.join(folder).join("Cargo.toml"))?;
        let targets = manifest.get("target").and_then(toml::Value::as_table);
        let tables =
            targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
        for table in tables.chain([&manifest]) {
            for key in ["dependencies", "build-dependencies"] {
                let dependencies = table.get(key).and_then(toml::Value::as_table);
                names.extend(dependencies.into_iter().flat_map(|dependencies| dependencies.keys().cloned()));
            }
        }
    }
    let lock = read_table(&workspace.join("Cargo.lock"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text = |package: &toml::Value, key| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    Ok(packages
        .iter()
        .filter_map(|package| Some((text(package, "name")?, text(package, "version")?)))
        .filter(|(name, _)| names.contains(name))
        .map(|(name, version)| format!("{name} {version}"))
        .collect())
}

fn read_table(path: &Path) -> io::Result<toml::Table> {
    fs::read_to_string(path)?.parse().map_err(io::Error::other)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn committed_components_belong_to_their_sources() {
        let manifest = manifest(workspace()).unwrap();
        assert!(!manifest.component.is_empty(), "the manifest names no component");
        for component in manifest.component {
            let file = workspace().join("plugins/prebuilt").join(&component.file);
            assert_eq!(
                file_digest(&file).unwrap(),
                component.sha256,
                "{} is not the file that {MANIFEST} names",
                file.display()
            );
            assert_eq!(
                source_digest(workspace(), &component.name).unwrap(),
                component.sources,
                "the sources of `{}` have changed since its component was built: build it again",
                component.name
            );
        }
    }

    #[test]
    fn every_committed_component_is_in_the_manifest() {
        let named: BTreeSet<PathBuf> =
            manifest(workspace()).unwrap().component.into_iter().map(|component| component.file).collect();
        let found: BTreeSet<PathBuf> = fs::read_dir(workspace().join("plugins/prebuilt"))
            .unwrap()
            .map(|entry| PathBuf::from(entry.unwrap().file_name()))
            .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        assert_eq!(named, found);
    }

    #[test]
    fn dependencies_of_tests_do_not_count_and_those_for_wasm_do() {
        let dependencies = locked_dependencies(workspace(), &["plugins/regex-classifier", "sdk"]).unwrap();
        let has =
            |name: &str| dependencies.iter().any(|dependency| dependency.starts_with(&format!("{name} ")));
        assert!(has("wit-bindgen") && has("regex-automata") && !has("toml"), "{dependencies:?}");
    }
}
