//! Regions of the own task's memory (`mach/vm_region.h`).
#![allow(unsafe_code)]

use super::mig;
use super::own_memory::check_task;
use super::structures::give_words;
use super::target::{code, put};
use crate::host::maps::{self, Region};
use crate::host::smaps::{self, Counts};
use crate::host::usage::ask;
use core::mem::size_of;
use core::ops::Range;
use mach_wire::kern_return::KernReturn;
use mach_wire::pod::Pod;
use mach_wire::types::*;
use mach_wire::vm::*;

/// A flavor that new programs do not use: [`VM_REGION_EXTENDED_INFO`] without its last word (`VM_REGION_EXTENDED_INFO__legacy`).
const OLD_EXTENDED_INFO: vm_region_flavor_t = 11;
const OLD_EXTENDED_INFO_COUNT: mach_msg_type_number_t = VM_REGION_EXTENDED_INFO_COUNT - 1;

fn protection_of(region: &Region) -> vm_prot_t {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, region.readable);
    protection.set(Protection::WRITE, region.writable);
    protection.set(Protection::EXECUTE, region.executable);
    protection.bits()
}

fn inheritance_of(region: &Region) -> vm_inherit_t {
    match region.shared {
        true => VM_INHERIT_SHARE,
        false => VM_INHERIT_COPY,
    }
}

fn basic_info(region: &Region) -> vm_region_basic_info_64 {
    vm_region_basic_info_64 {
        protection: protection_of(region),
        max_protection: VM_PROT_ALL,
        inheritance: inheritance_of(region),
        shared: region.shared.into(),
        offset: region.offset,
        behavior: VM_BEHAVIOR_DEFAULT,
        ..vm_region_basic_info_64::default()
    }
}

fn bounded(count: u64) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}

/// Returns how a region's memory is shared. The system counts pages that are mapped more than once, not those that map them.
fn share_mode(region: &Region, counts: &Counts) -> u8 {
    let is_empty = counts.resident == 0 && counts.swapped == 0;
    match (region.shared, region.named) {
        (true, _) => SM_SHARED,
        // A page that is written to becomes the task's own.
        (false, true) => SM_COW,
        (false, false) if is_empty => SM_EMPTY,
        // After a fork.
        (false, false) if counts.shared > 0 => SM_COW,
        (false, false) => SM_PRIVATE,
    }
}

/// Returns the number of references on a region's memory: none, the region's, or that and another one.
fn references(share_mode: u8) -> u32 {
    match share_mode {
        SM_EMPTY => 0,
        SM_PRIVATE => 1,
        _ => 2,
    }
}

/// Returns a number that regions of the same memory have in common.
fn object_id(region: &Region) -> u64 {
    match region.object {
        0 => region.addresses.start >> 12,
        object => object,
    }
}

fn extended_info(region: &Region, counts: &Counts) -> vm_region_extended_info {
    let share_mode = share_mode(region, counts);
    vm_region_extended_info {
        protection: protection_of(region),
        user_tag: 0,
        pages_resident: bounded(counts.resident),
        pages_shared_now_private: match share_mode {
            SM_COW => bounded(counts.anonymous),
            _ => 0,
        },
        pages_swapped_out: bounded(counts.swapped),
        pages_dirtied: bounded(counts.dirty),
        ref_count: references(share_mode),
        shadow_depth: 0,
        external_pager: region.named.into(),
        share_mode,
        pages_reusable: bounded(counts.given_up),
    }
}

fn top_info(region: &Region, counts: &Counts) -> vm_region_top_info {
    let share_mode = share_mode(region, counts);
    vm_region_top_info {
        obj_id: object_id(region) as u32,
        ref_count: references(share_mode),
        private_pages_resident: bounded(counts.resident.saturating_sub(counts.shared)),
        shared_pages_resident: bounded(counts.shared),
        share_mode,
        ..vm_region_top_info::default()
    }
}

/// Returns the region at an address, or the next one above it.
fn find(address: u64) -> Result<Region, KernReturn> {
    let found = ask(|| maps::region_at_or_after(address))?;
    found.ok_or(KernReturn::INVALID_ADDRESS)
}

/// Does what [`find`] does, and returns the region's pages.
fn find_counted(address: u64) -> Result<(Region, Counts), KernReturn> {
    let found = ask(|| smaps::region_at_or_after(address))?;
    found.ok_or(KernReturn::INVALID_ADDRESS)
}

/// Writes the first words of a structure, and returns the addresses that it tells of.
///
/// # Safety
/// `to` has room for the words, of which the structure has as many, and `count` is valid.
unsafe fn tell<T: Pod>(
    region: &Region,
    value: &T,
    words: mach_msg_type_number_t,
    to: *mut integer_t,
    count: *mut mach_msg_type_number_t,
) -> Range<u64> {
    debug_assert!(words as usize * size_of::<integer_t>() <= size_of::<T>());
    // SAFETY: the caller's promise.
    unsafe { give_words(value, words, to, count) };
    region.addresses.clone()
}

