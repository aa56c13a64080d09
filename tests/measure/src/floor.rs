//! The least cost of a round trip: a bare handler, with all signals blocked, that repairs its fault, then the same with what a round trip
//! cannot do without, added one by one.
//!
//! With a server on another CPU: two system calls, the copy of the signal frame, one hand-off of a request and a reply of 300 bytes, six
//! transfers of a lock between the CPUs' caches. With a server on the same CPU the floor is two futex hand-offs, each of which switches threads;
//! the steps before a request are measured over it.
#![allow(unsafe_code)]

use crate::bare::{Handler, Installed, install_with_signals_blocked, repair};
use crate::{Error, cpus};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_long, c_void};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

/// The steps, each of which includes those before it.
pub const STEPS: [&str; 6] = [
    "bare handler",
    "+ a system call",
    "+ sigaltstack",
    "+ copy of 2.8 KB",
    "+ hand-off of 300 bytes",
    "+ six lock transfers",
];

/// The step that copies the frame, the last before the request.
pub const COPY: usize = 3;

const FRAME: usize = 2800;
const MESSAGE: usize = 300;

/// Memory of a cache line's own, that the handler and the server use by turns.
#[repr(align(128))]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: what is in it is used by one thread at a time: the one whose turn the words REQUEST and REPLY say, or that holds LOCK.
unsafe impl<T: Send> Sync for Shared<T> {}

#[repr(align(128))]
struct Word(AtomicU32);

static STEP: AtomicU32 = AtomicU32::new(0);
static END: AtomicBool = AtomicBool::new(false);
static REQUEST: Word = Word(AtomicU32::new(0));
static REPLY: Word = Word(AtomicU32::new(0));
static LOCK: Word = Word(AtomicU32::new(0));
static FRAME_COPY: Shared<[u8; FRAME]> = Shared(UnsafeCell::new([0; FRAME]));
static REQUEST_BYTES: Shared<[u8; MESSAGE]> = Shared(UnsafeCell::new([0; MESSAGE]));
static REPLY_BYTES: Shared<[u8; MESSAGE]> = Shared(UnsafeCell::new([0; MESSAGE]));
static REPLY_COPY: Shared<[u8; MESSAGE]> = Shared(UnsafeCell::new([0; MESSAGE]));
static LOCKED: Shared<[u8; 512]> = Shared(UnsafeCell::new([0; 512]));

/// Takes the lock three times and writes under it.
fn lock_transfers(offset: usize) {
    for line in 0..3 {
        while LOCK
            .0
            .compare_exchange_weak(0, 1, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            spin_loop();
        }
        // SAFETY: inside the array, and the lock is held.
        unsafe {
            let byte = LOCKED.0.get().cast::<u8>().add(line * 64 + offset);
            byte.write_volatile(byte.read_volatile().wrapping_add(1));
        }
        LOCK.0.store(0, Ordering::SeqCst);
    }
}

/// The steps before the request: what the way into the fault handler takes.
fn enter(step: u32, context: *mut c_void) {
    if step >= 1 {
        // SAFETY: the call has no preconditions.
        unsafe { libc::getppid() };
    }
    if step >= 2 {
        // SAFETY: a query, into a structure that is valid for a write.
        unsafe {
            let mut stack: libc::stack_t = core::mem::zeroed();
            libc::sigaltstack(core::ptr::null(), &mut stack);
        }
    }
    if step >= 3 {
        // SAFETY: the frame begins a word before the context, on the interrupted stack. Where it is smaller than the copy, the frames of
        // the functions above it follow: the thread's start and this crate's, with buffers of more than this.
        unsafe {
            let from = context.cast::<u8>().sub(8);
            core::ptr::copy_nonoverlapping(from, FRAME_COPY.0.get().cast(), FRAME);
        }
    }
}

