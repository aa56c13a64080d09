//! Results of `thread_info` and `task_info` (`mach/thread_info.h`, `mach/task_info.h`, `mach/time_value.h`, `mach/policy.h`).
//!
//! Each flavor has a structure, whose size in 32-bit words is the count that goes with it. Times of [`thread_extended_info`] are in
//! nanoseconds, those of [`task_absolutetime_info`] in units of `mach_timebase_info`, all others seconds and microseconds. Sizes are in
//! bytes.
#![allow(non_camel_case_types)]

use crate::pod::plain_struct;
use crate::types::{
    integer_t, mach_msg_type_number_t, mach_vm_address_t, mach_vm_size_t, natural_t,
};

/// A flavor of `thread_info`: `THREAD_*`.
pub type thread_flavor_t = natural_t;
/// A flavor of `task_info`: `TASK_*`, `MACH_TASK_*`.
pub type task_flavor_t = natural_t;
/// A scheduling policy: `POLICY_*`.
pub type policy_t = integer_t;

/// A task's behavior at guards: `TASK_EXC_GUARD_*` (A13.6).
pub type task_exc_guard_behavior_t = u32;
/// Guards about memory are delivered.
pub const TASK_EXC_GUARD_VM_DELIVER: task_exc_guard_behavior_t = 0x01;
/// The first of them is, and no other.
pub const TASK_EXC_GUARD_VM_ONCE: task_exc_guard_behavior_t = 0x02;
/// They make a simulated crash report.
pub const TASK_EXC_GUARD_VM_CORPSE: task_exc_guard_behavior_t = 0x04;
/// They end the process.
pub const TASK_EXC_GUARD_VM_FATAL: task_exc_guard_behavior_t = 0x08;
/// Guards about ports are delivered.
pub const TASK_EXC_GUARD_MP_DELIVER: task_exc_guard_behavior_t = 0x10;
/// The first of them is, and no other.
pub const TASK_EXC_GUARD_MP_ONCE: task_exc_guard_behavior_t = 0x20;
/// They make a simulated crash report.
pub const TASK_EXC_GUARD_MP_CORPSE: task_exc_guard_behavior_t = 0x40;
/// They end the process.
pub const TASK_EXC_GUARD_MP_FATAL: task_exc_guard_behavior_t = 0x80;
/// All bits.
pub const TASK_EXC_GUARD_ALL: task_exc_guard_behavior_t = 0xff;

plain_struct! {
    /// A span of time, in seconds and microseconds.
    pub struct time_value_t: 8, align 4 {
        0 seconds: integer_t,
        4 microseconds: integer_t,
    }
}

/// Flavor of [`thread_basic_info`].
pub const THREAD_BASIC_INFO: thread_flavor_t = 3;
/// Flavor of [`thread_identifier_info`].
pub const THREAD_IDENTIFIER_INFO: thread_flavor_t = 4;
/// Flavor of [`thread_extended_info`].
pub const THREAD_EXTENDED_INFO: thread_flavor_t = 5;
/// The most words that `thread_info` returns.
pub const THREAD_INFO_MAX: mach_msg_type_number_t = 32;

plain_struct! {
    /// Result of `thread_info` with [`THREAD_BASIC_INFO`]: times, policy and state of a thread.
    pub struct thread_basic_info: 40, align 4 {
        0 user_time: time_value_t,
        8 system_time: time_value_t,
        /// In units of 1/[`TH_USAGE_SCALE`].
        ///
        16 cpu_usage: integer_t,
        20 policy: policy_t,
        /// State of the thread: `TH_STATE_*`.
        ///
        24 run_state: integer_t,
        28 flags: integer_t,
        /// Number of suspensions that were not undone (A8.5).
        ///
        32 suspend_count: integer_t,
        /// Time that the thread has slept, in seconds.
        ///
        36 sleep_time: integer_t,
    }
}

