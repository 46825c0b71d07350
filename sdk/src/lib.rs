#![doc = include_str!("../README.md")]
#![deny(missing_docs, reason = "the SDK is read before it is used")]

mod batch;
mod classifier;
mod level;
pub mod log;
pub mod testing;
mod verdicts;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;

// The generated code names this crate as plugins see it.
#[cfg(target_family = "wasm")]
extern crate self as ostler_sdk;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use wit_bindgen;

pub use batch::{Batch, Line, Stream};
pub use classifier::{Classifier, Info, Run, Sample};
pub use level::Level;
pub use verdicts::{CONTINUES, Fact, Note, Verdicts};

/// What nearly every plugin needs: `use ostler_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{Batch, Classifier, Fact, Info, Level, Run, Sample, Verdicts, export_classifier};
}

/// Makes the crate a plugin whose classifier is the given type. Once per crate.
///
/// On wasm it exports what the contract asks for and reports panics to the host's log; natively it only checks that
/// the type is a [`Classifier`], so `cargo test` needs no wasm toolchain.
#[macro_export]
macro_rules! export_classifier {
    ($classifier:ty) => {
        const _: () = {
            const fn is_a_classifier<C: $crate::Classifier>() {}
            is_a_classifier::<$classifier>();
        };
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Plugin = $crate::guest::Component<$classifier>;
    $crate::bindings::export!(Plugin with_types_in $crate::bindings);
        };
    };
}
