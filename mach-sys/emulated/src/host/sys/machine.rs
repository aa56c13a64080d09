//! The machine: its processors and its memory, from `/proc` and `/sys`, read without allocation.
#![allow(unsafe_code)]

use super::call::page_size;
use super::lines::{self, number_after};
use super::proc_file::read_file;
use std::io::Write;

/// The machine's processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processors {
    /// Processors that there may be, and those that there are now.
    pub(crate) possible: u32,
    pub(crate) online: u32,
    /// Cores of those that there are now; as many as processors where the system does not say.
    pub(crate) cores: u32,
}

/// Returns the machine's processors.
pub(crate) fn processors() -> Processors {
    // SAFETY: sysconf has no preconditions.
    let count = |name| u32::try_from(unsafe { libc::sysconf(name) }).unwrap_or(1);
    let online = count(libc::_SC_NPROCESSORS_ONLN).max(1);
    let possible = count(libc::_SC_NPROCESSORS_CONF).max(online);
    let cores = (0..possible).filter(|processor| is_first_of_its_core(*processor));
    let cores = u32::try_from(cores.count()).unwrap_or(u32::MAX);
    Processors {
        possible,
        online,
        cores: if cores == 0 {
            online
        } else {
            cores.min(online)
        },
    }
}

/// Returns whether a processor is the first of those of its core; `false` where the system does not say.
fn is_first_of_its_core(processor: u32) -> bool {
    let mut path = [0; 64];
    let mut rest = &mut path[..];
    let written = write!(
        rest,
        "/sys/devices/system/cpu/cpu{processor}/topology/core_cpus_list"
    );
    // The last byte must stay zero.
    if written.is_err() || rest.is_empty() {
        return false;
    }
    let mut text = [0; 32];
    let length = read_file(&path, &mut text);
    number_after(&text[..length], b"") == Some(processor.into())
}

/// Memory of the machine in pages, and events since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Used recently, and not.
    pub(crate) active: u64,
    pub(crate) inactive: u64,
    /// Of these two, what belongs to files.
    pub(crate) of_files: u64,
    /// Pages that hold compressed ones, and those that are in them.
    pub(crate) compressing: u64,
    pub(crate) compressed: u64,
    pub(crate) faults: u64,
    /// Pages read in and written out, of all kinds.
    pub(crate) read_in: u64,
    pub(crate) written_out: u64,
    /// Of these, pages without a file.
    pub(crate) swapped_in: u64,
    pub(crate) swapped_out: u64,
    /// Pages that were used again while they were inactive.
    pub(crate) reactivated: u64,
}

/// Returns the machine's memory; `None` where the system does not say.
pub(crate) fn memory() -> Option<Memory> {
    let mut memory = Memory::default();
    let page = page_size() as u64;
    let mut seen = 0;
    lines::each(c"/proc/meminfo", |line| {
        let mut read = |name: &[u8]| {
            let kib = number_after(line, name)?;
            seen += 1;
            Some(kib.saturating_mul(1024) / page)
        };
        let fields: [(&[u8], &mut u64); 7] = [
            (b"MemTotal:", &mut memory.total),
            (b"MemFree:", &mut memory.free),
            (b"Active:", &mut memory.active),
            (b"Inactive:", &mut memory.inactive),
            (b"Active(file):", &mut memory.of_files),
            (b"Zswap:", &mut memory.compressing),
            (b"Zswapped:", &mut memory.compressed),
        ];
        for (name, field) in fields {
            if let Some(pages) = read(name) {
                *field = pages;
            }
        }
        if let Some(pages) = read(b"Inactive(file):") {
            memory.of_files += pages;
        }
        true
    })?;
    // The first four.
    if seen < 4 {
        return None;
    }
    // A system that keeps no such counts leaves them at 0.
    let _ = lines::each(c"/proc/vmstat", |line| {
        let kib = |name| number_after(line, name).map(|kib| kib.saturating_mul(1024) / page);
        let count = |name| number_after(line, name);
        if let Some(count) = count(b"pgfault ") {
            memory.faults = count;
        } else if let Some(pages) = kib(b"pgpgin ") {
            memory.read_in = pages;
        } else if let Some(pages) = kib(b"pgpgout ") {
            memory.written_out = pages;
        } else if let Some(count) = count(b"pswpin ") {
            memory.swapped_in = count;
        } else if let Some(count) = count(b"pswpout ") {
            memory.swapped_out = count;
        } else if let Some(count) = count(b"pgactivate ") {
            memory.reactivated = count;
        }
        true
    });
    Some(memory)
}

/// Time of all processors since the start of the machine, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    pub(crate) user: u64,
    pub(crate) nice: u64,
    pub(crate) system: u64,
    pub(crate) idle: u64,
}

/// Returns what the processors did; `None` where the system does not say.
pub(crate) fn ticks() -> Option<Ticks> {
    let mut found = None;
    lines::each(c"/proc/stat", |line| {
        found = parse_ticks(line);
        false
    })?;
    found
}

/// Parses the first line: `cpu user nice system idle iowait irq softirq steal …`.
fn parse_ticks(line: &[u8]) -> Option<Ticks> {
    let text = core::str::from_utf8(line.strip_prefix(b"cpu ")?).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
    // Systems before 2.6 end here.
    let (waiting, interrupts, soft) = (
        next().unwrap_or(0),
        next().unwrap_or(0),
        next().unwrap_or(0),
    );
    Some(Ticks {
        user,
        nice,
        system: system.wrapping_add(interrupts).wrapping_add(soft),
        idle: idle.wrapping_add(waiting),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_all_processors_is_read() {
        let ticks = Ticks {
            user: 1,
            nice: 2,
            system: 3 + 6 + 7,
            idle: 4 + 5,
        };
        assert_eq!(parse_ticks(b"cpu  1 2 3 4 5 6 7 8 9 10"), Some(ticks));
        assert_eq!(parse_ticks(b"cpu0 1 2 3 4 5 6 7 8 9 10"), None);
        assert_eq!(parse_ticks(b"cpu  1 2 3"), None);
    }

    #[test]
    fn cores_processors_and_memory_are_in_order() {
        let processors = processors();
        assert!(processors.cores >= 1 && processors.cores <= processors.online);
        assert!(processors.online <= processors.possible);
        // A sandbox may hide the file.
        if let Some(memory) = memory() {
            assert!(memory.free <= memory.total && memory.active <= memory.total);
        }
    }
}
