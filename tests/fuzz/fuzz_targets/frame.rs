//! Fuzzes the frames of the log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("frame", bytes));
