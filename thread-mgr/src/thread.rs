//! Threads that the manager starts.
#![allow(unsafe_code)]

use crate::attach::take_in;
use crate::error::{AttachError, JoinError, SpawnError};
use crate::exit::{self, Managed};
use crate::manager::{Inner, Manager};
use crate::shutdown::ShutdownReport;
use crate::slot::Slot;
use core::any::Any;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use mach_sys::kernel::system;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How a thread left its body.
pub enum Exit<T> {
    /// It returned.
    Returned(T),
    /// Through [`exit_now`](crate::exit_now), with this value.
    Exited(usize),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

impl<T> Exit<T> {
    /// The returned value.
    pub fn returned(self) -> Option<T> {
        match self {
            Self::Returned(value) => Some(value),
            Self::Exited(_) | Self::Panicked(_) => None,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Exit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => f.debug_tuple("Returned").field(value).finish(),
            Self::Exited(value) => f.debug_tuple("Exited").field(value).finish(),
            Self::Panicked(_) => f.debug_tuple("Panicked").finish_non_exhaustive(),
        }
    }
}

/// A thread that is gone: how it left its body, and what its end found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<T> {
    /// How it left its body.
    pub exit: Exit<T>,
    /// What its end found and did; `None` if the system did not run its last destructors.
    pub report: Option<ShutdownReport>,
}

/// Configures a thread.
#[must_use]
#[derive(Clone, Debug)]
pub struct ThreadBuilder<'m> {
    manager: &'m Manager,
    name: Option<String>,
    stack_size: Option<usize>,
}

impl<'m> ThreadBuilder<'m> {
    pub(crate) fn new(manager: &'m Manager) -> Self {
        Self {
            manager,
            name: None,
            stack_size: None,
        }
    }

    /// The thread's name, in the registry.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The size of its stack in bytes, rounded up to whole pages; the system's usual one unless said.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts it. Returns once it runs and its faults are routed.
    ///
    /// # Errors
    /// The host refused the thread, or it could not be taken in.
    pub fn spawn<T, F>(self, body: F) -> Result<Handle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = Arc::new(Shared {
            start: Mutex::new(None),
            started: Condvar::new(),
            exit: Slot::new(),
            report: Arc::new(Slot::new()),
        });
        let start = Box::new(Start {
            body,
            name: self.name,
            inner: Arc::clone(&self.manager.inner),
            shared: Arc::clone(&shared),
        });
        let thread = create(self.stack_size, start)?;
        let started = shared.wait_for_start();
        match started {
            Ok(id) => Ok(Handle {
                thread,
                id,
                shared,
                joined: false,
            }),
            Err(error) => {
                // SAFETY: the thread was created joinable, and nobody else joins it.
                unsafe { libc::pthread_join(thread, core::ptr::null_mut()) };
                Err(error.into())
            }
        }
    }
}

/// Creates the host's thread.
fn create<F, T>(
    stack_size: Option<usize>,
    start: Box<Start<F, T>>,
) -> Result<libc::pthread_t, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call initialises the attributes.
    let error = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    if error != 0 {
        return Err(SpawnError::Create(error));
    }
    let sized = match stack_size {
        None => 0,
        // One of the systems refuses a size that is not whole pages. What overflows is refused by both.
        Some(size) => {
            let size = size
                .checked_next_multiple_of(system::page_size())
                .unwrap_or(usize::MAX);
            // SAFETY: initialised above.
            unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size) }
        }
    };
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let pointer = Box::into_raw(start);
    let error = match sized {
        // SAFETY: the routine takes ownership of the pointer, which it gets exactly once if the thread is created. It is
        // `C-unwind`, so that a forced unwind may pass; the declaration at hand has `C`, which is the same call.
        0 => unsafe {
            libc::pthread_create(
                thread.as_mut_ptr(),
                attributes.as_ptr(),
                core::mem::transmute::<
                    extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                    extern "C" fn(*mut c_void) -> *mut c_void,
                >(run::<F, T>),
                pointer.cast(),
            )
        },
        error => error,
    };
    // SAFETY: initialised above, and used no more.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if error == 0 {
        // SAFETY: the call that succeeded filled it.
        return Ok(unsafe { thread.assume_init() });
    }
    // SAFETY: no thread was created, so that the pointer is still ours.
    drop(unsafe { Box::from_raw(pointer) });
    Err(match stack_size {
        Some(size) if sized != 0 => SpawnError::StackSize { size, error },
        _ => SpawnError::Create(error),
    })
}

