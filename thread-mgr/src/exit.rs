//! The last pass of destructors, which shuts a managed thread down, and the early exit of a thread.
#![allow(unsafe_code)]

use crate::entry::WayBack;
use crate::error::ExitError;
use crate::place::{Place, Vacant, as_number, number};
use crate::record::Records;
use crate::registry::Registry;
use crate::report::ShutdownReport;
use crate::shutdown::Running;
use crate::slot::Slot;
use core::cell::Cell;
use core::convert::Infallible;
use core::ffi::c_void;
use mach_sys::port::PortRight;
use mach_sys::rights::user_references;
use signal_redirect::RedirectMask;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Number of passes over the destructors that are counted: all that the C library makes (`PTHREAD_DESTRUCTOR_ITERATIONS`, the same on both
/// systems). ThreadSanitizer releases its record of a thread at the beginning of the last one; code that it instruments cannot run there.
const PASSES: u32 = if cfg!(thread_sanitizer) { 3 } else { 4 };

/// The key whose value is the [`Place`] of the calling thread's [`Managed`], or the number of the pass of destructors in which the thread
/// stopped being managed. Stored plus one; 0 before the key was made.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// The places of threads that vanished.
static VACANT: Vacant<Managed> = Vacant::new();

/// Makes the key, unless there is one.
pub(crate) fn make_key() -> io::Result<()> {
    if KEY.load(Ordering::Acquire) != 0 {
        return Ok(());
    }
    let mut key = 0;
    // SAFETY: the key goes to a local variable; the destructor is a function until `delete_key`.
    match unsafe { libc::pthread_key_create(&mut key, Some(destructor)) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let (acq_rel, acquire) = (Ordering::AcqRel, Ordering::Acquire);
    if KEY
        .compare_exchange(0, key as usize + 1, acq_rel, acquire)
        .is_err()
    {
        // Another thread was faster.
        // SAFETY: the key was made here, and nothing else knows it.
        unsafe { libc::pthread_key_delete(key) };
    }
    Ok(())
}

/// Deletes the key, if there is one.
///
/// # Safety
/// No thread is managed, no thread that was managed is still exiting, and no other thread calls a function of this crate meanwhile.
pub(crate) unsafe fn delete_key() {
    if let Some(key) = KEY.swap(0, Ordering::AcqRel).checked_sub(1) {
        // SAFETY: the key was made, and is deleted once. Afterwards no thread finds a place.
        unsafe {
            libc::pthread_key_delete(key as libc::pthread_key_t);
            VACANT.free();
        }
    }
}

/// A managed thread's own record. Only the key leads to it, so that only its own thread uses it. It is no Rust thread-local, which would be
/// destroyed before the last pass.
pub(crate) struct Managed {
    /// The shutdown still to be done; `None` once it has begun.
    end: Cell<Option<Running>>,
    /// Number of passes of destructors so far.
    pass: Cell<u32>,
    /// The manager's records, and the index of the thread's own.
    record: (Arc<Records>, u32),
    /// The part that only started threads have; `None` for an attached thread.
    spawned: Option<Spawned>,
}

/// The part of a [`Managed`] that only started threads have.
pub(crate) struct Spawned {
    /// The place that `exit_now` returns to.
    pub(crate) way_back: WayBack,
    /// The value given to `exit_now`.
    pub(crate) exit_value: Cell<usize>,
    /// The place for the report.
    report: Arc<Slot<ShutdownReport>>,
}

impl Managed {
    pub(crate) fn attached(end: Running) -> Self {
        let managed = Self::new(end, None);
        // Not 0 in a destructor of a thread that was managed before: passes are counted from the beginning of the thread's exit.
        managed.pass.set(pass());
        managed
    }

    pub(crate) fn started(end: Running, report: Arc<Slot<ShutdownReport>>) -> Self {
        let spawned = Spawned {
            way_back: WayBack::default(),
            exit_value: Cell::new(0),
            report,
        };
        Self::new(end, Some(spawned))
    }

    fn new(end: Running, spawned: Option<Spawned>) -> Self {
        Self {
            record: end.record(),
            end: Cell::new(Some(end)),
            pass: Cell::new(0),
            spawned,
        }
    }

    pub(crate) fn spawned(&self) -> Option<&Spawned> {
        self.spawned.as_ref()
    }

    pub(crate) fn take_end(&self) -> Option<Running> {
        self.end.take()
    }
}

/// Makes the calling thread managed: the destructor of its thread-specific data shuts it down. If the destructor cannot be registered, the
/// thread is detached, and the error is that of `pthread_setspecific`.
pub(crate) fn adopt(managed: Managed) -> io::Result<*mut Place<Managed>> {
    let place = Place::of_this_thread(managed, &VACANT);
    match set(place) {
        Ok(()) => Ok(place),
        Err(error) => {
            // SAFETY: the place was made just now, and no other code has it.
            let managed = unsafe { Place::free(place) };
            let _ = managed
                .and_then(|managed| managed.take_end())
                .and_then(Running::detach);
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// Makes the calling thread unmanaged, and returns its record. Returns `None` if it is not managed.
pub(crate) fn disown() -> Option<Managed> {
    let place = current_place()?;
    let pass = with_current(|managed| managed.pass.get())?;
    set(number(pass)).ok()?;
    // SAFETY: the place is this thread's, and the key has forgotten it.
    unsafe { Place::free(place) }
}

fn key() -> Option<libc::pthread_key_t> {
    let key = KEY.load(Ordering::Acquire).checked_sub(1)?;
    Some(key as libc::pthread_key_t)
}

fn set(value: *mut Place<Managed>) -> Result<(), i32> {
    let key = key().ok_or(libc::EINVAL)?;
    // SAFETY: the key was made, and is not deleted while this crate is used.
    match unsafe { libc::pthread_setspecific(key, value.cast()) } {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Returns the calling thread's place; `None` if it is not managed.
fn current_place() -> Option<*mut Place<Managed>> {
    let place = value();
    // SAFETY: the key leads to a place that is not freed.
    (!place.is_null() && as_number(place).is_none() && unsafe { Place::is_own(place) })
        .then_some(place)
}

fn value() -> *mut Place<Managed> {
    match key() {
        // SAFETY: the key was made, and is not deleted while this crate is used.
        Some(key) => unsafe { libc::pthread_getspecific(key) }.cast(),
        None => core::ptr::null_mut(),
    }
}

/// Marks the calling thread, which is not managed, as being in a pass. Does nothing in the last counted pass under ThreadSanitizer: the
/// mark would make the C library call the destructor again in the pass after it.
fn mark(pass: u32) {
    if !cfg!(thread_sanitizer) || pass < PASSES {
        let _ = set(number(pass));
    }
}

/// Returns the pass of destructors that the calling thread, which is not managed, is known to be in; 0 for none.
fn pass() -> u32 {
    as_number(value()).unwrap_or(0)
}

/// Returns whether this crate's destructor will not be called again on the calling thread, which is not managed.
pub(crate) fn is_exiting() -> bool {
    pass() >= PASSES
}

/// The time between two of the server's checks for threads that are gone, in milliseconds.
const WATCH: u32 = 1000;

/// Shuts down the threads that are gone and did not shut themselves down: those that were attached in the last pass of destructors, or
/// ended by a bare system call. Returns the milliseconds until the next check; `None` if there are no threads.
pub(crate) fn end_gone(registry: &Registry) -> Option<u32> {
    loop {
        // The thread's route holds a reference on its name: the name stays this thread's until the route is closed.
        let is_gone = |name| matches!(user_references(name, PortRight::DEAD_NAME), Ok(1..));
        match registry.take_gone(is_gone) {
            Some(left) => {
                let place = core::ptr::with_exposed_provenance_mut::<Place<Managed>>(left);
                // SAFETY: the place's thread is gone, and left it in the registry: a thread that exits or detaches itself removes its entry.
                // Only one caller takes it.
                let managed = unsafe { Place::vacate(place, &VACANT) };
                let _ = managed
                    .and_then(|managed| managed.take_end())
                    .and_then(Running::abandon);
            }
            None => return registry.keep_watching().then_some(WATCH),
        }
    }
}

/// Calls `look` with the calling thread's record; returns `None` if the thread is not managed.
pub(crate) fn with_current<R>(look: impl FnOnce(&Managed) -> R) -> Option<R> {
    // SAFETY: the place is this thread's, and its value stays until the thread's last pass or `disown`, both on this thread, and neither
    // inside `look`.
    unsafe { Place::value(current_place()?) }.map(look)
}

/// Calls `look` with the [`RedirectMask`] that holds the calling thread's redirects off, and returns its result. Returns `None` if the thread is
/// not managed.
///
/// While a thread holds redirects off, its exceptions are declined: a fault then ends as it would without the manager. The mask remembers
/// that one was refused. A handler that leaves by a jump past guards calls [`RedirectMask::abandon`] afterwards. Async-signal-safe.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// # use thread_mgr::{Manager, redirect_mask};
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let manager = Manager::builder(unsafe { thread_mgr::signal_redirect::Entry::new(handler) }).build()?;
/// let attached = manager.attach()?;
/// let asked = redirect_mask(|mask| {
///     let held = mask.hold();
///     // No handler runs on this thread here.
///     held.release()
/// });
/// assert_eq!(asked, Some(false));
/// drop(attached);
/// assert!(redirect_mask(|_| ()).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("sigprocmask", "pthread_sigmask"))]
pub fn redirect_mask<R>(look: impl FnOnce(&RedirectMask) -> R) -> Option<R> {
    // The clone keeps the records alive even if `look` detaches the thread.
    let (records, index) = with_current(|managed| managed.record.clone())?;
    let record = records.get(index.into())?;
    Some(look(record.mask()))
}

/// Registers itself again in each pass but the last, so that other libraries' destructors may still fault and be served. In the last pass
/// it shuts the thread down. Nothing on this path uses a Rust thread-local, `thread::current` or a channel, and nothing may panic.
unsafe extern "C" fn destructor(value: *mut c_void) {
    let place: *mut Place<Managed> = value.cast();
    if let Some(pass) = as_number(place) {
        // Not managed any more: passes are still counted, up to the mark of a thread that is exiting.
        mark((pass + 1).min(PASSES));
        return;
    }
    // SAFETY: the key's other values are places that are not freed.
    if !unsafe { Place::is_own(place) } {
        // Of a thread that vanished and had this stack.
        return;
    }
    // SAFETY: the place is this thread's.
    let Some(managed) = (unsafe { Place::value(place) }) else {
        return;
    };
    let pass = managed.pass.get() + 1;
    managed.pass.set(pass);
    if pass < PASSES && set(place).is_ok() {
        return;
    }
    // SAFETY: the C library has cleared the key's value, so that this is the place's only owner.
    let Some(managed) = (unsafe { Place::free(place) }) else {
        return;
    };
    let end = managed.take_end();
    let slot = managed.spawned().map(|spawned| Arc::clone(&spawned.report));
    drop(managed);
    let report = end.and_then(Running::end);
    // For other libraries' destructors that run later in this pass. The C library ignores the value after the last pass.
    mark(PASSES);
    // Storing the report touches no port: the normalization was the last step that did.
    if let (Some(slot), Some(report)) = (slot, report) {
        slot.put(report);
    }
}

/// Ends the calling thread, which a manager started, with `value`. Control returns to the thread's entry, which returns into
/// `pthread_exit`. Destructors of thread-specific data run as usual. The frames between here and the entry are skipped, as by `longjmp`:
/// nothing in them is dropped, and their memory is reused at once.
///
/// ```
/// # use core::ffi::c_int;
/// # use thread_mgr::mach_sys::darwin::{siginfo_t, ucontext_t};
/// use thread_mgr::{Exit, Manager, exit_now};
///
/// /// Ends the thread from the middle of a computation that owns nothing.
/// fn sum_or_end(numbers: &[u64]) -> u64 {
///     let mut sum: u64 = 0;
///     for number in numbers {
///         let Some(next) = sum.checked_add(*number) else {
///             // SAFETY: between here and the thread's body are this function and the closure below: plain Rust frames without a
///             // value to drop, and nothing on another thread or after this call uses their memory.
///             let Err(_refused) = unsafe { exit_now(7) };
///             return 0;
///         };
///         sum = next;
///     }
///     sum
/// }
///
/// # unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {}
/// # let manager = Manager::builder(unsafe { thread_mgr::signal_redirect::Entry::new(handler) }).build()?;
/// static NUMBERS: [u64; 2] = [u64::MAX, 1];
/// let ended = manager.spawn(|| sum_or_end(&NUMBERS))?.join()?;
/// assert!(matches!(ended.exit, Exit::Exited(7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// - [`ExitError::NotManaged`]: the calling thread is not managed.
/// - [`ExitError::Attached`]: the calling thread was attached, not started, by its manager.
/// - [`ExitError::Ending`]: the thread's body has returned already.
///
/// After an error nothing has changed.
///
/// # Safety
/// The call skips every frame from the caller up to and including the closure that the thread was started with. That must be sound for
/// each of them. In particular:
///
/// - No skipped frame owns a value that must be dropped: for memory safety, or because code outside the frame counts on the
///   destructor running (a lock guard, a [`Held`](signal_redirect::Held), an `Attached` of another library). Values whose leak
///   is harmless are leaked. The closure's own captures count: they lie in such a frame.
/// - Nothing that outlives the jump uses memory of a skipped frame, or relies on a skipped frame being waited for:
///   - no `std::thread::scope` (nor another library's scope: rayon, crossbeam) is open in a skipped frame: its threads would keep
///     borrows of a stack that is gone;
///   - no other thread holds a reference or pointer into these frames, nor does the kernel (an asynchronous read or write, a
///     `sigaltstack` or robust mutex on the stack);
///   - no value in them is pinned, is a node of an intrusive list or waits in a queue (a mutex, condition variable or channel that the
///     thread waits on, a future being polled);
///   - no thread-local, static or heap value holds a pointer into them, such as a stack of guards or a runtime's list of frames that is
///     walked later: also by destructors of thread-specific data, which run after the call.
/// - No skipped frame has a `catch_unwind` in progress after which it must do something that other code counts on. The call is not made
///   while a panic unwinds (from a `Drop`) or inside a panic hook: the thread's panic count would stay raised.
/// - Every skipped frame is an ordinary frame of Rust or C that may be left by `longjmp`: no C++ or Swift frame with destructors, no
///   `pthread_cleanup_push` that was not popped, no frame on another stack (a coroutine, a fiber, an alternate signal stack in
///   use: a Unix signal handler may not call this). A handler that the manager redirected the thread to may call this: the frames that it
///   interrupted are skipped as well, and must meet all of this at the interrupted instruction, locks of the C library included.
#[doc(alias = "pthread_exit")]
pub unsafe fn exit_now(value: usize) -> Result<Infallible, ExitError> {
    let spawned = with_current(|managed| managed.spawned().map(core::ptr::from_ref))
        .ok_or(ExitError::NotManaged)?
        .ok_or(ExitError::Attached)?;
    // SAFETY: the record lives until the thread's last pass of destructors, and only this thread uses it.
    let spawned = unsafe { &*spawned };
    if !spawned.way_back.is_open() {
        return Err(ExitError::Ending);
    }
    spawned.exit_value.set(value);
    // SAFETY: the calling thread is inside the call; the caller vouches for the frames in between.
    unsafe { spawned.way_back.go() }
}
