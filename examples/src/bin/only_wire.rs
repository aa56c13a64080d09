//! `mach-wire` alone: the sizes and ids of every exception message, computed by the crate that decodes them.
//!
//! ```console
//! $ cargo run --release --bin only_wire
//! ```
//!
//! What to look at: the nine routines, and how large their messages are with the general registers of either machine. The crate needs no
//! kernel: a tool for crash logs, or a test of a C server, takes it without the others. `demux` shows the bytes.

use clap::Parser;
use mach_wire::exception::{ExceptionType, Meaning};
use mach_wire::machine::Machine;
use mach_wire::mig::{CODES_MAX, Routine};
use mach_wire::thread_state::{ThreadState, arm_thread_state64_t, x86_thread_state64_t};
use serde_json::json;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Lists the messages of `exc` and `mach_exc`.
#[derive(Debug, Parser)]
struct Options {
    /// Prints the table as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "only_wire: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let words = [arm_thread_state64_t::COUNT, x86_thread_state64_t::COUNT];
    let rows = Routine::ALL.map(|routine| {
        let words = words.map(|words| {
            if routine.has_state() {
                words as usize
            } else {
                0
            }
        });
        let requests = words.map(|words| routine.request_size(CODES_MAX, words));
        let replies = words.map(|words| routine.reply_size(words));
        (routine, requests, replies)
    });
    if Options::parse().json {
        let rows = rows.map(|(routine, [arm64, x86_64], [arm64_reply, x86_64_reply])| {
            json!({
                "name": routine.name(),
                "id": routine.id(),
                "reply_id": routine.reply_id(),
                "code_size": routine.code_size(),
                "request": { "arm64": arm64, "x86_64": x86_64 },
                "reply": { "arm64": arm64_reply, "x86_64": x86_64_reply },
            })
        });
        writeln!(out, "{:#}", json!(rows))?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<50} {:^15} {:^15}",
        "", "request, bytes", "reply, bytes"
    )?;
    writeln!(
        out,
        "{:<44} {:>5} {:>7} {:>7} {:>7} {:>7}",
        "routine", "id", "arm64", "x86_64", "arm64", "x86_64"
    )?;
    for (routine, [arm64, x86_64], [arm64_reply, x86_64_reply]) in rows {
        writeln!(
            out,
            "{:<44} {:>5} {arm64:>7} {x86_64:>7} {arm64_reply:>7} {x86_64_reply:>7}",
            routine.name(),
            routine.id()
        )?;
    }
    writeln!(out, "\nthe same codes on each machine:")?;
    for machine in [Machine::Arm64, Machine::X86_64] {
        for (exception, codes) in [
            (ExceptionType::BAD_ACCESS, [1, 0x18]),
            (ExceptionType::BAD_ACCESS, [0x101, 0x19]),
            (ExceptionType::ARITHMETIC, [1, 0]),
        ] {
            let meaning = Meaning::decode(machine, exception, &codes);
            let [code, subcode] = codes;
            writeln!(
                out,
                "  {machine:<7} {exception} {code:#x}, {subcode:#x}: {meaning}"
            )?;
        }
    }
    Ok(())
}
