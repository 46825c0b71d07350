//! Fuzzes requests on the daemon's socket, cursors, times and patterns.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("query", bytes));
