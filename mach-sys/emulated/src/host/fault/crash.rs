//! `EXC_CRASH`, on the thread that ends the process (A14).
//!
//! The first such thread raises it, and waits for the answer. Then it ends the process, whatever that was.
#![allow(unsafe_code)]

use super::arrived::Arrived;
use super::chained::slot_of_caller;
use super::fallback::Process;
use super::posted;
use super::previous;
use super::trap::{Then, Trap, ask_in};
use crate::config::{CrashPolicy, Generation};
use crate::host::context::Context;
use crate::host::context::classify::Raised;
use crate::host::slot::header::Header;
use crate::host::slot::held;
use crate::host::slot::region::Slot;
use crate::host::sys::mask::{self, HANDLER_MASK, How, Mask};
use crate::host::sys::status::is_traced;
use crate::host::sys::switch::call_on;
use crate::host::sys::thread::{gettid, kill_this_process, send_signal};
use crate::host::sys::{clock, futex, signals};
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use core::time::Duration;
use mach_wire::darwin::DarwinSignal;
use mach_wire::exception::{CrashCode, EXC_BREAKPOINT, EXC_CRASH, ExceptionType};

/// A [`CrashPolicy`]. Set at the start.
static POLICY: AtomicU8 = AtomicU8::new(CrashPolicy::Off as u8);

/// The system's identifier of the thread that ends the process; 0 while none does.
static ENDING: AtomicU32 = AtomicU32::new(0);

/// True if the handler of `SIGABRT` was installed.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The longest time that a second thread waits for the first one's end: the first may wait for an answer of the second.
const LIMIT: Duration = Duration::from_secs(30);

/// All signals: none of the process's is let through while it ends.
const ALL: Mask = Mask::MAX;

/// Notes the policy, and takes the signal of `abort` where it has the default action and `EXC_CRASH` is raised.
pub(in crate::host) fn start(policy: CrashPolicy, generation: Generation) {
    POLICY.store(policy as u8, Ordering::Relaxed);
    BREAKPOINTS.store(generation >= Generation::MacOs26, Ordering::Relaxed);
    ENDING.store(0, Ordering::Relaxed);
    let taken = is_on()
        && signals::is_default(libc::SIGABRT)
        && signals::install(libc::SIGABRT, aborted_at(), HANDLER_MASK);
    signals::note_deadly(if taken { aborted_at() } else { 0 });
    TAKEN.store(taken, Ordering::Relaxed);
}

/// Gives the signal back. Returns it if another handler is installed for it, which may chain to the emulation's.
pub(in crate::host) fn stop() -> Option<i32> {
    POLICY.store(CrashPolicy::Off as u8, Ordering::Relaxed);
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return None;
    }
    signals::note_deadly(0);
    match signals::handler(libc::SIGABRT) {
        Some(handler) if handler == aborted_at() => {
            signals::reset(libc::SIGABRT);
            None
        }
        Some(libc::SIG_DFL | libc::SIG_IGN) => None,
        _ => Some(libc::SIGABRT),
    }
}

fn aborted_at() -> usize {
    aborted as unsafe extern "C" fn(i32, *mut c_void, *mut c_void) as usize
}

fn is_on() -> bool {
    POLICY.load(Ordering::Relaxed) != CrashPolicy::Off as u8
}

/// Returns whether receivers in this process get `EXC_CRASH`, which XNU passes over (A1.7).
pub(crate) fn reaches_own_receivers() -> bool {
    POLICY.load(Ordering::Relaxed) == CrashPolicy::OwnReceivers as u8
}

/// Stores an exception that becomes a signal (A12.5, A12.14).
pub(super) fn store(header: &Header, raised: &Raised) {
    header.stored.set(raised.exception, raised.codes);
}

/// Makes the calling thread, which leaves its fault for a handler of the program's, look when that returns: the handler may have set the default
/// action, as that of Rust's standard library does, and then the same fault would end the process without a word. Returns what the handler is
/// to have blocked.
pub(super) fn look_at_return(header: &Header) -> Mask {
    let signal = mask::suspension();
    if !is_on() || signal == 0 || send_signal(gettid(), signal) < 0 {
        return 0;
    }
    header.looks_at_return.set(true);
    mask::bit(signal)
}

/// The suspension signal came: if it was sent for it, looks whether the default action was set meanwhile.
pub(super) fn handler_returned(header: &Header) {
    if header.looks_at_return.replace(false) {
        previous::take_defaults();
    }
}

