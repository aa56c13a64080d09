//! The signal that arrived, classified.
#![allow(unsafe_code)]

use crate::host::context::Context;
use crate::host::context::classify::{Raised, Trust};
use crate::host::sys::copy;
use core::sync::atomic::{AtomicBool, Ordering};

/// True if the hardware's words are not filled in on this system. Set by [`probe`].
static SIGNAL_ONLY: AtomicBool = AtomicBool::new(false);

/// Notes whether this system fills the hardware's words in: the configuration says so, or one fault tells (R22).
pub(in crate::host) fn probe(told: Option<bool>) {
    if let Some(filled) = told.or_else(copy::hardware_words_are_filled_in) {
        SIGNAL_ONLY.store(!filled, Ordering::Relaxed);
    }
}

fn trust() -> Trust {
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

/// Reads the code and the address of a signal.
///
/// # Safety
/// `info` is the address of a siginfo, or of room for one.
pub(super) unsafe fn code_and_address(info: usize) -> (i32, u64) {
    // SAFETY: the caller's promise.
    let info = unsafe { &*(info as *const Info) };
    (info.code, info.address)
}

/// A signal that arrived: a fault, or a sent one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) signal: i32,
    /// `si_code`.
    code: i32,
    /// Address of its siginfo.
    pub(super) info: usize,
    /// The exception that it means. Neither sent signals nor code of another width raise any (G1.1, R20).
    pub(super) raised: Option<Raised>,
    /// Another signal than the system's.
    pub(super) replaced: bool,
}

/// Writes the siginfo of a signal that the kernel delivered without one, as far as the context tells: another component put the entry
/// back without `SA_SIGINFO`. Returns the signal's code if there was none.
///
/// # Safety
/// `info` is where a frame that the kernel just wrote has its siginfo, and `context` the context in that frame.
pub(super) unsafe fn mend_info(signal: i32, info: usize, context: &Context) -> Option<i32> {
    // SAFETY: the caller's promise: the frame has room for one, whatever lies there.
    let there = unsafe { &mut *(info as *mut Info) };
    // What lies there may be that of an earlier signal.
    let is_there =
        there.signal == signal && context.may_come_with(signal, there.code, there.address);
    if is_there {
        return None;
    }
    let (code, address) = context.described(signal, trust()).unwrap_or_default();
    *there = Info {
        signal,
        errno: 0,
        code,
        pad: 0,
        address,
    };
    Some(code)
}

/// Ends the probed copy that a fault interrupted, if it did. Returns whether that is so.
pub(super) fn end_copy(signal: i32, code: i32, context: &mut Context) -> bool {
    match copy::ended_by(signal, code, context.program_counter()) {
        Some((end, outcome)) => {
            context.end_copy(end, outcome);
            true
        }
        None => false,
    }
}

impl Arrived {
    /// Classifies a signal. `None`: the fault was mended in the context, which is to be returned to (G1.9).
    ///
    /// # Safety
    /// `info` is the address of the kernel's siginfo, or of a good imitation, and `context` the context that came with it.
    pub(super) unsafe fn new(signal: i32, info: usize, context: &mut Context) -> Option<Self> {
        // SAFETY: the caller's promise.
        let at = unsafe { &*(info as *const Info) };
        if context.clear_alignment_check(signal, at.code) {
            return None;
        }
        let raised = match at.code > 0 && context.is_native_code() {
            true => context.classify(at.signal, at.code, at.address, trust()),
            false => None,
        };
        Some(Self {
            signal,
            code: at.code,
            info,
            raised,
            replaced: false,
        })
    }

    /// Forgets the siginfo, when the signal is over and nothing looks at it again: a signal that the kernel delivers without one, at the
    /// same place, would be taken for this one.
    ///
    /// # Safety
    /// It is still where it was, in a frame of the calling thread's.
    pub(super) unsafe fn forget_info(&self) {
        // SAFETY: the caller's promise.
        unsafe { (*(self.info as *mut Info)).signal = 0 };
    }

    /// Makes it another signal, in its siginfo, too.
    ///
    /// # Safety
    /// The siginfo is still where it was, in a frame of the calling thread's that nothing else looks at now.
    pub(super) unsafe fn become_signal(&self, signal: i32, code: i32) -> Self {
        // SAFETY: the caller's promise.
        let there = unsafe { &mut *(self.info as *mut Info) };
        (there.signal, there.code) = (signal, code);
        Self {
            signal,
            code,
            replaced: true,
            ..*self
        }
    }

    /// Returns it as one that has to be sent once more to end the process: the interrupted registers may have been changed since.
    pub(super) fn no_longer_recurs(&self) -> Self {
        Self {
            replaced: true,
            ..*self
        }
    }

    /// Returns whether a thread or process sent it.
    pub(super) fn is_sent(&self) -> bool {
        self.code <= 0
    }

    /// Returns whether it is a single step.
    pub(super) fn is_step(&self) -> bool {
        const TRAP_TRACE: i32 = 2;
        self.signal == libc::SIGTRAP && self.code == TRAP_TRACE
    }

    /// Returns whether the interrupted instruction runs into it again by itself: into this very signal.
    pub(super) fn recurs(&self) -> bool {
        !self.replaced && self.raised.is_some_and(|raised| raised.recurs())
    }
}