plain_struct! {
    /// Result of `thread_info` with [`THREAD_IDENTIFIER_INFO`]: a thread's identifier.
    pub struct thread_identifier_info: 24, align 8 {
        /// The 64-bit identifier, which no other thread gets while the system runs.
        ///
        0 thread_id: u64,
        /// The thread's pointer to its own data.
        ///
        8 thread_handle: u64,
        16 dispatch_qaddr: u64,
    }
}

plain_struct! {
    /// Result of `thread_info` with [`THREAD_EXTENDED_INFO`]: times in nanoseconds, priorities and name of a thread.
    pub struct thread_extended_info: 112, align 8 {
        0 pth_user_time: u64,
        8 pth_system_time: u64,
        /// In units of 1/[`TH_USAGE_SCALE`].
        ///
        16 pth_cpu_usage: i32,
        20 pth_policy: i32,
        24 pth_run_state: i32,
        28 pth_flags: i32,
        32 pth_sleep_time: i32,
        36 pth_curpri: i32,
        40 pth_priority: i32,
        44 pth_maxpriority: i32,
        /// The thread's name, ended by a zero byte.
        ///
        48 pth_name: [u8; 64],
    }
}

/// Value of `cpu_usage` for a thread that uses one processor all the time.
pub const TH_USAGE_SCALE: integer_t = 1000;
/// State: the thread runs, or waits for a processor.
pub const TH_STATE_RUNNING: integer_t = 1;
/// State: the thread is stopped.
pub const TH_STATE_STOPPED: integer_t = 2;
/// State: the thread waits.
pub const TH_STATE_WAITING: integer_t = 3;
/// State: the thread waits and cannot be interrupted.
pub const TH_STATE_UNINTERRUPTIBLE: integer_t = 4;
/// State: the thread has halted.
pub const TH_STATE_HALTED: integer_t = 5;

/// Policy: time sharing.
pub const POLICY_TIMESHARE: policy_t = 1;
/// Policy: fixed priorities, with a time slice.
pub const POLICY_RR: policy_t = 2;
/// Policy: fixed priorities, without a time slice.
pub const POLICY_FIFO: policy_t = 4;

/// For `task_identity_token_get_task_port`: the control port (`mach/mach_types.h`).
pub const TASK_FLAVOR_CONTROL: task_flavor_t = 0;
/// The read port.
pub const TASK_FLAVOR_READ: task_flavor_t = 1;
/// The inspect port.
pub const TASK_FLAVOR_INSPECT: task_flavor_t = 2;
/// The name port.
pub const TASK_FLAVOR_NAME: task_flavor_t = 3;

/// Flavor of [`task_absolutetime_info`].
pub const TASK_ABSOLUTETIME_INFO: task_flavor_t = 1;
/// Flavor of [`task_events_info`].
pub const TASK_EVENTS_INFO: task_flavor_t = 2;
/// Flavor of [`task_thread_times_info`].
pub const TASK_THREAD_TIMES_INFO: task_flavor_t = 3;
/// Flavor of [`task_basic_info_32`].
pub const TASK_BASIC_INFO_32: task_flavor_t = 4;
/// Flavor of [`task_basic_info_32`] with the most that was resident in place of what is.
pub const TASK_BASIC2_INFO_32: task_flavor_t = 6;
/// Flavor of [`task_basic_info_64`].
pub const TASK_BASIC_INFO_64: task_flavor_t = if cfg!(target_arch = "aarch64") {
    TASK_BASIC_INFO_64_2
} else {
    5
};
/// Flavor of dyld's images, which only Apple's systems have.
pub const TASK_DYLD_INFO: task_flavor_t = 17;
/// Flavor of [`task_basic_info_64`] on arm64.
pub const TASK_BASIC_INFO_64_2: task_flavor_t = 18;
/// Flavor of [`mach_task_basic_info`].
pub const MACH_TASK_BASIC_INFO: task_flavor_t = 20;
/// Flavor of [`task_vm_info`].
pub const TASK_VM_INFO: task_flavor_t = 22;
/// Flavor of [`task_vm_info`], with what is purgeable.
pub const TASK_VM_INFO_PURGEABLE: task_flavor_t = 23;
/// Flavor of [`task_flags_info`].
pub const TASK_FLAGS_INFO: task_flavor_t = 28;
/// Flavor of [`task_basic_info_64`] in a 64-bit process.
pub const TASK_BASIC_INFO: task_flavor_t = TASK_BASIC_INFO_64;

