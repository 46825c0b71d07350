//! The contract in Rust, generated from `wit/`. Only for wasm: natively nothing of it is compiled.

#![allow(missing_docs, clippy::all, reason = "generated code")]

wit_bindgen::generate!({
    path: "wit",
    world: "classifier-plugin",
    pub_export_macro: true,
    default_bindings_module: "::ostler_sdk::bindings",
    runtime_path: "::ostler_sdk::wit_bindgen::rt",
});
