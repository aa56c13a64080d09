//! A thread's own registers, and its own suspension.
#![allow(unsafe_code)]

use super::reach::Unreachable;
use super::signal;
use crate::host::context::Context;
use crate::host::slot::inside;
use crate::host::slot::region::Slot;
use crate::host::slot::suspension::deliver_now;
use crate::host::sys::mask::{self, ASYNCHRONOUS_MASK, How};
use core::sync::atomic::Ordering;

/// A call on the registers of the thread that makes it, erased to an address.
type Visit<'a> = &'a mut dyn FnMut(&mut Context);

/// Number of times that the suspension signal is sent again that was used up before it came.
const TRIES: u32 = 16;

/// Calls `visit` with the calling thread's own registers: it goes on with what they are afterwards (A9.5). The call runs in the fault handler.
pub(crate) fn visit(mut visit: impl FnMut(&mut Context)) -> Result<(), Unreachable> {
    let slot = inside::slot().ok_or(Unreachable::Refused)?;
    // A handler of the program's that ran in between might not return here, and leave the address of a frame that is gone.
    let before = mask::change(How::Block, ASYNCHRONOUS_MASK);
    // The visitor sees, and leaves, what the caller has blocked: it may send the thread elsewhere.
    let mut visit = |context: &mut Context| {
        context.set_signal_mask(before);
        visit(context);
    };
    let mut erased: Visit<'_> = &mut visit;
    let visitor = &slot.header().suspension.visitor;
    // A handler of a sent fault signal may have interrupted another visit.
    let outer = visitor.swap(core::ptr::from_mut(&mut erased) as usize, Ordering::SeqCst);
    let mut delivered = deliver();
    // What was sent may have been used up in a handler of a sent fault signal, by another visit.
    for _ in 0..TRIES {
        if delivered.is_err() || visitor.load(Ordering::SeqCst) == 0 {
            break;
        }
        delivered = deliver();
    }
    // Taken back, unless the signal did: what it points to ends here.
    let left = visitor.swap(outer, Ordering::SeqCst);
    mask::change(How::Set, before);
    match left {
        0 => Ok(()),
        _ => Err(delivered.err().unwrap_or(Unreachable::TimedOut)),
    }
}

/// Suspends the calling thread, if that is wanted of it. Returns when nothing is.
pub(crate) fn stop() -> Result<(), Unreachable> {
    deliver()
}

fn deliver() -> Result<(), Unreachable> {
    if !signal::is_intact() {
        return Err(Unreachable::Displaced);
    }
    match deliver_now() {
        true => Ok(()),
        false => Err(Unreachable::Refused),
    }
}

/// Calls the visitor that the calling thread set before it sent itself the signal, if it did.
pub(in crate::host) fn take_visitor(slot: Slot, context: &mut Context) {
    match slot.header().suspension.visitor.swap(0, Ordering::SeqCst) {
        0 => {}
        at => {
            // SAFETY: the address of a closure in a frame of `visit` on this thread, which waits until the signal is over.
            let visit = unsafe { &mut *(at as *mut Visit<'_>) };
            visit(context);
        }
    }
}