/// What the starter and the thread have in common.
struct Shared<T> {
    start: Mutex<Option<Result<u64, AttachError>>>,
    started: Condvar,
    exit: Slot<Exit<T>>,
    report: Arc<Slot<ShutdownReport>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of these is written once.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Shared<T> {
    fn wait_for_start(&self) -> Result<u64, AttachError> {
        let mut start = lock(&self.start);
        loop {
            match start.take() {
                Some(outcome) => return outcome,
                None => {
                    start = self
                        .started
                        .wait(start)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn report_start(&self, outcome: Result<u64, AttachError>) {
        *lock(&self.start) = Some(outcome);
        self.started.notify_one();
    }
}

/// What a new thread is given.
struct Start<F, T> {
    body: F,
    name: Option<String>,
    inner: Arc<Inner>,
    shared: Arc<Shared<T>>,
}

/// The start routine. Returning from it is how `pthread_exit` is fallen into.
extern "C-unwind" fn run<F, T>(argument: *mut c_void) -> *mut c_void
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `create` gave this box to this thread, once.
    let start = unsafe { Box::from_raw(argument.cast::<Start<F, T>>()) };
    let Start {
        body,
        name,
        inner,
        shared,
    } = *start;
    let taken = take_in(&inner, name, true).and_then(|running| {
        let managed = Managed::started(running, Arc::clone(&shared.report));
        exit::adopt(managed).map_err(AttachError::Hook)
    });
    drop(inner);
    let managed = match taken {
        Ok(managed) => managed,
        Err(error) => {
            shared.report_start(Err(error));
            return core::ptr::null_mut();
        }
    };
    shared.report_start(Ok(system::thread_id()));
    let mut call = Call {
        body: Some(body),
        outcome: None,
    };
    // SAFETY: the record lives until the thread's last pass of destructors.
    let spawned = unsafe { (*managed).spawned() };
    if let Some(spawned) = spawned {
        let argument = core::ptr::from_mut(&mut call).cast();
        spawned.way_back.call(call_body::<F, T>, argument);
        shared.exit.put(match call.outcome.take() {
            Some(Ok(value)) => Exit::Returned(value),
            Some(Err(payload)) => Exit::Panicked(payload),
            None => Exit::Exited(spawned.exit_value.get()),
        });
    }
    // The result of a thread that nobody joins ends here, and its destructor may panic.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(shared))) {
        core::mem::forget(payload);
    }
    core::ptr::null_mut()
}

/// The body, and what became of it.
struct Call<F, T> {
    body: Option<F>,
    outcome: Option<std::thread::Result<T>>,
}

extern "C" fn call_body<F: FnOnce() -> T, T>(argument: *mut c_void) {
    // SAFETY: `run` passed its own `Call`, which outlives this.
    let call = unsafe { &mut *argument.cast::<Call<F, T>>() };
    if let Some(body) = call.body.take() {
        call.outcome = Some(catch_unwind(AssertUnwindSafe(body)));
    }
}

/// A started thread. Dropping it lets the thread go its own way: it ends in the same order, and nobody hears of it.
#[must_use = "dropping it detaches the thread"]
pub struct Handle<T> {
    thread: libc::pthread_t,
    id: u64,
    shared: Arc<Shared<T>>,
    joined: bool,
}

impl<T> Handle<T> {
    /// The thread's 64-bit identifier.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the thread's end. The kernel's own part of it may take a moment longer: the name of its port may live on.
    ///
    /// # Errors
    /// Called on the thread itself; the handle is lost then, and the thread is detached.
    pub fn join(mut self) -> Result<Ended<T>, JoinError> {
        // SAFETY: the thread was created joinable, was not joined, and is not detached while the handle lives.
        let itself = unsafe { libc::pthread_equal(self.thread, libc::pthread_self()) != 0 };
        if itself {
            return Err(JoinError::Itself);
        }
        // SAFETY: as above; from here on nobody uses the identifier.
        let error = unsafe { libc::pthread_join(self.thread, core::ptr::null_mut()) };
        self.joined = true;
        if error != 0 {
            return Err(JoinError::Host(error));
        }
        let exit = self.shared.exit.take().ok_or(JoinError::NoResult)?;
        let report = self.shared.report.take();
        Ok(Ended { exit, report })
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if !self.joined {
            // SAFETY: a joinable thread that was not joined; nobody uses the identifier afterwards.
            unsafe { libc::pthread_detach(self.thread) };
        }
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
