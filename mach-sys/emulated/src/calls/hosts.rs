//! Processors and memory of the machine (`mach/mach_host.h`).
#![allow(unsafe_code)]

use super::mig;
use super::structures::give_words;
use super::target::{code, kobject_behind, put};
use crate::host::machine::{self, Memory, Processors};
use crate::host::pages;
use crate::host::usage::ask;
use crate::ipc::kobject::KobjectType;
use crate::thread::kernel::Kernel;
use core::mem::size_of;
use mach_wire::host::*;
use mach_wire::kern_return::KernReturn;
use mach_wire::pod::Pod;
use mach_wire::types::*;

/// Fails with `wrong` for the port of something else than the host.
fn check_host(host: mach_port_name_t, wrong: KernReturn) -> Result<(), KernReturn> {
    let process = mig::process()?;
    let mut held = process.mach.lock();
    let found = kobject_behind(&mut Kernel::of(&mut held), process, host, KobjectType::Host);
    found.map(|_| ()).map_err(|error| match error {
        KernReturn::INVALID_ARGUMENT => wrong,
        error => error,
    })
}

pub unsafe fn host_page_size(_host: mach_port_name_t, size: *mut vm_size_t) -> kern_return_t {
    // As Apple's: a function of the library, which does not look at the name.
    // SAFETY: the seam's contract: `size` is valid for a write.
    unsafe { put(size, pages::size() as vm_size_t) };
    KernReturn::SUCCESS.raw()
}

