//! Parts of a measurement that run in a process of their own: the program starts itself again.

use crate::{Error, codec, memory};
use std::path::PathBuf;
use std::process::ExitCode;
use test_support::isolated;

/// Says which part a program is to run.
pub const PART: &str = "MACH_MEASURE_PART";

/// Runs the part that this process was started for, if it was. A program that measures calls this first.
#[must_use]
pub fn run_part() -> Option<ExitCode> {
    if codec::run_case() {
        return Some(ExitCode::SUCCESS);
    }
    let part = std::env::var(PART).ok()?;
    let done = match part.split_once(' ') {
        Some(("memory", rest)) => memory::part(rest),
        _ => Err(format!("there is no part {part}").into()),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", with_sources(&*error));
            ExitCode::FAILURE
        }
    })
}

/// An error with its sources, the last of which is the reason.
#[must_use]
pub fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// Runs a part in a process of its own, and returns what it printed.
///
/// # Errors
/// It failed; with what it said.
pub fn start(part: &str) -> Result<String, Error> {
    let output = isolated::command(program()?).env(PART, part).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{part}: {}: {}", output.status, errors.trim()).into())
}

/// The path of this program.
///
/// # Errors
/// The host's error.
pub fn program() -> Result<PathBuf, Error> {
    Ok(std::env::current_exe()?)
}
