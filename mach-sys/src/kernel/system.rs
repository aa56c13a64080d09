//! System functions outside Mach that a runtime needs, with the same signatures on every system.
#![allow(unsafe_code)]

use crate::darwin::DarwinSignal;
use crate::types::{kern_return_t, mach_port_name_t};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

#[doc(inline)]
pub use super::probe::{capabilities, policy, read_thread_state, translated};

/// Suspends threads, each once more, as [`thread_suspend`](super::thread_suspend) does, and writes the result of each. The calling thread, if it
/// is among them, stops last, before this returns.
///
/// The emulation sends its signal to 128 threads at a time before it waits for the first of them, so that these stop in the time of the
/// slowest. Nothing is allocated: a stopped thread may hold the allocator's lock.
///
/// # Panics
/// If `results` is not as long as `threads`.
pub fn suspend_threads(threads: &[mach_port_name_t], results: &mut [kern_return_t]) {
    assert_eq!(threads.len(), results.len(), "a result for each thread");
    host::suspend_threads(threads, results);
}

/// Returns the name of the calling task's own port. It adds no reference, so none may be released.
#[must_use]
#[doc(alias("mach_task_self", "mach_task_self_"))]
pub fn task_self() -> mach_port_name_t {
    host::task_self()
}

/// A thread of this process, identified by its `pthread_t`, the type of which differs between C libraries.
///
/// ```
/// use mach_sys::kernel::system::{Pthread, own_thread_port, thread_port};
///
/// let this = Pthread::current();
/// assert_eq!(Pthread::from_raw(this.raw()), this);
/// // SAFETY: the calling thread was not joined.
/// assert_eq!(unsafe { thread_port(this) }, own_thread_port());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "pthread_t")]
#[repr(transparent)]
pub struct Pthread(usize);

impl Pthread {
    /// Returns the calling thread.
    #[must_use]
    #[doc(alias = "pthread_self")]
    pub fn current() -> Self {
        // SAFETY: pthread_self has no preconditions.
        Self(unsafe { libc::pthread_self() } as usize)
    }

    /// Creates an identifier from a `pthread_t` (an integer or a pointer) converted with `as`, for example that of a
    /// `std::thread::JoinHandle` (`handle.as_pthread_t() as usize`).
    #[must_use]
    pub const fn from_raw(raw: usize) -> Self {
        Self(raw)
    }

    /// Returns the `pthread_t`.
    #[must_use]
    pub const fn raw(self) -> usize {
        self.0
    }
}

/// Returns the name of a thread's kernel port, without a new reference (D1.2); `MACH_PORT_NULL` if the kernel has no port for the
/// thread.
///
/// # Safety
/// `thread` denotes a thread that was not joined, so that its identifier does not denote another thread.
#[must_use]
#[doc(alias = "pthread_mach_thread_np")]
pub unsafe fn thread_port(thread: Pthread) -> mach_port_name_t {
    // SAFETY: the same contract, passed on unchanged.
    unsafe { host::thread_port(thread.0) }
}

/// Returns the name of the calling thread's kernel port, without a new reference; `MACH_PORT_NULL` if the kernel has no port for the
/// thread.
#[must_use]
#[doc(alias("pthread_mach_thread_np", "mach_thread_self"))]
pub fn own_thread_port() -> mach_port_name_t {
    // SAFETY: the calling thread runs, so it was not joined.
    unsafe { thread_port(Pthread::current()) }
}

/// Returns the range of addresses of the calling thread's stack; `None` if the system does not report it.
///
/// It may allocate: call it when a thread is attached, not after a fault.
#[must_use]
#[doc(alias(
    "pthread_get_stackaddr_np",
    "pthread_get_stacksize_np",
    "pthread_getattr_np"
))]
pub fn stack_bounds() -> Option<Range<usize>> {
    host::stack_bounds()
}

