//! Fuzzes the line splitter.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("lines", bytes));
