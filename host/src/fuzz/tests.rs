//! The fuzz targets in ordinary tests: with the seeds that lie beside them, and with bytes at random that look a little
//! like what they read.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{TARGETS, Target};

/// Where the seeds of a target lie.
fn seeds(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds").join(name)
}

fn seeds_of(name: &str) -> Vec<Vec<u8>> {
    let dir = seeds(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A seed with some of its bytes replaced, taken out, or put in twice.
fn spoiled(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(seeds);
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
    (seed, prop::collection::vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for (place, byte, kind) in changes {
            let place = place.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(place, byte),
                1 => bytes.truncate(place),
                2 if place < bytes.len() => drop(bytes.remove(place)),
                3 if place < bytes.len() => bytes.extend_from_within(place..),
                _ if place < bytes.len() => bytes[place] = byte,
                _ => {}
            }
            bytes.truncate(64 << 10);
        }
        bytes
    })
}

fn drive((name, target): Target) {
    let seeds = seeds_of(name);
    assert!(!seeds.is_empty(), "no seeds in {}", self::seeds(name).display());
    seeds.iter().for_each(|seed| target(seed));
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let bytes = prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..300), 4 => spoiled(seeds)];
    proptest!(cases, |(bytes in bytes)| target(&bytes));
}

#[test]
fn every_target_keeps_its_promises_with_seeds_and_noise() {
    TARGETS.into_iter().for_each(drive);
}

#[test]
fn every_target_has_a_program_in_the_fuzz_package() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in tests/fuzz/Cargo.toml");
        let program = fs::read_to_string(package.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("ostler::fuzz::run(\"{name}\"")), "{name}.rs");
    }
}
