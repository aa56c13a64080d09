//! Threads of the emulation's own.
//!
//! Not by `std::thread`: that leaves a destructor behind on the thread that starts another, which keeps a library from being unloaded
//! until that thread ends.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use std::io;

/// Arguments for the start of a thread.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct Start {
    pub(in crate::host) name: &'static CStr,
    /// Size of the stack in bytes; `None` for the C library's default.
    pub(in crate::host) stack_size: Option<usize>,
    /// The thread's function.
    pub(in crate::host) run: fn(),
}

/// A thread that runs. Neither dropped nor used after it was joined.
#[derive(Debug)]
#[must_use = "the thread is neither joined nor detached"]
pub(in crate::host) struct Thread(libc::pthread_t);

impl Thread {
    /// Waits for its end.
    pub(in crate::host) fn join(self) {
        // SAFETY: the thread was neither joined nor detached, as both consume the value.
        unsafe { libc::pthread_join(self.0, core::ptr::null_mut()) };
    }

    /// Frees what the C library keeps for the thread, if it has ended; it may have done so without the library. Otherwise the thread comes back.
    pub(in crate::host) fn try_join(self) -> Result<(), Self> {
        // SAFETY: as above: it comes back where it was not joined.
        match unsafe { libc::pthread_tryjoin_np(self.0, core::ptr::null_mut()) } {
            libc::EBUSY => Err(self),
            _ => Ok(()),
        }
    }

    /// Detaches the thread.
    pub(in crate::host) fn detach(self) {
        // SAFETY: as above.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// Starts a thread, with the calling thread's signal mask.
pub(in crate::host) fn start(start: &Start) -> io::Result<Thread> {
    let mut attributes = Attributes::new()?;
    if let Some(size) = start.stack_size {
        // SAFETY: the attributes were initialised.
        check(unsafe { libc::pthread_attr_setstacksize(attributes.0.as_mut_ptr(), size) })?;
    }
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the argument is a function pointer, and fits; the attributes were initialised.
    check(unsafe {
        libc::pthread_create(
            thread.as_mut_ptr(),
            attributes.0.as_ptr(),
            begin,
            start.run as *mut c_void,
        )
    })?;
    // SAFETY: the call above succeeded, which wrote it.
    let thread = unsafe { thread.assume_init() };
    // SAFETY: the thread was neither joined nor detached. A refusal leaves it without a name.
    unsafe { libc::pthread_setname_np(thread, start.name.as_ptr()) };
    Ok(Thread(thread))
}

extern "C" fn begin(run: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passes a function of this type.
    let run = unsafe { core::mem::transmute::<*mut c_void, fn()>(run) };
    run();
    core::ptr::null_mut()
}

struct Attributes(MaybeUninit<libc::pthread_attr_t>);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are written.
        check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
        Ok(Self(attributes))
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: they were initialised, and are used no more.
        unsafe { libc::pthread_attr_destroy(self.0.as_mut_ptr()) };
    }
}

fn check(error: i32) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
