//! What a thread has of its host: its alternate signal stack, and which of the signals that its faults raise are blocked.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use mach_sys::kernel::system;

/// The signals that a thread's own faults raise: all that [`system::prepare_for_faults`] may unblock.
const FAULTS: [i32; 5] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGFPE,
    libc::SIGBUS,
    libc::SIGSEGV,
];

/// The calling thread at one moment.
struct Look {
    stack: libc::stack_t,
    blocked: libc::sigset_t,
}

impl Look {
    fn now() -> Self {
        let mut stack = MaybeUninit::zeroed();
        let mut blocked = MaybeUninit::zeroed();
        // SAFETY: both calls only write what they are asked for, and neither fails with these arguments; zeroes are valid for both
        // types all the same.
        unsafe {
            libc::sigaltstack(core::ptr::null(), stack.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), blocked.as_mut_ptr());
            Self {
                stack: stack.assume_init(),
                blocked: blocked.assume_init(),
            }
        }
    }

    fn blocks(&self, signal: i32) -> bool {
        // SAFETY: an initialised set and a signal that there is.
        unsafe { libc::sigismember(&self.blocked, signal) == 1 }
    }

    fn is_disabled(&self) -> bool {
        self.stack.ss_flags & libc::SS_DISABLE != 0
    }

    fn same_stack(&self, other: &Self) -> bool {
        // The address of a stack that is disabled means nothing.
        (self.is_disabled() && other.is_disabled())
            || (self.is_disabled() == other.is_disabled()
                && self.stack.ss_sp == other.stack.ss_sp
                && self.stack.ss_size == other.stack.ss_size)
    }
}

/// What making a thread ready for faults changed, to be undone when it is given back (R5).
pub(crate) struct HostState {
    before: Look,
    after: Look,
}

impl HostState {
    /// Makes the calling thread ready, and notes what that changed.
    pub(crate) fn prepare() -> Self {
        let before = Look::now();
        system::prepare_for_faults();
        Self {
            before,
            after: Look::now(),
        }
    }

    /// Undoes it, and nothing else: what the thread's owner arranged meanwhile stays.
    pub(crate) fn undo(&self) {
        let Self { before, after } = self;
        if !before.same_stack(after) && Look::now().same_stack(after) {
            // SAFETY: what was registered when the thread was made ready, which is nothing or a stack that its owner keeps; a thread
            // that runs on its alternate stack just now keeps what it has: the kernel refuses.
            unsafe { libc::sigaltstack(&before.stack, core::ptr::null_mut()) };
        }
        let mut again = MaybeUninit::zeroed();
        // SAFETY: the set is initialised first; the signals are ones that there are, and the calling thread had them blocked.
        unsafe {
            libc::sigemptyset(again.as_mut_ptr());
            for signal in FAULTS {
                if before.blocks(signal) && !after.blocks(signal) {
                    libc::sigaddset(again.as_mut_ptr(), signal);
                }
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, again.as_ptr(), core::ptr::null_mut());
        }
    }
}