/// Returns the calling thread's 64-bit identifier. Darwin does not reuse an identifier while the system runs; the emulation does not
/// reuse one within a process, although the system reuses its own. A thread without a slot in the emulation, and a thread of a child
/// process, have the system's identifier, which is smaller than all others.
#[must_use]
#[doc(alias("pthread_threadid_np", "THREAD_IDENTIFIER_INFO"))]
pub fn thread_id() -> u64 {
    host::thread_id()
}

/// Returns what [`thread_id`] returned on the calling thread, without asking which process this is: it costs no system call. In the child
/// of a fork the emulation returns the identifier of the thread that forked. On a thread that made no kernel call it returns the system's
/// own identifier.
#[must_use]
pub fn own_identifier() -> u64 {
    host::own_identifier()
}

/// Returns the page size in bytes, a power of two.
#[must_use]
#[doc(alias("vm_page_size", "getpagesize"))]
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Returns the number of the CPU that the calling thread ran on during the call; `u32::MAX` if the system does not report it. Use it
/// only as a hint for spinning.
#[must_use]
#[doc(alias = "pthread_cpu_number_np")]
pub fn current_cpu() -> u32 {
    host::current_cpu()
}

/// Returns the number of bytes that the C library uses on the stack of a new thread: those of static thread-local variables, if these
/// are on the stack, otherwise 0. It may take the loader's lock: call it to create a thread, not after a fault.
#[must_use]
#[doc(alias("PTHREAD_STACK_MIN", "pthread_attr_setstacksize"))]
pub fn stack_overhead() -> usize {
    host::stack_overhead()
}

/// Returns the stack size to request for a thread that needs `bytes` for itself: [`stack_overhead`] is added, and the sum is rounded up to
/// whole pages. These crates size every thread's stack with it. Returns `usize::MAX`, which the system refuses, if the sum overflows. May
/// take the loader's lock.
#[must_use]
#[doc(alias("PTHREAD_STACK_MIN", "pthread_attr_setstacksize"))]
pub fn stack_size_for(bytes: usize) -> usize {
    host::stack_size_for(bytes)
}

/// Returns the address of the calling thread's `errno`. The address is valid as long as the thread lives, also while other code has
/// switched its thread-local storage.
#[must_use]
#[doc(alias("__errno_location", "__error"))]
pub fn errno_address() -> usize {
    host::errno_address()
}

/// Makes the calling thread a server thread: blocks every signal except the five that its own faults raise and those with which the
/// emulation stops threads. Meant for a thread that handles exceptions until it exits. Returns the thread's previous signal mask.
///
/// The five are never blocked, because a blocked synchronous signal kills the process at the thread's first fault. Code on the thread that blocks
/// SIGSEGV or SIGBUS does so at its own risk: on the emulation a kernel call with a bad address then ends the process, as its own fault
/// does on every system. Code in [`OuterMask::run`] may block them: kernel calls return errors, and the signals are unblocked when it returns.
pub fn enter_server_thread() -> OuterMask {
    OuterMask {
        mask: host::enter_server_thread(),
        thread_bound: PhantomData,
    }
}

/// The signal mask that a thread had before it became a server thread, with the five synchronous signals unblocked.
#[derive(Clone, Copy)]
pub struct OuterMask {
    mask: host::SignalMask,
    /// Makes the value stay on its thread.
    thread_bound: PhantomData<*const ()>,
}

impl OuterMask {
    /// Runs `code` with this mask, and blocks the signals again when it returns or panics. Threads and child processes that `code` starts
    /// inherit this mask, not the server thread's. Costs two system calls.
    pub fn run<R>(&self, code: impl FnOnce() -> R) -> R {
        struct BlockAgain;
        impl Drop for BlockAgain {
            fn drop(&mut self) {
                let _ = host::enter_server_thread();
            }
        }
        let _block_again = BlockAgain;
        self.restore();
        code()
    }

    /// Sets the calling thread's signal mask to this one. The thread is no longer a server thread.
    pub fn restore(&self) {
        host::leave_server_thread(&self.mask);
    }
}

