//! The test whether the emulation was started in this process.
//!
//! The child of a fork has none of the threads that would answer. The child of a `vfork`, or of a `clone` that shares memory, is in
//! another process with this one's memory: what it did would be done to its parent. In both a fault is the child's own affair, and
//! nothing of the parent's is touched.
#![allow(unsafe_code)]

use crate::error::ReserveError;
use crate::host::sys::call::{call, page_size};
use crate::host::sys::installed::Installed;
use crate::host::sys::reservation::Reservation;
use crate::host::sys::thread::{exists, getpid, gettid};
use core::sync::atomic::{AtomicU32, Ordering};

/// Value of the word in the process that the emulation was started in, and in children that share its memory.
const ORIGINAL: u32 = 0x6d61_6368;

/// A page that the kernel gives to a child of a fork zeroed, however it was forked.
#[derive(Debug)]
struct Origin {
    page: Reservation,
    process: u32,
}

static ORIGIN: Installed<Origin> = Installed::new();

/// Number of times that the emulation was stopped.
static STOPS: AtomicU32 = AtomicU32::new(0);

/// Returns the number of times that the emulation was stopped in this process: values of an earlier start mean nothing in a later one.
#[inline]
pub(crate) fn stops() -> u32 {
    STOPS.load(Ordering::Relaxed)
}

impl Origin {
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the page lives as long as the value, is aligned, zeroed at first, and holds this word only.
        unsafe { &*self.page.base().as_ptr().cast::<AtomicU32>() }
    }
}

/// Ends what [`mark`] began: no process is the one.
///
/// # Safety
/// The emulation is being stopped: no other thread uses it, and nothing of this start is used afterwards.
pub(in crate::host) unsafe fn unmark() {
    STOPS.fetch_add(1, Ordering::Relaxed);
    forget_watching_thread();
    // SAFETY: the caller's promise.
    drop(unsafe { ORIGIN.take() });
}

/// Makes the calling process the one; once in a start.
pub(in crate::host) fn mark() -> Result<(), ReserveError> {
    let page = Reservation::new("a page", page_size())?;
    let address = page.base().as_ptr() as usize;
    let advice = [
        address,
        page_size(),
        libc::MADV_WIPEONFORK as usize,
        0,
        0,
        0,
    ];
    // A kernel before 4.14 refuses. There the hook of `pthread_atfork` sees the children of `fork`, and no other.
    // SAFETY: the page was mapped just now, and holds nothing yet.
    unsafe { call(libc::SYS_madvise, advice) };
    let origin = Origin {
        page,
        process: getpid(),
    };
    // Before another thread can look: an empty page is that of a copy.
    origin.word().store(ORIGINAL, Ordering::Release);
    ORIGIN.set(origin);
    Ok(())
}

/// Clears the page in the child of a fork, for kernels that do not.
pub(in crate::host) fn wipe() {
    if let Some(origin) = ORIGIN.get() {
        origin.word().store(0, Ordering::Release);
    }
}

/// Returns whether this process is the child of a fork, with memory of its own.
pub(in crate::host) fn is_copy() -> bool {
    ORIGIN
        .get()
        .is_some_and(|origin| origin.word().load(Ordering::Acquire) != ORIGINAL)
}

/// Returns whether this process is a child of the one that the emulation was started in, whether it shares its memory or not. One
/// system call, two in the first process of a PID namespace. `false` where the emulation was not started.
pub(in crate::host) fn is_child() -> bool {
    is_copy() || process().is_some_and(|process| process != getpid() || is_namesake(process))
}

/// The first process of each PID namespace has this identifier, and so has its first thread.
const FIRST: u32 = 1;

/// The emulation's own thread, once there is one; 0 before.
static WATCHING: AtomicU32 = AtomicU32::new(0);

/// Notes that the calling thread is the emulation's own.
pub(in crate::host) fn note_watching_thread() {
    WATCHING.store(gettid(), Ordering::Release);
}

/// There is no such thread any more.
pub(in crate::host) fn forget_watching_thread() {
    WATCHING.store(0, Ordering::Release);
}

/// Returns whether an identifier is that of the emulation's own thread.
pub(in crate::host) fn is_watching_thread(tid: u32) -> bool {
    WATCHING.load(Ordering::Acquire) == tid
}

/// Returns whether a process or thread with that identifier, which the emulation's process or its first thread has, too, is another one:
/// the first of a PID namespace of its own, which may share the memory. It has no thread of the emulation's. One system call for the
/// first, none for all others.
pub(in crate::host) fn is_namesake(identifier: u32) -> bool {
    if identifier != FIRST || process() != Some(FIRST) {
        return false;
    }
    match WATCHING.load(Ordering::Acquire) {
        0 => false,
        watching => exists(watching) == Some(false),
    }
}

/// A bit of the number of a process that is a child with memory of its own. No Linux has process identifiers that large.
const COPY: u32 = 1 << 30;

/// Returns a number that tells the calling process from those that it was forked from: its identifier, without a system call in the
/// process that the emulation was started in. A child that shares that one's memory gets that one's.
///
/// A child with memory of its own has its parent's identifier, too, if both are the first in their PID namespaces, or an ancestor's that
/// is gone; hence a bit beside it.
pub(crate) fn process_id() -> u32 {
    match ORIGIN.get() {
        Some(origin) if !is_copy() => origin.process,
        Some(_) => getpid() | COPY,
        None => getpid(),
    }
}

/// Returns the process that the emulation was started in.
pub(in crate::host) fn process() -> Option<u32> {
    ORIGIN.get().map(|origin| origin.process)
}
