//! Fuzzes the frames between a daemon and a shim.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("control", bytes));
