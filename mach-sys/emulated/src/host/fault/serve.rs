//! Serves a signal that the kernel delivered.
#![allow(unsafe_code)]

use super::arrived::{self, Arrived};
use super::crash;
use super::fallback::{self, Crash, Process};
use super::previous::{self, Visited};
use super::self_test::{self, Underway};
use super::suspended;
use super::trap::{Then, Trap, Verdict, ask_in};
use crate::host::context::Context;
use crate::host::context::classify::Raised;
use crate::host::entry::entered::Entered;
use crate::host::entry::{self, frame};
use crate::host::slot::header::Header;
use crate::host::slot::held;
use crate::host::slot::owner::{self, Caller};
use crate::host::slot::region::{self, Slot};
use crate::host::sys::mask::{self, COPY_MASK, HANDLER_MASK, How};
use core::sync::atomic::Ordering;

/// Serves a signal. Returns the handler to leave for, in whose favour `entered` was changed, or `None`: the frame in `entered` is to
/// be returned from.
///
/// # Safety
/// `entered` describes a signal frame that the kernel just wrote for the calling thread.
pub(in crate::host) unsafe fn serve(entered: &mut Entered) -> Option<usize> {
    if entered.chained() {
        // The mask is that of the handler that chains.
        mask::change(How::Set, HANDLER_MASK);
    }
    let slot = region::containing(entered.slot()).and_then(Slot::of);
    if let Some(slot) = slot.filter(|_| entered.moved() && !entered.was_busy()) {
        let header = slot.header();
        if header.overwritten.replace(false) {
            // SAFETY: the signal found the entry behind the copy, and is over; nothing has looked at the copy since.
            unsafe { frame::put_back(entered.frame, header.copied.get()) };
        }
    }
    // SAFETY: the kernel wrote a context for this signal, and nothing else knows of it yet.
    let mut original = unsafe { Context::from_raw(entered.context as *mut _) };
    if entered.signal as i32 == mask::suspension() {
        if let Some(slot) = slot {
            // SAFETY: the caller's promise; the slot is the calling thread's.
            unsafe { suspended::serve(entered, original, slot) };
        }
        return None;
    }
    if original.signal_mask() & COPY_MASK != 0 {
        // Another signal's handler inherits them blocked; the frame brings the interrupted code's mask back.
        mask::change(How::Unblock, COPY_MASK);
    }
    // SAFETY: the frame has room for a siginfo.
    let (code, address) = unsafe { arrived::code_and_address(entered.info) };
    if let Some(probe) = self_test::underway(code, address, &original) {
        // SAFETY: the frame is the kernel's, and the slot the calling thread's.
        unsafe { serve_probe(entered, original, slot, &probe, address) };
        return None;
    }
    let signal = entered.signal as i32;
    if !entered.chained() {
        // SAFETY: the frame is the kernel's, and nothing else knows of it yet.
        let mended = unsafe { arrived::mend_info(signal, entered.info, &original) };
        if (mended.is_some() || lacks_stack(entered, &original)) && slot.is_some() {
            // Not in a child's dispositions, which may be the parent's.
            previous::look_in_fault(signal);
        }
        if mended.is_some_and(|code| arrived::end_copy(signal, code, &mut original)) {
            if let Some(slot) = slot {
                leave(entered, slot.header());
            }
            return None;
        }
    }
    // SAFETY: the kernel wrote a siginfo, and that context.
    let arrived = unsafe { Arrived::new(signal, entered.info, &mut original) };
    let Some(arrived) = arrived else {
        if let Some(slot) = slot {
            leave(entered, slot.header());
        }
        return None;
    };
    let Some(slot) = slot else {
        let process = Process::current();
        if process == Process::Own && !arrived.is_sent() {
            region::note_exhausted();
        }
        // SAFETY: the frame is the kernel's own, untouched.
        return unsafe { fallback::go_on(entered, &arrived, None, process, Crash::Unseen) };
    };
    let header = slot.header();
    if entry::is_between(original.program_counter()) {
        header.overwritten.set(true);
    }
    // On the private part it is the fault handler that was interrupted, maybe on its way in or out. Before it is there, or has found its
    // slot, its mask tells.
    let interrupted_handler = entered.was_busy()
        || slot.private_stack().holds(entered.frame)
        || arrived.is_sent() && original.signal_mask() & HANDLER_MASK == HANDLER_MASK;
    if interrupted_handler || header.is_in_kernel() {
        // SAFETY: as above.
        let next = unsafe { while_busy(entered, &arrived, slot) };
        leave(entered, header);
        return next;
    }
    held::begin_to_keep(header);
    if !entered.is_known() {
        let registered = original.alternate_stack();
        owner::adopt(slot, Caller::InFault { registered });
    }
    // SAFETY: as above; the slot is the calling thread's.
    let answered = unsafe { answer(entered, original, slot, arrived.raised) };
    let next = match answered {
        Some(frame) => {
            entered.frame = frame;
            if !entered.chained() {
                // SAFETY: the kernel's own frame, whose registers are no longer needed, or were copied.
                unsafe { arrived.forget_info() };
            }
            None
        }
        // SAFETY: the frame was not touched, as there was no answer.
        None => unsafe {
            fallback::go_on(entered, &arrived, Some(slot), Process::Own, Crash::Raised)
        },
    };
    if mask::was_a_wait_interrupted() {
        previous::look();
    }
    leave(entered, header);
    next
}

