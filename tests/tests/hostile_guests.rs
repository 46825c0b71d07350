//! Promise 5: a plugin cannot hurt the host. Every hostile guest costs its own verdicts and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use ostler::model::{ProcessName, RunId, Stream};
use ostler::plugins::{
    Chain, ChainVerdicts, Origin, Packed, PluginEngine, PluginStatus, Registry, Source, Subject, Version,
};
use ostler_tests::hostile::{Guest, PUSH_NOTHING};

/// A registry of the built-in plugin and these files.
fn registry(files: &[(&str, &[u8])]) -> (Registry, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    for (name, bytes) in files {
        std::fs::write(plugins.join(name), bytes).unwrap();
    }
    let sources = [Source { origin: Origin::Project, dir: plugins }];
    // Shared by all tests: the default classifier takes seconds to compile in a debug build.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    (load(&cache, &sources), dir)
}

fn load(cache: &Path, sources: &[Source]) -> Registry {
    let engine = PluginEngine::new().unwrap();
    Registry::load(&engine, cache, sources, &BTreeMap::new())
}

fn status(registry: &Registry, name: &str) -> PluginStatus {
    let all = registry.status();
    all.iter().find(|status| status.name == name).unwrap_or_else(|| panic!("no {name} in {all:?}")).clone()
}

/// Classifies two lines, of which the default classifier knows the second.
fn classify(chain: &mut Chain, run: u64) -> Vec<u8> {
    let subject =
        Subject { run: RunId(run), process: ProcessName::new("p").unwrap(), command: vec!["x".into()] };
    let text = b"one two threeERROR: it broke";
    let batch = Packed { text, ends: &[13, 28], stream: Stream::Stdout, first_line: 0 };
    let mut verdicts = ChainVerdicts::default();
    chain.classify(&subject, batch, &mut verdicts);
    verdicts.levels
}

/// What a chain says of lines of standard output: a level's letter each, a capital where the line continues, or `+`.
fn marks(chain: &mut Chain, lines: &[&str]) -> String {
    let subject = Subject { run: RunId(1), process: ProcessName::new("p").unwrap(), command: Vec::new() };
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        ends.push(u32::try_from(text.len()).unwrap());
    }
    let batch = Packed { text: &text, ends: &ends, stream: Stream::Stdout, first_line: 0 };
    let mut verdicts = ChainVerdicts::default();
    chain.classify(&subject, batch, &mut verdicts);
    let mark = |(level, continues): (&u8, &bool)| {
        let letter = b"-tdiwef"[usize::from(*level)] as char;
        match (letter, *continues) {
            (letter, false) => letter,
            ('-', true) => '+',
            (letter, true) => letter.to_ascii_uppercase(),
        }
    };
    verdicts.levels.iter().zip(&verdicts.continues).map(mark).collect()
}

/// The default classifier still decides, whatever the guest before it in the chain does, and in whatever version of the
/// contract.
fn assert_survives(guest: &Guest, expected_reason: &str) {
    for version in Version::ALL {
        assert_survives_as_it_is(&guest.clone().contract(version), expected_reason);
    }
}

fn assert_survives_as_it_is(guest: &Guest, expected_reason: &str) {
    let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
    let mut chain = Chain::new(&registry);
    let before = status(&registry, &guest.name);
    assert_eq!(before.state, "loaded", "{before:?}");
    assert_eq!(before.contract.as_deref(), Some(guest.contract.name()));
    assert_eq!(classify(&mut chain, 1), [0, 5], "{}", guest.name);
    let after = status(&registry, &guest.name);
    let reason = after.reason.clone().unwrap_or_default();
    assert!(reason.contains(expected_reason), "{}: {reason}", guest.name);
    assert_eq!(after.failures, 1);
    // A repeat offender is left out, and the chain goes on without it.
    for run in 2..8 {
        assert_eq!(classify(&mut chain, run), [0, 5]);
    }
    assert_eq!(status(&registry, &guest.name).state, "quarantined");
}

#[test]
fn a_guest_that_behaves_is_asked_before_the_default() {
    let fatal = "(memory.fill (i32.const 65536) (i32.const 6) (local.get 4))";
    for version in Version::ALL {
        let guest = Guest::new("well-behaved").push(&format!("{fatal} {PUSH_NOTHING}")).contract(version);
        let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
        assert_eq!(classify(&mut Chain::new(&registry), 1), [6, 6], "{version:?}");
        assert_eq!(status(&registry, "well-behaved").failures, 0);
    }
}

