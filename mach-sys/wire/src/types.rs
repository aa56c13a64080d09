//! Mach's integer types (`mach/port.h`, `mach/message.h`, `mach/exception_types.h`, `mach/thread_status.h`).
//!
//! Sizes and signs are those of the 64-bit user space of x86_64, arm64 and arm64e, which differ in [`boolean_t`] only.
#![allow(non_camel_case_types)]

/// 32-bit unsigned word, the unit in which thread states are counted.
pub type natural_t = u32;
/// 32-bit signed word.
pub type integer_t = i32;
/// A boolean; signed on arm64.
#[cfg(target_arch = "aarch64")]
pub type boolean_t = i32;
/// A boolean; unsigned on x86_64.
#[cfg(not(target_arch = "aarch64"))]
pub type boolean_t = u32;
/// The result of a kernel call; 0 is success. Typed: [`KernReturn`](crate::kern_return::KernReturn).
pub type kern_return_t = i32;
/// The result of `mach_msg`; the same number space as [`kern_return_t`].
pub type mach_msg_return_t = kern_return_t;

/// A name in the caller's name space.
pub type mach_port_name_t = natural_t;
/// A port name, as user space sees it.
pub type mach_port_t = mach_port_name_t;
/// A kind of right: `MACH_PORT_RIGHT_*`.
pub type mach_port_right_t = natural_t;
/// Bits of `MACH_PORT_TYPE_*`.
pub type mach_port_type_t = natural_t;
/// A count of user references.
pub type mach_port_urefs_t = natural_t;
/// A signed change of user references.
pub type mach_port_delta_t = integer_t;
/// A port's sequence number: the number of messages dequeued from it.
pub type mach_port_seqno_t = natural_t;
/// A make-send count.
pub type mach_port_mscount_t = natural_t;
/// A count of messages in a queue.
pub type mach_port_msgcount_t = natural_t;
/// A count of rights other than send rights.
pub type mach_port_rights_t = natural_t;
/// A boolean: send rights exist.
pub type mach_port_srights_t = core::ffi::c_uint;
/// A port's context word (LP64).
pub type mach_port_context_t = u64;
/// A flavor of a port's attributes: `MACH_PORT_*`.
pub type mach_port_flavor_t = i32;

/// The first word of a message: dispositions and `MACH_MSGH_BITS_*`.
pub type mach_msg_bits_t = u32;
/// The size of a message in bytes.
pub type mach_msg_size_t = natural_t;
/// The id of a message.
pub type mach_msg_id_t = integer_t;
/// Options of `mach_msg`: `MACH_SEND_*`, `MACH_RCV_*`.
pub type mach_msg_option_t = integer_t;
/// A timeout of `mach_msg`, in milliseconds. Used only with `MACH_SEND_TIMEOUT` or `MACH_RCV_TIMEOUT`.
pub type mach_msg_timeout_t = natural_t;
/// Disposition of a right in a message (`MACH_MSG_TYPE_*`).
pub type mach_msg_type_name_t = core::ffi::c_uint;
/// Kind of a descriptor (`MACH_MSG_*_DESCRIPTOR`).
pub type mach_msg_descriptor_type_t = core::ffi::c_uint;
/// The kind of copy of out-of-line memory.
pub type mach_msg_copy_options_t = core::ffi::c_uint;
/// Flags of a guarded port descriptor.
pub type mach_msg_guard_flags_t = core::ffi::c_uint;
/// Count of array elements in a message.
pub type mach_msg_type_number_t = natural_t;
/// Format of a trailer; 0 is the only one.
pub type mach_msg_trailer_type_t = core::ffi::c_uint;
/// The size of a trailer in bytes.
pub type mach_msg_trailer_size_t = core::ffi::c_uint;
/// A message filter policy.
pub type mach_msg_filter_id = core::ffi::c_int;

/// An exception type: `EXC_*`. Typed: [`ExceptionType`](crate::exception::ExceptionType).
pub type exception_type_t = i32;
/// A 32-bit exception code.
pub type exception_data_type_t = integer_t;
/// A 64-bit exception code.
pub type mach_exception_data_type_t = i64;
/// A behavior: `EXCEPTION_*` with modifiers. Typed: [`Behavior`](crate::exception::Behavior).
pub type exception_behavior_t = i32;
/// A set of exception types: `EXC_MASK_*`. Typed: [`ExceptionMask`](crate::exception::ExceptionMask).
pub type exception_mask_t = u32;
/// The flavor of a thread state of one machine. Typed: [`Flavor`](crate::thread_state::Flavor).
pub type thread_state_flavor_t = i32;

