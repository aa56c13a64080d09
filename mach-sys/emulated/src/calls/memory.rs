//! Memory of the own task (`mach/mach_vm.h`).

use super::mappings::*;
use super::mig;
use super::regions::*;
use super::target::{code, process, put, refused, task_behind};
use crate::host::pages::{self, Access, PagesError, Words};
use crate::process::Process;
use crate::thread::kernel::Kernel;
use core::ffi::c_int;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;
use mach_wire::vm::*;

/// Returns the copy (from, to, size) within the memory of the task that a name denotes, if that is the process's own: the only one whose
/// memory is here.
pub(super) fn own_memory(
    process: Result<&'static Process, KernReturn>,
    task: mach_port_name_t,
) -> Result<impl FnOnce(u64, u64, u64) -> Result<(), KernReturn>, KernReturn> {
    let process = process?;
    let (target, blocked) = {
        let mut held = process.mach.lock();
        let target = task_behind(&mut Kernel::of(&mut held), process.task, task);
        (target, held.blocked())
    };
    let target = refused(target).map_err(|error| match error {
        // Another port than a task's is a map that is not there.
        KernReturn::INVALID_TASK => KernReturn::INVALID_ARGUMENT,
        error => error,
    })?;
    if target == process.task {
        Ok(move |from, to, size| process.mach.copy_within_user(blocked, from, to, size))
    } else {
        Err(KernReturn::NOT_SUPPORTED)
    }
}

pub unsafe fn mach_vm_read_overwrite(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
    data: mach_vm_address_t,
    copied: *mut mach_vm_size_t,
) -> kern_return_t {
    let outcome = own_memory(mig::process(), task).and_then(|copy| copy(address, data, size));
    code(outcome.map(|()| {
        // SAFETY: the seam's contract: `copied` is valid for a write.
        unsafe { put(copied, size) };
    }))
}

pub unsafe fn mach_vm_write(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    data: usize,
    count: mach_msg_type_number_t,
) -> kern_return_t {
    code(
        own_memory(mig::process(), task)
            .and_then(|copy| copy(data as u64, address, u64::from(count))),
    )
}

pub unsafe fn mach_vm_deallocate(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
) -> kern_return_t {
    code(own_memory(process(), task).and_then(|_| {
        // SAFETY: the seam's contract: the memory is the caller's to release.
        unsafe { pages::release_around(address as usize, size as usize) }
            .map_err(|_| KernReturn::INVALID_ARGUMENT)
    }))
}

impl From<PagesError> for KernReturn {
    fn from(error: PagesError) -> Self {
        match error {
            PagesError::Range => Self::INVALID_ARGUMENT,
            PagesError::Occupied => Self::NO_SPACE,
            PagesError::Unmapped => Self::INVALID_ADDRESS,
            PagesError::Refused => Self::PROTECTION_FAILURE,
        }
    }
}

pub unsafe fn mach_vm_allocate(
    task: mach_port_name_t,
    address: *mut mach_vm_address_t,
    size: mach_vm_size_t,
    flags: c_int,
) -> kern_return_t {
    // SAFETY: the seam's contract: `address` is readable.
    let wanted = unsafe { address.read() };
    let allocate = || {
        let _ = own_memory(process(), task)?;
        if flags & !(VM_FLAGS_ANYWHERE | VM_FLAGS_NO_CACHE | VM_FLAGS_ALIAS_MASK) != 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        if size == 0 {
            return Ok(0);
        }
        let anywhere = flags & VM_FLAGS_ANYWHERE != 0;
        let fixed = (!anywhere).then_some(wanted as usize);
        let base = pages::map(fixed, size as usize)?;
        Ok(base as mach_vm_address_t)
    };
    code(allocate().map(|base| {
        // SAFETY: the seam's contract: `address` is valid for a write.
        unsafe { put(address, base) };
    }))
}

pub unsafe fn mach_vm_protect(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
    set_maximum: boolean_t,
    protection: vm_prot_t,
) -> kern_return_t {
    let protect = || {
        let _ = own_memory(process(), task)?;
        let wanted = Protection::from_bits(protection).ok_or(KernReturn::INVALID_ARGUMENT)?;
        address
            .checked_add(size)
            .ok_or(KernReturn::INVALID_ARGUMENT)?;
        if size == 0 {
            return Ok(());
        }
        if set_maximum != 0 {
            // The host's mappings have no maximum.
            return Err(KernReturn::NOT_SUPPORTED);
        }
        let access = Access {
            read: wanted.contains(Protection::READ),
            write: wanted.contains(Protection::WRITE),
            execute: wanted.contains(Protection::EXECUTE),
        };
        // SAFETY: the seam's contract: the memory is the caller's to protect.
        unsafe { pages::protect(address as usize, size as usize, access) }?;
        Ok(())
    };
    code(protect())
}

pub unsafe fn mach_vm_read(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    size: mach_vm_size_t,
    data: *mut vm_address_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    let read = || {
        let copy = own_memory(mig::process(), task)?;
        let length =
            mach_msg_type_number_t::try_from(size).map_err(|_| KernReturn::INVALID_ARGUMENT)?;
        let words = (length as usize).div_ceil(size_of::<u32>());
        let mut pages = Words::new(words).map_err(|_| KernReturn::RESOURCE_SHORTAGE)?;
        let to = pages.as_mut_slice().as_mut_ptr() as u64;
        copy(address, to, size)?;
        Ok((pages.give_out(words) as vm_address_t, length))
    };
    code(read().map(|(base, length)| {
        // SAFETY: the seam's contract: both results are valid for a write.
        unsafe {
            put(data, base);
            put(count, length);
        }
    }))
}

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
