//! The messages of `mach_exc.defs`, whose codes have 64 bits, as MIG declares them.
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
    /// Request of `EXCEPTION_DEFAULT`, message 2405.
    pub struct __Request__mach_exception_raise_t: 84, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 thread: mach_msg_port_descriptor_t,
        40 task: mach_msg_port_descriptor_t,
        52 NDR: NDR_record_t,
        60 exception: exception_type_t,
        64 codeCnt: mach_msg_type_number_t,
        68 code: [i64; 2],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_DEFAULT`, message 2505.
    pub struct __Reply__mach_exception_raise_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
    }
}

plain_struct! {
    /// Request of `EXCEPTION_STATE`, message 2406.
    pub struct __Request__mach_exception_raise_state_t: 5248, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 exception: exception_type_t,
        36 codeCnt: mach_msg_type_number_t,
        40 code: [i64; 2],
        56 flavor: thread_state_flavor_t,
        60 old_stateCnt: mach_msg_type_number_t,
        64 old_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_STATE`, message 2506.
    pub struct __Reply__mach_exception_raise_state_t: 5228, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
        36 flavor: thread_state_flavor_t,
        40 new_stateCnt: mach_msg_type_number_t,
        44 new_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Request of `EXCEPTION_STATE_IDENTITY`, message 2407.
    pub struct __Request__mach_exception_raise_state_identity_t: 5276, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 thread: mach_msg_port_descriptor_t,
        40 task: mach_msg_port_descriptor_t,
        52 NDR: NDR_record_t,
        60 exception: exception_type_t,
        64 codeCnt: mach_msg_type_number_t,
        68 code: [i64; 2],
        84 flavor: thread_state_flavor_t,
        88 old_stateCnt: mach_msg_type_number_t,
        92 old_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_STATE_IDENTITY`, message 2507.
    pub struct __Reply__mach_exception_raise_state_identity_t: 5228, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
        36 flavor: thread_state_flavor_t,
        40 new_stateCnt: mach_msg_type_number_t,
        44 new_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Request of `EXCEPTION_IDENTITY_PROTECTED`, message 2408.
    pub struct __Request__mach_exception_raise_identity_protected_t: 80, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 task_id_token_t: mach_msg_port_descriptor_t,
        40 NDR: NDR_record_t,
        48 thread_id: u64,
        56 exception: exception_type_t,
        60 codeCnt: mach_msg_type_number_t,
        64 code: [i64; 2],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_IDENTITY_PROTECTED`, message 2508.
    pub struct __Reply__mach_exception_raise_identity_protected_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
    }
}

plain_struct! {
    /// Request of `MACH_EXCEPTION_BACKTRACE_PREFERRED`, message 2409.
    pub struct __Request__mach_exception_raise_backtrace_t: 72, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 kcdata_object_t: mach_msg_port_descriptor_t,
        40 NDR: NDR_record_t,
        48 exception: exception_type_t,
        52 codeCnt: mach_msg_type_number_t,
        56 code: [i64; 2],
    }
}

plain_struct! {
    /// Reply of `MACH_EXCEPTION_BACKTRACE_PREFERRED`, message 2509.
    pub struct __Reply__mach_exception_raise_backtrace_t: 36, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
    }
}

plain_struct! {
    /// Request of `EXCEPTION_STATE_IDENTITY_PROTECTED`, message 2410.
    pub struct __Request__mach_exception_raise_state_identity_protected_t: 5272, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 msgh_body: mach_msg_body_t,
        28 task_id_token_t: mach_msg_port_descriptor_t,
        40 NDR: NDR_record_t,
        48 thread_id: u64,
        56 exception: exception_type_t,
        60 codeCnt: mach_msg_type_number_t,
        64 code: [i64; 2],
        80 flavor: thread_state_flavor_t,
        84 old_stateCnt: mach_msg_type_number_t,
        88 old_state: [natural_t; THREAD_STATE_MAX],
    }
}

plain_struct! {
    /// Reply of `EXCEPTION_STATE_IDENTITY_PROTECTED`, message 2510.
    pub struct __Reply__mach_exception_raise_state_identity_protected_t: 5228, align 4, packed 4 {
        0 Head: mach_msg_header_t,
        24 NDR: NDR_record_t,
        32 RetCode: kern_return_t,
        36 flavor: thread_state_flavor_t,
        40 new_stateCnt: mach_msg_type_number_t,
        44 new_state: [natural_t; THREAD_STATE_MAX],
    }
}
