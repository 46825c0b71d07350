//! Decides from a file's bytes whether it may be loaded: form, size, world, imports.
//!
//! Never instantiates anything. What is wrong is told in words that a plugin author can act upon.

use wasmtime::component::{Component, types::ComponentItem};

use super::bindings::exports::ostler::plugin::{classifier, info};
use super::engine::PluginEngine;
use super::limits::GuestState;
use crate::bounds;

/// The package whose interfaces this host speaks.
const PACKAGE: &str = "ostler:plugin/";
/// The contract's version, as in `wit/ostler.wit`.
pub const CONTRACT: &str = "0.2.0";
/// The interfaces a pure plugin may import: `types` holds no functions.
const ALLOWED_IMPORTS: [&str; 2] = ["ostler:plugin/log@0.2.0", "ostler:plugin/types@0.2.0"];

/// Why a file is not loaded.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("{size} bytes are more than a plugin may have ({max})", max = bounds::PLUGIN_FILE_BYTES)]
    TooLarge { size: u64 },
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("the file is empty")]
    Empty,
    #[error("not WebAssembly: the file does not start with `\\0asm`")]
    NotWasm,
    #[error(
        "a core module, not a component: build it with `ostler plugin build`, or encode it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("damaged or truncated: {0}")]
    Invalid(String),
    #[error("imports {}, but a classifier may import nothing except ostler:plugin/log: \
             build for wasm32-unknown-unknown, or stub WASI out", .0.join(", "))]
    ForbiddenImports(Vec<String>),
    #[error(
        "speaks ostler:plugin {found}, this host speaks {CONTRACT}: rebuild it with the SDK of this version"
    )]
    OtherVersion { found: String },
    #[error("of another world: it exports {}, but not ostler:plugin/info and a kind of plugin such as \
             ostler:plugin/classifier", .0)]
    OtherWorld(String),
    #[error("does not fit the contract: {0}")]
    Misfit(String),
    #[error("its description is unusable: {0}")]
    BadInfo(String),
    #[error("a plugin named `{name}` is loaded already from {from}")]
    DuplicateName { name: String, from: String },
    #[error("failed while starting: {0}")]
    FailedStart(String),
}

/// Checks what can be told from the first bytes and the size, without a full parse.
pub fn inspect(bytes: &[u8]) -> Result<(), Refusal> {
    /// `\0asm`, then version 1 of layer 0 (a module) or version 13 of layer 1 (a component), little-endian.
    const MAGIC: &[u8] = b"\0asm";
    let size = bytes.len() as u64;
    if size > bounds::PLUGIN_FILE_BYTES {
        return Err(Refusal::TooLarge { size });
    }
    if bytes.is_empty() {
        return Err(Refusal::Empty);
    }
    if !bytes.starts_with(MAGIC) {
        return Err(Refusal::NotWasm);
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(Refusal::CoreModule);
    }
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::default())
        .validate_all(bytes)
        .map(drop)
        .map_err(|error| Refusal::Invalid(error.message().to_owned()))
}

/// Checks a compiled component's imports and exports against the contract.
pub(super) fn inspect_interfaces(
    engine: &PluginEngine,
    component: &Component,
) -> Result<classifier::GuestIndices, Refusal> {
    let component_type = component.component_type();
    let forbidden: Vec<String> = component_type
        .imports(engine.wasmtime())
        .filter(|(name, _)| !ALLOWED_IMPORTS.contains(name))
        .map(|(name, _)| name.to_owned())
        .collect();
    if let Some(found) = forbidden.iter().find_map(|name| other_version(name)) {
        return Err(Refusal::OtherVersion { found });
    }
    if !forbidden.is_empty() {
        return Err(Refusal::ForbiddenImports(forbidden));
    }

    let exports: Vec<&str> = component_type
        .exports(engine.wasmtime())
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name)
        .collect();
    if let Some(found) = exports.iter().find_map(|name| other_version(name)) {
        return Err(Refusal::OtherVersion { found });
    }
    let has = |interface: &str| exports.contains(&format!("{PACKAGE}{interface}@{CONTRACT}").as_str());
    if !has("info") || !has("classifier") {
        let found = if exports.is_empty() { "no interface".to_owned() } else { exports.join(", ") };
        return Err(Refusal::OtherWorld(found));
    }

    let misfit = |error: wasmtime::Error| Refusal::Misfit(format!("{error:#}"));
    let pre = linker(engine).and_then(|linker| linker.instantiate_pre(component)).map_err(misfit)?;
    info::GuestIndices::new(&pre).map_err(misfit)?;
    classifier::GuestIndices::new(&pre).map_err(misfit)
}

/// Returns the linker with everything a pure plugin gets: `log`.
pub(super) fn linker(engine: &PluginEngine) -> wasmtime::Result<wasmtime::component::Linker<GuestState>> {
    let mut linker = wasmtime::component::Linker::new(engine.wasmtime());
    super::bindings::ClassifierPlugin::add_to_linker::<_, wasmtime::component::HasSelf<_>>(
        &mut linker,
        |state| state,
    )?;
    Ok(linker)
}

/// Returns the version of one of our interfaces when it is not the one this host speaks.
fn other_version(name: &str) -> Option<String> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    (version != CONTRACT).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_wrong_form_are_refused_with_the_reason() {
        assert_eq!(inspect(b""), Err(Refusal::Empty));
        assert_eq!(inspect(b"#!/bin/sh"), Err(Refusal::NotWasm));
        assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(Refusal::CoreModule));
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0\x07\xff"), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn every_truncation_of_a_component_is_refused() {
        let whole = super::super::REGEX_CLASSIFIER;
        assert_eq!(inspect(whole), Ok(()));
        for cut in (8..whole.len()).step_by(whole.len() / 40) {
            // A cut between two sections leaves a valid component that lacks exports; the interfaces tell.
            if let Err(refusal) = inspect(&whole[..cut]) {
                assert!(matches!(refusal, Refusal::Invalid(_)), "{cut}: {refusal}");
            }
        }
    }

    #[test]
    fn other_versions_of_the_contract_are_recognised() {
        assert_eq!(other_version("ostler:plugin/log@0.1.0"), Some("0.1.0".to_owned()));
        assert_eq!(other_version("ostler:plugin/log@0.2.0"), None);
        assert_eq!(other_version("wasi:cli/stdout@0.2.6"), None);
    }
}
