//! A thread's innermost frame, kept where the thread can end it without its server.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::frame::FrameId;
use crate::key::Key;

/// The innermost frame of one thread. Its server keeps it here, and on x86_64 the thread itself, when a handler returns directly
/// ([`Redirect::return_directly`](crate::Redirect::return_directly)).
///
/// The server stores a frame's identity when it has written the frame ([`set`](Self::set)), and plans the next redirect of the thread with
/// what it finds ([`get`](Self::get), [`Redirect::inside`](crate::Redirect::inside)). It accesses the value while the thread is stopped.
#[derive(Debug)]
pub struct Innermost {
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    key: Key,
    /// Address of the frame; 0 for none.
    address: AtomicU64,
    depth: AtomicU32,
    /// Number of handlers that returned directly.
    returned: AtomicU64,
}

impl Innermost {
    /// Returns the value of a thread that is inside of no frame. `key` is that of the trampoline that the thread is redirected
    /// through: a frame with another key's seal is left to the return trap.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self {
            key,
            address: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            returned: AtomicU64::new(0),
        }
    }

    /// Returns the innermost frame that the thread was sent to and has not returned from; `None` for none. The thread may have left it by
    /// a jump: [`TrampolinePlan::still_inside`](crate::TrampolinePlan::still_inside).
    #[must_use]
    pub fn get(&self) -> Option<FrameId> {
        match self.address.load(Ordering::Acquire) {
            0 => None,
            address => Some(FrameId::new(address, self.depth.load(Ordering::Acquire))),
        }
    }

    /// Sets the innermost frame.
    pub fn set(&self, frame: Option<FrameId>) {
        let (address, depth) = frame.map_or((0, 0), |frame| (frame.address, frame.depth));
        // The address comes first. A thread that returns directly may fault in a signal's handler between the two; then the outer frame
        // has too great a depth, with which the walk outwards still finds all of them.
        self.address.store(address, Ordering::Release);
        self.depth.store(depth, Ordering::Release);
    }

    /// Returns the number of handlers that returned directly, without the return trap.
    #[must_use]
    pub fn returned_directly(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn key(&self) -> Key {
        self.key
    }

    /// Counts a handler that returned directly. Only the thread itself calls it; a signal may interrupt it, in whose handler another one
    /// returns directly.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn count_return(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }
}
