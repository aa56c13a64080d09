//! The emulated Mach: a small Mach kernel in the process, for systems that have none.
//!
//! It is not a mock: threads and faults are real. A SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP enters a handler on
//! the faulting thread, which plays the kernel: it maps the trap to a Mach exception, queues the message, waits for the reply,
//! writes the reply's state into the interrupted context and returns into it. Behaviour follows XNU's as of macOS 26, rule by
//! rule; comments in the code name the rules.
//!
//! | room | contents |
//! |---|---|
//! | `calls` | the seam's other side: each kernel call, from raw arguments to the room that serves it |
//! | `process` | the process's own kernel and task, and how it is set up |
//! | `exception` | registration and delivery of exceptions |
//! | `thread` | threads and tasks, their life, their exception actions, their registers |
//! | `ipc` | ports, names and messages, and the kernel's one lock |
//! | `host` | the Linux side: signals, contexts, futexes, stacks, thread exit; no other room knows Linux |
//!
//! # What it does to the process
//! `start`, `start_with` or the first kernel call installs: handlers for the five synchronous signals (the previous handlers become
//! the signal fallback), one for a real-time signal, by which it stops threads ([`Config::suspension_signal`]), a `pthread_atfork` handler, a
//! thread-specific-data key, and one thread that watches for the end of others.
//! [`Config`] says how many threads there is room for and what happens when another component replaces a signal handler; [`StartError`]
//! says what the system refused. `docs/sharing-a-process.md` in the repository lists all resources taken, and what other components may
//! do. No symbol has the name of one of libSystem's. On Apple's systems this crate contains only the configuration and the errors.
//!
//! `stop` gives all of it back, except the `pthread_atfork` handler, which the C library removes when it unloads the library that contains
//! the emulation. Until `stop`, `dlclose` does not unload that library: a thread that its system does not know of may still need it. Three
//! things keep it loaded even afterwards, or leave something behind:
//! - A signal handler that was installed over the emulation's may chain to it (`Stopped::displaced`). The library stays.
//! - A thread of the program that has thread-local variables of the library with destructors: glibc keeps the library until the thread
//!   exits. These crates leave none on threads that they did not start; `std::thread::spawn` and `std::thread::current` do.
//! - Rust's own library makes a key of thread-specific data when it starts a thread, and never deletes it: one key, of 1024, each time that
//!   a library is loaded. musl's `dlclose` unloads nothing.
//!
//! # The end of the process
//! The C library ends a process when its last thread ends. The emulation's thread and those of exception servers do not count: when the main
//! thread has left by `pthread_exit`, and all others have ended, the process ends by `exit(0)`, within about a quarter of a second. `exit`
//! runs on a thread of its own, with the signal mask of the thread that started the emulation. This needs `/proc`, and a system that adds no
//! threads to the process: user-mode processor emulators add some.
//!
//! A thread that waits for the reply to a fault has its signals blocked, as the emulation's thread and servers' threads have. A signal to
//! the process that the faulting code does not block, and whose default action ends the process, does so within the same time; one that has a
//! handler waits for the reply. Signals that stop a process wait, too; `SIGSTOP` does not.
//!
//! # A thread's own names
//! A thread's first call of a MIG routine makes its reply port, as in Apple's library: one receive right in the task, until the thread ends
//! (G6.1). A table in `calls/mig.rs` lists the calls that are routines, and the traps that make none.
//!
//! # Limits
//! One lock for the whole kernel instead of one per space, so that an operation on several spaces is one step. Vouchers are
//! not supported.
//!
//! XNU delivers a thread's fault whatever signals the thread has blocked. Linux ends the process if the fault's signal is blocked, and
//! nothing in the process can change that. A thread's first kernel call unblocks the five signals, so only a mask that is set later has
//! that effect. Kernel calls with bad addresses return an error under any mask, with one exception: code on a server's
//! thread (`mach_sys::kernel::system::enter_server_thread`) that blocks SIGSEGV or SIGBUS there. A handler of `exc-server` is not affected: it
//! runs in `OuterMask::run`.
//!
//! # Systems
//! Linux, and systems that treat signal frames as Linux does. The start raises a few faults to test this (0.1 ms). It fails with
//! [`StartError::SignalFrame`] if a register in a frame is wrong, a write to it has no effect, or more data follows the frame: under
//! valgrind, for example. A debugger sees these faults of the starting thread, like any other of the process.
//!
//! ThreadSanitizer and AddressSanitizer have handlers and destructors of their own. Under ThreadSanitizer the end of a thread is announced one
//! pass of destructors earlier, and a fault in a destructor of the last pass goes to the signal fallback.
//!
//! # Stack overflow
//! A stack overflow is an exception on a thread that has an alternate signal stack. On any other the system has nowhere to write the signal's
//! frame, and ends the process by `SIGSEGV`; nothing in the process can change that, and a system has no hook for new threads. These have one:
//! - a thread that made a kernel call, was attached or prepared for faults, or had a fault answered: the emulation lends it one;
//! - a thread that another one suspended, asked for its port, or listed by `task_threads`;
//! - a thread with one of its own, such as the threads of Rust's `std::thread` in a program that starts the emulation in `main` or later. Started
//!   before that (in a constructor, or in a library that is loaded first), std finds the emulation's handlers and gives its threads none.
//!
//! A program with a handler for the whole task, and threads that it does not start itself, calls `task_threads` once: that makes the threads
//! ready that exist by then. A thread that starts later makes a kernel call first.
//!
//! # Alternate signal stacks
//! A fault on a thread that has its own alternate signal stack uses one signal frame of that stack: up to 3 KiB with AVX-512, and 12 KiB with
//! AMX or long SVE vectors. Handlers there that fault themselves add a frame each, and their locals. The 8 KiB that Rust's standard library
//! registers for each of its threads hold two frames with AVX-512, not three: the third ends the process, as it does without the emulation.
//! A thread whose handlers nest has a larger stack registered, or none: then the emulation lends one of 96 KiB or more (`LENT_STACK_SIZE`). A
//! thread of `thread-mgr` uses the lent one while it is managed.
//!
//! A handler that is installed over the emulation's without `SA_ONSTACK`, and chains to it, does not get control back
//! ([`WhenDisplaced::Leave`]).
#![deny(unsafe_code)]

