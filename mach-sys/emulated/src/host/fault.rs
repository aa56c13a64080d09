//! What the fault handler does, on its own stack: classify, ask the layers above, apply what they decided or go on to the host
//! level.
#![allow(unsafe_code)]

use super::classify::{Raised, Trust};
use super::context::Context;
use super::deferred;
use super::entry::{Entered, frame};
use super::previous::{self, Asked, HostAction};
use super::signals::ASYNCHRONOUS_MASK;
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
    if entered.chained() {
        // The mask is that of the handler who called us.
        sys::change_mask(How::Set, ASYNCHRONOUS_MASK);
    }
    if let Some(slot) = slot {
        slot::adopt(slot);
    }
    // SAFETY: the kernel wrote a siginfo and a context for this signal.
    let info = unsafe { &*(entered.info as *const Info) };
    // SAFETY: as above; nobody else knows of the context yet.
    let mut original = unsafe { Context::from_raw(entered.context as *mut _) };
    if original.clear_alignment_check(signal, info.code) {
        return None;
    }
    let raised = classify(&original, info);
    let faulted = Faulted {
        signal,
        slot,
        sent: info.code <= 0,
        recurs: raised.is_some_and(|raised| raised.recurs()),
        asked: if entered.chained() {
            Asked::Below
        } else {
            Asked::All
        },
    };
    if faulted.sent && slot.is_some_and(|slot| deferred::defer(slot, signal, entered.info)) {
        return None;
    }
    if slot.is_none() && !faulted.sent {
        slot::note_exhausted();
    }
    let (Some(slot), Some(raised), false) = (slot, raised, slot::is_forked()) else {
        // SAFETY: the frame is the kernel's own, untouched.
        return unsafe { host_level(entered, faulted) };
    };
    let header = slot::header(slot);
    // Who chains may have been asked by us.
    let declined = header.declined.replace(0);
    if entered.chained() && declined == entered.context {
        // SAFETY: as above.
        return unsafe { host_level(entered, faulted) };
    }
    if header.serving.replace(true) {
        // G2.7: a fault of the handler itself is a bug of the emulation; asking again would never end.
        // SAFETY: the frame is the kernel's.
        unsafe { die(signal, faulted.recurs, entered.info) };
        return None;
    }
    // SAFETY: the frame is the kernel's own, untouched, and the slot the calling thread's.
    let answered = unsafe { answer(entered, original, slot, raised) };
    header.serving.set(false);
    deferred::raise(header);
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
    let (frame, mut context) = if !entered.moved() {
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

/// Serves a fault that a handler passes on who was installed over us, and to whom we return. The answer is the handler below us
/// that he is to go on to.
///
/// # Safety
/// `info` and `context` are what the kernel gave him, or a good imitation.
pub(super) unsafe fn serve_chained(signal: i32, info: usize, context: usize) -> Option<usize> {
    // As in our own handler; his mask comes back at the end.
    let before = sys::change_mask(How::Set, ASYNCHRONOUS_MASK);
    // SAFETY: the caller's promise.
    let next = unsafe { ask_for_another(signal, info, context) };
    sys::change_mask(How::Set, before);
    next
}

/// # Safety
/// As [`serve_chained`].
unsafe fn ask_for_another(signal: i32, info_at: usize, context_at: usize) -> Option<usize> {
    // SAFETY: the caller's promise.
    let info = unsafe { &*(info_at as *const Info) };
    // SAFETY: as above; he does not touch the context before we return.
    let mut context = unsafe { Context::from_raw(context_at as *mut _) };
    if context.clear_alignment_check(signal, info.code) {
        return None;
    }
    let raised = classify(&context, info);
    let slot = slot::of_current();
    if let (Some(raised), Some(slot), false) = (raised, slot, slot::is_forked()) {
        let header = slot::header(slot);
        let declined = header.declined.replace(0) == context_at;
        if !declined && !header.serving.replace(true) {
            // The nested faults of probed copies are all that can happen in here, and they need no stack.
            let verdict = ask(&mut Trap {
                slot,
                raised,
                context: &mut context,
            });
            header.serving.set(false);
            deferred::raise(header);
            if verdict == Verdict::Resume {
                return None;
            }
        }
    }
    let sent = info.code <= 0;
    match previous::take_action(signal, Asked::Below) {
        HostAction::Handler(handler) => Some(handler.address),
        HostAction::Ignore if sent => None,
        HostAction::Default | HostAction::Ignore => {
            let recurs = raised.is_some_and(|raised| raised.recurs());
            // SAFETY: the siginfo is the kernel's, or a good imitation.
            unsafe { die(signal, recurs, info_at) };
            None
        }
    }
}

/// What the signal stands for. Neither sent signals nor code of another width raise exceptions (G1.1, R20).
fn classify(context: &Context, info: &Info) -> Option<Raised> {
    match info.code > 0 && context.is_native_code() {
        true => context.classify(info.signal, info.code, info.address, trust()),
        false => None,
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
    asked: Asked,
}

/// `SS_AUTODISARM`: the kernel disarmed the stack when it delivered.
const AUTODISARM: i32 = 1 << 31;

/// Goes on to what was installed before us, from the untouched original frame (G3).
///
/// # Safety
/// `entered` describes the kernel's own frame for the calling thread.
unsafe fn host_level(entered: &mut Entered, faulted: Faulted) -> Option<usize> {
    match previous::take_action(faulted.signal, faulted.asked) {
        HostAction::Handler(handler) => {
            // SAFETY: the caller's promise.
            unsafe { place_frame(entered, faulted.slot, handler.on_alternate_stack) };
            // SAFETY: the frame's own context.
            let context = unsafe { Context::from_raw(entered.context as *mut _) };
            let mask = context.signal_mask() | handler.mask;
            if let (Some(slot), Asked::All) = (faulted.slot, faulted.asked) {
                // Should he chain to us, it is known that we were asked.
                slot::header(slot).declined.set(entered.context);
            }
            match faulted.slot {
                Some(slot) if entered.moved() => {
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
            unsafe { die(faulted.signal, faulted.recurs, entered.info) };
            None
        }
    }
}

/// Makes the default action the signal's. A fault that recurs then ends the process by itself. Everything else — a sent signal, a
/// breakpoint, a step — is raised once more, with its own siginfo (G3.2, R24): it arrives when the frame's mask lets it through,
/// before any instruction of the interrupted code.
///
/// # Safety
/// `info` is the kernel's siginfo of the signal.
unsafe fn die(signal: i32, recurs: bool, info: usize) {
    previous::set_default(signal);
    if !recurs {
        // SAFETY: the siginfo is the kernel's; dying of the signal is what the default action means.
        unsafe { sys::queue_signal(slot::gettid(), signal, info) };
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
    if let Some(filled) = told.or_else(super::copy::hardware_words_are_filled_in) {
        SIGNAL_ONLY.store(!filled, Ordering::Relaxed);
    }
}
