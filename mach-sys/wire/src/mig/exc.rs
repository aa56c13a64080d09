//! The messages of `exc.defs`, whose codes have 32 bits, as MIG declares them.
//!
//! The arrays have their declared maximum size. With fewer codes or words the parts after them have lower offsets, and the message
//! is shorter. Read a message with [`decode`](super::decode), not through these structures.
#![allow(non_snake_case)]

use crate::message::{mach_msg_body_t, mach_msg_header_t, mach_msg_port_descriptor_t};
use crate::pod::plain_struct;
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::{
    exception_type_t, kern_return_t, mach_msg_type_number_t, natural_t, thread_state_flavor_t,
};

use super::ndr::NDR_record_t;

plain_struct! {
    /// Request of `EXCEPTION_DEFAULT`, message 2401.
    pub struct __Request__exception_raise_t: 76, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 thread: mach_msg_port_descriptor_t,
        40 task: mach_msg_port_descriptor_t,
        52 NDR: NDR_record_t,
        60 exception: exception_type_t,
        64 codeCnt: mach_msg_type_number_t,
        68 code: [i32; 2],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_DEFAULT`, message 2501.
    pub struct __Reply__exception_raise_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
    }
}

plain_struct! {
    /// Request of `EXCEPTION_STATE`, message 2402.
    pub struct __Request__exception_raise_state_t: 5240, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 exception: exception_type_t,
        36 codeCnt: mach_msg_type_number_t,
        40 code: [i32; 2],
        48 flavor: thread_state_flavor_t,
        52 old_stateCnt: mach_msg_type_number_t,
        56 old_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_STATE`, message 2502.
    pub struct __Reply__exception_raise_state_t: 5228, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
        36 flavor: thread_state_flavor_t,
        40 new_stateCnt: mach_msg_type_number_t,
        44 new_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Request of `EXCEPTION_STATE_IDENTITY`, message 2403.
    pub struct __Request__exception_raise_state_identity_t: 5268, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 thread: mach_msg_port_descriptor_t,
        40 task: mach_msg_port_descriptor_t,
        52 NDR: NDR_record_t,
        60 exception: exception_type_t,
        64 codeCnt: mach_msg_type_number_t,
        68 code: [i32; 2],
        76 flavor: thread_state_flavor_t,
        80 old_stateCnt: mach_msg_type_number_t,
        84 old_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_STATE_IDENTITY`, message 2503.
    pub struct __Reply__exception_raise_state_identity_t: 5228, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
        36 flavor: thread_state_flavor_t,
        40 new_stateCnt: mach_msg_type_number_t,
        44 new_state: [natural_t; THREAD_STATE_MAX],
    }
}