pub unsafe fn mach_vm_region(
    task: mach_port_name_t,
    address: *mut mach_vm_address_t,
    size: *mut mach_vm_size_t,
    flavor: vm_region_flavor_t,
    info: vm_region_info_t,
    count: *mut mach_msg_type_number_t,
    object: *mut mach_port_name_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: both are readable.
    let (start, room) = unsafe { (address.read(), count.read()) };
    let told = || {
        check_task(mig::process(), task)?;
        let needed = match flavor {
            VM_REGION_BASIC_INFO_64 | VM_REGION_BASIC_INFO => VM_REGION_BASIC_INFO_COUNT_64,
            VM_REGION_EXTENDED_INFO => VM_REGION_EXTENDED_INFO_COUNT,
            OLD_EXTENDED_INFO => OLD_EXTENDED_INFO_COUNT,
            VM_REGION_TOP_INFO => VM_REGION_TOP_INFO_COUNT,
            _ => return Err(KernReturn::INVALID_ARGUMENT),
        };
        if room < needed {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        // SAFETY: the seam's contract: `info` has room for the words that `count` promised, which are enough.
        unsafe {
            Ok(match flavor {
                VM_REGION_BASIC_INFO_64 | VM_REGION_BASIC_INFO => {
                    let region = find(start)?;
                    tell(&region, &basic_info(&region), needed, info, count)
                }
                VM_REGION_TOP_INFO => {
                    let (region, counts) = find_counted(start)?;
                    tell(&region, &top_info(&region, &counts), needed, info, count)
                }
                _ => {
                    let (region, counts) = find_counted(start)?;
                    let extended = extended_info(&region, &counts);
                    tell(&region, &extended, needed, info, count)
                }
            })
        }
    };
    code(told().map(|addresses| {
        // SAFETY: the seam's contract: the results are valid for a write.
        unsafe {
            put(address, addresses.start);
            put(size, addresses.end - addresses.start);
            put(object, MACH_PORT_NULL);
        }
    }))
}

fn submap_info(region: &Region, counts: &Counts) -> vm_region_submap_info_64 {
    let extended = extended_info(region, counts);
    vm_region_submap_info_64 {
        protection: extended.protection,
        max_protection: VM_PROT_ALL,
        inheritance: inheritance_of(region),
        offset: region.offset,
        user_tag: extended.user_tag,
        pages_resident: extended.pages_resident,
        pages_shared_now_private: extended.pages_shared_now_private,
        pages_swapped_out: extended.pages_swapped_out,
        pages_dirtied: extended.pages_dirtied,
        ref_count: extended.ref_count,
        shadow_depth: extended.shadow_depth,
        external_pager: extended.external_pager,
        share_mode: extended.share_mode,
        is_submap: 0,
        behavior: VM_BEHAVIOR_DEFAULT,
        object_id: object_id(region) as u32,
        pages_reusable: extended.pages_reusable,
        object_id_full: object_id(region),
        ..vm_region_submap_info_64::default()
    }
}

/// Returns what a caller with less room gets, which has no pages.
fn short_info(region: &Region, counts: &Counts) -> vm_region_submap_short_info_64 {
    let whole = submap_info(region, counts);
    vm_region_submap_short_info_64 {
        protection: whole.protection,
        max_protection: whole.max_protection,
        inheritance: whole.inheritance,
        offset: whole.offset,
        user_tag: whole.user_tag,
        ref_count: whole.ref_count,
        shadow_depth: whole.shadow_depth,
        external_pager: whole.external_pager,
        share_mode: whole.share_mode,
        is_submap: whole.is_submap,
        behavior: whole.behavior,
        object_id: whole.object_id,
        ..vm_region_submap_short_info_64::default()
    }
}

/// The counts that a caller of `mach_vm_region_recurse` gets: the largest that its own has room for.
const SUBMAP_COUNTS: [mach_msg_type_number_t; 3] = [
    VM_REGION_SUBMAP_INFO_V2_COUNT_64,
    VM_REGION_SUBMAP_INFO_V1_COUNT_64,
    VM_REGION_SUBMAP_INFO_V0_COUNT_64,
];

pub unsafe fn mach_vm_region_recurse(
    task: mach_port_name_t,
    address: *mut mach_vm_address_t,
    size: *mut mach_vm_size_t,
    depth: *mut natural_t,
    info: vm_region_info_t,
    count: *mut mach_msg_type_number_t,
) -> kern_return_t {
    // SAFETY: the seam's contract: both are readable.
    let (start, room) = unsafe { (address.read(), count.read()) };
    let told = || {
        check_task(mig::process(), task)?;
        if room < VM_REGION_SUBMAP_SHORT_INFO_COUNT_64 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let (region, counts) = find_counted(start)?;
        let words = SUBMAP_COUNTS.into_iter().find(|words| *words <= room);
        // SAFETY: the seam's contract: `info` has room for the words that `count` promised, which are enough.
        unsafe {
            Ok(match words {
                Some(words) => {
                    let whole = submap_info(&region, &counts);
                    tell(&region, &whole, words, info, count)
                }
                None => {
                    let short = short_info(&region, &counts);
                    let words = VM_REGION_SUBMAP_SHORT_INFO_COUNT_64;
                    tell(&region, &short, words, info, count)
                }
            })
        }
    };
    code(told().map(|addresses| {
        // SAFETY: the seam's contract: the results are valid for a write. No region here is a map of its own.
        unsafe {
            put(address, addresses.start);
            put(size, addresses.end - addresses.start);
            put(depth, 0);
        }
    }))
}
