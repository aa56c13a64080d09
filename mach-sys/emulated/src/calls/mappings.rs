//! Further mappings of the own task's memory (`mach/mach_vm.h`).
#![allow(unsafe_code)]

use super::mig;
use super::own_memory::{check_task, own_memory};
use super::pieces::{self, common_protection};
use super::place::{access_of, page_start, place, whole_pages};
use super::stopped::with_others_stopped;
use super::target::{code, process, put};
use crate::host::AllBlocked;
use crate::host::mappings::{self, InChild, Piece, Place};
use crate::host::maps;
use crate::host::page_list::PageList;
use crate::host::pages::{self, Access};
use crate::host::stack;
use crate::host::usage::ask;
use crate::ipc::name::Name;
use crate::process::Process;
use core::ffi::c_int;
use core::ops::Range;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::*;
use mach_wire::vm::*;

/// Flags of `mach_vm_remap` that a program may set (`VM_FLAGS_USER_REMAP`).
const REMAP_FLAGS: c_int = VM_FLAGS_ANYWHERE
    | VM_FLAGS_RANDOM_ADDR
    | VM_FLAGS_OVERWRITE
    | VM_FLAGS_RETURN_DATA_ADDR
    | VM_FLAGS_RESILIENT_CODESIGN
    | VM_FLAGS_RESILIENT_MEDIA;

/// Flags of `mach_vm_map` that can be kept here.
const MAP_FLAGS: c_int = VM_FLAGS_ANYWHERE
    | VM_FLAGS_RANDOM_ADDR
    | VM_FLAGS_NO_CACHE
    | VM_FLAGS_OVERWRITE
    | VM_FLAGS_RETURN_DATA_ADDR
    | VM_FLAGS_ALIAS_MASK;