/// Returns the signal that XNU would end the process by.
pub(super) fn signal_of(arrived: &Arrived) -> DarwinSignal {
    let posted = arrived.raised.as_ref().and_then(posted::signal_of);
    match posted.unwrap_or(arrived.signal) {
        libc::SIGSEGV => DarwinSignal::SEGV,
        libc::SIGBUS => DarwinSignal::BUS,
        libc::SIGILL => DarwinSignal::ILL,
        libc::SIGFPE => DarwinSignal::FPE,
        libc::SIGTRAP => DarwinSignal::TRAP,
        _ => DarwinSignal::ABRT,
    }
}

/// Raises `EXC_CRASH` on the calling thread, which then ends the process by the signal. On the emulation's own stack. Returns whether it was
/// raised.
pub(super) fn raise(slot: Slot, context: &mut Context, signal: DarwinSignal) -> bool {
    if !is_on() || !is_first() {
        return false;
    }
    let (exception, [code, subcode]) = slot.header().stored.get();
    let crash = CrashCode {
        signal: signal.raw() as u32,
        exception: ExceptionType::new(exception),
        code: code as u32,
        subcode,
    };
    let mut trap = Trap {
        slot: slot.id(),
        raised: Raised {
            exception: EXC_CRASH,
            codes: crash.encode(),
        },
        context,
    };
    // A14.2: the answer decides nothing.
    let _ = ask_in(slot, ALL, &mut trap, Then::EndsProcess);
    true
}

/// True if a `brk` of a part of its range ends the process, since macOS 26 (F6.7).
static BREAKPOINTS: AtomicBool = AtomicBool::new(false);

/// Returns whether the kernel ends the process at a breakpoint, unless it is debugged: no exception is raised (F6.7).
pub(super) fn is_fatal_breakpoint(raised: &Raised, context: &Context) -> bool {
    raised.exception == EXC_BREAKPOINT
        && BREAKPOINTS.load(Ordering::Relaxed)
        && context.is_at_fatal_breakpoint()
        && is_traced() != Some(true)
}

/// Ends the process so, with an `EXC_CRASH` of the kernel's own end.
pub(super) fn end_at_breakpoint(slot: Slot, context: &mut Context, raised: &Raised) -> ! {
    store(slot.header(), raised);
    raise(slot, context, DarwinSignal::KILL);
    loop {
        kill_this_process();
    }
}

/// Returns whether the calling thread is the first to end the process. Another one waits for the end (A14.1).
fn is_first() -> bool {
    let this = gettid();
    match ENDING.compare_exchange(0, this, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => true,
        Err(first) => {
            if first != this {
                let end = clock::nanoseconds() + LIMIT.as_nanos() as u64;
                while clock::nanoseconds() < end {
                    futex::wait(&ENDING, first, Some(LIMIT));
                }
            }
            false
        }
    }
}

/// Does what [`raise`] does in a signal handler that is not on the emulation's own stack, if the thread is neither in the kernel nor in its fault
/// handler. With the fault handler's mask set.
pub(super) fn raise_in_handler(slot: Slot, context: &mut Context, signal: DarwinSignal) -> bool {
    let header = slot.header();
    if !is_on() || header.serving.get() || header.is_in_kernel() {
        return false;
    }
    header.serving.set(true);
    held::begin_to_keep(header);
    let stack = slot.private_stack();
    // SAFETY: nothing runs on the fault handler's own stack: the thread is not in it, by the check above. `raise` does not unwind.
    let raised = unsafe { call_on(&stack, HANDLER_MASK, || raise(slot, context, signal)) };
    header.serving.set(false);
    raised == Some(true)
}

/// The handler of `SIGABRT`.
///
/// # Safety
/// The system calls it, with a siginfo and a context.
unsafe extern "C" fn aborted(signal: i32, info: *mut c_void, context: *mut c_void) {
    mask::change(How::Set, HANDLER_MASK);
    // SAFETY: the system's own context, which nothing else knows of.
    let mut context = unsafe { Context::from_raw(context) };
    let process = Process::current();
    if process == Process::Own {
        if let Some(slot) = slot_of_caller(&context) {
            raise_in_handler(slot, &mut context, DarwinSignal::ABRT);
        }
    }
    // SAFETY: the system's own siginfo.
    if let Some(arrived) = unsafe { Arrived::new(signal, info as usize, &mut context) } {
        // SAFETY: as above.
        unsafe { process.die(&arrived) };
    }
}
