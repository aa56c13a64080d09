//! What the fault handler does, on its own stack: classify, ask the layers above, apply what they decided or go on to the host
//! level.
#![allow(unsafe_code)]

use super::classify::{Raised, Trust};
use super::context::Context;
use super::entry::{self, Entered, Leave};
use super::previous::{self, HostAction};
use super::slot::{self, SlotId};
use super::sys::{self, How, SS_DISABLE, Stack};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A thread faulted.
#[derive(Debug)]
pub(crate) struct Trap<'a> {
    /// The thread.
    pub(crate) slot: SlotId,
    pub(crate) raised: Raised,
    /// Its registers: the thread resumes with what they are afterwards.
    pub(crate) context: &'a mut Context,
}

/// What the layers above decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The thread goes on with its registers as they are now.
    Resume,
    /// Nobody wanted it.
    HostLevel,
}

/// The layers above: an `fn(&mut Trap) -> Verdict`, as a number; 0 before it was set.
static HOOK: AtomicUsize = AtomicUsize::new(0);

pub(super) fn set_hook(hook: fn(&mut Trap<'_>) -> Verdict) {
    HOOK.store(hook as usize, Ordering::Release);
}

fn ask(trap: &mut Trap<'_>) -> Verdict {
    match HOOK.load(Ordering::Acquire) {
        0 => Verdict::HostLevel,
        hook => {
            // SAFETY: the only other value ever stored is a function of this type.
            let hook: fn(&mut Trap<'_>) -> Verdict = unsafe { core::mem::transmute(hook) };
            hook(trap)
        }
    }
}

/// Whether the hardware's words can be trusted: set by [`probe`].
static SIGNAL_ONLY: AtomicBool = AtomicBool::new(false);

pub(super) fn trust() -> Trust {
    if SIGNAL_ONLY.load(Ordering::Relaxed) {
        Trust::SignalOnly
    } else {
        Trust::Hardware
    }
}

/// The kernel's siginfo, as far as it is looked at.
#[repr(C)]
struct Info {
    signal: i32,
    errno: i32,
    code: i32,
    pad: i32,
    address: u64,
}

/// Serves a fault.
///
/// # Safety
/// `entered` describes a signal frame that the kernel just wrote for the calling thread.
pub(super) unsafe fn serve(entered: &Entered) -> Leave {
    let signal = entered.signal as i32;
    let slot = slot::containing(entered.slot);
    let moved = entered.moved != 0;
    if let (Some(slot), true) = (slot, moved) {
        // First of all: a nested fault would start over the live frame otherwise.
        // SAFETY: this runs on the private part; nothing else uses it while it is registered.
        let _ = unsafe { sys::set_alternate_stack(&slot::private_stack(slot)) };
    }
    // SAFETY: the kernel wrote a siginfo and a context for this signal.
    let info = unsafe { &*(entered.info as *const Info) };
    // SAFETY: as above; nobody else knows of them yet.
    let original = unsafe { Context::from_raw(entered.context as *mut _) };
    let decline = || {
        // SAFETY: the frame is the kernel's own, untouched.
        unsafe { host_level(entered, slot, moved, signal, info) }
    };
    // Sent signals, code of another width, the child of a fork: nothing of it is an exception (G1.1, R20).
    if info.code <= 0 || !original.is_native_code() || slot::FORKED.load(Ordering::Relaxed) {
        return decline();
    }
    let Some(slot) = slot else {
        slot::EXHAUSTED.fetch_add(1, Ordering::Relaxed);
        return decline();
    };
    if slot::tid(slot) == 0 {
        // Claimed by the entry just now: a thread never seen before.
        slot::adopt(slot, slot::gettid());
    }
    let Some(raised) = original.classify(signal, info.code, info.address, trust()) else {
        return decline();
    };
    let (frame, mut context) = if moved {
        // SAFETY: a live frame of the kernel's, and the calling thread's own slot.
        match unsafe { entry::copy_frame(entered.frame, slot::address(slot)) } {
            Some(delta) => {
                let address = entered.context.wrapping_add(delta);
                // SAFETY: the copy is a context like the original, and this handler's own.
                let mut copy = unsafe { Context::from_raw(address as *mut _) };
                lend_stack(&mut copy, slot);
                (entered.frame.wrapping_add(delta), copy)
            }
            // A frame larger than the copy area: without a copy a redirect could write over it.
            None => return decline(),
        }
    } else {
        (entered.frame, original)
    };
    let mut trap = Trap {
        slot,
        raised,
        context: &mut context,
    };
    match ask(&mut trap) {
        Verdict::Resume => Leave { frame, handler: 0 },
        Verdict::HostLevel => decline(),
    }
}

/// A thread without an alternate stack keeps the lent one from now on; everybody else gets back what he had.
fn lend_stack(context: &mut Context, slot: SlotId) {
    let mut stack = context.alternate_stack();
    if stack.flags & SS_DISABLE != 0 {
        stack = slot::lent_stack(slot);
        context.set_alternate_stack(stack);
    }
}

/// `SS_AUTODISARM`: the kernel disarmed the stack when it delivered.
const AUTODISARM: i32 = 1 << 31;

/// Goes on to what was installed before us, from the untouched original frame (G3).
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn host_level(
    entered: &Entered,
    slot: Option<SlotId>,
    moved: bool,
    signal: i32,
    info: &Info,
) -> Leave {
    let back = Leave {
        frame: entered.frame,
        handler: 0,
    };
    // SAFETY: the frame's own context.
    let context = unsafe { Context::from_raw(entered.context as *mut _) };
    let sent = info.code <= 0;
    match previous::take_action(signal) {
        HostAction::Handler { address, mask } => {
            let mask = context.signal_mask() | mask;
            match slot {
                Some(slot) if moved => {
                    let mut stack = context.alternate_stack();
                    if stack.flags & AUTODISARM != 0 {
                        stack = Stack {
                            flags: SS_DISABLE,
                            ..Stack::default()
                        };
                    }
                    // The entry puts both back once it has left the private part.
                    let header = slot::header(slot);
                    header.restore_stack.set(stack);
                    header.restore_mask.set(mask);
                }
                _ => {
                    sys::change_mask(How::Set, mask);
                }
            }
            Leave {
                frame: entered.frame,
                handler: address,
            }
        }
        HostAction::Ignore if sent => back,
        HostAction::Default | HostAction::Ignore => {
            // Ignored faults kill on Linux: ignoring a synchronous signal is no answer to a fault (G2.1).
            previous::set_default(signal);
            if sent || !context.recurs(signal) {
                // It would not happen again by itself: raised once more, with its own siginfo (G3.2). It arrives when the frame's
                // mask lets it through, before any instruction of the interrupted code.
                // SAFETY: the siginfo is the kernel's; dying of the signal is what the default action means.
                unsafe { sys::queue_signal(slot::gettid(), signal, entered.info) };
            }
            back
        }
    }
}

/// One fault at the start tells whether this host fills the hardware's words in (R22).
pub(super) fn probe() {
    if let Some(filled) = super::context::probe_hardware_words() {
        SIGNAL_ONLY.store(!filled, Ordering::Relaxed);
    }
}
