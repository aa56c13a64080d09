//! Mach's own names for its integers (`mach/port.h`, `mach/message.h`, `mach/exception_types.h`).
#![allow(non_camel_case_types)]

/// 32-bit unsigned word, the unit in which thread states are counted.
pub type natural_t = u32;
/// 32-bit signed word.
pub type integer_t = i32;
/// What a kernel call answers; 0 is success.
pub type kern_return_t = i32;
/// A name in the caller's name space.
pub type mach_port_name_t = u32;
/// A port name, as user space sees it.
pub type mach_port_t = u32;
/// `MACH_PORT_RIGHT_*`.
pub type mach_port_right_t = u32;
/// Bits of `MACH_PORT_TYPE_*`.
pub type mach_port_type_t = u32;
/// A count of user references.
pub type mach_port_urefs_t = u32;
/// A signed change of user references.
pub type mach_port_delta_t = i32;
/// A port's context word.
pub type mach_port_context_t = u64;
/// Disposition of a right in a message.
pub type mach_msg_type_name_t = u32;
/// Count of array elements in a message.
pub type mach_msg_type_number_t = u32;
/// Bytes of a message.
pub type mach_msg_size_t = u32;
/// Identifier of a message.
pub type mach_msg_id_t = i32;
/// `MACH_SEND_*`, `MACH_RCV_*`.
pub type mach_msg_option_t = i32;
/// Milliseconds.
pub type mach_msg_timeout_t = u32;
/// `EXC_*`.
pub type exception_type_t = i32;
/// `EXC_MASK_*`.
pub type exception_mask_t = u32;
/// `EXCEPTION_*` with modifiers.
pub type exception_behavior_t = i32;
/// Flavor of a thread state.
pub type thread_state_flavor_t = i32;
/// A 64-bit exception code.
pub type mach_exception_data_type_t = i64;
/// An address in a task.
pub type mach_vm_address_t = u64;
/// A size in a task.
pub type mach_vm_size_t = u64;
/// No port.
pub const MACH_PORT_NULL: mach_port_name_t = 0;
/// A port that died.
pub const MACH_PORT_DEAD: mach_port_name_t = !0;
