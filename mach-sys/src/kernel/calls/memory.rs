//! The calls of `mach/mach_vm.h` and `mach/vm_map.h`.
#![allow(unsafe_code)]

use crate::types::*;
use crate::vm::*;
use core::ffi::c_int;

super::kernel_calls! {
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
    /// Changes the protection of the pages that `size` bytes at `address` lie in. With `set_maximum` it is the maximal protection, which the
    /// emulation cannot set: `KERN_NOT_SUPPORTED`.
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
    /// null. The emulation has [`vm_region_basic_info_64`], for both flavors of it.
    fn mach_vm_region(
        task: mach_port_name_t,
        address: *mut mach_vm_address_t,
        size: *mut mach_vm_size_t,
        flavor: vm_region_flavor_t,
        info: vm_region_info_t,
        count: *mut mach_msg_type_number_t,
        object: *mut mach_port_name_t,
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
}
