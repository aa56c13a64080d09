//! The machine that was measured.

use crate::{Error, NotHere};
use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::machine::Machine;
use std::process::Command;

/// Describes the processor, the kernel that answers, and the load.
#[must_use]
pub fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "; NOT OPTIMISED: these figures mean nothing"
    } else {
        ""
    };
    let load = load().map_or(String::new(), |load| format!("; load {load}"));
    format!(
        "{}, {} {cpus} CPUs, {}; kernel: {KERNEL:?}{load}{build}",
        processor(),
        Machine::NATIVE,
        std::env::consts::OS,
    )
}

fn processor() -> String {
    let from_file = std::fs::read_to_string("/proc/cpuinfo").ok();
    let named = from_file.as_deref().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let asked = || {
        let output = Command::new("sysctl")
            .args(["-n", "machdep.cpu.brand_string"])
            .output()
            .ok()?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !name.is_empty()).then_some(name)
    };
    named
        .or_else(asked)
        .unwrap_or_else(|| "unknown processor".to_owned())
}

/// Threads that wanted a CPU in the last minute, on the average, where the system tells.
fn load() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split_whitespace().next()?.to_owned())
}

/// Refuses a row whose floor is a signal handler under the emulated Mach.
///
/// # Errors
/// Apple's kernel answers.
pub fn needs_emulation() -> Result<(), Error> {
    match KERNEL {
        Kernel::Emulated => Ok(()),
        _ => Err(NotHere("its floor is a signal handler under the emulated Mach").into()),
    }
}
