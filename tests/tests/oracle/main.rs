//! Replays answers of XNU's own code against this kernel: what was asked and what it answered, one case a line
//! (`tests/oracle/README.md`). The recording is of macOS 11, and so is the kernel here; every field of every answer is compared.
//! `MACH_ORACLE_PORTS` names another file of the same form; `MACH_ORACLE_CASE` picks one case.
#![cfg(not(target_vendor = "apple"))]
#![allow(unsafe_code)]

mod ports;
mod report;
mod space;

use mach_sys::emulated::{Config, Generation};
use mach_sys::kernel::system::task_self;
use mach_sys::kernel::{self, mach_port_allocate, mach_port_deallocate};
use report::Report;
use serde_json::Value;

/// Reads the cases of a file, the repository's own unless the variable names another.
fn cases(variable: &str, own: &str) -> Vec<Value> {
    let file = std::env::var(variable)
        .unwrap_or_else(|_| format!("{}/oracle/{own}", env!("CARGO_MANIFEST_DIR")));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{file}: {why}"));
    let only = std::env::var("MACH_ORACLE_CASE").ok();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a case"))
        .filter(|case| only.as_deref().is_none_or(|only| case["case"] == only))
        .collect()
}

/// Sets the kernel up: its own names are there before the first case.
fn warm_up() {
    let mut config = Config::default();
    config.generation = Generation::MacOs11;
    kernel::configure(config).expect("the first use of the kernel");
    let mut name = 0;
    // SAFETY: one result, valid for a write; a dead name of our own.
    unsafe {
        assert_eq!(mach_port_allocate(task_self(), 4, &mut name), 0);
        assert_eq!(mach_port_deallocate(task_self(), name), 0);
        kernel::mach_thread_self();
        kernel::mig_get_reply_port();
    }
}

#[test]
fn ports_answer_as_xnu_did() {
    warm_up();
    let mut report = Report::default();
    for case in cases("MACH_ORACLE_PORTS", "ports.jsonl") {
        ports::replay(&case, &mut report);
    }
    println!("{report}");
    assert_ne!(report.cases(), 0, "nothing was replayed");
    report.assert_agreement();
}
