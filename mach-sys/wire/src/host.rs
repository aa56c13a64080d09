//! Results of `host_info`, `host_statistics` and `host_statistics64` (`mach/host_info.h`, `mach/vm_statistics.h`, `mach/machine.h`).
//!
//! Each flavor has a structure, whose size in 32-bit words is the count that goes with it. Memory is counted in pages unless a field says
//! otherwise.
#![allow(non_camel_case_types)]

use crate::names::raw_constants;
use crate::pod::plain_struct;
use crate::types::{integer_t, mach_msg_type_number_t, natural_t};

/// A flavor of `host_info` and its like: `HOST_*`.
pub type host_flavor_t = integer_t;
/// A family of processors: `CPU_TYPE_*`.
pub type cpu_type_t = integer_t;
/// A member of a family of processors: `CPU_SUBTYPE_*`.
pub type cpu_subtype_t = integer_t;
/// A way of running several threads on one processor core: `CPU_THREADTYPE_*`.
pub type cpu_threadtype_t = integer_t;

raw_constants! {
    cpu_type_t; CPU_TYPES;
    /// x86. A 64-bit host tells this, too.
    ///
    CPU_TYPE_X86 = 7;
    /// Programs for 64-bit x86.
    ///
    CPU_TYPE_X86_64 = 0x0100_0007;
    /// 64-bit Arm.
    ///
    CPU_TYPE_ARM64 = 0x0100_000c;
}

raw_constants! {
    cpu_subtype_t; CPU_SUBTYPES;
    /// x86.
    ///
    CPU_SUBTYPE_X86_ARCH1 = 4;
    /// x86 with the instructions of Haswell.
    ///
    CPU_SUBTYPE_X86_64_H = 8;
    /// ARMv8.
    ///
    CPU_SUBTYPE_ARM64_V8 = 1;
}

raw_constants! {
    cpu_threadtype_t; CPU_THREADTYPES;
    /// One thread.
    ///
    CPU_THREADTYPE_NONE = 0;
    /// Intel's threads, two on a core.
    ///
    CPU_THREADTYPE_INTEL_HTT = 1;
}

raw_constants! {
    host_flavor_t; HOST_INFO_FLAVORS;
    /// Flavor of [`host_basic_info`], for `host_info`.
    ///
    HOST_BASIC_INFO = 1;
    /// Flavor of the scheduler's quantum, for `host_info`.
    ///
    HOST_SCHED_INFO = 3;
    /// Flavor of the sizes of the kernel's structures, for `host_info`, which no kernel tells.
    ///
    HOST_RESOURCE_SIZES = 4;
    /// Flavor of the ranges of priorities, for `host_info`.
    ///
    HOST_PRIORITY_INFO = 5;
    /// Flavor without data, for `host_info`: semaphores have traps of their own.
    ///
    HOST_SEMAPHORE_TRAPS = 7;
    /// Flavor without data, for `host_info`: `mach_msg` has a trap of its own.
    ///
    HOST_MACH_MSG_TRAP = 8;
}

raw_constants! {
    host_flavor_t; HOST_STATISTICS_FLAVORS;
    /// Flavor of [`host_load_info`], for `host_statistics`.
    ///
    HOST_LOAD_INFO = 1;
    /// Flavor of [`vm_statistics`], for `host_statistics`.
    ///
    HOST_VM_INFO = 2;
    /// Flavor of [`host_cpu_load_info`], for `host_statistics`.
    ///
    HOST_CPU_LOAD_INFO = 3;
    /// Flavor of [`vm_statistics64`], for `host_statistics64`.
    ///
    HOST_VM_INFO64 = 4;
}

plain_struct! {
    /// Result of `host_info` with [`HOST_BASIC_INFO`]: processors and memory.
    pub struct host_basic_info: 48, align 4, packed 4 {
        /// Processors that there may be.
        ///
        0 max_cpus: integer_t,
        /// Processors that there are now.
        ///
        4 avail_cpus: integer_t,
        /// Memory in bytes, 2 GiB at most.
        ///
        8 memory_size: natural_t,
        12 cpu_type: cpu_type_t,
        16 cpu_subtype: cpu_subtype_t,
        20 cpu_threadtype: cpu_threadtype_t,
        24 physical_cpu: integer_t,
        28 physical_cpu_max: integer_t,
        32 logical_cpu: integer_t,
        36 logical_cpu_max: integer_t,
        /// Memory in bytes.
        ///
        40 max_mem: u64,
    }
}

