//! Serves a fault that a handler installed over the entry passes on, and to which the entry returns.
#![allow(unsafe_code)]

use super::arrived::{self, Arrived};
use super::crash;
use super::fallback::Process;
use super::previous::{HostAction, Visited};
use super::self_test;
use super::trap::{Then, Trap, Verdict, ask_in};
use crate::host::context::Context;
use crate::host::slot::held;
use crate::host::slot::owner::{self, Caller};
use crate::host::slot::place;
use crate::host::slot::region::Slot;
use crate::host::sys::mask::{self, HANDLER_MASK, How, Mask};
use crate::host::sys::switch::call_on;
use crate::host::sys::thread::gettid;

/// Serves a fault for a handler that chains. Returns the handler to go on to.
///
/// # Safety
/// `info` and `context` are what the kernel gave the handler that chains, or a good imitation.
pub(in crate::host) unsafe fn serve(signal: i32, info: usize, context: usize) -> Option<usize> {
    // As in the fault handler; the mask of the handler that chains comes back at the end.
    let before = mask::change(How::Set, HANDLER_MASK);
    // SAFETY: the caller's promise.
    let next = unsafe { ask_for_another(signal, info, context, before) };
    mask::change(How::Set, before);
    next
}

/// Serves the fault with the fault handler's mask set. `outer` is the mask of the handler that chains.
///
/// # Safety
/// The safety requirements of [`serve`] apply.
unsafe fn ask_for_another(
    signal: i32,
    info: usize,
    context_at: usize,
    outer: Mask,
) -> Option<usize> {
    // SAFETY: the caller's promise; the handler that chains does not touch the context before this returns.
    let mut context = unsafe { Context::from_raw(context_at as *mut _) };
    // SAFETY: the caller's promise.
    let (code, address) = unsafe { arrived::code_and_address(info) };
    if let Some(probe) = self_test::underway(code, address, &context) {
        // A library that comes between has its own handler installed, and calls this one: a sanitizer for example.
        probe.look(&context, address, None);
        probe.answer(&mut context, false);
        return None;
    }
    // SAFETY: the caller's promise.
    let arrived = unsafe { Arrived::new(signal, info, &mut context) }?;
    let process = Process::current();
    let slot = match process {
        Process::Own => slot_of_caller(&context),
        Process::Child => None,
    };
    if let (Some(raised), Some(slot)) = (arrived.raised, slot) {
        let header = slot.header();
        let declined = Visited::from_mark(context.link()).is_some();
        if !declined && !header.serving.get() && !header.is_in_kernel() {
            header.serving.set(true);
            held::begin_to_keep(header);
            let interrupt = context.pass_interrupt();
            let mut trap = Trap {
                slot: slot.id(),
                raised,
                context: &mut context,
            };
            // The stack of the handler that chains may be small, and lies where a nested fault would start.
            // SAFETY: nothing runs on the fault handler's own stack: the thread is not in it, by the check above. `ask_in` does not unwind.
            let verdict = unsafe {
                let stack = slot.private_stack();
                call_on(&stack, HANDLER_MASK, || {
                    ask_in(slot, outer, &mut trap, Then::Parks)
                })
            };
            header.serving.set(false);
            held::raise_at_return(header, || outer);
            if verdict == Some(Verdict::Resume) {
                return None;
            }
            crash::store(header, &raised);
            if let Some(pc) = interrupt {
                context.return_to_interrupt(pc);
            }
        }
    } else if let Some(header) = slot
        .map(Slot::header)
        .filter(|header| !header.serving.get())
    {
        // It may be one of several that were kept, which raises the next.
        held::raise_at_return(header, || outer);
    }
    match process.take_action(signal, &mut context, true) {
        HostAction::Handler(handler) => Some(handler.address),
        HostAction::Ignore if arrived.is_sent() => None,
        HostAction::Default | HostAction::Ignore => {
            let signal = crash::signal_of(&arrived);
            let raised =
                slot.is_some_and(|slot| crash::raise_in_handler(slot, &mut context, signal));
            let dies_of = match raised {
                true => arrived.no_longer_recurs(),
                false => arrived,
            };
            // SAFETY: the siginfo is the kernel's, or a good imitation.
            unsafe { process.die(&dies_of) };
            None
        }
    }
}

/// Returns the calling thread's slot, for a fault that did not come through the entry's own search.
pub(super) fn slot_of_caller(context: &Context) -> Option<Slot> {
    let slot = place::find_or_claim(gettid(), place::IN_FAULT)?;
    if !slot.header().is_in_kernel() {
        let registered = context.alternate_stack();
        owner::adopt(slot, Caller::InFault { registered });
    }
    Some(slot)
}
