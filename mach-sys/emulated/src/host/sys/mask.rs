//! The calling thread's signal mask.
#![allow(unsafe_code)]

use super::call::call;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use mach_wire::darwin::DarwinSignal;

/// A signal mask as the kernel has it: bit n − 1 for signal n.
pub(in crate::host) type Mask = u64;

/// Returns the bit of a signal in a mask.
pub(in crate::host) const fn bit(signal: i32) -> Mask {
    1 << (signal - 1)
}

/// The signals that a thread's own faults raise.
pub(in crate::host) const SYNCHRONOUS: [i32; 5] = DarwinSignal::SYSTEM_FAULTS;

/// The mask of [`SYNCHRONOUS`].
pub(in crate::host) const SYNCHRONOUS_MASK: Mask = {
    let mut mask = 0;
    let mut index = 0;
    while index < SYNCHRONOUS.len() {
        mask |= bit(SYNCHRONOUS[index]);
        index += 1;
    }
    mask
};

/// The signals that a probed copy of bad memory raises: where one is blocked, the copy kills.
pub(in crate::host) const COPY_MASK: Mask = bit(libc::SIGSEGV) | bit(libc::SIGBUS);

/// The signal by which the C library's `setuid` reaches every thread: a thread that waits with it blocked would hold that up.
const SETXID: i32 = 33;

/// All signals but that one.
pub(in crate::host) const ALL_MASK: Mask = !bit(SETXID);

/// All signals but the five of [`SYNCHRONOUS`] and that one.
pub(in crate::host) const ASYNCHRONOUS_MASK: Mask = ALL_MASK & !SYNCHRONOUS_MASK;

/// The signal that reaches a thread that is to be suspended; 0 while there is none.
static SUSPENSION: AtomicI32 = AtomicI32::new(0);

/// Sets the signal that reaches a thread that is to be suspended; 0 for none.
pub(in crate::host) fn set_suspension(signal: i32) {
    SUSPENSION.store(signal, Ordering::Release);
}

/// Returns the signal that reaches a thread that is to be suspended; 0 while there is none.
pub(in crate::host) fn suspension() -> i32 {
    SUSPENSION.load(Ordering::Acquire)
}

/// Returns the mask of that signal.
pub(in crate::host) fn suspension_mask() -> Mask {
    match suspension() {
        0 => 0,
        signal => bit(signal),
    }
}

/// Signals that the fault handler blocks from its first instruction on. Never the two that a probed copy raises, nor that of a
/// step. No other code has all of these blocked, with one of the others unblocked: the first contain a signal that the C library keeps to
/// itself, and a server's thread takes the last two.
///
/// Without the two signals that cannot be blocked: the kernel leaves them out of a frame's mask.
pub(in crate::host) const HANDLER_MASK: Mask =
    ASYNCHRONOUS_MASK & !bit(libc::SIGKILL) & !bit(libc::SIGSTOP)
        | bit(libc::SIGILL)
        | bit(libc::SIGFPE);

/// True if a signal handler ran in a fault handler's wait.
static WAIT_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes that a signal interrupted the wait of a fault handler. Only the five can be delivered there, unless another component changed
/// the fault handler's mask: blocks all others for the rest of the wait.
pub(crate) fn wait_was_interrupted() {
    WAIT_INTERRUPTED.store(true, Ordering::Relaxed);
    change(How::Block, HANDLER_MASK);
}

/// Returns whether that happened since the last question.
pub(in crate::host) fn was_a_wait_interrupted() -> bool {
    WAIT_INTERRUPTED.load(Ordering::Relaxed) && WAIT_INTERRUPTED.swap(false, Ordering::Relaxed)
}

/// Returns the place of a signal in [`SYNCHRONOUS`], if it is one of them.
pub(in crate::host) fn index(signal: i32) -> Option<usize> {
    SYNCHRONOUS.iter().position(|known| *known == signal)
}

/// All signals are blocked on the calling thread until this is dropped, but the five.
#[derive(Debug)]
pub(crate) struct AllBlocked(Mask);

impl AllBlocked {
    pub(crate) fn begin() -> Self {
        Self(change(How::Block, ASYNCHRONOUS_MASK))
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        change(How::Set, self.0);
    }
}

/// Combination that [`change`] applies.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) enum How {
    Block = 0,
    Unblock = 1,
    Set = 2,
}

/// Changes the calling thread's signal mask and returns the old one.
pub(in crate::host) fn change(how: How, mask: Mask) -> Mask {
    let mut old: Mask = 0;
    let (new, old_at) = (
        core::ptr::from_ref(&mask) as usize,
        core::ptr::from_mut(&mut old) as usize,
    );
    // SAFETY: the kernel reads one mask and writes one, of the size given.
    unsafe {
        call(
            libc::SYS_rt_sigprocmask,
            [how as usize, new, old_at, size_of::<Mask>(), 0, 0],
        )
    };
    old
}
