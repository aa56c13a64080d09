//! Where the entry runs, and where it goes.
#![allow(unsafe_code)]

use super::entered::{BUSY, KNOWN};
use crate::host::slot::{origin, owner};
use crate::host::slot::region::{self, Slot};
use crate::host::sys::altstack::Stack;
use crate::host::sys::mask::Mask;
use crate::host::sys::thread::gettid;

/// Where the entry goes. In two registers.
#[repr(C)]
pub(super) struct Place {
    /// The thread's slot, by address; 0 for none. With [`BUSY`] and [`KNOWN`].
    slot: usize,
    /// The stack to move to: address of a `stack_t` that registers it, with room for a mask behind it, and the new stack pointer.
    /// 0: stay.
    stack: usize,
}

impl Place {
    const NOWHERE: Self = Self { slot: 0, stack: 0 };

    fn stay(slot: Slot) -> Self {
        Self {
            slot: enter(slot) | KNOWN,
            stack: 0,
        }
    }

    fn move_to(slot: Slot, known: usize) -> Self {
        // Room for the value and the mask behind it, and the alignment of stacks.
        const ROOM: usize = (size_of::<Stack>() + size_of::<Mask>()).next_multiple_of(16);
        let private = slot.private_stack();
        let at = private.base + private.size - ROOM;
        // SAFETY: the top of the private part of the calling thread's slot, which nothing runs on: a handler there would be case 1.
        unsafe { (at as *mut Stack).write(private) };
        Self {
            slot: enter(slot) | known,
            stack: at,
        }
    }
}

/// Marks the thread as being in its fault handler. Returns its slot, by address, and whether it was in there.
fn enter(slot: Slot) -> usize {
    match slot.header().serving.replace(true) {
        true => slot.address() | BUSY,
        false => slot.address(),
    }
}

/// Decides. `sp` is the stack pointer of the entry, `interrupted` that of the interrupted code.
///
/// It runs on the stack that the kernel chose, below its frame: plain loops, no calls that take much of it.
pub(super) extern "C" fn locate(sp: usize, interrupted: usize) -> Place {
    if origin::is_copy() {
        return Place::NOWHERE;
    }
    if let Some(slot) = region::containing(sp).and_then(Slot::of) {
        if sp - slot.address() < slot.layout().private_top {
            return Place::stay(slot);
        }
        // A child that shares the memory runs on its parent's alternate stack, too.
        if slot.header().owner().tid() != gettid() {
            return Place::NOWHERE;
        }
        return match interrupted.wrapping_sub(slot.address()) < slot.layout().size {
            true => Place::move_to(slot, KNOWN),
            false => Place::stay(slot),
        };
    }
    let Some(keys) = region::keys() else {
        return Place::NOWHERE;
    };
    let tid = gettid();
    let slot_of = |index| region::from_index(index).and_then(Slot::of);
    if let Some(slot) = keys.find_only(tid).and_then(slot_of) {
        if owner::is_certain(slot) {
            return Place::move_to(slot, KNOWN);
        }
    }
    // A process that shares the memory has threads with other identifiers. Only where the thread is not known for certain is it worth
    // a system call.
    if origin::is_child() {
        return Place::NOWHERE;
    }
    let slot = keys.find_or_claim(tid).and_then(slot_of);
    slot.map_or(Place::NOWHERE, |slot| Place::move_to(slot, 0))
}
