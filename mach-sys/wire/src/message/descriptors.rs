//! Descriptors of a complex message (`mach/message.h`), in the layout of 64-bit user space.
//!
//! C declares the small members as bit-fields. On Darwin's little-endian machines they are bytes and half words.

use crate::names::{display_by_name, open_set, raw_constants};
use crate::pod::{overlay, plain_struct};
use crate::types::{
    mach_msg_copy_options_t, mach_msg_descriptor_type_t, mach_msg_guard_flags_t, mach_msg_size_t,
    mach_port_context_t, mach_port_name_t, mach_port_t, natural_t,
};

use super::bits::Disposition;

open_set! {
    /// The kind of a descriptor.
    pub struct DescriptorKind(mach_msg_descriptor_type_t);
    PORT = MACH_MSG_PORT_DESCRIPTOR = 0;
    OOL = MACH_MSG_OOL_DESCRIPTOR = 1;
    OOL_PORTS = MACH_MSG_OOL_PORTS_DESCRIPTOR = 2;
    OOL_VOLATILE = MACH_MSG_OOL_VOLATILE_DESCRIPTOR = 3;
    GUARDED_PORT = MACH_MSG_GUARDED_PORT_DESCRIPTOR = 4;
}
display_by_name!(DescriptorKind);
/// The highest kind of descriptor (`MACH_MSG_DESCRIPTOR_MAX`).
pub const MACH_MSG_DESCRIPTOR_MAX: mach_msg_descriptor_type_t = 4;

raw_constants! {
    mach_msg_copy_options_t; COPY_OPTIONS;
    MACH_MSG_PHYSICAL_COPY = 0;
    MACH_MSG_VIRTUAL_COPY = 1;
    MACH_MSG_ALLOCATE = 2;
    MACH_MSG_OVERWRITE = 3;
}

raw_constants! {
    mach_msg_guard_flags_t; MSG_GUARD_FLAGS;
    MACH_MSG_GUARD_FLAGS_NONE = 0;
    MACH_MSG_GUARD_FLAGS_IMMOVABLE_RECEIVE = 1;
    MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND = 2;
    MACH_MSG_GUARD_FLAGS_MASK = 3;
}

plain_struct! {
    /// The common layout of all descriptors, with the offset of their kind.
    pub struct mach_msg_type_descriptor_t: 12, align 4, packed 4 {
        0 pad1: natural_t,
        4 pad2: mach_msg_size_t,
        8 pad3: [u8; 3],
        11 type_: u8,
    }
}

plain_struct! {
    /// A descriptor of one right.
    pub struct mach_msg_port_descriptor_t: 12, align 4, packed 4 {
        0 name: mach_port_t,
        4 pad1: mach_msg_size_t,
        8 pad2: u16,
        10 disposition: u8,
        11 type_: u8,
    }
}

impl mach_msg_port_descriptor_t {
    /// Creates a descriptor of one right, with zero padding.
    pub const fn new(name: mach_port_t, disposition: Disposition) -> Self {
        Self {
            name,
            pad1: 0,
            pad2: 0,
            // Dispositions have five bits in a header and eight here: every one that can be sent fits.
            disposition: disposition.raw() as u8,
            type_: MACH_MSG_PORT_DESCRIPTOR as u8,
        }
    }
}

plain_struct! {
    /// A descriptor of out-of-line memory.
    pub struct mach_msg_ool_descriptor_t: 16, align 4, packed 4 {
        0 address: u64,
        8 deallocate: u8,
        9 copy: u8,
        10 pad1: u8,
        11 type_: u8,
        12 size: mach_msg_size_t,
    }
}

plain_struct! {
    /// A descriptor of out-of-line rights.
    pub struct mach_msg_ool_ports_descriptor_t: 16, align 4, packed 4 {
        0 address: u64,
        8 deallocate: u8,
        9 copy: u8,
        10 disposition: u8,
        11 type_: u8,
        12 count: mach_msg_size_t,
    }
}

plain_struct! {
    /// A descriptor of a receive right with its guard.
    pub struct mach_msg_guarded_port_descriptor_t: 16, align 4, packed 4 {
        0 context: mach_port_context_t,
        8 flags: u16,
        10 disposition: u8,
        11 type_: u8,
        12 name: mach_port_name_t,
    }
}

/// `mach_msg_ool_descriptor_t` of a 64-bit task.
#[allow(non_camel_case_types)]
pub type mach_msg_ool_descriptor64_t = mach_msg_ool_descriptor_t;
/// `mach_msg_ool_ports_descriptor_t` of a 64-bit task.
#[allow(non_camel_case_types)]
pub type mach_msg_ool_ports_descriptor64_t = mach_msg_ool_ports_descriptor_t;
/// `mach_msg_guarded_port_descriptor_t` of a 64-bit task.
#[allow(non_camel_case_types)]
pub type mach_msg_guarded_port_descriptor64_t = mach_msg_guarded_port_descriptor_t;

plain_struct! {
    /// A descriptor of out-of-line memory of a 32-bit task.
    pub struct mach_msg_ool_descriptor32_t: 12, align 4, packed 4 {
        0 address: u32,
        4 size: mach_msg_size_t,
        8 deallocate: u8,
        9 copy: u8,
        10 pad1: u8,
        11 type_: u8,
    }
}

plain_struct! {
    /// A descriptor of out-of-line rights of a 32-bit task.
    pub struct mach_msg_ool_ports_descriptor32_t: 12, align 4, packed 4 {
        0 address: u32,
        4 count: mach_msg_size_t,
        8 deallocate: u8,
        9 copy: u8,
        10 disposition: u8,
        11 type_: u8,
    }
}

plain_struct! {
    /// A descriptor of a receive right with its guard, of a 32-bit task.
    pub struct mach_msg_guarded_port_descriptor32_t: 12, align 4, packed 4 {
        0 context: u32,
        4 name: mach_port_name_t,
        8 flags: u16,
        10 disposition: u8,
        11 type_: u8,
    }
}

overlay! {
    /// Any descriptor of a 64-bit task. In a message a descriptor has the size of its kind, not that of this union.
    pub struct mach_msg_descriptor_t [u32; 4] {
        port: mach_msg_port_descriptor_t,
        out_of_line: mach_msg_ool_descriptor_t,
        ool_ports: mach_msg_ool_ports_descriptor_t,
        type_: mach_msg_type_descriptor_t,
        guarded_port: mach_msg_guarded_port_descriptor_t,
    }
}

impl mach_msg_descriptor_t {
    /// Returns the kind of the descriptor, which has the same offset in all.
    pub fn kind(&self) -> DescriptorKind {
        DescriptorKind::new(u32::from(self.type_().type_))
    }
}
