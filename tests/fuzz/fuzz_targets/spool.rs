//! Fuzzes the reader of spool files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("spool", bytes));
