//! The calls of `mach/mach_vm.h` and `mach/vm_map.h`.
#![allow(unsafe_code)]

use super::declare::kernel_calls;
use crate::types::*;
use crate::vm::*;
use core::ffi::c_int;

kernel_calls! {
    // mach/mach_vm.h

    /// Copies `size` bytes of the task's memory to `data`. An `address` that cannot be read, or a `data` that cannot be written, is an
    /// error, never a fault.
    fn mach_vm_read_overwrite(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        data: mach_vm_address_t,
        copied: *mut mach_vm_size_t,
    ) -> kern_return_t;
    /// Copies `count` bytes from `data` to the task's memory. An `address` that cannot be written is an error, never a fault.
    fn mach_vm_write(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        data: usize,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Releases `size` bytes of memory that a call returned.
    fn mach_vm_deallocate(task: mach_port_name_t, address: mach_vm_address_t, size: mach_vm_size_t) -> kern_return_t;
    /// Allocates zero-filled pages for `size` bytes: anywhere with `VM_FLAGS_ANYWHERE`, otherwise at `address`, where nothing may be mapped.
    /// `address` gets the address of the first byte.
    fn mach_vm_allocate(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: mach_vm_size_t,
        flags: c_int,
    ) -> kern_return_t;
    /// Changes the protection of the pages that `size` bytes at `address` lie in: of all, or where one is not mapped of none
    /// (`KERN_INVALID_ADDRESS`). With `VM_PROT_COPY` shared memory becomes a private copy first. With `set_maximum` it is the maximal protection,
    /// which the emulation cannot set: `KERN_NOT_SUPPORTED`.
    fn mach_vm_protect(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        set_maximum: boolean_t,
        protection: vm_prot_t,
    ) -> kern_return_t;
    /// Copies `size` bytes of the task's memory to new pages, which the caller releases with [`mach_vm_deallocate`]. `count` gets the number of
    /// bytes. An `address` that cannot be read is an error, never a fault.
    fn mach_vm_read(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        size: mach_vm_size_t,
        data: *mut vm_address_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads the region at `address`, or the next one above it, with a flavor `VM_REGION_*`; `KERN_INVALID_ADDRESS` if there is none. `address` and
    /// `size` get its first byte and its size in bytes. `count` is in 32-bit words: the room on entry, the length on return. `object` gets
    /// null. The emulation counts pages by `/proc/self/smaps`, without which the flavors with pages are `KERN_NOT_SUPPORTED`; it has no tags, and
    /// no numbers of references beyond two.
    fn mach_vm_region(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: *mut mach_vm_size_t,
        flavor: vm_region_flavor_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
        object: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Reads the region at `address`, or the next one above it, and its pages, as [`vm_region_submap_info_64`] or, with less room, as
    /// [`vm_region_submap_short_info_64`]. `depth` is how far maps within maps are looked into, and gets the depth that the region is at: the
    /// emulation has none, and stores 0. The rest as in [`mach_vm_region`].
    fn mach_vm_region_recurse(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: *mut mach_vm_size_t,
        depth: *mut natural_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Maps zero-filled pages, with `object` null: with `VM_FLAGS_ANYWHERE` at the first free address from `address` on that has no bit of
    /// `mask`, or where the kernel likes from 0 on; otherwise at `address`, where nothing may be mapped unless `VM_FLAGS_OVERWRITE` is set. `address` gets the address of the first byte. The emulation has
    /// no memory objects, and keeps no maximal protection.
    fn mach_vm_map(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: mach_vm_size_t,
        mask: mach_vm_offset_t,
        flags: c_int,
        object: mach_port_name_t,
        offset: memory_object_offset_t,
        copy: boolean_t,
        current: vm_prot_t,
        maximum: vm_prot_t,
        inheritance: vm_inherit_t,
    ) -> kern_return_t;
    /// Maps memory of `source` a second time, or with `copy` a copy of it, in a place as in [`mach_vm_map`]. `address` gets the address of the first
    /// page, or with `VM_FLAGS_RETURN_DATA_ADDR` of the first byte; `current` and `maximum` get the protections that all of it has.
    ///
    /// The emulation makes private memory shared for that, which stays in its place and which the child of a fork then shares: all other
    /// threads are stopped meanwhile, and `KERN_OPERATION_TIMED_OUT` says that one cannot be ([`thread_suspend`](super::thread_suspend)). The calling
    /// thread's own stack cannot be mapped: `KERN_NOT_SUPPORTED`.
    fn mach_vm_remap(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: mach_vm_size_t,
        mask: mach_vm_offset_t,
        flags: c_int,
        source: mach_port_name_t,
        source_address: mach_vm_address_t,
        copy: boolean_t,
        current: *mut vm_prot_t,
        maximum: *mut vm_prot_t,
        inheritance: vm_inherit_t,
    ) -> kern_return_t;
    /// Copies `size` bytes within the task's memory. An address that cannot be read or written is an error, never a fault.
    fn mach_vm_copy(
        task: mach_port_name_t,
        source: mach_vm_address_t,
        size: mach_vm_size_t,
        destination: mach_vm_address_t,
    ) -> kern_return_t;
    /// Reads or sets the state of purgeable memory (`VM_PURGABLE_*`). `KERN_INVALID_ARGUMENT` for memory that is not purgeable, which all of the
    /// emulation's is.
    fn mach_vm_purgable_control(
        task: mach_port_name_t,
        address: mach_vm_address_t,
        control: vm_purgable_t,
        state: *mut c_int,
    ) -> kern_return_t;

    // mach/vm_map.h

    /// Does the same as [`mach_vm_allocate`].
    fn vm_allocate(task: mach_port_name_t, address: *mut vm_address_t, size: vm_size_t, flags: c_int) -> kern_return_t;
    /// Does the same as [`mach_vm_deallocate`].
    fn vm_deallocate(task: mach_port_name_t, address: vm_address_t, size: vm_size_t) -> kern_return_t;
    /// Does the same as [`mach_vm_protect`].
    fn vm_protect(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        set_maximum: boolean_t,
        protection: vm_prot_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_read`].
    fn vm_read(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        data: *mut vm_address_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_read_overwrite`].
    fn vm_read_overwrite(
        task: mach_port_name_t,
        address: vm_address_t,
        size: vm_size_t,
        data: vm_address_t,
        copied: *mut vm_size_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_write`].
    fn vm_write(
        task: mach_port_name_t,
        address: vm_address_t,
        data: usize,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_region`].
    fn vm_region_64(
        task: mach_port_name_t,
        address: *mut vm_address_t,
        size: *mut vm_size_t,
        flavor: vm_region_flavor_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
        object: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_region_recurse`].
    fn vm_region_recurse_64(
        task: mach_port_name_t,
        address: *mut vm_address_t,
        size: *mut vm_size_t,
        depth: *mut natural_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_map`].
    fn vm_map(
        task: mach_port_name_t,
        address: *mut vm_address_t,
        size: vm_size_t,
        mask: vm_offset_t,
        flags: c_int,
        object: mach_port_name_t,
        offset: vm_offset_t,
        copy: boolean_t,
        current: vm_prot_t,
        maximum: vm_prot_t,
        inheritance: vm_inherit_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_remap`].
    fn vm_remap(
        task: mach_port_name_t,
        address: *mut vm_address_t,
        size: vm_size_t,
        mask: vm_offset_t,
        flags: c_int,
        source: mach_port_name_t,
        source_address: vm_address_t,
        copy: boolean_t,
        current: *mut vm_prot_t,
        maximum: *mut vm_prot_t,
        inheritance: vm_inherit_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_copy`].
    fn vm_copy(
        task: mach_port_name_t,
        source: vm_address_t,
        size: vm_size_t,
        destination: vm_address_t,
    ) -> kern_return_t;
    /// Does the same as [`mach_vm_purgable_control`].
    fn vm_purgable_control(
        task: mach_port_name_t,
        address: vm_offset_t,
        control: vm_purgable_t,
        state: *mut c_int,
    ) -> kern_return_t;
}
