//! Fuzzes the small languages of the configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("words", bytes));
