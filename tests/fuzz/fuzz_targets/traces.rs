//! Fuzzes errors as programs print them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("traces", bytes));