#[test]
fn an_endless_loop_is_interrupted() {
    let guest = Guest::new("looper").push("(loop $again (br $again)) (unreachable)");
    // Each of its calls takes the whole time it has: one version stands for all.
    assert_survives_as_it_is(&guest, "took longer than");
}

#[test]
fn a_trap_costs_one_batch_and_no_line() {
    assert_survives(&Guest::new("trapper").push("(unreachable)"), "trapped");
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let guest = Guest::new("bomber").push(
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) (unreachable)",
    );
    assert_survives(&guest, "PLUGIN_MEMORY_BYTES");
}

#[test]
fn a_table_bomb_meets_its_limit() {
    let guest = Guest::new("tabler").extra("(table $t 1 funcref)").push(
        "(loop $again (br_if $again (i32.ne
            (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1)))) (unreachable)",
    );
    assert_survives(&guest, "PLUGIN_TABLE_ELEMENTS");
}

#[test]
fn deep_recursion_is_a_trap_and_not_a_crash() {
    let guest = Guest::new("diver")
        .extra("(func $dive (param i32) (result i32) (call $dive (i32.add (local.get 0) (i32.const 1))))")
        .push("(call $dive (i32.const 0))");
    assert_survives(&guest, "trapped");
}

#[test]
fn a_wrong_number_of_levels_is_no_answer() {
    let guest = Guest::new("miscounter").push(
        "(i32.store (i32.const 256) (i32.const 65536)) (i32.store (i32.const 260) (i32.const 1))
         (i64.store (i32.const 264) (i64.const 4)) (i32.const 256)",
    );
    assert_survives(&guest, "1 levels for 2 lines");
}

#[test]
fn giant_lists_that_share_one_buffer_are_not_copied() {
    // Each note's key claims a megabyte of the same memory: lifted, they would be gigabytes.
    let guest = Guest::new("aliaser").push(
        "(local $at i32) (local.set $at (i32.const 131072))
         (loop $again
           (i32.store offset=4 (local.get $at) (i32.const 65536))
           (i32.store offset=8 (local.get $at) (i32.const 1000000))
           (i32.store offset=12 (local.get $at) (i32.const 4))
           (local.set $at (i32.add (local.get $at) (i32.const 20)))
           (br_if $again (i32.lt_u (local.get $at) (i32.const 230000))))
         (i32.store (i32.const 256) (i32.const 65536)) (i32.store (i32.const 260) (local.get 4))
         (i32.store (i32.const 264) (i32.const 131072)) (i32.store (i32.const 268) (i32.const 4000))
         (i32.const 256)",
    );
    assert_survives(&guest, "fuel");
}

#[test]
fn pointers_outside_its_memory_are_a_trap() {
    let guest = Guest::new("pointer").push(
        "(i32.store (i32.const 256) (i32.const -16)) (i32.store (i32.const 260) (i32.const 100000))
         (i64.store (i32.const 264) (i64.const 4)) (i32.const 256)",
    );
    assert_survives(&guest, "trapped");
}

#[test]
fn levels_that_do_not_exist_are_no_decision() {
    // Past the last level, with and without the bit that groups; reserved bits beside a level.
    for byte in [7, 200, 0x0e, 0x46, 0x96] {
        let wild = format!("(memory.fill (i32.const 65536) (i32.const {byte}) (local.get 4))");
        for version in Version::ALL {
            let guest = Guest::new("wild").push(&format!("{wild} {PUSH_NOTHING}")).contract(version);
            let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
            assert_eq!(classify(&mut Chain::new(&registry), 1), [0, 5], "{byte} in {version:?}");
        }
    }
}

#[test]
fn the_bit_that_groups_lines_counts_behind_a_line_and_where_nobody_else_decides() {
    // 0x86: fatal, continuing; 0x80: the bit alone; 0xc8: the bit beside what is no level. To 0.1 none was a level.
    for (version, byte, expected) in [
        (Version::V0_9, "0x86", ["fF", "FF"]),
        (Version::V0_9, "0x80", ["-e", "+e"]),
        (Version::V0_9, "0xc8", ["-e", "-e"]),
        (Version::V0_2, "0x86", ["fF", "FF"]),
        (Version::V0_2, "0x80", ["-e", "-e"]),
        (Version::V0_1, "0x86", ["-e", "-e"]),
    ] {
        let wild = format!("(memory.fill (i32.const 65536) (i32.const {byte}) (local.get 4))");
        let guest = Guest::new("grouper").push(&format!("{wild} {PUSH_NOTHING}")).contract(version);
        let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
        let mut chain = Chain::new(&registry);
        for expected in expected {
            assert_eq!(marks(&mut chain, &["one", "ERROR: two"]), expected, "{byte} in {version:?}");
        }
        assert_eq!(status(&registry, "grouper").failures, 0);
    }
}

