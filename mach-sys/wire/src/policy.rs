//! Policies of `thread_policy_set` and `thread_policy_get` (`mach/thread_policy.h`), and options of `thread_switch` (`mach/thread_switch.h`).
//!
//! Each flavor has a structure, whose size in 32-bit words is the count that goes with it.
#![allow(non_camel_case_types)]

use crate::names::raw_constants;
use crate::pod::plain_struct;
use crate::types::{boolean_t, integer_t, mach_msg_type_number_t, natural_t};

/// A flavor of `thread_policy_set`: `THREAD_*_POLICY`.
pub type thread_policy_flavor_t = natural_t;

raw_constants! {
    thread_policy_flavor_t; THREAD_POLICY_FLAVORS;
    /// Flavor of no data: time sharing.
    ///
    THREAD_STANDARD_POLICY = 1;
    /// Flavor of [`thread_extended_policy`].
    ///
    THREAD_EXTENDED_POLICY = 1;
    /// Flavor of [`thread_time_constraint_policy`].
    ///
    THREAD_TIME_CONSTRAINT_POLICY = 2;
    /// Flavor of [`thread_precedence_policy`].
    ///
    THREAD_PRECEDENCE_POLICY = 3;
    /// Flavor of [`thread_affinity_policy`].
    ///
    THREAD_AFFINITY_POLICY = 4;
    /// Flavor of the background, which is for Apple's own programs.
    ///
    THREAD_BACKGROUND_POLICY = 5;
    /// Flavor of a latency tier.
    ///
    THREAD_LATENCY_QOS_POLICY = 7;
    /// Flavor of a throughput tier.
    ///
    THREAD_THROUGHPUT_QOS_POLICY = 8;
}

plain_struct! {
    /// Time sharing, or a fixed priority.
    pub struct thread_extended_policy: 4, align 4 {
        0 timeshare: boolean_t,
    }
}

/// Count of [`thread_extended_policy`].
pub const THREAD_EXTENDED_POLICY_COUNT: mach_msg_type_number_t = 1;

plain_struct! {
    /// A real-time policy. Times are in units of `mach_timebase_info`.
    pub struct thread_time_constraint_policy: 16, align 4 {
        0 period: u32,
        4 computation: u32,
        8 constraint: u32,
        12 preemptible: boolean_t,
    }
}

/// Count of [`thread_time_constraint_policy`].
pub const THREAD_TIME_CONSTRAINT_POLICY_COUNT: mach_msg_type_number_t = 4;

plain_struct! {
    /// The priority of a thread among those of its task.
    pub struct thread_precedence_policy: 4, align 4 {
        /// Added to the priority; 0 for a thread that nothing was set for.
        ///
        0 importance: integer_t,
    }
}

/// Count of [`thread_precedence_policy`].
pub const THREAD_PRECEDENCE_POLICY_COUNT: mach_msg_type_number_t = 1;

plain_struct! {
    /// Threads with the same tag share a cache, where the kernel can arrange it.
    pub struct thread_affinity_policy: 4, align 4 {
        /// 0 for no tag.
        ///
        0 affinity_tag: integer_t,
    }
}

/// Count of [`thread_affinity_policy`].
pub const THREAD_AFFINITY_POLICY_COUNT: mach_msg_type_number_t = 1;

raw_constants! {
    core::ffi::c_int; SWITCH_OPTIONS;
    /// Gives up the processor.
    ///
    SWITCH_OPTION_NONE = 0;
    /// Gives up the processor, with the lowest priority for some milliseconds.
    ///
    SWITCH_OPTION_DEPRESS = 1;
    /// Waits for some milliseconds.
    ///
    SWITCH_OPTION_WAIT = 2;
}
