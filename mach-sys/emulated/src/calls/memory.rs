//! Memory of the own task (`mach/mach_vm.h`).

use super::mappings::make_private;
use super::mig;
use super::own_memory::own_memory;
use super::place::{access_of, page_start, place, whole_pages};
use super::target::{code, process, put};
use crate::host::mappings::{self, InChild};
use crate::host::maps::NotTold;
use crate::host::pages::{self, PagesError, Words};
use core::ffi::c_int;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;
use mach_wire::vm::*;

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
        let (address, size) = (address as usize, size as usize);
        // SAFETY: the seam's contract: the memory is the caller's to release.
        let released = unsafe { pages::release_around(address, size) };
        released.or_else(|_| {
            let end = address.checked_add(size);
            let end = end.and_then(|end| end.checked_next_multiple_of(pages::size()));
            // Where nothing can be mapped there is nothing to release. A range that wraps around is none.
            match end.is_some() && mappings::is_beyond(address) {
                true => Ok(()),
                false => Err(KernReturn::INVALID_ARGUMENT),
            }
        })
    }))
}

impl From<PagesError> for KernReturn {
    fn from(error: PagesError) -> Self {
        match error {
            PagesError::Range => Self::INVALID_ARGUMENT,
            PagesError::Occupied => Self::NO_SPACE,
            PagesError::Unmapped => Self::INVALID_ADDRESS,
            PagesError::Refused => Self::PROTECTION_FAILURE,
            PagesError::Shortage => Self::RESOURCE_SHORTAGE,
            PagesError::System => Self::NOT_SUPPORTED,
        }
    }
}

impl From<NotTold> for KernReturn {
    fn from(_: NotTold) -> Self {
        Self::NOT_SUPPORTED
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
        let size = whole_pages(size)?;
        // Anywhere does not begin at the address, as it does for `mach_vm_map`.
        let wanted = match flags & VM_FLAGS_ANYWHERE {
            0 => wanted,
            _ => 0,
        };
        let place = place(wanted, 0, flags)?;
        let access = access_of(Protection::READ | Protection::WRITE);
        // SAFETY: these flags replace nothing.
        let base = unsafe { mappings::new_pages(place, size, access, InChild::ACopy) }?;
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
        let process = process()?;
        let _ = own_memory(Ok(process), task)?;
        if size == 0 {
            return Ok(());
        }
        let wanted = Protection::from_bits(protection).ok_or(KernReturn::INVALID_ARGUMENT)?;
        let start = page_start(address);
        let end = address
            .checked_add(size)
            .and_then(|end| usize::try_from(end).ok())
            .and_then(|end| end.checked_next_multiple_of(pages::size()));
        let end = end.ok_or(KernReturn::INVALID_ARGUMENT)?;
        if set_maximum != 0 {
            // The host's mappings have no maximum.
            return Err(KernReturn::NOT_SUPPORTED);
        }
        // SAFETY: the seam's contract: the memory is the caller's to protect, and with this bit to replace by a copy.
        unsafe {
            if wanted.contains(Protection::COPY) {
                make_private(process, task, &(start..end))?;
            }
            pages::protect(start, end - start, access_of(wanted))?;
        }
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