/// Count of [`host_basic_info`].
pub const HOST_BASIC_INFO_COUNT: mach_msg_type_number_t = 12;
/// Count of the part of [`host_basic_info`] that old programs know: up to `cpu_subtype` (`osfmk/kern/host.c`).
pub const HOST_BASIC_INFO_OLD_COUNT: mach_msg_type_number_t = 5;

plain_struct! {
    /// Result of `host_statistics` with [`HOST_LOAD_INFO`]: averages over 5, 30 and 60 seconds, in units of 1/1000.
    pub struct host_load_info: 24, align 4 {
        /// Threads that are ready to run.
        ///
        0 avenrun: [integer_t; 3],
        /// Processors for each ready thread.
        ///
        12 mach_factor: [integer_t; 3],
    }
}

/// Count of [`host_load_info`].
pub const HOST_LOAD_INFO_COUNT: mach_msg_type_number_t = 6;

raw_constants! {
    usize; CPU_STATES;
    /// Index of the time in user code.
    ///
    CPU_STATE_USER = 0;
    /// Index of the time in the kernel.
    ///
    CPU_STATE_SYSTEM = 1;
    /// Index of the time without work.
    ///
    CPU_STATE_IDLE = 2;
    /// Index of the time in user code of a low priority.
    ///
    CPU_STATE_NICE = 3;
    /// Number of these.
    ///
    CPU_STATE_MAX = 4;
}

plain_struct! {
    /// Result of `host_statistics` with [`HOST_CPU_LOAD_INFO`]: time of all processors, in ticks of 10 ms, by `CPU_STATE_*`.
    pub struct host_cpu_load_info: 16, align 4 {
        0 cpu_ticks: [natural_t; 4],
    }
}

/// Count of [`host_cpu_load_info`].
pub const HOST_CPU_LOAD_INFO_COUNT: mach_msg_type_number_t = 4;

plain_struct! {
    /// Result of `host_statistics` with [`HOST_VM_INFO`]: pages of memory by use, and events since the start of the system.
    pub struct vm_statistics: 60, align 4 {
        0 free_count: natural_t,
        4 active_count: natural_t,
        8 inactive_count: natural_t,
        12 wire_count: natural_t,
        16 zero_fill_count: natural_t,
        20 reactivations: natural_t,
        24 pageins: natural_t,
        28 pageouts: natural_t,
        32 faults: natural_t,
        36 cow_faults: natural_t,
        40 lookups: natural_t,
        44 hits: natural_t,
        48 purgeable_count: natural_t,
        52 purges: natural_t,
        /// Free pages with data that was read ahead. They count as free, too.
        ///
        56 speculative_count: natural_t,
    }
}

/// Count of [`vm_statistics`] up to `hits`.
pub const HOST_VM_INFO_REV0_COUNT: mach_msg_type_number_t = 12;
/// Count of [`vm_statistics`] up to `purges`.
pub const HOST_VM_INFO_REV1_COUNT: mach_msg_type_number_t = 14;
/// Count of [`vm_statistics`].
pub const HOST_VM_INFO_REV2_COUNT: mach_msg_type_number_t = 15;

plain_struct! {
    /// Result of `host_statistics64` with [`HOST_VM_INFO64`]: as [`vm_statistics`], and what is compressed.
    pub struct vm_statistics64: 152, align 8 {
        0 free_count: natural_t,
        4 active_count: natural_t,
        8 inactive_count: natural_t,
        12 wire_count: natural_t,
        16 zero_fill_count: u64,
        24 reactivations: u64,
        32 pageins: u64,
        40 pageouts: u64,
        48 faults: u64,
        56 cow_faults: u64,
        64 lookups: u64,
        72 hits: u64,
        80 purges: u64,
        88 purgeable_count: natural_t,
        92 speculative_count: natural_t,
        96 decompressions: u64,
        104 compressions: u64,
        112 swapins: u64,
        120 swapouts: u64,
        /// Pages that hold compressed data.
        ///
        128 compressor_page_count: natural_t,
        132 throttled_count: natural_t,
        /// Pages of files.
        ///
        136 external_page_count: natural_t,
        /// Pages without a file.
        ///
        140 internal_page_count: natural_t,
        144 total_uncompressed_pages_in_compressor: u64,
    }
}

/// Count of [`vm_statistics64`] up to `speculative_count`.
pub const HOST_VM_INFO64_REV0_COUNT: mach_msg_type_number_t = 24;
/// Count of [`vm_statistics64`].
pub const HOST_VM_INFO64_REV1_COUNT: mach_msg_type_number_t = 38;