/// Writes the first words of a structure: the largest of `counts` that the caller's has room for. `KERN_FAILURE` if it has too little for all.
///
/// # Safety
/// `to` has room for the words that `count` says, and `count` is valid. The structure has as many words as the largest.
unsafe fn give_largest<T: Pod>(
    counts: &[mach_msg_type_number_t],
    value: &T,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> Result<(), KernReturn> {
    // SAFETY: the caller's promise.
    unsafe {
        let room = count.read();
        let words = counts.iter().copied().filter(|words| *words <= room).max();
        give_words(value, words.ok_or(KernReturn::FAILURE)?, to, count);
    }
    Ok(())
}

fn signed(count: u32) -> integer_t {
    count.try_into().unwrap_or(integer_t::MAX)
}

fn bounded(count: u64) -> natural_t {
    count.try_into().unwrap_or(natural_t::MAX)
}

#[cfg(target_arch = "x86_64")]
fn subtype() -> cpu_subtype_t {
    let is_haswell = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe");
    match is_haswell {
        true => CPU_SUBTYPE_X86_64_H,
        false => CPU_SUBTYPE_X86_ARCH1,
    }
}

#[cfg(target_arch = "aarch64")]
fn subtype() -> cpu_subtype_t {
    CPU_SUBTYPE_ARM64_V8
}

/// Returns what `HOST_BASIC_INFO` tells. The processors of one core are threads of Intel's kind on x86.
fn basic_info(memory: &Memory, processors: &Processors) -> host_basic_info {
    /// The memory in 32 bits is 2 GiB at most.
    const LARGEST: u64 = 1 << 31;
    let is_x86 = cfg!(target_arch = "x86_64");
    let cores = processors.cores.max(1);
    // As many cores to a processor that is not there as to one that is.
    let possible = processors.possible * cores / processors.online.max(1);
    let bytes = memory.total.saturating_mul(pages::size() as u64);
    host_basic_info {
        max_cpus: signed(processors.possible),
        avail_cpus: signed(processors.online),
        memory_size: bounded(bytes.min(LARGEST)),
        cpu_type: match is_x86 {
            true => CPU_TYPE_X86,
            false => CPU_TYPE_ARM64,
        },
        cpu_subtype: subtype(),
        cpu_threadtype: match is_x86 && cores < processors.online {
            true => CPU_THREADTYPE_INTEL_HTT,
            false => CPU_THREADTYPE_NONE,
        },
        physical_cpu: signed(cores),
        physical_cpu_max: signed(possible.max(cores)),
        logical_cpu: signed(processors.online),
        logical_cpu_max: signed(processors.possible),
        max_mem: bytes,
    }
}

pub unsafe fn host_info(
    host: mach_port_name_t,
    flavor: host_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let tell = || {
        check_host(host, KernReturn::INVALID_ARGUMENT)?;
        // SAFETY: the seam's contract: room for the words that `count` says, and `count` is valid.
        unsafe {
            match flavor {
                HOST_BASIC_INFO if count.read() < HOST_BASIC_INFO_OLD_COUNT => {
                    Err(KernReturn::FAILURE)
                }
                HOST_BASIC_INFO => {
                    let (memory, processors) = ask(|| (machine::memory(), machine::processors()));
                    let memory = memory.ok_or(KernReturn::NOT_SUPPORTED)?;
                    let counts = [HOST_BASIC_INFO_OLD_COUNT, HOST_BASIC_INFO_COUNT];
                    give_largest(&counts, &basic_info(&memory, &processors), info, count)
                }
                HOST_SEMAPHORE_TRAPS | HOST_MACH_MSG_TRAP => {
                    put(count, 0);
                    Ok(())
                }
                _ => Err(KernReturn::INVALID_ARGUMENT),
            }
        }
    };
    code(tell())
}

/// Pages by use. What is neither free nor on the system's two lists is the kernel's, or locked: wired.
struct Uses {
    free: natural_t,
    active: natural_t,
    inactive: natural_t,
    wired: natural_t,
}

fn uses(memory: &Memory) -> Uses {
    let pageable = memory.free + memory.active + memory.inactive + memory.compressing;
    Uses {
        free: bounded(memory.free),
        active: bounded(memory.active),
        inactive: bounded(memory.inactive),
        wired: bounded(memory.total.saturating_sub(pageable)),
    }
}

/// Returns what `HOST_VM_INFO` tells. The system counts no pages that it filled with zeroes or copied, keeps no cache of objects, and has no
/// purgeable memory.
fn statistics(memory: &Memory) -> vm_statistics {
    let uses = uses(memory);
    vm_statistics {
        free_count: uses.free,
        active_count: uses.active,
        inactive_count: uses.inactive,
        wire_count: uses.wired,
        reactivations: bounded(memory.reactivated),
        pageins: bounded(memory.read_in),
        pageouts: bounded(memory.written_out),
        faults: bounded(memory.faults),
        ..vm_statistics::default()
    }
}

/// Returns what `HOST_VM_INFO64` tells, with gaps as in [`statistics`].
fn statistics64(memory: &Memory) -> vm_statistics64 {
    let uses = uses(memory);
    let listed = memory.active + memory.inactive;
    vm_statistics64 {
        free_count: uses.free,
        active_count: uses.active,
        inactive_count: uses.inactive,
        wire_count: uses.wired,
        reactivations: memory.reactivated,
        pageins: memory.read_in,
        pageouts: memory.written_out,
        faults: memory.faults,
        swapins: memory.swapped_in,
        swapouts: memory.swapped_out,
        compressor_page_count: bounded(memory.compressing),
        external_page_count: bounded(memory.of_files),
        internal_page_count: bounded(listed.saturating_sub(memory.of_files)),
        total_uncompressed_pages_in_compressor: memory.compressed,
        ..vm_statistics64::default()
    }
}

/// Writes the answer of one flavor of `host_statistics`, or of `host_statistics64` if `wide`, which has one flavor more.
///
/// # Safety
/// `to` has room for the words that `count` says, and `count` is valid.
unsafe fn tell_statistics(
    wide: bool,
    flavor: host_flavor_t,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> Result<(), KernReturn> {
    const VM_INFO: &[mach_msg_type_number_t] = &[
        HOST_VM_INFO_REV0_COUNT,
        HOST_VM_INFO_REV1_COUNT,
        HOST_VM_INFO_REV2_COUNT,
    ];
    const VM_INFO64: &[mach_msg_type_number_t] =
        &[HOST_VM_INFO64_REV0_COUNT, HOST_VM_INFO64_REV1_COUNT];
    const CPU_LOAD: &[mach_msg_type_number_t] = &[HOST_CPU_LOAD_INFO_COUNT];
    let counts = match flavor {
        HOST_VM_INFO => VM_INFO,
        HOST_VM_INFO64 if wide => VM_INFO64,
        HOST_CPU_LOAD_INFO => CPU_LOAD,
        // The system's averages of the load are over other times.
        _ => return Err(KernReturn::INVALID_ARGUMENT),
    };
    let unknown = KernReturn::NOT_SUPPORTED;
    // SAFETY: the caller's promise. Each structure has as many words as its largest count (asserted below).
    unsafe {
        if count.read() < counts[0] {
            return Err(KernReturn::FAILURE);
        }
        match flavor {
            HOST_VM_INFO => {
                let statistics = statistics(&ask(machine::memory).ok_or(unknown)?);
                give_largest(counts, &statistics, to, count)
            }
            HOST_VM_INFO64 => {
                let statistics = statistics64(&ask(machine::memory).ok_or(unknown)?);
                give_largest(counts, &statistics, to, count)
            }
            _ => {
                let ticks = ask(machine::ticks).ok_or(unknown)?;
                let mut load = host_cpu_load_info::default();
                // They start again at 0 beyond 32 bits, as XNU's do.
                load.cpu_ticks[CPU_STATE_USER] = ticks.user as natural_t;
                load.cpu_ticks[CPU_STATE_SYSTEM] = ticks.system as natural_t;
                load.cpu_ticks[CPU_STATE_IDLE] = ticks.idle as natural_t;
                load.cpu_ticks[CPU_STATE_NICE] = ticks.nice as natural_t;
                give_largest(counts, &load, to, count)
            }
        }
    }
}

const _: () = {
    assert!(size_of::<host_basic_info>() == 4 * HOST_BASIC_INFO_COUNT as usize);
    assert!(size_of::<vm_statistics>() == 4 * HOST_VM_INFO_REV2_COUNT as usize);
    assert!(size_of::<vm_statistics64>() == 4 * HOST_VM_INFO64_REV1_COUNT as usize);
    assert!(size_of::<host_cpu_load_info>() == 4 * HOST_CPU_LOAD_INFO_COUNT as usize);
};

pub unsafe fn host_statistics(
    host: mach_port_name_t,
    flavor: host_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    // SAFETY: the same contract, passed on unchanged.
    unsafe { host_statistics_of(false, host, flavor, info, count) }
}

pub unsafe fn host_statistics64(
    host: mach_port_name_t,
    flavor: host_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    // SAFETY: the same contract, passed on unchanged.
    unsafe { host_statistics_of(true, host, flavor, info, count) }
}

/// Implements both calls; `wide` says which.
///
/// # Safety
/// The seam's contract.
unsafe fn host_statistics_of(
    wide: bool,
    host: mach_port_name_t,
    flavor: host_flavor_t,
    info: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let tell = || {
        check_host(host, KernReturn::INVALID_HOST)?;
        // SAFETY: the seam's contract: room for the words that `count` says, and `count` is valid.
        unsafe { tell_statistics(wide, flavor, info, count) }
    };
    code(tell())
}
