//! Any bytes, as a request, as a reply and as a notification: nothing panics or reads out of bounds, and all answers are those
//! of a second reading of MIG's checks.
#![no_main]

#[path = "../../tests/common/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::check(bytes));
