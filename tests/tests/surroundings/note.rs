//! The record of a cell: memory that its process shares with the worker, and that survives the process.

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Visits of handlers that are kept; of more only the number.
const VISITS: usize = 24;
const TEXT: usize = 1024;

/// Written by the cell's process and its child, read by the worker. Its address is the same in all of them.
#[derive(Debug)]
pub(crate) struct Note {
    visits: [[AtomicU64; 2]; VISITS],
    visited: AtomicU32,
    /// Calls of the handler that takes faults in the library's name.
    handled: AtomicU32,
    /// Faults that the library was told of, and declined.
    declined: AtomicU32,
    /// Address at which the code that faults goes on.
    resume: AtomicUsize,
    /// Wait status of the cell's own child, if it made one.
    child: AtomicI32,
    /// The cell's body ran to its end.
    done: AtomicU32,
    text: [AtomicU8; TEXT],
    written: AtomicUsize,
}

/// A call of another component's handler: which one, and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) party: u8,
    pub(crate) signal: i32,
    pub(crate) code: i32,
    pub(crate) address: u64,
}

static NOTE: AtomicUsize = AtomicUsize::new(0);

/// No child was made.
pub(crate) const NO_CHILD: i32 = -1;

impl Note {
    /// Maps one, which is this process's from now on, and that of the processes that it forks.
    pub(crate) fn map() -> &'static Self {
        // SAFETY: a new mapping, of zeroes, which are valid in every field, and never unmapped.
        unsafe {
            let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let write = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(
                core::ptr::null_mut(),
                size_of::<Self>(),
                write,
                shared,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED, "shared memory");
            NOTE.store(at as usize, Ordering::SeqCst);
            &*at.cast::<Self>()
        }
    }

    /// The one of this process. Async-signal-safe.
    pub(crate) fn get() -> &'static Self {
        // SAFETY: mapped before the first cell, and never unmapped.
        unsafe { &*(NOTE.load(Ordering::SeqCst) as *const Self) }
    }

    pub(crate) fn clear(&self) {
        self.visited.store(0, Ordering::SeqCst);
        self.handled.store(0, Ordering::SeqCst);
        self.declined.store(0, Ordering::SeqCst);
        self.child.store(NO_CHILD, Ordering::SeqCst);
        self.done.store(0, Ordering::SeqCst);
        self.written.store(0, Ordering::SeqCst);
    }

    /// Async-signal-safe.
    pub(crate) fn visit(&self, visit: Visit) {
        let at = self.visited.fetch_add(1, Ordering::SeqCst) as usize;
        if let Some([what, address]) = self.visits.get(at) {
            let packed = u64::from(visit.party) << 56
                | (visit.signal as u64 & 0xff_ffff) << 32
                | u64::from(visit.code as u32);
            what.store(packed, Ordering::SeqCst);
            address.store(visit.address, Ordering::SeqCst);
        }
    }

    /// Returns the number of calls of the other components' handlers.
    pub(crate) fn visited(&self) -> usize {
        self.visited.load(Ordering::SeqCst) as usize
    }

    pub(crate) fn visits(&self) -> Vec<Visit> {
        let kept = self.visits.iter().take(self.visited());
        kept.map(|[what, address]| {
            let packed = what.load(Ordering::SeqCst);
            Visit {
                party: (packed >> 56) as u8,
                signal: (packed >> 32) as i32 & 0xff_ffff,
                code: packed as i32,
                address: address.load(Ordering::SeqCst),
            }
        })
        .collect()
    }

    /// Counts a fault that reached the library's handler. Async-signal-safe.
    pub(crate) fn handle(&self) {
        self.handled.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn handled(&self) -> u32 {
        self.handled.load(Ordering::SeqCst)
    }

    /// The library was told of a fault that nothing wants.
    pub(crate) fn decline(&self) {
        self.declined.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn declined(&self) -> u32 {
        self.declined.load(Ordering::SeqCst)
    }

    pub(crate) fn resume_word(&self) -> *mut usize {
        self.resume.as_ptr()
    }

    /// Returns the address at which the code that faulted goes on. Async-signal-safe.
    pub(crate) fn resume(&self) -> u64 {
        self.resume.load(Ordering::SeqCst) as u64
    }

    pub(crate) fn set_child(&self, status: i32) {
        self.child.store(status, Ordering::SeqCst);
    }

    pub(crate) fn child(&self) -> i32 {
        self.child.load(Ordering::SeqCst)
    }

    pub(crate) fn finish(&self) {
        self.done.store(1, Ordering::SeqCst);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.done.load(Ordering::SeqCst) == 1
    }

    /// Says what failed.
    pub(crate) fn say(&self, text: &str) {
        for byte in text.bytes().chain(*b"\n") {
            let at = self.written.fetch_add(1, Ordering::SeqCst);
            if let Some(place) = self.text.get(at) {
                place.store(byte, Ordering::SeqCst);
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let length = self.written.load(Ordering::SeqCst).min(TEXT);
        let bytes: Vec<u8> = self.text[..length]
            .iter()
            .map(|byte| byte.load(Ordering::SeqCst))
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
