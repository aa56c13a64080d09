//! Decodes any bytes as a request, a reply and a notification. Nothing panics or reads out of bounds, and all results agree with a
//! second implementation of MIG's checks.
#![no_main]

#[path = "../../tests/common/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::check(bytes));
