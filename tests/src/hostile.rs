//! Plugins that misbehave, written in the text format of WebAssembly: no toolchain is needed to make them, and each
//! is exactly as bad as its few lines say. The same guest can be made for each version of the contract.

use std::fmt::Write as _;

use ostler::plugins::Version;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::contract;

/// A component of our own making. The defaults behave: it is a classifier that leaves every line undecided.
#[derive(Debug, Clone)]
pub struct Guest {
    pub name: String,
    /// Body of `session.push`; the batch's line count is `(local.get 4)`. Leaves a pointer to `verdicts`.
    pub push: String,
    /// Body of `session.open`. Leaves a pointer to its result.
    pub open: String,
    /// Body of the module's start function.
    pub start: String,
    /// Further imports.
    pub imports: String,
    /// Further definitions.
    pub extra: String,
    /// The version of the contract it is made for.
    pub contract: Version,
    /// The version in the names of its interfaces.
    pub release: String,
    /// The kinds whose interfaces it exports.
    pub kinds: Vec<String>,
    /// The kinds that it says it has.
    pub said_kinds: Vec<String>,
    /// A capability it asks for.
    pub want: Option<String>,
}

/// Answers one undecided level a line.
pub const PUSH_NOTHING: &str = "(i32.store (i32.const 256) (i32.const 65536))
    (i32.store (i32.const 260) (local.get 4))
    (i64.store (i32.const 264) (i64.const 4))
    (i32.const 256)";

