//! Goes on to the handler that was installed before, from the kernel's untouched frame (G3).
#![allow(unsafe_code)]

use super::arrived::Arrived;
use super::crash;
use super::disposition;
use super::posted::{is_forced, posted, posts_xnus};
use super::previous::{self, HostAction, Visited, Whose};
use crate::host::context::Context;
use crate::host::entry::entered::Entered;
use crate::host::entry::frame;
use crate::host::slot::origin;
use crate::host::slot::region::{self, Slot};
use crate::host::sys::altstack::Stack;
use crate::host::sys::mask::{self, COPY_MASK, How, SYNCHRONOUS_MASK};
use crate::host::sys::thread::{gettid, kill_this_process, queue_signal, shares_dispositions_with};

/// The process that a signal arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// The one that the emulation was started in.
    Own,
    /// A child of it that may share its memory: nothing there is changed.
    Child,
}

impl Process {
    /// Asks the system.
    pub(super) fn current() -> Self {
        match origin::is_child() {
            true => Self::Child,
            false => Self::Own,
        }
    }

    /// Returns the action of the signal fallback. A handler with `SA_RESETHAND` is forgotten.
    ///
    /// `called`: by a handler that the system has installed above the entry. The context gets a mark of what was visited, for the case that
    /// the handler chains.
    pub(super) fn take_action(
        self,
        signal: i32,
        context: &mut Context,
        called: bool,
    ) -> HostAction {
        let visited = Visited::from_mark(context.link()).unwrap_or(Visited::NONE);
        let whose = match self {
            Self::Own => Whose::Own,
            Self::Child => Whose::Child,
        };
        let (action, visited) = previous::take_action(signal, visited, called, whose);
        context.set_link(visited.to_mark());
        if self == Self::Child
            && matches!(action, HostAction::Handler(handler) if handler.once)
            && !shares_dispositions()
        {
            // As the kernel would have: in the child's own dispositions. Where it refuses the handler is called once more.
            let _ = disposition::set_default(signal);
        }
        action
    }

    /// Takes the default action, which ends the process. A fault that recurs does so by itself once the default is the signal's.
    /// Everything else (a sent signal, a breakpoint, a step) is raised once more, with its own siginfo (G3.2, R24): it arrives when
    /// the frame's mask lets it through, before any instruction of the interrupted code.
    ///
    /// # Safety
    /// The signal's siginfo is the kernel's.
    pub(super) unsafe fn die(self, arrived: &Arrived) {
        if self == Self::Child && shares_dispositions() {
            // The default action can only be had by setting it, which would set it in the parent.
            kill_this_process();
            return;
        }
        if !disposition::set_default(arrived.signal) {
            // The fault would enter the entry again, for ever.
            kill_this_process();
        }
        if !arrived.recurs() {
            // Not here: a handler that chains may have left it unblocked. Whatever way out of the fault handler is taken sets the mask.
            mask::change(How::Block, mask::bit(arrived.signal));
            // SAFETY: the siginfo is the kernel's; dying of the signal is what the default action means.
            let sent = unsafe { queue_signal(gettid(), arrived.signal, arrived.info) };
            if sent < 0 {
                // Going on as if nothing was is the one thing that the default action is not.
                kill_this_process();
            }
        }
    }
}

fn shares_dispositions() -> bool {
    origin::process().is_some_and(shares_dispositions_with)
}

/// The chance to raise `EXC_CRASH` before the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Raised,
    /// The thread is in the kernel, or in its fault handler already, or has no slot.
    Unseen,
}

