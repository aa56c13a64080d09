//! Moving the kernel's signal frame: out of harm's way while a fault is served, or to where a handler expects it.
//!
//! A frame is one block. It holds one pointer into itself at most, and may be returned from wherever it lies, as long as that is
//! not in the range that is registered as the alternate stack.
#![allow(unsafe_code)]

use super::extent::machine::{self, ALIGNMENT, SMALLEST};
use crate::host::slot::region::Slot;
use crate::host::sys::altstack::Stack;
use crate::host::sys::copy;
use crate::host::sys::mask::Mask;

/// Copies a frame to the top of a slot's copy area, next to the header, so that both share pages. Returns how far it went in bytes, or
/// `None` if the area cannot hold it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote; the slot is the calling thread's.
pub(in crate::host) unsafe fn copy_to_slot(frame: usize, slot: Slot) -> Option<usize> {
    // SAFETY: the caller's promise.
    let extent = unsafe { machine::measure(frame) }?;
    let layout = slot.layout();
    let highest = (slot.address() + layout.header).checked_sub(extent.length.max(SMALLEST))?;
    let to = highest - (highest.wrapping_sub(frame) & (ALIGNMENT - 1));
    if to < slot.address() + layout.lent_top {
        return None;
    }
    let delta = to.wrapping_sub(frame);
    // SAFETY: the block is the frame, read as a whole; the copy area is big enough, was checked, and belongs to this thread.
    unsafe {
        core::ptr::copy_nonoverlapping(frame as *const u8, to as *mut u8, extent.length);
        if let Some((at, pointer)) = extent.moved_pointer(frame, delta) {
            *((to + at) as *mut usize) = pointer;
        }
    }
    Some(delta)
}

/// Returns the alternate stack that was registered when a frame was written.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote.
pub(super) unsafe fn registered_stack(frame: usize) -> Stack {
    // SAFETY: the caller's promise; the context in a frame has this field, plain integers.
    unsafe { *((frame + machine::REGISTERED) as *const Stack) }
}

/// Returns the signal mask of the code that a frame interrupted.
///
/// # Safety
/// The safety requirements of [`registered_stack`] apply.
pub(super) unsafe fn signal_mask(frame: usize) -> Mask {
    // SAFETY: as above.
    unsafe { *((frame + machine::MASK) as *const Mask) }
}

/// Returns how many bytes of the alternate stack lie above a frame's end, if the kernel put it there for code that ran elsewhere.
///
/// # Safety
/// The safety requirements of [`registered_stack`] apply.
pub(in crate::host) unsafe fn bytes_behind(frame: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let (stack, extent) = unsafe { (registered_stack(frame), machine::measure(frame)?) };
    // SAFETY: as above.
    let interrupted = unsafe { *((frame + machine::INTERRUPTED) as *const usize) };
    let is_first = !stack.is_disabled() && stack.holds(frame) && !stack.holds(interrupted);
    let end = frame.checked_add(extent.length.max(SMALLEST))?;
    stack
        .base
        .checked_add(stack.size)?
        .checked_sub(end)
        .filter(|_| is_first)
}

/// Puts a frame back where [`copy_to_slot`] copied it from.
///
/// # Safety
/// `frame` was the base of a live frame, which was copied, went `delta` bytes far, and was written over; nothing changed the copy.
pub(in crate::host) unsafe fn put_back(frame: usize, delta: usize) {
    let copy = frame.wrapping_add(delta);
    // SAFETY: the copy is a frame like the original.
    let Some(extent) = (unsafe { machine::measure(copy) }) else {
        return;
    };
    // SAFETY: as many bytes lie at the frame as were copied from there, and nothing else uses them.
    unsafe {
        core::ptr::copy_nonoverlapping(copy as *const u8, frame as *mut u8, extent.length);
        if let Some((at, pointer)) = extent.moved_pointer(copy, delta.wrapping_neg()) {
            *((frame + at) as *mut usize) = pointer;
        }
    }
}

/// Size of the area that code may use below its stack pointer, in bytes.
const RED_ZONE: usize = 128;

/// Copies a frame to below a stack pointer and its red zone, where the kernel would have put it had there been no alternate stack.
/// Returns how far it went in bytes, or `None` if that stack cannot take it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote, and `sp` the stack pointer that it interrupted.
pub(in crate::host) unsafe fn copy_below(frame: usize, sp: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let extent = unsafe { machine::measure(frame) }?;
    let highest = sp.checked_sub(RED_ZONE + extent.length.max(SMALLEST))?;
    let to = highest - (highest.wrapping_sub(frame) & (ALIGNMENT - 1));
    let delta = to.wrapping_sub(frame);
    // SAFETY: the block is the frame, which nothing writes while it is read.
    let block = unsafe { core::slice::from_raw_parts(frame as *const u8, extent.length) };
    copy::write(to as u64, block).ok()?;
    // SAFETY: the extent is this frame's.
    if let Some((at, pointer)) = unsafe { extent.moved_pointer(frame, delta) } {
        copy::write((to + at) as u64, &pointer.to_ne_bytes()).ok()?;
    }
    Some(delta)
}
