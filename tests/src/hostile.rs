//! Plugins that misbehave, written in the text format of WebAssembly: no toolchain is needed to make them, and each
//! is exactly as bad as its few lines say.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A classifier component of our own making. The defaults behave: every line is left undecided.
#[derive(Debug, Clone)]
pub struct Guest {
    pub name: String,
    /// Body of `session.push`; the batch's line count is `(local.get 4)`. Leaves a pointer to `verdicts`.
    pub push: String,
    /// Body of `session.open`. Leaves a pointer to its result.
    pub open: String,
    /// Body of the module's start function.
    pub start: String,
    /// Further definitions.
    pub extra: String,
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
            extra: String::new(),
        }
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

    /// Adds definitions, such as globals.
    #[must_use]
    pub fn extra(mut self, text: &str) -> Self {
        self.extra = text.to_owned();
        self
    }

    /// Encodes the guest as a component.
    pub fn component(&self) -> Vec<u8> {
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).expect("the contract");
        let world = resolve.select_world(&[package], Some("classifier-plugin")).expect("the world");
        let mut module = wat::parse_str(self.text()).expect("the guest's text");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        let encoder = ComponentEncoder::default().module(&module).expect("a module");
        encoder.validate(true).encode().expect("a component")
    }

    /// Memory: 0 the name, 64 the word `classifier`, 96 the list of kinds, 128 the result of `open`, 192
    /// `plugin-info`, 256 `verdicts`, 512 a version; from 65,536 on two pages of zeros for levels, behind them what
    /// the host hands in.
    fn text(&self) -> String {
        let Self { name, push, open, start, extra } = self;
        let length = name.len();
        format!(
            r#"(module
  (import "[export]ostler:plugin/classifier@0.2.0" "[resource-new]session"
    (func $new (param i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "{name}")
  (data (i32.const 64) "classifier")
  (data (i32.const 512) "1.0")
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
  (func (export "ostler:plugin/info@0.2.0#describe") (result i32)
    (i32.store (i32.const 192) (i32.const 0)) (i32.store (i32.const 196) (i32.const {length}))
    (i32.store (i32.const 200) (i32.const 512)) (i32.store (i32.const 204) (i32.const 3))
    (i32.store (i32.const 208) (i32.const 512)) (i32.store (i32.const 212) (i32.const 3))
    (i32.store (i32.const 96) (i32.const 64)) (i32.store (i32.const 100) (i32.const 10))
    (i32.store (i32.const 216) (i32.const 96)) (i32.store (i32.const 220) (i32.const 1))
    (i32.store (i32.const 224) (i32.const 4)) (i32.store (i32.const 228) (i32.const 0))
    (i32.store (i32.const 232) (i32.const 4)) (i32.store (i32.const 236) (i32.const 0))
    (i32.const 192))
  (func (export "ostler:plugin/classifier@0.2.0#[static]session.open")
    (param i32 i32 i32 i32 i32 i32) (result i32) {open})
  (func (export "ostler:plugin/classifier@0.2.0#[method]session.push")
    (param i32 i32 i32 i32 i32 i32 i64) (result i32) {push})
  (func (export "ostler:plugin/classifier@0.2.0#[method]session.flush") (param i32) (result i32)
    (i64.store (i32.const 256) (i64.const 4)) (i64.store (i32.const 264) (i64.const 4)) (i32.const 256))
  (func $start {start})
  (start $start)
)"#
        )
    }
}
