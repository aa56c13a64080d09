//! The last pass: where a managed thread's end begins, and how it is brought about early.
#![allow(unsafe_code)]

use crate::entry::WayBack;
use crate::error::ExitError;
use crate::shutdown::{Running, ShutdownReport};
use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Passes that the C library makes over the destructors (`PTHREAD_DESTRUCTOR_ITERATIONS`, the same on both systems).
const PASSES: u32 = 4;

/// The key whose value is the calling thread's [`Managed`], plus one; 0 before it was made.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// Makes the key; once in the process.
pub(crate) fn make_key() -> Result<(), i32> {
    static MADE: OnceLock<Result<(), i32>> = OnceLock::new();
    *MADE.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key goes to a local variable; the destructor is a function for as long as the process lives.
        match unsafe { libc::pthread_key_create(&mut key, Some(destructor)) } {
            0 => {
                KEY.store(key as usize + 1, Ordering::Release);
                Ok(())
            }
            error => Err(error),
        }
    })
}

/// A managed thread, as itself sees it. Reached through the key only, hence by its own thread only; no Rust thread-local, which
/// would be gone in the last pass.
#[derive(Debug)]
pub(crate) struct Managed {
    /// The end still to come; `None` once it is under way.
    end: RefCell<Option<Running>>,
    /// The pass of destructors.
    pass: Cell<u32>,
    /// Of a thread that the manager started: where `exit_now` goes back to.
    spawned: Option<Spawned>,
    /// Where the report goes.
    report: Arc<Mutex<Option<ShutdownReport>>>,
}

/// What only started threads have.
#[derive(Debug, Default)]
pub(crate) struct Spawned {
    pub(crate) way_back: WayBack,
    /// The value that the thread was ended with.
    pub(crate) exit_value: Cell<Option<usize>>,
}

impl Managed {
    pub(crate) fn new(
        end: Running,
        spawned: Option<Spawned>,
        report: Arc<Mutex<Option<ShutdownReport>>>,
    ) -> Self {
        Self {
            end: RefCell::new(Some(end)),
            pass: Cell::new(0),
            spawned,
            report,
        }
    }

    pub(crate) fn spawned(&self) -> Option<&Spawned> {
        self.spawned.as_ref()
    }

    pub(crate) fn take_end(&self) -> Option<Running> {
        self.end.borrow_mut().take()
    }
}

/// Makes the calling thread a managed one; its end comes with its thread-specific data.
pub(crate) fn adopt(managed: Box<Managed>) -> Result<*const Managed, i32> {
    let pointer = Box::into_raw(managed);
    match set(pointer) {
        Ok(()) => Ok(pointer),
        Err(error) => {
            // SAFETY: the pointer came out of the box just now, and nobody else has it.
            drop(unsafe { Box::from_raw(pointer) });
            Err(error)
        }
    }
}

/// Lets the calling thread go: it is no managed thread any more.
pub(crate) fn disown() -> Option<Box<Managed>> {
    let pointer = current_pointer()?;
    set(core::ptr::null_mut()).ok()?;
    // SAFETY: the pointer came out of a box in `adopt`, and the key, its only owner, has forgotten it.
    Some(unsafe { Box::from_raw(pointer) })
}

fn key() -> Option<libc::pthread_key_t> {
    let key = KEY.load(Ordering::Acquire).checked_sub(1)?;
    Some(key as libc::pthread_key_t)
}

fn set(pointer: *mut Managed) -> Result<(), i32> {
    let key = key().ok_or(libc::EINVAL)?;
    // SAFETY: the key was made and is never deleted.
    match unsafe { libc::pthread_setspecific(key, pointer.cast()) } {
        0 => Ok(()),
        error => Err(error),
    }
}

fn current_pointer() -> Option<*mut Managed> {
    // SAFETY: the key was made and is never deleted.
    let pointer: *mut Managed = unsafe { libc::pthread_getspecific(key()?) }.cast();
    (!pointer.is_null()).then_some(pointer)
}

/// The calling thread, if it is managed.
pub(crate) fn with_current<R>(look: impl FnOnce(&Managed) -> R) -> Option<R> {
    // SAFETY: the pointer came out of a box in `adopt` and stays valid until the thread's last pass or `disown`, both on this thread,
    // and neither inside `look`.
    current_pointer().map(|pointer| look(unsafe { &*pointer }))
}

/// Runs in each pass until the last, so that other libraries' destructors may still fault and be served; there the thread ends.
/// Nothing on this path uses a Rust thread-local, `thread::current`, a channel, or may panic.
unsafe extern "C" fn destructor(value: *mut c_void) {
    let pointer: *mut Managed = value.cast();
    // SAFETY: the key's values are pointers out of boxes in `adopt`; the C library gives each to its own thread.
    let managed = unsafe { &*pointer };
    let pass = managed.pass.get() + 1;
    managed.pass.set(pass);
    if pass < PASSES && set(pointer).is_ok() {
        return;
    }
    // SAFETY: the C library has cleared the key's value, so that this is the pointer's only owner.
    let managed = unsafe { Box::from_raw(pointer) };
    let Some(end) = managed.take_end() else {
        return;
    };
    let slot = Arc::clone(&managed.report);
    drop(managed);
    let report = end.end();
    // Storing the report touches no port: the normalization was the last thing that did.
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
}

/// Ends the calling managed thread right here: `pthread_exit`, by way of the thread's entry, which returns. Destructors of
/// thread-specific data run as ever; those of Rust frames between here and the thread's body do not.
///
/// # Errors
/// The calling thread is not one that a manager started.
///
/// # Safety
/// No frame between here and the thread's body owns a value that must be dropped. What the body's frames own is leaked.
pub unsafe fn exit_now(value: usize) -> Result<Infallible, ExitError> {
    let way_back: Result<*const WayBack, ExitError> = with_current(|managed| {
        let spawned = managed.spawned().ok_or(ExitError::Attached)?;
        spawned.exit_value.set(Some(value));
        Ok(core::ptr::from_ref(&spawned.way_back))
    })
    .unwrap_or(Err(ExitError::NotManaged));
    let way_back = way_back?;
    // SAFETY: the record lives until the thread's last pass; the caller vouches for the frames in between.
    unsafe { (*way_back).go() };
    // The body has returned already: this is a destructor of the thread's.
    Err(ExitError::NotManaged)
}