#[test]
fn a_later_link_neither_breaks_nor_prolongs_what_an_earlier_one_groups() {
    // Decides the first two lines of each batch, the second as going on with the first, and leaves the others.
    let first_two =
        "(i32.store8 (i32.const 65536) (i32.const 6)) (i32.store8 (i32.const 65537) (i32.const 0x86))";
    let guest = Guest::new("first-two").push(&format!("{first_two} {PUSH_NOTHING}"));
    let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
    let mut chain = Chain::new(&registry);
    let header = "Traceback (most recent call last):";
    assert_eq!(marks(&mut chain, &["a", "b", header, "  File \"x\", line 1, in f"]), "fFeE");
    // To the default classifier this frame is the next of its own traceback, and it is not.
    assert_eq!(marks(&mut chain, &["a", "b", "  File \"x\", line 2, in g", "", "KeyError: 'x'"]), "fFe-E");
}

#[test]
fn a_loop_in_the_start_function_refuses_the_file() {
    let guest = Guest::new("starter").start("(loop $again (br $again))");
    let (registry, _dir) = registry(&[("starter.wasm", &guest.component())]);
    let refused = status(&registry, "starter");
    assert_eq!(refused.state, "refused");
    assert!(refused.reason.unwrap().contains("took longer than"));
    assert_eq!(classify(&mut Chain::new(&registry), 1), [0, 5]);
}

#[test]
fn a_refused_configuration_is_told_once() {
    let guest = Guest::new("picky").open(
        "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 132) (i32.const 512))
         (i32.store (i32.const 136) (i32.const 3)) (i32.const 128)",
    );
    let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
    let mut chain = Chain::new(&registry);
    assert_eq!(classify(&mut chain, 1), [0, 5]);
    assert_eq!(classify(&mut chain, 2), [0, 5]);
    let status = status(&registry, "picky");
    assert_eq!((status.state.as_str(), status.failures), ("quarantined", 1));
    assert!(status.reason.unwrap().contains("refused its configuration: 1.0"));
}

