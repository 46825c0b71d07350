//! Fuzzes the mask of secrets.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ostler::fuzz::run("mask", bytes));
