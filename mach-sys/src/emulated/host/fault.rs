//! What the fault handler does, on its own stack: classify, ask the layers above, apply what they decided or go on to the host
//! level.
#![allow(unsafe_code)]

use super::classify::{Raised, Trust};
use super::context::Context;
use super::entry::{Entered, frame};
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

/// Serves a fault. The answer is the handler to leave for, in whose favour `entered` was changed, or `None`: the frame in `entered`
/// is to be returned from.
///
/// # Safety
/// `entered` describes a signal frame that the kernel just wrote for the calling thread.
pub(super) unsafe fn serve(entered: &mut Entered) -> Option<usize> {
    let signal = entered.signal as i32;
    let slot = slot::containing(entered.slot);
    if let Some(slot) = slot {
        slot::adopt(slot, slot::gettid());
    }
    // SAFETY: the kernel wrote a siginfo and a context for this signal.
    let info = unsafe { &*(entered.info as *const Info) };
    let sent = info.code <= 0;
    // SAFETY: as above; nobody else knows of the context yet.
    let original = unsafe { Context::from_raw(entered.context as *mut _) };
    // Neither sent signals nor code of another width raise exceptions (G1.1, R20).
    let raised = match !sent && original.is_native_code() {
        true => original.classify(signal, info.code, info.address, trust()),
        false => None,
    };
    let faulted = Faulted {
        signal,
        slot,
        sent,
        recurs: raised.is_some_and(|raised| raised.recurs()),
    };
    if slot.is_none() && !sent {
        slot::note_exhausted();
    }
    let (Some(slot), Some(raised), false) = (slot, raised, slot::is_forked()) else {
        // SAFETY: the frame is the kernel's own, untouched.
        return unsafe { host_level(entered, faulted) };
    };
    let serving = slot::header(slot).serving.replace(true);
    if serving {
        // G2.7: a fault of the handler itself is a bug of the emulation; asking again would never end.
        // SAFETY: the frame is the kernel's.
        unsafe { die(entered, faulted) };
        return None;
    }
    // SAFETY: the frame is the kernel's own, untouched, and the slot the calling thread's.
    let answered = unsafe { answer(entered, original, slot, raised) };
    slot::header(slot).serving.set(false);
    match answered {
        Some(frame) => {
            entered.frame = frame;
            None
        }
        // SAFETY: when nobody answered, the frame was not touched.
        None => unsafe { host_level(entered, faulted) },
    }
}

/// Asks the layers above. The answer is the frame to return from; `None` when nobody wanted the fault.
///
/// # Safety
/// `original` is the context in the kernel's frame that `entered` describes, and `slot` the calling thread's.
unsafe fn answer(
    entered: &Entered,
    original: Context,
    slot: SlotId,
    raised: Raised,
) -> Option<usize> {
    let (frame, mut context) = if entered.moved == 0 {
        (entered.frame, original)
    } else {
        // SAFETY: a live frame of the kernel's, and the calling thread's own slot. A frame larger than the copy area is nobody's:
        // without a copy a redirect could write over it.
        let delta = unsafe { frame::copy_to_slot(entered.frame, slot::address(slot)) }?;
        let address = entered.context.wrapping_add(delta);
        // SAFETY: the copy is a context like the original, and this handler's own.
        let mut copy = unsafe { Context::from_raw(address as *mut _) };
        lend_stack(&mut copy, slot);
        (entered.frame.wrapping_add(delta), copy)
    };
    let mut trap = Trap {
        slot,
        raised,
        context: &mut context,
    };
    match ask(&mut trap) {
        Verdict::Resume => Some(frame),
        Verdict::HostLevel => None,
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

/// A fault, or a sent signal, on its way to the host level.
#[derive(Clone, Copy, Debug)]
struct Faulted {
    signal: i32,
    slot: Option<SlotId>,
    sent: bool,
    /// The interrupted instruction runs into it again by itself.
    recurs: bool,
}

/// `SS_AUTODISARM`: the kernel disarmed the stack when it delivered.
const AUTODISARM: i32 = 1 << 31;

/// Goes on to what was installed before us, from the untouched original frame (G3).
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn host_level(entered: &mut Entered, faulted: Faulted) -> Option<usize> {
    match previous::take_action(faulted.signal) {
        HostAction::Handler(handler) => {
            // SAFETY: the caller's promise.
            unsafe { place_frame(entered, faulted.slot, handler.on_alternate_stack) };
            // SAFETY: the frame's own context.
            let context = unsafe { Context::from_raw(entered.context as *mut _) };
            let mask = context.signal_mask() | handler.mask;
            match faulted.slot {
                Some(slot) if entered.moved != 0 => {
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
            Some(handler.address)
        }
        HostAction::Ignore if faulted.sent => None,
        // Ignored faults kill on Linux: ignoring a synchronous signal is no answer to a fault (G2.1).
        HostAction::Default | HostAction::Ignore => {
            // SAFETY: the caller's promise.
            unsafe { die(entered, faulted) };
            None
        }
    }
}

/// Makes the default action the signal's. A fault that recurs then ends the process by itself. Everything else — a sent signal, a
/// breakpoint, a step — is raised once more, with its own siginfo (G3.2, R24): it arrives when the frame's mask lets it through,
/// before any instruction of the interrupted code.
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn die(entered: &Entered, faulted: Faulted) {
    previous::set_default(faulted.signal);
    if !faulted.recurs {
        // SAFETY: the siginfo is the kernel's; dying of the signal is what the default action means.
        unsafe { sys::queue_signal(slot::gettid(), faulted.signal, entered.info) };
    }
}

/// Puts the frame where the kernel would have put it for a handler that runs on the alternate stack, or does not, had the thread
/// only the alternate stack that is its own. Where that stack cannot take it, the frame stays where it is.
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn place_frame(entered: &mut Entered, slot: Option<SlotId>, on_alternate_stack: bool) {
    // SAFETY: the frame's own context.
    let context = unsafe { Context::from_raw(entered.context as *mut _) };
    let (own, sp) = (context.alternate_stack(), context.stack_pointer());
    let within = |stack: Stack| sp.wrapping_sub(stack.base) <= stack.size;
    let stays = if own.flags & SS_DISABLE != 0 {
        // On the interrupted stack already.
        true
    } else if slot.is_some_and(|slot| own.base == slot::lent_stack(slot).base) {
        // Ours: as if there was none, unless an application's handler runs on it.
        within(own)
    } else {
        on_alternate_stack || within(own)
    };
    if stays {
        return;
    }
    // SAFETY: the caller's promise.
    if let Some(delta) = unsafe { frame::copy_below(entered.frame, sp) } {
        for address in [&mut entered.frame, &mut entered.info, &mut entered.context] {
            *address = address.wrapping_add(delta);
        }
    }
}

/// Whether this host fills the hardware's words in: who set us up says so, or one fault tells (R22).
pub(super) fn probe(told: Option<bool>) {
    if let Some(filled) = told.or_else(super::context::probe_hardware_words) {
        SIGNAL_ONLY.store(!filled, Ordering::Relaxed);
    }
}
