//! The memory of a task: protections, inheritance, flags and regions (`mach/vm_prot.h`, `mach/vm_inherit.h`, `mach/vm_region.h`, `mach/vm_statistics.h`).
#![allow(non_camel_case_types)]

use crate::names::{flag_set, raw_constants};
use crate::pod::plain_struct;
use crate::types::{boolean_t, mach_msg_type_number_t};

/// A protection: `VM_PROT_*`. Typed: [`Protection`].
pub type vm_prot_t = core::ffi::c_int;
/// The treatment of a region at `fork`: `VM_INHERIT_*`.
pub type vm_inherit_t = core::ffi::c_uint;
/// The paging behavior of a region: `VM_BEHAVIOR_*`.
pub type vm_behavior_t = core::ffi::c_int;
/// A flavor of `mach_vm_region`: `VM_REGION_*`.
pub type vm_region_flavor_t = core::ffi::c_int;
/// A pointer to the words that `mach_vm_region` fills in.
pub type vm_region_info_t = *mut core::ffi::c_int;
/// An offset in a memory object, in bytes.
pub type memory_object_offset_t = u64;

flag_set! {
    /// Accesses that memory permits.
    #[doc(alias = "vm_prot_t")]
    pub struct Protection(vm_prot_t), show c;
    /// Reading.
    ///
    READ = VM_PROT_READ = 1;
    /// Writing.
    ///
    WRITE = VM_PROT_WRITE = 2;
    /// Execution.
    ///
    EXECUTE = VM_PROT_EXECUTE = 4;
    /// For `mach_vm_protect`: makes the pages a private copy, so that they can become writable.
    ///
    COPY = VM_PROT_COPY = 0x10;
}

raw_constants! {
    vm_prot_t; VM_PROTECTIONS;
    /// No access.
    ///
    VM_PROT_NONE = 0;
    /// Reading and writing.
    ///
    VM_PROT_DEFAULT = 3;
    /// Reading, writing and execution.
    ///
    VM_PROT_ALL = 7;
}

raw_constants! {
    vm_inherit_t; VM_INHERITANCES;
    /// A child shares the region.
    ///
    VM_INHERIT_SHARE = 0;
    /// A child gets a copy of the region.
    ///
    VM_INHERIT_COPY = 1;
    /// A child does not have the region.
    ///
    VM_INHERIT_NONE = 2;
}

raw_constants! {
    vm_behavior_t; VM_BEHAVIORS;
    /// No expectation about the order of accesses.
    ///
    VM_BEHAVIOR_DEFAULT = 0;
}

raw_constants! {
    core::ffi::c_int; VM_FLAGS;
    /// For `mach_vm_allocate`: the pages start at the given address.
    ///
    VM_FLAGS_FIXED = 0;
    /// For `mach_vm_allocate`: the kernel chooses the address.
    ///
    VM_FLAGS_ANYWHERE = 1;
    /// For `mach_vm_allocate`: the pages are reused first when memory is short.
    ///
    VM_FLAGS_NO_CACHE = 0x10;
}

/// Bits of `mach_vm_allocate`'s flags that carry a tag, which tells tools the use of the pages.
pub const VM_FLAGS_ALIAS_MASK: core::ffi::c_int = 0xff00_0000_u32 as core::ffi::c_int;

raw_constants! {
    vm_region_flavor_t; VM_REGION_FLAVORS;
    /// Flavor of [`vm_region_basic_info_64`].
    ///
    VM_REGION_BASIC_INFO_64 = 9;
    /// Flavor of the same structure for a 64-bit task.
    ///
    VM_REGION_BASIC_INFO = 10;
}

plain_struct! {
    /// Result of `mach_vm_region` with `VM_REGION_BASIC_INFO_64`.
    pub struct vm_region_basic_info_64: 36, align 4, packed 4 {
        0 protection: vm_prot_t,
        4 max_protection: vm_prot_t,
        8 inheritance: vm_inherit_t,
        12 shared: boolean_t,
        16 reserved: boolean_t,
        20 offset: memory_object_offset_t,
        28 behavior: vm_behavior_t,
        32 user_wired_count: u16,
        34 pad: u16,
    }
}

/// Size of [`vm_region_basic_info_64`] in 32-bit words.
pub const VM_REGION_BASIC_INFO_COUNT_64: mach_msg_type_number_t =
    (size_of::<vm_region_basic_info_64>() / 4) as mach_msg_type_number_t;