plain_struct! {
    /// Result of `task_info` with [`TASK_THREAD_TIMES_INFO`]: times of the living threads.
    pub struct task_thread_times_info: 16, align 4 {
        0 user_time: time_value_t,
        8 system_time: time_value_t,
    }
}

plain_struct! {
    /// Result of `task_info` with [`TASK_BASIC_INFO`]: sizes in bytes, and times of the threads that have ended.
    pub struct task_basic_info_64: 40, align 4, packed 4 {
        0 suspend_count: integer_t,
        4 virtual_size: mach_vm_size_t,
        12 resident_size: mach_vm_size_t,
        20 user_time: time_value_t,
        28 system_time: time_value_t,
        36 policy: policy_t,
    }
}

plain_struct! {
    /// Result of `task_info` with [`MACH_TASK_BASIC_INFO`]: sizes in bytes, and times of the threads that have ended.
    pub struct mach_task_basic_info: 48, align 4, packed 4 {
        0 virtual_size: mach_vm_size_t,
        8 resident_size: mach_vm_size_t,
        /// The most that was resident.
        ///
        16 resident_size_max: mach_vm_size_t,
        24 user_time: time_value_t,
        32 system_time: time_value_t,
        40 policy: policy_t,
        44 suspend_count: integer_t,
    }
}

plain_struct! {
    /// [`TASK_ABSOLUTETIME_INFO`], in units of `mach_timebase_info`.
    pub struct task_absolutetime_info: 32, align 4, packed 4 {
        0 total_user: u64,
        8 total_system: u64,
        16 threads_user: u64,
        24 threads_system: u64,
    }
}

plain_struct! {
    /// [`TASK_EVENTS_INFO`].
    pub struct task_events_info: 32, align 4 {
        0 faults: integer_t,
        4 pageins: integer_t,
        8 cow_faults: integer_t,
        12 messages_sent: integer_t,
        16 messages_received: integer_t,
        20 syscalls_mach: integer_t,
        24 syscalls_unix: integer_t,
        28 csw: integer_t,
    }
}

plain_struct! {
    /// [`TASK_BASIC_INFO_32`] and [`TASK_BASIC2_INFO_32`]: sizes of 32 bits. Its times are those of threads that have ended.
    pub struct task_basic_info_32: 32, align 4 {
        0 suspend_count: integer_t,
        4 virtual_size: natural_t,
        8 resident_size: natural_t,
        12 user_time: time_value_t,
        20 system_time: time_value_t,
        28 policy: policy_t,
    }
}

plain_struct! {
    /// [`TASK_FLAGS_INFO`]: `TF_*`.
    pub struct task_flags_info: 4, align 4 {
        0 flags: u32,
    }
}