/// An address in the caller's task (LP64).
pub type vm_address_t = u64;
/// A size in the caller's task (LP64).
pub type vm_size_t = u64;
/// An address in a task.
pub type mach_vm_address_t = u64;
/// A size in a task.
pub type mach_vm_size_t = u64;
/// A number of bytes between two places in a task's memory, or the bits of an address that must be 0.
pub type mach_vm_offset_t = u64;
/// The same as [`mach_vm_offset_t`] in a 64-bit task.
pub type vm_offset_t = mach_vm_offset_t;
/// An address carried by a message (LP64).
pub type pointer_t = vm_address_t;

crate::pod::plain_struct! {
    /// The unit of `mach_absolute_time`: `numer / denom` nanoseconds (`mach/mach_time.h`).
    pub struct mach_timebase_info_data_t: 8, align 4 {
        0 numer: u32,
        4 denom: u32,
    }
}

/// The name of a semaphore's port (`mach/semaphore.h`).
pub type semaphore_t = mach_port_name_t;
/// A clock of the host: `SYSTEM_CLOCK` or `CALENDAR_CLOCK`.
pub type clock_id_t = core::ffi::c_int;

crate::pod::plain_struct! {
    /// A time, or a time span (`mach/clock_types.h`).
    pub struct mach_timespec_t: 8, align 4 {
        /// Seconds.
        ///
        0 tv_sec: u32,
        /// Nanoseconds, below 1 000 000 000.
        ///
        4 tv_nsec: i32,
    }
}

/// An attribute of a clock: `CLOCK_*`.
pub type clock_flavor_t = core::ffi::c_int;
/// Kind of the time of an alarm: `TIME_*`.
pub type alarm_type_t = core::ffi::c_int;
/// Kind of the time of a sleep: `TIME_*`.
pub type sleep_type_t = core::ffi::c_int;

/// Attribute of `clock_get_attributes`: the resolution of the clock's time, in nanoseconds.
pub const CLOCK_GET_TIME_RES: clock_flavor_t = 1;
/// Attribute: the resolution of its alarms, in nanoseconds; 0 for a clock without.
pub const CLOCK_ALARM_CURRES: clock_flavor_t = 3;
/// Attribute: the finest resolution of its alarms.
pub const CLOCK_ALARM_MINRES: clock_flavor_t = 4;
/// Attribute: the coarsest resolution of its alarms.
pub const CLOCK_ALARM_MAXRES: clock_flavor_t = 5;
/// The time is the clock's.
pub const TIME_ABSOLUTE: alarm_type_t = 0;
/// The time counts from now on.
pub const TIME_RELATIVE: alarm_type_t = 1;

/// The clock that counts the time since the system started, without that in which it slept (`mach/clock_types.h`).
pub const SYSTEM_CLOCK: clock_id_t = 0;
/// The clock that counts the time since 1970.
pub const CALENDAR_CLOCK: clock_id_t = 1;
/// A semaphore whose waiting threads go on in the order in which they came (`mach/sync_policy.h`).
pub const SYNC_POLICY_FIFO: core::ffi::c_int = 0;
/// A semaphore's policy (`mach/sync_policy.h`): the last thread that came goes on first.
pub const SYNC_POLICY_REVERSED: core::ffi::c_int = 2;

/// A timer whose message may come late, with others (`mach/mk_timer.h`).
pub const MK_TIMER_NORMAL: u64 = 0;
/// A timer whose message is not delayed to save power.
pub const MK_TIMER_CRITICAL: u64 = 1;

/// The null port name.
pub const MACH_PORT_NULL: mach_port_name_t = 0;
/// The dead port name.
pub const MACH_PORT_DEAD: mach_port_name_t = !0;

/// Returns `true` if a name is neither the null nor the dead port name (`MACH_PORT_VALID`).
#[doc(alias = "MACH_PORT_VALID")]
pub const fn mach_port_valid(name: mach_port_name_t) -> bool {
    name != MACH_PORT_NULL && name != MACH_PORT_DEAD
}
