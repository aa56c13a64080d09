//! Moving the kernel's signal frame: out of harm's way while a fault is served, or to where a handler expects it.
//!
//! A frame is one block. It holds one pointer into itself at most, and may be returned from wherever it lies, as long as that is
//! not in the range that is registered as the alternate stack.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use super::aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use super::x86_64 as machine;

use crate::host::copy;
use crate::host::slot::{COPY, HEADER};
use machine::{ALIGNMENT, SMALLEST};

/// A frame's extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// In bytes, from its base.
    pub(super) length: usize,
    /// Offset of the one pointer into itself.
    pub(super) pointer: Option<usize>,
}

impl Extent {
    /// Bytes that have to be readable where the frame is returned from.
    fn room(&self) -> usize {
        self.length.max(SMALLEST)
    }

    /// The frame's pointer, moved along.
    ///
    /// # Safety
    /// As [`copy_to_slot`]; the extent is that frame's.
    unsafe fn moved_pointer(&self, frame: usize, delta: usize) -> Option<(usize, usize)> {
        self.pointer.map(|at| {
            // SAFETY: the extent was measured on this frame: a pointer stands there.
            let pointer = unsafe { *((frame + at) as *const usize) };
            (at, pointer.wrapping_add(delta))
        })
    }
}

/// Copies a frame into the copy area of a slot. Returns how far it went, or `None` if the area cannot hold it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote; `slot` is the address of the calling thread's slot.
pub(in crate::host) unsafe fn copy_to_slot(frame: usize, slot: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let extent = unsafe { machine::measure(frame) }?;
    let area = slot + COPY;
    let to = area + (frame.wrapping_sub(area) & (ALIGNMENT - 1));
    if to + extent.room() > slot + HEADER {
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

/// What code may use below its stack pointer.
const RED_ZONE: usize = 128;

/// Copies a frame to below a stack pointer and its red zone, where the kernel would have put it had there been no alternate stack.
/// Returns how far it went, or `None` if that stack cannot take it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote, and `sp` the stack pointer that it interrupted.
pub(in crate::host) unsafe fn copy_below(frame: usize, sp: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let extent = unsafe { machine::measure(frame) }?;
    let highest = sp.checked_sub(RED_ZONE + extent.room())?;
    let to = highest - (highest.wrapping_sub(frame) & (ALIGNMENT - 1));
    let delta = to.wrapping_sub(frame);
    // SAFETY: the block is the frame, which nobody writes while it is read.
    let block = unsafe { core::slice::from_raw_parts(frame as *const u8, extent.length) };
    copy::write(to as u64, block).ok()?;
    // SAFETY: the extent is this frame's.
    if let Some((at, pointer)) = unsafe { extent.moved_pointer(frame, delta) } {
        copy::write((to + at) as u64, &pointer.to_ne_bytes()).ok()?;
    }
    Some(delta)
}
