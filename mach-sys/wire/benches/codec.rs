//! Counts the instructions of serving one exception message, with callgrind.
//!
//! `cargo bench -p mach-wire --bench codec` runs itself under `valgrind --tool=callgrind` (`codec/cases.rs` says what is measured), and fails
//! above the limit. Without valgrind it says that it is skipped. The numbers are of the machine's C library too: the state is copied by
//! its memcpy.

#[path = "codec/cases.rs"]
mod cases;

use cases::{CASES, CHILD, child, count};
use std::env;
use std::process::{Command, ExitCode};

/// The most instructions for the first case.
const LIMIT: u64 = 125;

fn main() -> ExitCode {
    if let Ok(symbol) = env::var(CHILD) {
        child(&symbol);
        return ExitCode::SUCCESS;
    }
    // `cargo test --all-targets` runs benches too, without optimisation.
    if !env::args().any(|argument| argument == "--bench") {
        println!("codec: skipped, counts are of `cargo bench`");
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("codec: skipped, valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (number, case) in CASES.iter().enumerate() {
        match (count(case), (number == 0).then_some(LIMIT)) {
            (Ok(found), Some(limit)) if found > limit => {
                println!(
                    "codec: {found} instructions, more than {limit}: {}",
                    case.what
                );
                failed = true;
            }
            (Ok(found), Some(limit)) => {
                println!("codec: {found} instructions (limit {limit}): {}", case.what);
            }
            (Ok(found), None) => println!("codec: {found} instructions: {}", case.what),
            (Err(why), _) => {
                println!("codec: {} could not be counted: {why}", case.symbol);
                failed = true;
            }
        }
    }
    println!("codec: MIG-generated C takes 190 for the first, 154 for the last");
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