impl fmt::Debug for OuterMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterMask").finish_non_exhaustive()
    }
}

/// Blocks `signals` on the calling thread, in Darwin's bits ([`DarwinSignal::mask`](crate::darwin::DarwinSignal::mask)), except the five
/// that its own faults raise. Returns the previous mask. Costs one system call and uses no thread-local storage.
#[doc(alias("sigprocmask", "pthread_sigmask"))]
pub fn block_signals(signals: u32) -> BlockedBefore {
    // SAFETY: zeroes are an empty set of either system.
    let mut set: host::SignalMask = unsafe { core::mem::zeroed() };
    put_signals(&mut set, u32::MAX, signals);
    BlockedBefore {
        mask: host::change_signal_mask(libc::SIG_BLOCK, &set),
        thread_bound: PhantomData,
    }
}

/// Blocks `signals` on the calling thread and unblocks Darwin's other signals, in Darwin's bits. The five that the thread's own faults
/// raise are never blocked. Signals that only the system has are not changed.
pub fn set_blocked_signals(signals: u32) {
    let mut before = block_signals(0);
    before.set_signals(signals);
    before.restore();
}

/// The signals that a thread had blocked before [`block_signals`].
#[derive(Clone, Copy)]
#[must_use = "the signals stay blocked until they are restored"]
pub struct BlockedBefore {
    mask: host::SignalMask,
    /// Makes the value stay on its thread.
    thread_bound: PhantomData<*const ()>,
}

impl BlockedBefore {
    /// Returns the signals in Darwin's bits.
    #[must_use]
    pub fn signals(&self) -> u32 {
        let has = |signal: &DarwinSignal| {
            let host = signal.to_system();
            host.is_some_and(|host| host::has_signal(&self.mask, host))
        };
        darwin_signals()
            .filter(has)
            .fold(0, |bits, signal| bits | signal.mask())
    }

    /// Replaces the signals, in Darwin's bits. The five that a thread's faults raise can be removed but not added.
    pub fn set_signals(&mut self, signals: u32) {
        let changed = self.signals() ^ signals;
        put_signals(&mut self.mask, changed, signals);
    }

    /// Sets the calling thread's signal mask to them. Costs one system call and uses no thread-local storage.
    pub fn restore(&self) {
        host::change_signal_mask(libc::SIG_SETMASK, &self.mask);
    }
}

impl fmt::Debug for BlockedBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockedBefore")
            .field("signals", &self.signals())
            .finish_non_exhaustive()
    }
}

fn darwin_signals() -> impl Iterator<Item = DarwinSignal> {
    (1..32).map(DarwinSignal::new)
}

/// Sets each signal of `which` in a set as it is in `signals`, but never adds the five that a thread's faults raise.
fn put_signals(set: &mut host::SignalMask, which: u32, signals: u32) {
    for signal in darwin_signals().filter(|signal| which & signal.mask() != 0) {
        let there = signals & signal.mask() != 0;
        let allowed = !there || !DarwinSignal::FAULTS.contains(&signal);
        if let Some(host) = signal.to_system().filter(|_| allowed) {
            host::put_signal(set, host, there);
        }
    }
}

/// The process in which a value was created, and the start of the emulated kernel in it. The names of ports and threads have no meaning in
/// the child of a fork, or after a stop, so a value that owns some stores its origin and compares it before it releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    process: libc::pid_t,
    /// Number of times that the emulated kernel was stopped before; 0 on Apple's.
    stops: u32,
}

impl Origin {
    /// Returns the calling process.
    #[must_use]
    pub fn current() -> Self {
        Self {
            process: host::process_id(),
            stops: host::stops(),
        }
    }