plain_struct! {
    /// [`TASK_VM_INFO`] and [`TASK_VM_INFO_PURGEABLE`]. It grew with macOS: a caller gets the largest of `TASK_VM_INFO_REV*_COUNT` that fits into its count.
    pub struct task_vm_info: 372, align 4, packed 4 {
        0 virtual_size: mach_vm_size_t,
        /// Memory regions.
        ///
        8 region_count: integer_t,
        12 page_size: integer_t,
        16 resident_size: mach_vm_size_t,
        /// The most that was resident.
        ///
        24 resident_size_peak: mach_vm_size_t,
        32 device: mach_vm_size_t,
        40 device_peak: mach_vm_size_t,
        /// Resident memory without a file behind it.
        ///
        48 internal: mach_vm_size_t,
        56 internal_peak: mach_vm_size_t,
        /// Resident memory of files.
        ///
        64 external: mach_vm_size_t,
        72 external_peak: mach_vm_size_t,
        80 reusable: mach_vm_size_t,
        88 reusable_peak: mach_vm_size_t,
        96 purgeable_volatile_pmap: mach_vm_size_t,
        104 purgeable_volatile_resident: mach_vm_size_t,
        112 purgeable_volatile_virtual: mach_vm_size_t,
        /// Memory that was compressed or swapped out.
        ///
        120 compressed: mach_vm_size_t,
        128 compressed_peak: mach_vm_size_t,
        136 compressed_lifetime: mach_vm_size_t,
        /// Memory that counts for the process: `internal`, `compressed` and page tables.
        ///
        144 phys_footprint: mach_vm_size_t,
        /// The lowest address of the task's memory.
        ///
        152 min_address: mach_vm_address_t,
        /// The end of the highest memory.
        ///
        160 max_address: mach_vm_address_t,
        168 ledger_phys_footprint_peak: i64,
        176 ledger_purgeable_nonvolatile: i64,
        184 ledger_purgeable_novolatile_compressed: i64,
        192 ledger_purgeable_volatile: i64,
        200 ledger_purgeable_volatile_compressed: i64,
        208 ledger_tag_network_nonvolatile: i64,
        216 ledger_tag_network_nonvolatile_compressed: i64,
        224 ledger_tag_network_volatile: i64,
        232 ledger_tag_network_volatile_compressed: i64,
        240 ledger_tag_media_footprint: i64,
        248 ledger_tag_media_footprint_compressed: i64,
        256 ledger_tag_media_nofootprint: i64,
        264 ledger_tag_media_nofootprint_compressed: i64,
        272 ledger_tag_graphics_footprint: i64,
        280 ledger_tag_graphics_footprint_compressed: i64,
        288 ledger_tag_graphics_nofootprint: i64,
        296 ledger_tag_graphics_nofootprint_compressed: i64,
        304 ledger_tag_neural_footprint: i64,
        312 ledger_tag_neural_footprint_compressed: i64,
        320 ledger_tag_neural_nofootprint: i64,
        328 ledger_tag_neural_nofootprint_compressed: i64,
        336 limit_bytes_remaining: u64,
        /// Pages that were brought back.
        ///
        344 decompressions: integer_t,
        348 ledger_swapins: i64,
        356 ledger_tag_neural_nofootprint_total: i64,
        364 ledger_tag_neural_nofootprint_peak: i64,
    }
}

/// The task has 64-bit addresses.
pub const TF_LP64: u32 = 1;
/// The task has 64-bit registers.
pub const TF_64B_DATA: u32 = 2;

/// Words of [`task_vm_info`] up to `compressed_lifetime`.
pub const TASK_VM_INFO_REV0_COUNT: mach_msg_type_number_t = 36;
/// Words up to `phys_footprint`.
pub const TASK_VM_INFO_REV1_COUNT: mach_msg_type_number_t = 38;
/// Words up to `max_address`.
pub const TASK_VM_INFO_REV2_COUNT: mach_msg_type_number_t = 42;
/// Words up to `ledger_tag_neural_nofootprint_compressed`.
pub const TASK_VM_INFO_REV3_COUNT: mach_msg_type_number_t = 84;
/// Words up to `limit_bytes_remaining`.
pub const TASK_VM_INFO_REV4_COUNT: mach_msg_type_number_t = 86;
/// Words up to `decompressions`.
pub const TASK_VM_INFO_REV5_COUNT: mach_msg_type_number_t = 87;
/// Words up to `ledger_swapins`.
pub const TASK_VM_INFO_REV6_COUNT: mach_msg_type_number_t = 89;
/// Words of the whole structure.
pub const TASK_VM_INFO_REV7_COUNT: mach_msg_type_number_t = 93;
