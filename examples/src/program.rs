//! The exit code of a program.

use std::error::Error;
use std::process::ExitCode;

/// Returns success for `Ok(true)`. Prints an error with its sources.
#[must_use]
pub fn exit_code(name: &str, result: Result<bool, Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprint!("{name}: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
