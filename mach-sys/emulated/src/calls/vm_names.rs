//! The names of `mach/vm_map.h` for calls of `mach/mach_vm.h`.
#![allow(unsafe_code)]

use super::mappings::*;
use super::memory::*;
use super::regions::*;
use core::ffi::c_int;
use mach_wire::types::*;
use mach_wire::vm::*;

/// Declares the names of `vm_map.h`, which in a 64-bit task are the same calls.
macro_rules! aliases {
    ($($alias:ident = $call:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[allow(clippy::too_many_arguments)]
        pub unsafe fn $alias(task: mach_port_name_t, $($argument: $type),*) -> kern_return_t {
            // SAFETY: the same contract, passed on unchanged.
            unsafe { $call(task, $($argument),*) }
        }
    )*};
}

aliases! {
    vm_allocate = mach_vm_allocate(address: *mut vm_address_t, size: vm_size_t, flags: c_int);
    vm_deallocate = mach_vm_deallocate(address: vm_address_t, size: vm_size_t);
    vm_protect = mach_vm_protect(
        address: vm_address_t, size: vm_size_t, set_maximum: boolean_t, protection: vm_prot_t
    );
    vm_read = mach_vm_read(
        address: vm_address_t, size: vm_size_t, data: *mut vm_address_t, count: *mut mach_msg_type_number_t
    );
    vm_read_overwrite = mach_vm_read_overwrite(
        address: vm_address_t, size: vm_size_t, data: vm_address_t, copied: *mut vm_size_t
    );
    vm_write = mach_vm_write(address: vm_address_t, data: usize, count: mach_msg_type_number_t);
    vm_remap = mach_vm_remap(
        address: *mut vm_address_t, size: vm_size_t, mask: vm_offset_t, flags: c_int, source: mach_port_name_t,
        source_address: vm_address_t, copy: boolean_t, current: *mut vm_prot_t, maximum: *mut vm_prot_t,
        inheritance: vm_inherit_t
    );
    vm_copy = mach_vm_copy(source: vm_address_t, size: vm_size_t, destination: vm_address_t);
    vm_purgable_control = mach_vm_purgable_control(address: vm_offset_t, control: vm_purgable_t, state: *mut c_int);
    vm_region_recurse_64 = mach_vm_region_recurse(
        address: *mut vm_address_t, size: *mut vm_size_t, depth: *mut natural_t, info: vm_region_info_t,
        count: *mut mach_msg_type_number_t
    );
    vm_region_64 = mach_vm_region(
        address: *mut vm_address_t, size: *mut vm_size_t, flavor: vm_region_flavor_t, info: vm_region_info_t,
        count: *mut mach_msg_type_number_t, object: *mut mach_port_name_t
    );
}