impl Guest {
    /// Returns a guest that behaves.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            push: PUSH_NOTHING.to_owned(),
            open: "(i32.store8 (i32.const 128) (i32.const 0))
                (i32.store (i32.const 132) (call $new (i32.const 1)))
                (i32.const 128)"
                .to_owned(),
            start: String::new(),
            imports: String::new(),
            extra: String::new(),
            contract: Version::NEWEST,
            release: Version::NEWEST.name().to_owned(),
            kinds: vec!["classifier".to_owned()],
            said_kinds: vec!["classifier".to_owned()],
            want: None,
        }
    }

    /// Makes it for another version of the contract.
    #[must_use]
    pub fn contract(mut self, version: Version) -> Self {
        self.contract = version;
        self.release = version.name().to_owned();
        self
    }

    /// Makes it for a release within its version of the contract: its interfaces' names end in this.
    #[must_use]
    pub fn release(mut self, release: &str) -> Self {
        self.release = release.to_owned();
        self
    }

    /// Sets the kinds it serves, in the newest contract. Those besides `classifier` trap when they are asked.
    #[must_use]
    pub fn kinds(mut self, kinds: &[&str]) -> Self {
        self.kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self.say_kinds(kinds)
    }

    /// Sets the kinds it says it has; at most three.
    #[must_use]
    pub fn say_kinds(mut self, kinds: &[&str]) -> Self {
        self.said_kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self
    }

    /// Has it ask for a capability, in the newest contract.
    #[must_use]
    pub fn want(mut self, capability: &str) -> Self {
        self.want = Some(capability.to_owned());
        self
    }

    /// Replaces what happens when lines are pushed.
    #[must_use]
    pub fn push(mut self, body: &str) -> Self {
        self.push = body.to_owned();
        self
    }

    /// Replaces what happens when a session is opened.
    #[must_use]
    pub fn open(mut self, body: &str) -> Self {
        self.open = body.to_owned();
        self
    }

    /// Sets what happens when the component is instantiated.
    #[must_use]
    pub fn start(mut self, body: &str) -> Self {
        self.start = body.to_owned();
        self
    }

    /// Adds an import of the contract's, such as `log`'s `write`, under a name for the bodies.
    #[must_use]
    pub fn import(mut self, interface: &str, function: &str, declared: &str) -> Self {
        let Self { release, imports, .. } = &mut self;
        let _ =
            writeln!(imports, "(import \"ostler:plugin/{interface}@{release}\" \"{function}\" {declared})");
        self
    }

    /// Adds definitions, such as globals.
    #[must_use]
    pub fn extra(mut self, text: &str) -> Self {
        self.extra = text.to_owned();
        self
    }

    /// Encodes the guest as a component.
    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let folder = contract::folder(self.contract);
        let package = contract::push(&mut resolve, &folder, &self.release, str::to_owned);
        let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        let world = match kinds.as_slice() {
            ["classifier"] => "classifier-plugin",
            ["validator"] => "validator-plugin",
            ["adapter"] => "adapter-plugin",
            ["adapter", "classifier"] => "framework-plugin",
            _ => "host",
        };
        let world = resolve.select_world(&[package], Some(world)).expect("the world");
        let mut module = wat::parse_str(self.text()).expect("the guest's text");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        let encoder = ComponentEncoder::default().module(&module).expect("a module");
        encoder.validate(true).encode().expect("a component")
    }

    /// Memory: 0 the name, 96 the list of kinds, 128 the result of `open`, 256 `verdicts`, 320 `plugin-info`, 416 a
    /// want, 512 a version, 576 the want's text, 640 the texts of the kinds; from 65,536 on two pages of zeros for
    /// levels, behind them what the host hands in.
    fn text(&self) -> String {
        let Self { push, open, start, imports, extra, release, .. } = self;
        let (name, describe) = (&self.name, self.describe());
        let mut resources = String::new();
        let mut kinds = String::new();
        for kind in &self.kinds {
            match kind.as_str() {
                "classifier" => {
                    let opened_with = if self.contract == Version::NEWEST { 10 } else { 6 };
                    let _ = write!(
                        resources,
                        r#"(import "[export]ostler:plugin/classifier@{release}" "[resource-new]session"
    (func $new (param i32) (result i32)))"#
                    );
                    let _ = write!(
                        kinds,
                        r#"
  (func (export "ostler:plugin/classifier@{release}#[static]session.open")
    (param {opened_with}) (result i32) {open})
  (func (export "ostler:plugin/classifier@{release}#[method]session.push")
    (param i32 i32 i32 i32 i32 i32 i64) (result i32) {push})
  (func (export "ostler:plugin/classifier@{release}#[method]session.flush") (param i32) (result i32)
    (i64.store (i32.const 256) (i64.const 4)) (i64.store (i32.const 264) (i64.const 4)) (i32.const 256))"#,
                        opened_with = "i32 ".repeat(opened_with)
                    );
                }
                // What has more than sixteen values is handed over in memory.
                "validator" => kinds.push_str(&trapping(
                    &format!("ostler:plugin/validator@{release}"),
                    &[("[static]guard.open", 2), ("[method]guard.judge", 1)],
                )),
                "adapter" => kinds.push_str(&trapping(
                    &format!("ostler:plugin/adapter@{release}"),
                    &[("look-at", 0), ("detect", 10), ("recognise", 1), ("advise", 1)],
                )),
                other => panic!("no such kind: {other}"),
            }
        }
        let want = self.want.clone().unwrap_or_default();
        let said: String = self.said_kinds.iter().map(|kind| format!("{kind:\0<32}")).collect();
        let said = said.replace('\0', "\\00");
        format!(
            r#"(module
  {resources}
  {imports}
  (memory (export "memory") 20)
  (data (i32.const 0) "{name}")
  (data (i32.const 512) "1.0")
  (data (i32.const 576) "{want}")
  (data (i32.const 640) "{said}")
  (global $next (mut i32) (i32.const 262144))
  {extra}
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (if (i32.gt_u (global.get $next) (i32.const 1310720))
      (then
        (local.set $at (i32.const 262144))
        (global.set $next (i32.add (local.get $at) (local.get 3)))))
    (local.get $at))
  (func (export "ostler:plugin/info@{release}#describe") (result i32)
    {describe}
    (i32.const 320)){kinds}
  (func $start {start})
  (start $start)
)"#
        )
    }

    /// Returns the instructions that write `plugin-info` to 320, empty lists having a null pointer.
    fn describe(&self) -> String {
        let mut text = String::new();
        let mut store = |at: usize, pointer: usize, length: usize| {
            let _ = writeln!(
                text,
                "(i32.store (i32.const {at}) (i32.const {pointer})) (i32.store (i32.const {}) (i32.const {length}))",
                at + 4
            );
        };
        store(320, 0, self.name.len());
        store(328, 512, 3);
        store(336, 512, 3);
        for (number, kind) in self.said_kinds.iter().enumerate() {
            store(96 + 8 * number, 640 + 32 * number, kind.len());
        }
        store(344, 96, self.said_kinds.len());
        // No schema, and no samples.
        store(352, 4, 0);
        store(360, 4, 0);
        if self.contract == Version::NEWEST {
            // Four lists of samples, and what else there is to tell.
            (368..=400).step_by(8).for_each(|at| store(at, 4, 0));
        }
        if let Some(want) = &self.want {
            store(360, 416, 1);
            store(416, 576, want.len());
            store(424, 4, 0);
            store(432, 512, 3);
        }
        text
    }
}

/// Functions that trap, each with so many parameters.
fn trapping(interface: &str, functions: &[(&str, usize)]) -> String {
    let function = |(name, parameters): &(&str, usize)| {
        let parameters = "i32 ".repeat(*parameters);
        format!("\n  (func (export \"{interface}#{name}\") (param {parameters}) (result i32) (unreachable))")
    };
    functions.iter().map(function).collect()
}
