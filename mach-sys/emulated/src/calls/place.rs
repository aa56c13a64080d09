//! Places, sizes and protections of pages, as the arguments of calls name them.

use crate::host::mappings::Place;
use crate::host::pages::{self, Access};
use core::ffi::c_int;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;
use mach_wire::vm::*;

/// Returns the place that an address and flags name. `KERN_NO_SPACE` for an address that has bits of the mask.
pub(super) fn place(
    address: mach_vm_address_t,
    mask: mach_vm_offset_t,
    flags: c_int,
) -> Result<Place, KernReturn> {
    if flags & VM_FLAGS_ANYWHERE != 0 {
        let from = match flags & VM_FLAGS_RANDOM_ADDR {
            0 => page_start(address),
            _ => 0,
        };
        let mask = mask as usize;
        return Ok(Place::Anywhere { from, mask });
    }
    let start = page_start(address);
    if start as u64 & mask != 0 {
        return Err(KernReturn::NO_SPACE);
    }
    Ok(match flags & VM_FLAGS_OVERWRITE {
        0 => Place::At(start),
        _ => Place::Over(start),
    })
}

/// Returns the address of the page that an address lies in.
pub(super) fn page_start(address: u64) -> usize {
    address as usize & !(pages::size() - 1)
}

/// Returns a size in whole pages. `KERN_INVALID_ARGUMENT` for none, and for one that is 0 when it is rounded up to pages.
pub(super) fn whole_pages(size: u64) -> Result<usize, KernReturn> {
    let size = usize::try_from(size).ok();
    let size = size.and_then(|size| size.checked_next_multiple_of(pages::size()));
    size.filter(|size| *size > 0)
        .ok_or(KernReturn::INVALID_ARGUMENT)
}

/// Returns what a protection lets pages be used for.
pub(super) fn access_of(protection: Protection) -> Access {
    Access {
        read: protection.contains(Protection::READ),
        write: protection.contains(Protection::WRITE),
        execute: protection.contains(Protection::EXECUTE),
    }
}