    /// Returns `true` if the calling process is this one: `false` in the child of a fork, however that was made, and after the emulated
    /// kernel was stopped ([`stop`](crate::kernel::stop)). Costs no system call
    /// where the emulation runs, nor on Apple's systems, whose C library keeps the identifier.
    ///
    /// A child that shares its parent's memory (`vfork`) counts as its parent. The emulation refuses its kernel calls.
    #[must_use]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// Returns the process identifier. In the child of a fork the emulation returns a number that is no process's identifier, because in a
    /// PID namespace the child's own may equal its parent's.
    #[must_use]
    pub fn id(self) -> u32 {
        self.process as u32
    }

    /// Returns a number below 2^31 that differs from that of the process before a fork, and from that of the start before a stop.
    pub(crate) fn mark(self) -> u32 {
        // Identifiers have 22 bits at most, and the emulation's bit for a copy is the one below the last.
        self.id() ^ (self.stops & 0xff) << 22
    }
}

/// Makes the kernel calls of the calling thread cost less until the result is dropped: a few calls in a row, without user code in between. On
/// Apple's kernel it changes nothing. The emulation blocks the asynchronous signals, and finds out which process it is in, once for the
/// group instead of in each call. The five signals of the thread's own faults stay unblocked; on a thread that has one of them blocked
/// nothing changes. A group inside a group is part of it.
///
/// [`enter_server_thread`] and [`OuterMask::restore`] end the group, and so does [`FaultReadiness::undo`] where it blocks one of the five
/// again. Otherwise the thread's signal mask must not be changed inside a group, and no `longjmp` may leave it: later calls would run with
/// signals that are not blocked, whose handlers could wait for a lock of the emulation's that this thread holds. A panic ends the group as it
/// drops it. Nor must the thread fault inside a group if a handler of the program's for that signal makes kernel calls: there the signal is
/// blocked, and a bad address in such a call would end the process.
///
/// No call of a group may wait: a signal would not interrupt it. A `vfork` inside a group, in a fault handler for example, must not be followed
/// by kernel calls of the child, which are refused elsewhere (G4.3).
///
/// ```
/// use mach_sys::kernel::system::group_calls;
/// use mach_sys::rights::ReceiveRight;
///
/// let group = group_calls();
/// let port = ReceiveRight::new()?;
/// let send = port.make_send()?;
/// drop(group);
/// # Ok::<(), mach_sys::kern_return::KernError>(())
/// ```
pub fn group_calls() -> CallGroup {
    CallGroup {
        inner: host::group_calls(),
        not_send: PhantomData,
    }
}

/// A group of kernel calls, from [`group_calls`] until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the group"]
pub struct CallGroup {
    inner: host::CallGroup,
    /// Makes the group stay on its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for CallGroup {
    fn drop(&mut self) {
        self.inner.end();
    }
}

/// Prepares the calling thread for faults that an exception server handles. On Apple's kernel it changes nothing. The emulation registers
/// an alternate signal stack of its own, of 96 KiB or more, and unblocks the five signals that the thread's faults raise, because a
/// blocked one would kill the process. It registers its stack even if the thread has one, because the component that registered that one
/// may unmap it on another thread, as Rust's runtime does at `exit`.
///
/// [`FaultReadiness::undo`] restores both.
pub fn prepare_for_faults() -> FaultReadiness {
    FaultReadiness {
        inner: host::prepare_for_faults(),
        not_send: PhantomData,
    }
}

/// The record of the changes of [`prepare_for_faults`]. Dropping it changes nothing: the thread stays prepared until it exits.
#[derive(Debug)]
#[must_use = "the thread stays prepared unless this is undone"]
pub struct FaultReadiness {
    inner: host::FaultReadiness,
    /// Makes the record stay on its thread.
    not_send: PhantomData<*const ()>,
}

impl FaultReadiness {
    /// Restores the calling thread's previous alternate signal stack, if the emulation's is still registered, and blocks the signals again
    /// that were unblocked. Changes that the thread has made meanwhile stay. A thread that runs on its alternate signal stack keeps it,
    /// because the system refuses to change it there. A thread that has become a server thread keeps the signals unblocked.
    pub fn undo(self) {
        self.inner.undo();
    }
}
