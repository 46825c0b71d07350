//! Decides from a file's bytes whether it may be loaded: form, size, world, imports.
//!
//! Never instantiates anything. What is wrong is told in words that a plugin author can act upon.

use std::collections::BTreeSet;

use wasmtime::component::{Component, types::ComponentItem};

use super::contract::{self, Kinds, Version};
use super::engine::{FEATURES, PluginEngine};
use crate::bounds;

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
    #[error("imports {}, but a plugin may import nothing except ostler:plugin/log: \
             build for wasm32-unknown-unknown, or stub WASI out", .0.join(", "))]
    ForbiddenImports(Vec<String>),
    #[error("wants {}, which a person would have to grant, and this version of Ostler cannot grant it yet: \
             build it without", .0.join(", "))]
    Ungranted(Vec<String>),
    #[error(
        "speaks ostler:plugin {found}, this host speaks {}: rebuild it with the SDK of one of these, \
             or use the Ostler it was made for",
        Version::carried()
    )]
    OtherVersion { found: String },
    #[error("mixes versions of the contract: {}; build all of it with one SDK", .0.join(", "))]
    MixedVersions(Vec<String>),
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
    wasmparser::Validator::new_with_features(FEATURES)
        .validate_all(bytes)
        .map(drop)
        .map_err(|error| Refusal::Invalid(short(error.message())))
}

/// What a component is, by the names of what it imports and exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) version: Version,
    pub(super) kinds: Kinds,
}

/// Checks a compiled component's imports and exports against the contract, by their names; whether their types fit is
/// for who links them.
pub(super) fn inspect_interfaces(engine: &PluginEngine, component: &Component) -> Result<Shape, Refusal> {
    let component_type = component.component_type();
    let imports: Vec<&str> = component_type.imports(engine.wasmtime()).map(|(name, _)| name).collect();
    let exports: Vec<&str> = component_type
        .exports(engine.wasmtime())
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .map(|(name, _)| name)
        .collect();
    shape(&imports, &exports)
}

fn shape(imports: &[&str], exports: &[&str]) -> Result<Shape, Refusal> {
    let mut versions = BTreeSet::new();
    let mut ours = Vec::new();
    for name in imports.iter().chain(exports) {
        match Version::of(name) {
            None => {}
            Some(Err(found)) => return Err(Refusal::OtherVersion { found: short(&found) }),
            Some(Ok(version)) => {
                versions.insert(version);
                ours.push(*name);
            }
        }
    }
    let foreign =
        |name: &&&str| !matches!(contract::interface(name), Some("log" | "types" | "project-files"));
    let forbidden: Vec<&str> = imports.iter().filter(foreign).copied().collect();
    if !forbidden.is_empty() {
        return Err(Refusal::ForbiddenImports(some(&forbidden)));
    }
    if imports.iter().any(|name| contract::interface(name) == Some("project-files")) {
        return Err(Refusal::Ungranted(vec!["project-files".to_owned()]));
    }

    let interfaces = || exports.iter().filter_map(|name| contract::interface(name));
    let kinds = Kinds::of(interfaces());
    let Some(version) = versions.pop_last().filter(|_| interfaces().any(|interface| interface == "info"))
    else {
        return Err(other_world(exports));
    };
    if !versions.is_empty() {
        return Err(Refusal::MixedVersions(some(&ours)));
    }
    // The old versions had one kind; an interface of another name was the author's own.
    let kinds = if version == Version::V0_9 {
        kinds
    } else {
        Kinds { classifier: kinds.classifier, ..Kinds::default() }
    };
    if kinds == Kinds::default() {
        return Err(other_world(exports));
    }
    Ok(Shape { version, kinds })
}

fn other_world(exports: &[&str]) -> Refusal {
    let found = if exports.is_empty() { "no interface".to_owned() } else { some(exports).join(", ") };
    Refusal::OtherWorld(found)
}

/// Returns what is told of names that a file has, which may be of any number and length.
fn some(names: &[&str]) -> Vec<String> {
    let mut told: Vec<String> = names.iter().take(8).map(|name| short(name)).collect();
    if names.len() > told.len() {
        told.push(format!("{} more", names.len() - told.len()));
    }
    told
}

/// Returns so much of a file's text as a report needs.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
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
    fn a_component_is_told_by_the_names_of_its_interfaces() {
        let shape_of = |version: &str, imports: &[&str], exports: &[&str]| {
            let full = |names: &[&str]| -> Vec<String> {
                let ours = |name: &&str| match name.contains(':') {
                    true => (*name).to_owned(),
                    false => format!("ostler:plugin/{name}@{version}"),
                };
                names.iter().map(ours).collect()
            };
            let (imports, exports) = (full(imports), full(exports));
            let short = |names: &'static [String]| names.iter().map(String::as_str).collect::<Vec<_>>();
            shape(&short(imports.leak()), &short(exports.leak()))
        };
        let classifier = Kinds { classifier: true, ..Kinds::default() };
        assert_eq!(
            shape_of("0.9.7", &["log", "types"], &["info", "classifier", "shop:own/thing@1.0.0"]),
            Ok(Shape { version: Version::V0_9, kinds: classifier })
        );
        assert_eq!(
            shape_of("0.9.0", &["types"], &["info", "adapter", "validator", "explain"]),
            Ok(Shape {
                version: Version::V0_9,
                kinds: Kinds { classifier: false, validator: true, adapter: true }
            })
        );
        assert_eq!(
            shape_of("0.1.0", &["log"], &["info", "classifier", "adapter"]),
            Ok(Shape { version: Version::V0_1, kinds: classifier })
        );
        assert!(matches!(shape_of("0.9.0", &[], &["info"]), Err(Refusal::OtherWorld(_))));
        assert!(matches!(shape_of("0.9.0", &[], &["classifier"]), Err(Refusal::OtherWorld(_))));
        assert!(matches!(shape_of("0.9.0", &["log"], &[]), Err(Refusal::OtherWorld(_))));
        assert!(
            matches!(shape_of("0.3.0", &["log"], &[]), Err(Refusal::OtherVersion { found }) if found == "0.3.0")
        );
        for mixed in [["info", "ostler:plugin/classifier@0.2.0"], ["ostler:plugin/info@0.1.0", "classifier"]]
        {
            let Err(Refusal::MixedVersions(names)) = shape_of("0.9.0", &["log"], &mixed) else {
                panic!("{mixed:?}")
            };
            assert_eq!(names.len(), 3);
        }
        assert!(matches!(
            shape_of("0.9.0", &["ostler:plugin/log@0.2.0"], &["info", "classifier"]),
            Err(Refusal::MixedVersions(_))
        ));
        for import in ["wasi:cli/exit@0.2.0", "clock", "classifier"] {
            let refusal = shape_of("0.9.0", &[import, "log"], &["info", "classifier"]);
            let Err(Refusal::ForbiddenImports(names)) = refusal else { panic!("{import}: {refusal:?}") };
            assert!(names.len() == 1 && names[0].contains(import));
        }
        let many: Vec<String> =
            (0..1000).map(|number| format!("a:b/c{number}{}", "c".repeat(1000))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let told = shape(&many, &[]).unwrap_err().to_string();
        assert!(told.len() < 3000 && told.contains(", 992 more, but"), "{told}");
        let refusal = shape_of("0.9.0", &["project-files"], &["info", "classifier"]).unwrap_err();
        assert!(refusal.to_string().contains("wants project-files, which a person would have to grant"));
    }
}