#[test]
fn bad_files_are_listed_with_the_reason_and_harm_nobody() {
    let good = Guest::new("good").component();
    let module = wat::parse_str("(module)").unwrap();
    let other_world = wat::parse_str("(component)").unwrap();
    let import = wat::parse_str(
        r#"(component (import "wasi:cli/environment@0.2.6" (instance (export "get" (func)))))"#,
    )
    .unwrap();
    let newer = wat::parse_str(r#"(component (import "ostler:plugin/log@9.0.0" (instance)))"#).unwrap();
    let threads = wat::parse_str("(component (core module (memory 1 1 shared)))").unwrap();
    let hollow = |info: &str, classifier: &str| {
        let exports = format!(
            r#"(export "ostler:plugin/info@{info}" (instance $none))
               (export "ostler:plugin/classifier@{classifier}" (instance $none))"#
        );
        wat::parse_str(format!("(component (instance $none) {exports})")).unwrap()
    };
    let (mixed, hollow) = (hollow("0.9.0", "0.2.0"), hollow("0.9.0", "0.9.0"));
    let untrue = Guest::new("untrue").say_kinds(&["classifier", "adapter"]).component();
    let silent = Guest::new("silent").say_kinds(&["validator"]).component();
    let greedy = Guest::new("greedy").want("rewrite").component();
    let reader = Guest::new("reader").kinds(&["validator"]);
    let reader = reader.import("project-files", "find", "(func (param i32 i32 i32))").component();
    let oversized = {
        let mut bytes = good.clone();
        bytes.resize(33 << 20, 0);
        bytes
    };
    let twin = Guest::new("good").component();
    let (registry, _dir) = registry(&[
        ("a-good.wasm", &good),
        ("empty.wasm", b""),
        ("text.wasm", b"hello"),
        ("module.wasm", &module),
        ("other-world.wasm", &other_world),
        ("import.wasm", &import),
        ("newer.wasm", &newer),
        ("oversized.wasm", &oversized),
        ("truncated.wasm", &good[..good.len() / 2]),
        ("twin.wasm", &twin),
        ("threads.wasm", &threads),
        ("mixed.wasm", &mixed),
        ("hollow.wasm", &hollow),
        ("untrue.wasm", &untrue),
        ("silent.wasm", &silent),
        ("greedy.wasm", &greedy),
        ("reader.wasm", &reader),
    ]);
    for (name, reason) in [
        ("empty", "empty"),
        ("text", "not WebAssembly"),
        ("module", "a core module, not a component"),
        ("other-world", "of another world"),
        ("import", "imports wasi:cli/environment@0.2.6"),
        ("newer", "speaks ostler:plugin 9.0.0, this host speaks 0.9, 0.2 and 0.1"),
        ("threads", "threads must be enabled"),
        ("mixed", "mixes versions of the contract: ostler:plugin/info@0.9.0, ostler:plugin/classifier@0.2.0"),
        (
            "hollow",
            "does not fit the contract: instance export `ostler:plugin/info@0.9.0` does not have export `describe`",
        ),
        ("untrue", "`kinds` names `adapter`, but the interface is not exported"),
        ("silent", "`kinds` does not name `classifier`, though the interface is exported"),
        ("greedy", "wants rewrite, which a person would have to grant"),
        ("reader", "wants project-files, which a person would have to grant"),
        ("oversized", "more than a plugin may have"),
        ("truncated", "damaged or truncated"),
        ("twin", "a plugin named `good` is loaded already"),
    ] {
        let refused = status(&registry, name);
        assert_eq!(refused.state, "refused", "{name}");
        let found = refused.reason.unwrap();
        assert!(found.contains(reason), "{name}: {found}");
    }
    assert_eq!(status(&registry, "good").state, "loaded");
    assert_eq!(classify(&mut Chain::new(&registry), 1), [0, 5]);
}

#[test]
fn what_is_not_used_yet_is_listed_and_not_asked() {
    let fatal = format!("(memory.fill (i32.const 65536) (i32.const 6) (local.get 4)) {PUSH_NOTHING}");
    let framework = Guest::new("framework").kinds(&["adapter", "classifier"]).push(&fatal).component();
    let guard = Guest::new("guard").kinds(&["validator"]).component();
    let (registry, _dir) = registry(&[("framework.wasm", &framework), ("guard.wasm", &guard)]);
    let listed = |name: &str| {
        let status = status(&registry, name);
        assert_eq!((status.state.as_str(), status.reason, status.failures), ("loaded", None, 0));
        (status.kinds.join(" "), status.unused_kinds.join(" "))
    };
    // What an adapter reads is its framework's output, and nobody can say yet whose that is.
    assert_eq!(classify(&mut Chain::new(&registry), 1), [0, 5]);
    assert_eq!(listed("framework"), ("classifier adapter".into(), "classifier adapter".into()));
    assert_eq!(listed("guard"), ("validator".into(), "validator".into()));
    assert_eq!(listed("regex-classifier"), ("classifier".into(), String::new()));
}

#[test]
fn releases_of_one_version_fit_each_other() {
    let fatal = format!("(memory.fill (i32.const 65536) (i32.const 6) (local.get 4)) {PUSH_NOTHING}");
    for (version, release) in [(Version::V0_9, "0.9.7"), (Version::V0_2, "0.2.1")] {
        let speaks = "(call $write (i32.const 3) (i32.const 512) (i32.const 3))";
        let guest =
            Guest::new("patched").contract(version).release(release).push(&format!("{speaks} {fatal}"));
        let guest = guest.import("log", "write", "(func $write (param i32 i32 i32))");
        let (registry, _dir) = registry(&[("guest.wasm", &guest.component())]);
        assert_eq!(classify(&mut Chain::new(&registry), 1), [6, 6], "{:?}", status(&registry, "patched"));
    }
}

#[test]
fn a_compiled_plugin_is_loaded_from_the_cache_and_a_damaged_entry_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, plugins) = (dir.path().join("cache"), dir.path().join("plugins"));
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("guest.wasm"), Guest::new("cached").component()).unwrap();
    let sources = [Source { origin: Origin::Project, dir: plugins }];
    assert_eq!(status(&load(&cache, &sources), "cached").state, "loaded");
    let entries =
        || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(entries().len(), 2);
    for entry in entries() {
        std::fs::write(entry, b"not native code at all").unwrap();
    }
    let again = load(&cache, &sources);
    assert_eq!(status(&again, "cached").state, "loaded");
    assert_eq!(classify(&mut Chain::new(&again), 1), [0, 5]);
}
