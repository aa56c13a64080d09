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
/// A pointer to the words that `mach_vm_region` and `mach_vm_region_recurse` fill in.
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
    /// For `mach_vm_allocate`: the pages are purgeable.
    ///
    VM_FLAGS_PURGABLE = 2;
    /// For `mach_vm_allocate`: a 4 GiB boundary is not crossed.
    ///
    VM_FLAGS_4GB_CHUNK = 4;
    /// With `VM_FLAGS_ANYWHERE`: the address is random.
    ///
    VM_FLAGS_RANDOM_ADDR = 8;
    /// For `mach_vm_allocate`: the pages are reused first when memory is short.
    ///
    VM_FLAGS_NO_CACHE = 0x10;
    /// For `mach_vm_remap`: what is mapped is not checked for its signature.
    ///
    VM_FLAGS_RESILIENT_CODESIGN = 0x20;
    /// For `mach_vm_remap` with a copy: a page that cannot be read is zero-filled.
    ///
    VM_FLAGS_RESILIENT_MEDIA = 0x40;
    /// For `mach_vm_allocate`: the pages cannot be released.
    ///
    VM_FLAGS_PERMANENT = 0x80;
    /// At a given address: what is mapped there is replaced.
    ///
    VM_FLAGS_OVERWRITE = 0x4000;
    /// For `mach_vm_map` and `mach_vm_remap`: the address that is returned is that of the first byte, which need not start a page.
    ///
    VM_FLAGS_RETURN_DATA_ADDR = 0x10_0000;
}

/// An operation of `mach_vm_purgable_control`: `VM_PURGABLE_*`.
pub type vm_purgable_t = core::ffi::c_int;

raw_constants! {
    vm_purgable_t; VM_PURGABLE_OPERATIONS;
    /// Sets the state of a purgeable object.
    ///
    VM_PURGABLE_SET_STATE = 0;
    /// Reads it.
    ///
    VM_PURGABLE_GET_STATE = 1;
    /// Empties all that are volatile.
    ///
    VM_PURGABLE_PURGE_ALL = 2;
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
    /// Flavor of [`vm_region_top_info`].
    ///
    VM_REGION_TOP_INFO = 12;
    /// Flavor of [`vm_region_extended_info`].
    ///
    VM_REGION_EXTENDED_INFO = 13;
}

raw_constants! {
    u8; SHARE_MODES;
    /// Copied when it is written to.
    ///
    SM_COW = 1;
    /// One task's alone.
    ///
    SM_PRIVATE = 2;
    /// Without memory so far.
    ///
    SM_EMPTY = 3;
    /// Mapped more than once.
    ///
    SM_SHARED = 4;
    /// Shared with other tasks, for ever.
    ///
    SM_TRUESHARED = 5;
    /// One task's alone, mapped more than once.
    ///
    SM_PRIVATE_ALIASED = 6;
    /// Shared with other tasks, and mapped more than once.
    ///
    SM_SHARED_ALIASED = 7;
    /// One large page.
    ///
    SM_LARGE_PAGE = 8;
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

plain_struct! {
    /// Result of `mach_vm_region` with `VM_REGION_EXTENDED_INFO`: the pages of a region.
    pub struct vm_region_extended_info: 36, align 4, packed 4 {
        0 protection: vm_prot_t,
        4 user_tag: u32,
        8 pages_resident: u32,
        12 pages_shared_now_private: u32,
        16 pages_swapped_out: u32,
        20 pages_dirtied: u32,
        24 ref_count: u32,
        28 shadow_depth: u16,
        /// 1 for memory of a file.
        ///
        30 external_pager: u8,
        /// `SM_*`.
        ///
        31 share_mode: u8,
        32 pages_reusable: u32,
    }
}

/// Size of [`vm_region_extended_info`] in 32-bit words.
pub const VM_REGION_EXTENDED_INFO_COUNT: mach_msg_type_number_t =
    (size_of::<vm_region_extended_info>() / 4) as mach_msg_type_number_t;

plain_struct! {
    /// Result of `mach_vm_region` with `VM_REGION_TOP_INFO`: the resident pages of a region.
    pub struct vm_region_top_info: 20, align 4, packed 4 {
        0 obj_id: u32,
        4 ref_count: u32,
        8 private_pages_resident: u32,
        12 shared_pages_resident: u32,
        /// `SM_*`.
        ///
        16 share_mode: u8,
        17 pad: [u8; 3],
    }
}

/// Size of [`vm_region_top_info`] in 32-bit words.
pub const VM_REGION_TOP_INFO_COUNT: mach_msg_type_number_t =
    (size_of::<vm_region_top_info>() / 4) as mach_msg_type_number_t;

plain_struct! {
    /// Result of `mach_vm_region_recurse`: a region and its pages.
    pub struct vm_region_submap_info_64: 76, align 4, packed 4 {
        0 protection: vm_prot_t,
        4 max_protection: vm_prot_t,
        8 inheritance: vm_inherit_t,
        12 offset: memory_object_offset_t,
        20 user_tag: u32,
        24 pages_resident: u32,
        28 pages_shared_now_private: u32,
        32 pages_swapped_out: u32,
        36 pages_dirtied: u32,
        40 ref_count: u32,
        44 shadow_depth: u16,
        /// 1 for memory of a file.
        ///
        46 external_pager: u8,
        /// `SM_*`.
        ///
        47 share_mode: u8,
        48 is_submap: boolean_t,
        52 behavior: vm_behavior_t,
        56 object_id: u32,
        60 user_wired_count: u16,
        62 pad: u16,
        64 pages_reusable: u32,
        68 object_id_full: u64,
    }
}

/// Count of [`vm_region_submap_info_64`] up to `user_wired_count`.
pub const VM_REGION_SUBMAP_INFO_V0_COUNT_64: mach_msg_type_number_t = 16;
/// Count of [`vm_region_submap_info_64`] up to `pages_reusable`.
pub const VM_REGION_SUBMAP_INFO_V1_COUNT_64: mach_msg_type_number_t = 17;
/// Count of [`vm_region_submap_info_64`].
pub const VM_REGION_SUBMAP_INFO_V2_COUNT_64: mach_msg_type_number_t = 19;
/// Count of the newest version of [`vm_region_submap_info_64`].
pub const VM_REGION_SUBMAP_INFO_COUNT_64: mach_msg_type_number_t =
    VM_REGION_SUBMAP_INFO_V2_COUNT_64;

plain_struct! {
    /// Result of `mach_vm_region_recurse` for a caller with room for fewer words: a region without its pages.
    pub struct vm_region_submap_short_info_64: 48, align 4, packed 4 {
        0 protection: vm_prot_t,
        4 max_protection: vm_prot_t,
        8 inheritance: vm_inherit_t,
        12 offset: memory_object_offset_t,
        20 user_tag: u32,
        24 ref_count: u32,
        28 shadow_depth: u16,
        30 external_pager: u8,
        /// `SM_*`.
        ///
        31 share_mode: u8,
        32 is_submap: boolean_t,
        36 behavior: vm_behavior_t,
        40 object_id: u32,
        44 user_wired_count: u16,
        46 pad: u16,
    }
}

/// Count of [`vm_region_submap_short_info_64`].
pub const VM_REGION_SUBMAP_SHORT_INFO_COUNT_64: mach_msg_type_number_t = 12;