/// Goes on to the fallback. Returns the handler to leave for, or `None`: return from the frame. `slot` is the calling thread's, if it
/// has one.
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread, its registers untouched.
pub(super) unsafe fn go_on(
    entered: &mut Entered,
    arrived: &Arrived,
    slot: Option<Slot>,
    process: Process,
    crash: Crash,
) -> Option<usize> {
    // SAFETY: the caller's promise.
    let arrived = &unsafe { posted(arrived) };
    entered.signal = arrived.signal as usize;
    // SAFETY: the frame's own context.
    let mut context = unsafe { Context::from_raw(entered.context as *mut _) };
    let action = match action_above(arrived, &mut context) {
        Some(action) => action,
        None => process.take_action(arrived.signal, &mut context, entered.chained()),
    };
    let action = match is_forced(arrived, action) {
        true => HostAction::Default,
        false => action,
    };
    if arrived.replaced {
        // XNU's signal for an `int` instruction comes behind it (G1.12).
        context.pass_interrupt();
    }
    match action {
        HostAction::Handler(handler) => {
            // SAFETY: the caller's promise.
            unsafe { place_frame(entered, handler.on_alternate_stack) };
            // SAFETY: the frame's own context.
            let context = unsafe { Context::from_raw(entered.context as *mut _) };
            let looks = match (slot, crash) {
                (Some(slot), Crash::Raised) => crash::look_at_return(slot.header()),
                _ => 0,
            };
            let blocked = context.signal_mask() | handler.mask | looks;
            match slot {
                Some(slot) => {
                    let header = slot.header();
                    // None of the five arrives until the entry has left this stack, and puts both back.
                    mask::change(How::Block, SYNCHRONOUS_MASK);
                    let stack = context.alternate_stack();
                    header.restore.stack.set(match stack.disarms_itself() {
                        true => Stack::NONE,
                        false => stack,
                    });
                    header.restore.mask.set(blocked);
                    entered.restore = core::ptr::from_ref(&header.restore) as usize;
                }
                // A slot's record is its owner's.
                None => {
                    mask::change(How::Set, blocked);
                }
            }
            Some(handler.address)
        }
        HostAction::Ignore if arrived.is_sent() => None,
        // A12.5: XNU drops the signal, and the instruction runs again.
        HostAction::Ignore if arrived.raised.is_some() && posts_xnus() => None,
        // Ignored faults kill on Linux: ignoring a synchronous signal is no answer to a fault (G2.1).
        HostAction::Default | HostAction::Ignore => {
            let mut dies_of = *arrived;
            if let (Some(slot), Crash::Raised) = (slot, crash) {
                // SAFETY: the frame's own context.
                let mut context = unsafe { Context::from_raw(entered.context as *mut _) };
                if crash::raise(slot, &mut context, crash::signal_of(arrived)) {
                    dies_of = arrived.no_longer_recurs();
                }
            }
            // SAFETY: the caller's promise.
            unsafe { process.die(&dies_of) };
            None
        }
    }
}

/// Returns the action that another component has installed over the entry for a signal that is not the system's: the system has not
/// called it, as it would have XNU's. `None` if it was visited before.
fn action_above(arrived: &Arrived, context: &mut Context) -> Option<HostAction> {
    if !arrived.replaced || Visited::from_mark(context.link()).is_some() {
        return None;
    }
    let action = previous::action_above(arrived.signal)?;
    context.set_link(Visited::NONE.to_mark());
    if matches!(action, HostAction::Handler(handler) if handler.once) {
        // As the system would have. Where it refuses the handler is called once more.
        let _ = disposition::set_default(arrived.signal);
    }
    Some(action)
}

/// Puts the frame where the kernel would have put it for a handler that runs on the alternate stack, or does not, had the thread
/// only the alternate stack that is its own. Where that stack cannot take it, the frame stays where it is.
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn place_frame(entered: &mut Entered, on_alternate_stack: bool) {
    // SAFETY: the frame's own context.
    let context = unsafe { Context::from_raw(entered.context as *mut _) };
    let (own, sp) = (context.alternate_stack(), context.stack_pointer());
    let stays = if own.is_disabled() || !own.holds(entered.frame) {
        // On the interrupted stack already.
        true
    } else if region::containing(own.base).is_some() {
        // Lent: as if there was none, unless an application's handler runs on it.
        own.holds(sp)
    } else {
        on_alternate_stack || own.holds(sp)
    };
    if stays {
        return;
    }
    // The interrupted code may have them blocked, or the handler's own mask has. The caller sets the mask that is right afterwards.
    mask::change(How::Unblock, COPY_MASK);
    // SAFETY: the caller's promise.
    if let Some(delta) = unsafe { frame::copy_below(entered.frame, sp) } {
        for address in [&mut entered.frame, &mut entered.info, &mut entered.context] {
            *address = address.wrapping_add(delta);
        }
    }
}
