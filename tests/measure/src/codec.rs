//! Instructions to serve a message, counted by callgrind.

#[path = "../../../mach-sys/wire/benches/codec/cases.rs"]
mod cases;

use crate::line::{Line, Way};
use crate::{Error, NotHere};
use std::process::Command;
use test_support::isolated;

/// The most instructions.
const TARGET: f64 = 120.0;
/// Instructions that Apple's MIG-generated C takes for the same, compiled with clang -O2; counted once, on x86_64 Linux.
const MIG: f64 = 190.0;

/// Runs a case where this process was started for it under callgrind. A program that measures calls this first.
#[must_use]
pub fn run_case() -> bool {
    let symbol = std::env::var(cases::CHILD);
    if let Ok(symbol) = &symbol {
        cases::child(symbol);
    }
    symbol.is_ok()
}

/// Counts the instructions of demultiplexing, decoding and answering message 2407.
///
/// # Errors
/// valgrind is not installed, or cannot run this program.
pub fn measure() -> Result<Vec<Line>, Error> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err(NotHere("valgrind is not installed").into());
    }
    let program = crate::child::program()?;
    if isolated::command(&program).get_program() != program {
        return Err(NotHere("valgrind does not run under an emulator").into());
    }
    let mut counts = [0.0; cases::CASES.len()];
    for (count, case) in counts.iter_mut().zip(&cases::CASES) {
        *count = cases::count(case)? as f64;
    }
    let [copying, both, minimal] = counts;
    let [_, both_name, minimal_name] = cases::CASES.each_ref().map(|case| case.what);
    Ok(vec![
        Line::of(
            "codec: request 2407 to its reply",
            "instructions",
            copying,
            TARGET,
        )
        .with_floor(Way::new(minimal_name, minimal))
        .or("MIG-generated C", MIG)
        .or(both_name, both),
    ])
}
