//! The body of a crate's bench.

use crate::effort::Effort;
use crate::line::Line;
use crate::{Error, NotHere};
use std::process::ExitCode;

/// Measures and prints, as a bench does. `cargo test --all-targets` runs benches too: then it is brief.
#[must_use]
pub fn run(measure: fn(Effort) -> Result<Vec<Line>, Error>) -> ExitCode {
    let effort = if std::env::args().any(|argument| argument == "--bench") {
        Effort::FULL
    } else {
        Effort::QUICK
    };
    match measure(effort) {
        Ok(lines) => {
            println!("{}\n{}", crate::machine::describe(), Line::header(40));
            for line in lines {
                print!("{line:40}");
            }
            ExitCode::SUCCESS
        }
        Err(error) if error.is::<NotHere>() => {
            println!("left out: {error}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