/// Returns whether the kernel would have written the frame to the thread's alternate stack, had the entry been installed with
/// `SA_ONSTACK`, as it was.
fn lacks_stack(entered: &Entered, context: &Context) -> bool {
    let stack = context.alternate_stack();
    !stack.is_disabled()
        && !stack.holds(context.stack_pointer())
        && !stack.holds(entered.frame)
        && !entered.was_busy()
}

/// Marks the end of the fault handler, unless the thread was in one already.
pub(super) fn leave(entered: &Entered, header: &Header) {
    header.serving.set(entered.was_busy());
    if !entered.was_busy() {
        held::raise_at_return(header, || match entered.restore {
            // SAFETY: the context of the frame that is returned from.
            0 => unsafe { Context::from_raw(entered.context as *mut _) }.signal_mask(),
            _ => header.restore.mask.get(),
        });
    }
}

/// Holds back a signal that arrived while the thread was in the kernel, where it may hold the lock, or in its fault handler.
///
/// # Safety
/// The safety requirements of [`serve`] apply, and the slot is the calling thread's.
unsafe fn while_busy(entered: &mut Entered, arrived: &Arrived, slot: Slot) -> Option<usize> {
    if arrived.is_sent() {
        if previous::is_handled(arrived.signal) {
            let header = slot.header();
            if entered.was_busy() || header.is_in_kernel() {
                // SAFETY: the siginfo is the kernel's, and the header the calling thread's.
                unsafe { held::keep(header, arrived.signal, arrived.info) };
            } else {
                // SAFETY: as above, and the signal has a handler.
                let held = unsafe { held::leave_pending(header, arrived.signal, arrived.info) };
                // SAFETY: the frame's own context.
                unsafe { Context::from_raw(entered.context as *mut _) }.block_signals(held);
            }
            return None;
        }
        // Ignored, or deadly: neither runs code of the application's.
        // SAFETY: the frame is the kernel's own, untouched.
        return unsafe {
            fallback::go_on(entered, arrived, Some(slot), Process::Own, Crash::Unseen)
        };
    }
    if !arrived.is_step() {
        // G2.7: a fault in here is a bug, or the end of a stack. Asking again would wait for a lock that this thread may hold.
        // SAFETY: the siginfo is the kernel's.
        unsafe { Process::Own.die(arrived) };
    }
    // A step goes on: the first instruction behind the kernel's is reported.
    None
}