/// The handler with a server on another CPU.
extern "C" fn spinning(signal: c_int, info: *mut c_void, context: *mut c_void) {
    let step = STEP.load(Ordering::Relaxed);
    enter(step, context);
    if step >= 4 {
        let before = REPLY.0.load(Ordering::SeqCst);
        // SAFETY: it is this thread's turn until REQUEST changes, and again when REPLY has.
        unsafe { REQUEST_BYTES.0.get().write_bytes(1, 1) };
        REQUEST.0.fetch_add(1, Ordering::SeqCst);
        while REPLY.0.load(Ordering::SeqCst) == before {
            spin_loop();
        }
        // SAFETY: as above; the copies do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(REPLY_BYTES.0.get(), REPLY_COPY.0.get(), 1) };
    }
    if step >= 5 {
        lock_transfers(0);
    }
    repair(signal, info, context);
}

fn serve_spinning() {
    let mut seen = 0;
    while !END.load(Ordering::Relaxed) {
        let request = REQUEST.0.load(Ordering::SeqCst);
        if request == seen {
            spin_loop();
            continue;
        }
        seen = request;
        // SAFETY: it is this thread's turn until REPLY changes; the arrays do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(REQUEST_BYTES.0.get(), REPLY_BYTES.0.get(), 1) };
        if STEP.load(Ordering::Relaxed) >= 5 {
            lock_transfers(8);
        }
        REPLY.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The handler with a server on the same CPU.
extern "C" fn sleeping(signal: c_int, info: *mut c_void, context: *mut c_void) {
    enter(STEP.load(Ordering::Relaxed), context);
    let before = REPLY.0.load(Ordering::SeqCst);
    REQUEST.0.fetch_add(1, Ordering::SeqCst);
    wake(&REQUEST.0);
    while REPLY.0.load(Ordering::SeqCst) == before {
        wait(&REPLY.0, before);
    }
    repair(signal, info, context);
}

fn serve_sleeping() {
    let mut seen = 0;
    loop {
        let request = REQUEST.0.load(Ordering::SeqCst);
        if END.load(Ordering::Relaxed) {
            return;
        }
        if request == seen {
            wait(&REQUEST.0, seen);
            continue;
        }
        seen = request;
        REPLY.0.fetch_add(1, Ordering::SeqCst);
        wake(&REPLY.0);
    }
}

unsafe extern "C" {
    /// The C library's. It is called where the emulated Mach answers, on Linux, and by Linux's numbers.
    fn syscall(number: c_long, ...) -> c_long;
}

const FUTEX: c_long = if cfg!(target_arch = "x86_64") {
    202
} else {
    98
};
const WAIT_PRIVATE: c_int = 128;
const WAKE_PRIVATE: c_int = 129;

fn wait(word: &AtomicU32, value: u32) {
    let timeout = core::ptr::null::<c_void>();
    // SAFETY: the word is valid, and there is no timeout.
    unsafe { syscall(FUTEX, word.as_ptr(), WAIT_PRIVATE, value, timeout) };
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word is valid.
    unsafe { syscall(FUTEX, word.as_ptr(), WAKE_PRIVATE, 1) };
}

/// The floor's server thread. One at a time.
#[derive(Debug)]
pub struct Floor {
    handler: Handler,
    server: Option<JoinHandle<()>>,
}

impl Floor {
    /// Starts a server that spins, on another CPU.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn on_another_cpu() -> Result<Self, Error> {
        Self::start(spinning, serve_spinning)
    }

    /// Starts a server that sleeps until it is woken.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn on_the_same_cpu() -> Result<Self, Error> {
        Self::start(sleeping, serve_sleeping)
    }

    fn start(handler: Handler, serve: fn()) -> Result<Self, Error> {
        END.store(false, Ordering::SeqCst);
        // The server begins with 0 seen; nothing was requested before.
        REQUEST.0.store(0, Ordering::SeqCst);
        let server = cpus::start_server(|| std::thread::Builder::new().spawn(serve))?;
        Ok(Self {
            handler,
            server: Some(server),
        })
    }

    /// Installs the floor's handler for a signal, with the steps up to this one. The handler of the server on the same CPU has its two hand-offs
    /// with each, and no step after [`COPY`].
    pub fn install(&self, signal: c_int, step: usize) -> Installed {
        STEP.store(step as u32, Ordering::SeqCst);
        install_with_signals_blocked(signal, self.handler)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        END.store(true, Ordering::SeqCst);
        REQUEST.0.fetch_add(1, Ordering::SeqCst);
        wake(&REQUEST.0);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
