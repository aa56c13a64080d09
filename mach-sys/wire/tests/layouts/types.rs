//! Tables of this crate's types by their C names.

use mach_wire::message::*;
use mach_wire::mig::exc::*;
use mach_wire::mig::mach_exc::*;
use mach_wire::mig::*;
use mach_wire::pod::{Layout, Pod};
use mach_wire::thread_state::*;
use mach_wire::types::*;

/// A C name and the layout with this name.
pub(crate) type Named = (&'static str, &'static Layout);

macro_rules! layouts {
    ($($type:ident)*) => { &[$((stringify!($type), <$type as Pod>::LAYOUT)),*] };
}

/// The C name, size in bytes and signedness of an integer.
pub(crate) type Integer = (&'static str, usize, bool);

macro_rules! integers {
    ($($type:ident)*) => { &[$((stringify!($type), size_of::<$type>(), is_signed!($type))),*] };
}

/// Evaluates to `true` if an integer type is signed: the complement of 0 is negative.
macro_rules! is_signed {
    ($type:ident) => {
        ((!(0 as $type)) as i128) < 0
    };
}

pub(crate) fn layout_of(name: &str, among: &[&[Named]]) -> &'static Layout {
    let mut all = among.iter().flat_map(|list| list.iter());
    let found = all.find(|(c_name, _)| *c_name == name);
    found.unwrap_or_else(|| panic!("no type {name}")).1
}

pub(crate) const MESSAGE_PARTS: &[Named] = layouts! {
    mach_msg_header_t
    mach_msg_body_t
    mach_msg_base_t
    mach_msg_type_descriptor_t
    mach_msg_port_descriptor_t
    mach_msg_ool_descriptor_t
    mach_msg_ool_ports_descriptor_t
    mach_msg_guarded_port_descriptor_t
    mach_msg_ool_descriptor32_t
    mach_msg_ool_descriptor64_t
    mach_msg_ool_ports_descriptor32_t
    mach_msg_ool_ports_descriptor64_t
    mach_msg_guarded_port_descriptor32_t
    mach_msg_guarded_port_descriptor64_t
    mach_msg_descriptor_t
    NDR_record_t
    mig_reply_error_t
    mach_msg_trailer_t
    mach_msg_seqno_trailer_t
    security_token_t
    mach_msg_security_trailer_t
    audit_token_t
    mach_msg_audit_trailer_t
    mach_msg_context_trailer_t
    msg_labels_t
    mach_msg_mac_trailer_t
    mach_msg_max_trailer_t
    mach_msg_format_0_trailer_t
    mach_msg_empty_send_t
    mach_msg_empty_rcv_t
    mach_port_deleted_notification_t
    mach_send_possible_notification_t
    mach_port_destroyed_notification_t
    mach_no_senders_notification_t
    mach_send_once_notification_t
    mach_dead_name_notification_t
};

pub(crate) const MESSAGES: &[Named] = layouts! {
    __Request__exception_raise_t
    __Reply__exception_raise_t
    __Request__exception_raise_state_t
    __Reply__exception_raise_state_t
    __Request__exception_raise_state_identity_t
    __Reply__exception_raise_state_identity_t
    __Request__mach_exception_raise_t
    __Reply__mach_exception_raise_t
    __Request__mach_exception_raise_state_t
    __Reply__mach_exception_raise_state_t
    __Request__mach_exception_raise_state_identity_t
    __Reply__mach_exception_raise_state_identity_t
    __Request__mach_exception_raise_identity_protected_t
    __Reply__mach_exception_raise_identity_protected_t
    __Request__mach_exception_raise_backtrace_t
    __Reply__mach_exception_raise_backtrace_t
    __Request__mach_exception_raise_state_identity_protected_t
    __Reply__mach_exception_raise_state_identity_protected_t
    __Request__mach_notify_port_deleted_t
    __Request__mach_notify_send_possible_t
    __Request__mach_notify_port_destroyed_t
    __Request__mach_notify_no_senders_t
    __Request__mach_notify_send_once_t
    __Request__mach_notify_dead_name_t
};

pub(crate) const STATES: &[Named] = layouts! {
    arm_debug_state32_t
    arm_debug_state64_t
    arm_debug_state_t
    arm_exception_state64_t
    arm_exception_state64_v2_t
    arm_exception_state_t
    arm_neon_state64_t
    arm_neon_state_t
    arm_pagein_state_t
    arm_sme2_state_t
    arm_sme_state_t
    arm_sme_za_state_t
    arm_sve_p_state_t
    arm_sve_z_state_t
    arm_thread_state32_t
    arm_thread_state64_t
    arm_unified_thread_state_t
    arm_vfp_state_t
    last_branch_state_t
    x86_avx512_state32_t
    x86_avx512_state64_t
    x86_avx512_state_t
    x86_avx_state32_t
    x86_avx_state64_t
    x86_avx_state_t
    x86_debug_state32_t
    x86_debug_state64_t
    x86_debug_state_t
    x86_exception_state32_t
    x86_exception_state64_t
    x86_exception_state_t
    x86_float_state32_t
    x86_float_state64_t
    x86_float_state_t
    x86_instruction_state_t
    x86_pagein_state_t
    x86_thread_full_state64_t
    x86_thread_state32_t
    x86_thread_state64_t
    x86_thread_state_t
};

pub(crate) const INTEGERS: &[Integer] = integers! {
        natural_t
        integer_t
        mach_port_t
        mach_port_name_t
        boolean_t
        kern_return_t
        exception_type_t
        exception_data_type_t
        mach_exception_data_type_t
        exception_behavior_t
        exception_mask_t
        thread_state_flavor_t
        mach_msg_type_number_t
        mach_msg_bits_t
        mach_msg_size_t
        mach_msg_id_t
        mach_msg_option_t
        mach_msg_return_t
        mach_msg_timeout_t
        mach_msg_type_name_t
        mach_msg_descriptor_type_t
        mach_port_seqno_t
        mach_port_mscount_t
        mach_port_context_t
        mach_msg_filter_id
        vm_address_t
        mach_vm_address_t
        pointer_t
};
