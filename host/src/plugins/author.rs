//! From a plugin's source to a component: what `ostler plugin build` does.
//!
//! Runs the author's own cargo and encodes what it made; installs nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::inspect::{Refusal, inspect};

/// The target whose modules become components without any WASI import.
const TARGET: &str = "wasm32-unknown-unknown";

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{} has no Cargo.toml: name the directory of a plugin's crate", .0.display())]
    NoCrate(PathBuf),
    #[error("cannot run `{program}`: {error}; install Rust from https://rustup.rs, or put cargo on PATH")]
    NoCargo { program: String, error: std::io::Error },
    #[error("the target {TARGET} is not installed; run `rustup target add {TARGET}`")]
    NoTarget,
    #[error("cargo could not build the plugin; its messages are above")]
    Cargo,
    #[error("the crate makes no cdylib: add `crate-type = [\"cdylib\", \"rlib\"]` under [lib] in Cargo.toml")]
    NoArtifact,
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error("cannot encode {} as a component: {message}", path.display())]
    Encode { path: PathBuf, message: String },
    #[error("what was built would be refused: {0}")]
    Refused(#[from] Refusal),
}

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub path: PathBuf,
    pub bytes: usize,
}

/// Builds the plugin crate in `dir` and writes its component to `out`, or beside its `Cargo.toml` under its name.
/// Cargo's messages go to standard error.
pub fn build(dir: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    let manifest = dir.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(BuildError::NoCrate(dir.to_owned()));
    }
    check_target()?;
    let module = cargo_build(&manifest)?;
    let read = std::fs::read(&module).map_err(|error| BuildError::Io { path: module.clone(), error })?;
    let component = encode(&read).map_err(|message| BuildError::Encode { path: module.clone(), message })?;
    inspect(&component)?;
    let name = module.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let path = out.map_or_else(|| dir.join(format!("{name}.wasm")), Path::to_owned);
    std::fs::write(&path, &component).map_err(|error| BuildError::Io { path: path.clone(), error })?;
    Ok(Built { path, bytes: component.len() })
}

/// Encodes a core module that was built against the contract as a component; one that is a component already is
/// returned as it is.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    if wasmparser::Parser::is_component(module) {
        return Ok(module.to_vec());
    }
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(module);
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|error| format!("{error:#}"))
}

fn check_target() -> Result<(), BuildError> {
    // Cargo then builds the standard library along, for which no target needs to be installed.
    if std::env::var_os("CARGO_UNSTABLE_BUILD_STD").is_some() {
        return Ok(());
    }
    let program = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let output = Command::new(&program)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| BuildError::NoCargo { program, error })?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if dir.is_dir() { Ok(()) } else { Err(BuildError::NoTarget) }
}

/// Returns the flags that keep the author's directories out of the component: panics carry the paths of sources.
fn remaps() -> String {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let program = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = Command::new(program).args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let mut flags = Vec::new();
    let registries = cargo_home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        flags.push(format!("--remap-path-prefix={}=/crates", registry.path().display()));
    }
    if let Ok(sysroot) = sysroot {
        flags.push(format!("--remap-path-prefix={sysroot}/lib/rustlib/src/rust=/rust"));
    }
    flags.join(" ")
}

/// Returns the wasm module that cargo made of the crate.
fn cargo_build(manifest: &Path) -> Result<PathBuf, BuildError> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(&program)
        .env("RUSTFLAGS", format!("{} {}", std::env::var("RUSTFLAGS").unwrap_or_default(), remaps()))
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(manifest)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| BuildError::NoCargo { program, error })?;
    if !output.status.success() {
        return Err(BuildError::Cargo);
    }
    // The crate itself is built last, after everything it depends on.
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut modules = artifacts.filter_map(|message| {
        let mut files = message.get("filenames")?.as_array()?.iter().filter_map(|file| file.as_str());
        files.rfind(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    modules.next_back().ok_or(BuildError::NoArtifact)
}