/// Asks the layers above. Returns the frame to return from, or `None` when no handler wanted the fault.
///
/// # Safety
/// `original` is the context in the kernel's frame that `entered` describes, and the slot the calling thread's.
unsafe fn answer(
    entered: &Entered,
    original: Context,
    slot: Slot,
    raised: Option<Raised>,
) -> Option<usize> {
    let raised = raised?;
    if Visited::from_mark(original.link()).is_some() {
        // The question was declined, and a handler that was visited since chains.
        return None;
    }
    // SAFETY: the caller's promise.
    let (frame, mut context) = unsafe { frame_of_answer(entered, original, slot) }?;
    if crash::is_fatal_breakpoint(&raised, &context) {
        crash::end_at_breakpoint(slot, &mut context, &raised);
    }
    let interrupt = context.pass_interrupt();
    let mut trap = Trap {
        slot: slot.id(),
        raised,
        context: &mut context,
    };
    match ask_in(slot, trap.context.signal_mask(), &mut trap, Then::Parks) {
        Verdict::Resume => Some(frame),
        Verdict::HostLevel => {
            crash::store(slot.header(), &raised);
            if let Some(pc) = interrupt {
                // Of a frame that was not copied, which is the host level's.
                context.return_to_interrupt(pc);
            }
            None
        }
    }
}

/// Returns the frame that an answer goes to, and its context: a copy if the entry moved. `None` for a frame that is larger than the copy area:
/// without a copy a redirect could write over it.
///
/// # Safety
/// The safety requirements of [`answer`] apply.
pub(super) unsafe fn frame_of_answer(
    entered: &Entered,
    original: Context,
    slot: Slot,
) -> Option<(usize, Context)> {
    if !entered.moved() {
        return Some((entered.frame, original));
    }
    let delta = match slot.header().copied.replace(0) {
        // SAFETY: a live frame of the kernel's, and the calling thread's own slot.
        0 => unsafe { frame::copy_to_slot(entered.frame, slot) }?,
        delta => delta,
    };
    let address = entered.context.wrapping_add(delta);
    // SAFETY: the copy is a context like the original, and this handler's own.
    let mut copy = unsafe { Context::from_raw(address as *mut _) };
    lend_stack(&mut copy, slot, slot.header());
    Some((entered.frame.wrapping_add(delta), copy))
}

/// Serves a fault of the self-test, in the way of any other.
///
/// # Safety
/// The safety requirements of [`answer`] apply.
unsafe fn serve_probe(
    entered: &mut Entered,
    mut original: Context,
    slot: Option<Slot>,
    probe: &Underway<'_>,
    address: u64,
) {
    if let Some(slot) = slot {
        held::begin_to_keep(slot.header());
        if !entered.is_known() {
            let registered = original.alternate_stack();
            owner::adopt(slot, Caller::InFault { registered });
        }
    }
    // SAFETY: the caller's promise.
    let behind = unsafe { frame::bytes_behind(entered.frame) };
    let in_service = probe.look(&original, address, behind.filter(|_| !entered.chained()));
    match slot.filter(|_| in_service) {
        // SAFETY: the caller's promise. The original is looked at no more if there is a copy.
        Some(slot) => match unsafe { frame_of_answer(entered, original, slot) } {
            Some((frame, mut context)) => {
                probe.answer(&mut context, frame != entered.frame);
                entered.frame = frame;
            }
            None => {
                // SAFETY: as above.
                let mut original = unsafe { Context::from_raw(entered.context as *mut _) };
                probe.answer(&mut original, false);
            }
        },
        None => probe.answer(&mut original, false),
    }
    if let Some(slot) = slot {
        leave(entered, slot.header());
    }
}

/// A thread without an alternate stack keeps the lent one from now on; every other thread gets back what it had.
fn lend_stack(context: &mut Context, slot: Slot, header: &Header) {
    if context.alternate_stack().is_disabled() {
        context.set_alternate_stack(slot.lent_stack());
        header.lent.set(true);
        header.has_lent.store(true, Ordering::Release);
    }
}
