//! The contract's generated bindings, and the host's side of its one import.

wasmtime::component::bindgen!({
    world: "classifier-plugin",
    path: "../wit",
    ownership: Borrowing { duplicate_if_necessary: true },
});

use self::ostler::plugin::{log, types};
use super::limits::GuestState;

impl types::Host for GuestState {}

impl log::Host for GuestState {
    fn write(&mut self, level: types::Level, message: String) {
        self.guest_log(level, &message);
    }
}
