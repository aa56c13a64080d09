//! A thread's own registers, and its own suspension.
#![allow(unsafe_code)]

use super::reach::Unreachable;
use super::signal;
use crate::host::context::Context;
use crate::host::slot::inside;
use crate::host::slot::region::Slot;
use crate::host::slot::suspension::deliver_now;
use core::sync::atomic::Ordering;

/// A call on the registers of the thread that makes it, erased to an address.
type Visit<'a> = &'a mut dyn FnMut(&mut Context);

/// Calls `visit` with the calling thread's own registers: it goes on with what they are afterwards (A9.5). The call runs in the fault handler.
pub(crate) fn visit(mut visit: impl FnMut(&mut Context)) -> Result<(), Unreachable> {
    let slot = inside::slot().ok_or(Unreachable::Refused)?;
    let mut erased: Visit<'_> = &mut visit;
    let visitor = &slot.header().suspension.visitor;
    visitor.store(core::ptr::from_mut(&mut erased) as usize, Ordering::SeqCst);
    let delivered = deliver();
    // Taken back, unless the signal did: what it points to ends here.
    match visitor.swap(0, Ordering::SeqCst) {
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
