//! The entry's calls into the fault handler: their arguments, and the functions called.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// Arguments of the entry's call into Rust. The call may replace frame, signal, siginfo and context. The layout is the
/// entry's.
#[derive(Debug)]
#[repr(C)]
pub(in crate::host) struct Entered {
    /// The kernel's frame: where the stack pointer was, and will be when the entry leaves.
    pub(in crate::host) frame: usize,
    pub(in crate::host) signal: usize,
    pub(in crate::host) info: usize,
    pub(in crate::host) context: usize,
    /// The thread's slot, by address; 0 for none. With [`BUSY`] and [`KNOWN`].
    slot: usize,
    /// [`MOVED`] and [`CHAINED`].
    how: usize,
    /// Address of a [`Restore`](crate::host::slot::header::Restore) that the entry applies when it leaves for a handler, once it is
    /// off the private part; 0 for none.
    pub(in crate::host) restore: usize,
}

/// The entry moved to the slot's private part.
pub(super) const MOVED: usize = 1;
/// A handler that was installed over this one called the entry.
pub(super) const CHAINED: usize = 2;

/// The thread was in its fault handler already. A slot's address has this bit clear.
pub(super) const BUSY: usize = 1;
/// The slot is certainly the thread's. A slot's address has this bit clear.
pub(super) const KNOWN: usize = 2;

impl Entered {
    /// Returns the thread's slot, by address; 0 for none.
    pub(in crate::host) fn slot(&self) -> usize {
        self.slot & !(BUSY | KNOWN)
    }

    /// Returns whether the slot is certainly the calling thread's, with its record in place.
    pub(in crate::host) fn is_known(&self) -> bool {
        self.slot & KNOWN != 0
    }

    pub(in crate::host) fn was_busy(&self) -> bool {
        self.slot & BUSY != 0
    }

    pub(in crate::host) fn moved(&self) -> bool {
        self.how & MOVED != 0
    }

    pub(in crate::host) fn chained(&self) -> bool {
        self.how & CHAINED != 0
    }
}

/// The Rust functions that the entry calls.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct Handlers {
    /// Serves a fault. Returns the handler to leave for, or `None`: return from the frame. Where the frame, its siginfo and context
    /// are by then is in the value. Called with the kernel's arguments of the entry.
    pub(in crate::host) serve: unsafe fn(&mut Entered) -> Option<usize>,
    /// Serves a fault that a handler installed over this one passes on, and to which the entry returns: signal, siginfo, context.
    /// Returns the handler to go on to.
    pub(in crate::host) serve_chained: unsafe fn(i32, usize, usize) -> Option<usize>,
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// Sets what the entry calls, before it is installed.
pub(in crate::host) fn set_handlers(handlers: Handlers) {
    HANDLERS.get_or_init(|| handlers);
}

/// Serves the entry's one call. Returns the handler to leave for, or 0 to return from the frame.
///
/// # Safety
/// Called by the entry only, which hands over what the kernel gave it.
pub(super) unsafe extern "C" fn entered(entered: *mut Entered) -> usize {
    // SAFETY: the entry built the value on the stack that this runs on, and nothing else knows of it.
    let entered = unsafe { &mut *entered };
    let Some(handlers) = HANDLERS.get() else {
        return 0;
    };
    // SAFETY: as above; the frame it describes is the kernel's, live until the entry leaves.
    unsafe { (handlers.serve)(entered) }.unwrap_or(0)
}

/// Serves the call by a handler that was installed over this one, where the entry can return to it. Returns the handler to go on to; 0 for
/// none.
///
/// # Safety
/// Called by the entry only, with what that handler gave it.
pub(super) unsafe extern "C" fn chained(signal: usize, info: usize, context: usize) -> usize {
    let Some(handlers) = HANDLERS.get() else {
        return 0;
    };
    // SAFETY: a handler that chains passes on what the kernel gave it.
    unsafe { (handlers.serve_chained)(signal as i32, info, context) }.unwrap_or(0)
}