fn in_child(inheritance: vm_inherit_t) -> Result<InChild, KernReturn> {
    match inheritance {
        VM_INHERIT_SHARE => Ok(InChild::TheSame),
        VM_INHERIT_COPY => Ok(InChild::ACopy),
        VM_INHERIT_NONE => Ok(InChild::Nothing),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Copies memory to new pages, and returns the address of the first.
///
/// # Safety
/// With [`Place::Over`] what is mapped there is the caller's to replace.
unsafe fn copy_to(
    task: mach_port_name_t,
    range: &Range<usize>,
    pieces: &[Piece],
    place: Place,
    in_child: InChild,
) -> Result<usize, KernReturn> {
    let copy = own_memory(process(), task)?;
    let size = range.end - range.start;
    let open = Access {
        read: true,
        write: true,
        execute: false,
    };
    // SAFETY: new pages, which replace none, are filled, moved and protected; then the caller's promise.
    unsafe {
        let mut base = mappings::new_pages_beside(place, size, open, in_child)?;
        let give_up = |base, error: KernReturn| {
            mappings::release_pages(base, size);
            error
        };
        copy(range.start as u64, base as u64, size as u64).map_err(|error| give_up(base, error))?;
        // Moved there when all is copied: the place may be the source's.
        if !matches!(place, Place::Anywhere { .. }) {
            let moved = mappings::move_pages(base, size, place);
            base = moved.map_err(|error| give_up(base, error.into()))?;
        }
        mappings::protect_as(base, pieces).map_err(|error| give_up(base, error.into()))?;
        Ok(base)
    }
}

/// Maps memory a second time, and returns the address of the first byte and the protection of all of it.
///
/// # Safety
/// As for [`mappings::second_view`]; the calling thread's stack and thread-local memory are looked for here.
unsafe fn share_at(
    process: &Process,
    range: &Range<usize>,
    pieces: &[Piece],
    place: Place,
    in_child: InChild,
) -> Result<(usize, vm_prot_t), KernReturn> {
    let size = range.end - range.start;
    if let Place::Over(to) = place {
        if to < range.end && range.start < to.saturating_add(size) {
            // One page would be two of the memory's.
            return Err(KernReturn::NOT_SUPPORTED);
        }
    }
    if pieces.iter().all(|piece| piece.shared) {
        // SAFETY: the caller's promise; nothing but the second mapping changes.
        let base = unsafe { mappings::second_view(pieces, place, in_child) }?;
        return Ok((base, common_protection(pieces)));
    }
    if holds_own_memory(range) {
        return Err(KernReturn::NOT_SUPPORTED);
    }
    // Room for as many pieces as there are, and for some more: they may change until the other threads stand still.
    let mut pieces = PageList::with_room(pieces.len() * 2 + 16)?;
    with_others_stopped(process, || {
        let _blocked = AllBlocked::begin();
        // A page that cannot be read must not end a thread that has the signals of bad memory blocked.
        let unreadable = process.mach.enter().blocked();
        pieces::fill(&mut pieces, range)?;
        // SAFETY: the caller's promise. No other thread runs, no signal handler, and this one's own memory is elsewhere.
        let view = || unsafe { mappings::second_view(&pieces, place, in_child) };
        let base = unreadable.around(view)?;
        Ok((base, common_protection(&pieces)))
    })
}

/// Makes memory that is shared the task's own, in its place (`VM_PROT_COPY`). Other threads are stopped meanwhile: none of their writes is lost.
///
/// # Safety
/// The memory is the caller's to replace.
pub(super) unsafe fn make_private(
    process: &Process,
    task: mach_port_name_t,
    range: &Range<usize>,
) -> Result<(), KernReturn> {
    let pieces = pieces::list(range)?;
    let mut shared = pieces.iter().filter(|piece| piece.shared).peekable();
    if shared.peek().is_none() {
        return Ok(());
    }
    if holds_own_memory(range) {
        return Err(KernReturn::NOT_SUPPORTED);
    }
    with_others_stopped(process, || {
        let _blocked = AllBlocked::begin();
        for piece in shared {
            let (addresses, piece) = (&piece.addresses, core::slice::from_ref(piece));
            let place = Place::Over(addresses.start);
            // SAFETY: the caller's promise.
            unsafe { copy_to(task, addresses, piece, place, InChild::ACopy) }?;
        }
        Ok(())
    })
}

/// Returns whether a range has something of the calling thread's stack or thread-local memory in it, which this code writes to.
fn holds_own_memory(range: &Range<usize>) -> bool {
    thread_local!(static OWN: u8 = const { 0 });
    let local = OWN.with(|own| core::ptr::from_ref(own) as usize);
    let frame = 0_u8;
    let frame = core::ptr::from_ref(&frame) as usize;
    let bounds = ask(stack::bounds).filter(|bounds| bounds.contains(&frame));
    // A stack that the C library does not know: all of the memory that it is in.
    let stack = bounds.or_else(|| {
        let region = ask(|| maps::region_at_or_after(frame as u64));
        let region = region.ok()??.addresses;
        Some(region.start as usize..region.end as usize)
    });
    let overlaps = |stack: Range<usize>| stack.start < range.end && range.start < stack.end;
    range.contains(&local) || stack.is_none_or(overlaps)
}

pub unsafe fn mach_vm_remap(
    target: mach_port_name_t,
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
) -> kern_return_t {
    // SAFETY: the seam's contract: `address` is readable.
    let wanted = unsafe { address.read() };
    let remap = || {
        let process = check_task(mig::process(), target)?;
        // The source is in the request's body.
        if !Name::new(source).is_valid() {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        check_task(Ok(process), source).map_err(|error| match error {
            KernReturn::SEND_INVALID_DEST => KernReturn::SEND_INVALID_RIGHT,
            KernReturn::INVALID_TASK => KernReturn::INVALID_ARGUMENT,
            error => error,
        })?;
        if flags & !REMAP_FLAGS != 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let in_child = in_child(inheritance)?;
        let start = page_start(source_address);
        let offset = source_address as usize - start;
        // Only with this flag is the whole of the range in the pages.
        let (extra, offset) = match flags & VM_FLAGS_RETURN_DATA_ADDR {
            0 => (0, 0),
            _ => (offset as u64, offset),
        };
        if size == 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let size = size
            .checked_add(extra)
            .ok_or(KernReturn::INVALID_ARGUMENT)?;
        let size = whole_pages(size)?;
        let end = start
            .checked_add(size)
            .ok_or(KernReturn::INVALID_ARGUMENT)?;
        if flags & VM_FLAGS_RESILIENT_MEDIA != 0 && copy == 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let range = start..end;
        let pieces = pieces::list(&range)?;
        let place = place(wanted, mask, flags)?;
        // SAFETY: the seam's contract: the memory is the caller's, and what is mapped in that place.
        let (base, protection) = unsafe {
            match copy {
                0 => share_at(process, &range, &pieces, place, in_child)?,
                _ => {
                    if let Place::Over(to) = place {
                        // What this code writes there until it has moved the copy would be lost.
                        if holds_own_memory(&(to..to.saturating_add(size))) {
                            return Err(KernReturn::NOT_SUPPORTED);
                        }
                    }
                    let base = copy_to(target, &range, &pieces, place, in_child)?;
                    (base, common_protection(&pieces))
                }
            }
        };
        if flags & VM_FLAGS_RESILIENT_CODESIGN == 0 {
            return Ok((base + offset, [protection, VM_PROT_ALL]));
        }
        // Code that nothing looks at is not to be run or written.
        // SAFETY: the new mapping.
        unsafe {
            let made_readable = pages::protect(base, size, access_of(Protection::READ));
            made_readable.inspect_err(|_| mappings::release_pages(base, size))?;
        }
        Ok((base + offset, [VM_PROT_READ; 2]))
    };
    code(remap().map(|(base, [present, most])| {
        // SAFETY: the seam's contract: the results are valid for a write.
        unsafe {
            put(address, base as mach_vm_address_t);
            put(current, present);
            put(maximum, most);
        }
    }))
}

/// Returns a protection that `mach_vm_map` takes. `KERN_INVALID_ARGUMENT` for one with other bits.
fn protection(bits: vm_prot_t) -> Result<Protection, KernReturn> {
    /// Says of a memory object that the protection is at most that, and nothing of memory without one (`VM_PROT_IS_MASK`).
    const IS_MASK: vm_prot_t = 0x40;
    match bits & !(VM_PROT_ALL | IS_MASK) {
        0 => Ok(Protection::from_bits_truncate(bits & VM_PROT_ALL)),
        _ => Err(KernReturn::INVALID_ARGUMENT),
    }
}

/// Arguments of `mach_vm_map` that describe the pages.
struct Wish {
    size: mach_vm_size_t,
    mask: mach_vm_offset_t,
    flags: c_int,
    object: mach_port_name_t,
    current: vm_prot_t,
    maximum: vm_prot_t,
    inheritance: vm_inherit_t,
}

/// Maps new pages.
///
/// # Safety
/// `address` is valid for a read and a write. What `VM_FLAGS_OVERWRITE` replaces is the caller's.
unsafe fn map(
    process: Result<&'static Process, KernReturn>,
    target: mach_port_name_t,
    address: *mut mach_vm_address_t,
    wish: &Wish,
) -> kern_return_t {
    // SAFETY: the caller's promise.
    let wanted = unsafe { address.read() };
    let map = || {
        let process = check_task(process, target)?;
        if wish.flags & !MAP_FLAGS != 0 {
            return Err(KernReturn::INVALID_ARGUMENT);
        }
        let (current, maximum) = (protection(wish.current)?, protection(wish.maximum)?);
        let in_child = in_child(wish.inheritance)?;
        let size = whole_pages(wish.size)?;
        if wish.flags & VM_FLAGS_ANYWHERE == 0 {
            let end = page_start(wanted).checked_add(size);
            end.ok_or(KernReturn::INVALID_ARGUMENT)?;
        }
        if Name::new(wish.object).is_valid() {
            // There are no memory objects: it can be the name of something else only.
            return Err(match own_memory(Ok(process), wish.object) {
                Err(KernReturn::SEND_INVALID_DEST) => KernReturn::SEND_INVALID_RIGHT,
                _ => KernReturn::INVALID_OBJECT,
            });
        }
        let place = place(wanted, wish.mask, wish.flags)?;
        // SAFETY: the caller's promise.
        let base = unsafe {
            // More than the maximum is not given, and not an error.
            mappings::new_pages(place, size, access_of(current & maximum), in_child)
        }?;
        Ok(base)
    };
    code(map().map(|base| {
        // SAFETY: the caller's promise.
        unsafe { put(address, base as mach_vm_address_t) };
    }))
}

pub unsafe fn mach_vm_map(
    target: mach_port_name_t,
    address: *mut mach_vm_address_t,
    size: mach_vm_size_t,
    mask: mach_vm_offset_t,
    flags: c_int,
    object: mach_port_name_t,
    _offset: memory_object_offset_t,
    _copy: boolean_t,
    current: vm_prot_t,
    maximum: vm_prot_t,
    inheritance: vm_inherit_t,
) -> kern_return_t {
    let wish = Wish {
        size,
        mask,
        flags,
        object,
        current,
        maximum,
        inheritance,
    };
    let is_trap =
        object == MACH_PORT_NULL && maximum == VM_PROT_ALL && inheritance == VM_INHERIT_COPY;
    let process = match is_trap {
        true => process(),
        false => mig::process(),
    };
    // SAFETY: the same contract, passed on unchanged.
    unsafe { map(process, target, address, &wish) }
}

pub unsafe fn vm_map(
    target: mach_port_name_t,
    address: *mut vm_address_t,
    size: vm_size_t,
    mask: vm_offset_t,
    flags: c_int,
    object: mach_port_name_t,
    _offset: vm_offset_t,
    _copy: boolean_t,
    current: vm_prot_t,
    maximum: vm_prot_t,
    inheritance: vm_inherit_t,
) -> kern_return_t {
    let wish = Wish {
        size,
        mask,
        flags,
        object,
        current,
        maximum,
        inheritance,
    };
    // SAFETY: the same contract, passed on unchanged.
    unsafe { map(mig::process(), target, address, &wish) }
}

pub unsafe fn mach_vm_copy(
    task: mach_port_name_t,
    source: mach_vm_address_t,
    size: mach_vm_size_t,
    destination: mach_vm_address_t,
) -> kern_return_t {
    code(own_memory(mig::process(), task).and_then(|copy| copy(source, destination, size)))
}

pub unsafe fn mach_vm_purgable_control(
    task: mach_port_name_t,
    address: mach_vm_address_t,
    control: vm_purgable_t,
    state: *mut c_int,
) -> kern_return_t {
    /// Bits of a state that mean something (`VM_PURGABLE_ALL_MASKS`).
    const STATES: c_int = 0x3773;
    let answer = || {
        check_task(process(), task)?;
        match control {
            // There is nothing to purge.
            VM_PURGABLE_PURGE_ALL => return Ok(()),
            VM_PURGABLE_SET_STATE => {
                // SAFETY: the seam's contract: `state` is readable.
                if unsafe { state.read() } & !STATES != 0 {
                    return Err(KernReturn::INVALID_ARGUMENT);
                }
            }
            VM_PURGABLE_GET_STATE => {}
            _ => return Err(KernReturn::INVALID_ARGUMENT),
        }
        let region = ask(|| maps::region_at_or_after(address))?;
        let region = region.filter(|region| region.addresses.contains(&address));
        let region = region.ok_or(KernReturn::INVALID_ADDRESS)?;
        match control == VM_PURGABLE_SET_STATE && !region.writable {
            true => Err(KernReturn::PROTECTION_FAILURE),
            // No memory is purgeable.
            false => Err(KernReturn::INVALID_ARGUMENT),
        }
    };
    code(answer())
}
