//! Results of `thread_info` and `task_info` (`mach/thread_info.h`, `mach/task_info.h`, `mach/time_value.h`, `mach/policy.h`).
//!
//! Each flavor has a structure, whose size in 32-bit words is the count that goes with it. Times of [`thread_extended_info`] are in
//! nanoseconds, all others seconds and microseconds. Sizes are in bytes.
#![allow(non_camel_case_types)]

use crate::pod::plain_struct;
use crate::types::{integer_t, mach_msg_type_number_t, mach_vm_size_t, natural_t};

/// A flavor of `thread_info`: `THREAD_*`.
pub type thread_flavor_t = natural_t;
/// A flavor of `task_info`: `TASK_*`, `MACH_TASK_*`.
pub type task_flavor_t = natural_t;
/// A scheduling policy: `POLICY_*`.
pub type policy_t = integer_t;

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
    pub struct thread_identifier_info: 24, align 4, packed 4 {
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
    pub struct thread_extended_info: 112, align 4, packed 4 {
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

/// Flavor of [`task_thread_times_info`].
pub const TASK_THREAD_TIMES_INFO: task_flavor_t = 3;
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
