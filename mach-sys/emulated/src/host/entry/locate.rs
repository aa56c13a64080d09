//! The stack that the entry runs on, and the one that it moves to.
#![allow(unsafe_code)]

use super::entered::{BUSY, KNOWN};
use super::frame;
use crate::host::slot::region::{self, Slot};
use crate::host::slot::{origin, owner, place};
use crate::host::sys::altstack::Stack;
use crate::host::sys::mask::{COPY_MASK, Mask};
use crate::host::sys::thread::gettid;

/// Destination of the entry, returned in two registers.
#[repr(C)]
pub(super) struct Place {
    /// The thread's slot, by address; 0 for none. With [`BUSY`] and [`KNOWN`].
    slot: usize,
    /// The stack to move to: address of a `stack_t` that registers it, with room for a mask behind it, and the new stack pointer.
    /// 0: stay. With [`GUARDED`].
    stack: usize,
}

/// Set if the five signals must be blocked during the move. The address of a stack has this bit clear.
pub(super) const GUARDED: usize = 1;

/// The frame, as [`locate`] knows it.
#[derive(Clone, Copy)]
struct Frame {
    base: usize,
    /// The stack pointer of the interrupted code.
    interrupted: usize,
}

impl Place {
    const NOWHERE: Self = Self { slot: 0, stack: 0 };

    fn stay(slot: Slot) -> Self {
        Self {
            slot: enter(slot) | KNOWN,
            stack: 0,
        }
    }

    fn move_to(slot: Slot, known: usize, frame: Frame) -> Self {
        // Room for the value and the mask behind it, and the alignment of stacks.
        const ROOM: usize = (size_of::<Stack>() + size_of::<Mask>()).next_multiple_of(16);
        let private = slot.private_stack();
        let at = private.base + private.size - ROOM;
        // SAFETY: the top of the private part of the calling thread's slot, which nothing runs on: a handler there would be case 1.
        unsafe { (at as *mut Stack).write(private) };
        let entered = enter(slot);
        let guarded = match entered & BUSY {
            0 => prepare(slot, frame),
            // The fault handler that was interrupted has its own frame in the copy area.
            _ => GUARDED,
        };
        Self {
            slot: entered | known,
            stack: at | guarded,
        }
    }
}

/// Prepares a move: a signal that is sent before the new stack is registered starts at the top of the one that is. Copies the frame
/// if nothing else lies there. Returns [`GUARDED`] if no signal may be sent meanwhile.
fn prepare(slot: Slot, frame: Frame) -> usize {
    let copied = &slot.header().copied;
    copied.set(0);
    // SAFETY: the frame that the kernel wrote for this entry.
    let registered = unsafe { frame::registered_stack(frame.base) };
    if registered.is_disabled() {
        // Such a signal starts on the new stack.
        return 0;
    }
    if registered.holds(frame.interrupted) || !registered.holds(frame.base) {
        return GUARDED;
    }
    // SAFETY: as above; the slot is the calling thread's.
    match unsafe { frame::copy_to_slot(frame.base, slot) } {
        Some(delta) => {
            copied.set(delta);
            0
        }
        None => GUARDED,
    }
}

/// Marks the thread as being in its fault handler. Returns its slot, by address, and whether it was in there.
fn enter(slot: Slot) -> usize {
    match slot.header().serving.replace(true) {
        true => slot.address() | BUSY,
        false => slot.address(),
    }
}

/// Decides whether the entry moves, and to which stack. `sp` is the stack pointer of the entry, `interrupted` that of the interrupted code, `frame` the base of the kernel's frame.
///
/// It runs on the stack that the kernel chose, below its frame: plain loops, no calls that take much of it.
pub(super) extern "C" fn locate(sp: usize, interrupted: usize, frame: usize) -> Place {
    let frame = Frame {
        base: frame,
        interrupted,
    };
    if origin::is_copy() {
        return Place::NOWHERE;
    }
    if let Some(slot) = region::containing(sp).and_then(Slot::of) {
        if sp - slot.address() < slot.layout().private_top {
            return Place::stay(slot);
        }
        // A child that shares the memory runs on its parent's alternate stack, too.
        let tid = gettid();
        if slot.header().owner().tid() != tid || origin::is_namesake(tid) {
            return Place::NOWHERE;
        }
        return match interrupted.wrapping_sub(slot.address()) < slot.layout().size {
            true => Place::move_to(slot, KNOWN, frame),
            false => Place::stay(slot),
        };
    }
    let Some(keys) = region::keys() else {
        return Place::NOWHERE;
    };
    let tid = gettid();
    let slot_of = |index| region::from_index(index).and_then(Slot::of);
    if let Some(slot) = keys.find_only(tid).and_then(slot_of) {
        // The look at the thread's own word is a probed copy: with its signals blocked it would kill.
        // SAFETY: the frame that the kernel wrote for this entry.
        let blocked = unsafe { frame::signal_mask(frame.base) } & COPY_MASK;
        if blocked == 0 && owner::is_certain(slot) && !origin::is_namesake(tid) {
            return Place::move_to(slot, KNOWN, frame);
        }
    }
    // A process that shares the memory has threads with other identifiers. Only where the thread is not known for certain is it worth
    // a system call.
    if origin::is_child() {
        return Place::NOWHERE;
    }
    let slot = place::find_or_claim(tid, place::IN_FAULT);
    slot.map_or(Place::NOWHERE, |slot| Place::move_to(slot, 0, frame))
}