mod config;
mod error;
mod stopped;

/// Compiles and runs the README's example.
#[cfg(all(doctest, not(target_vendor = "apple")))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use config::{Config, CrashPolicy, FallbackSignals, Generation, GuardPolicy, WhenDisplaced};
pub use error::{ReserveError, SignalFrameError, StartError, StopError, SystemError};
pub use stopped::Stopped;

// Apple's systems have a Mach of their own: none of this is there.
// Declared and documented where they are called: the seam, `mach_sys::kernel`.
#[allow(missing_docs, clippy::missing_safety_doc, clippy::too_many_arguments)]
#[cfg(not(target_vendor = "apple"))]
pub mod calls;
#[cfg(not(target_vendor = "apple"))]
pub(crate) mod exception;
#[cfg(not(target_vendor = "apple"))]
pub(crate) mod host;
#[cfg(not(target_vendor = "apple"))]
pub(crate) mod ipc;
#[cfg(not(target_vendor = "apple"))]
mod process;
#[cfg(not(target_vendor = "apple"))]
mod rules;
#[allow(missing_docs, clippy::missing_safety_doc)]
#[cfg(not(target_vendor = "apple"))]
pub mod system;
#[cfg(not(target_vendor = "apple"))]
pub(crate) mod thread;

#[cfg(not(target_vendor = "apple"))]
pub use calls::{UnreachableReason, UnreachableThread, take_guard, take_unreachable};
#[cfg(not(target_vendor = "apple"))]
pub use host::LENT_STACK_SIZE;
#[cfg(not(target_vendor = "apple"))]
pub use process::{start, start_with, stop};
#[cfg(not(target_vendor = "apple"))]
pub use system::{CallGroup, FaultReadiness};

/// Returns the number of faults and kernel calls that found [`Config::threads`] threads registered already. Those faults went to the
/// signal fallback; those calls failed.
#[cfg(not(target_vendor = "apple"))]
pub fn refused_threads() -> u32 {
    host::exhausted()
}

/// Returns the signals whose handler was replaced after the start, or whose handler's flags or mask were changed. A new handler runs
/// first; the emulation sees a fault only if that handler chains. Flags and masks are restored when a thread registers, or a
/// fault shows the change: [`changed_handlers`] counts that.
#[cfg(not(target_vendor = "apple"))]
pub fn displaced_signals() -> impl Iterator<Item = i32> {
    host::fault::previous::displaced()
}

/// Returns the number of times that another component had changed the flags or the mask of the emulation's own handler, as
/// `signal(SIGSEGV, signal(SIGSEGV, SIG_IGN))` does. The emulation restored them, whatever [`Config::displaced`] says.
#[cfg(not(target_vendor = "apple"))]
pub fn changed_handlers() -> u32 {
    host::fault::previous::changed()
}
