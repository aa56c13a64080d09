//! What a runtime needs from the system beside Mach, with one signature on every host.
#![allow(unsafe_code)]

use crate::darwin::DarwinSignal;
use crate::types::mach_port_name_t;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

#[doc(inline)]
pub use super::probe::{capabilities, policy, read_thread_state, translated};

/// Returns the name of the calling task's own port. Takes no reference, so none may be released.
#[must_use]
#[doc(alias("mach_task_self", "mach_task_self_"))]
pub fn task_self() -> mach_port_name_t {
    host::task_self()
}

/// A thread of this process as pthreads identifies it: a `pthread_t`, whose type differs from one C library to the next.
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

    /// Wraps a `pthread_t`, an integer or a pointer, converted with `as`: for example that of a `std::thread::JoinHandle`
    /// (`handle.as_pthread_t() as usize`).
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

/// Returns the name of a thread's kernel port, without a new reference (D1.2). `MACH_PORT_NULL` when this kernel does not know the
/// thread.
///
/// # Safety
/// `thread` denotes a thread that was not joined, and whose identifier was therefore not given to another.
#[must_use]
#[doc(alias = "pthread_mach_thread_np")]
pub unsafe fn thread_port(thread: Pthread) -> mach_port_name_t {
    // SAFETY: the same contract, passed on unchanged.
    unsafe { host::thread_port(thread.0) }
}

/// Returns the name of the calling thread's kernel port, without a new reference. `MACH_PORT_NULL` when this kernel does not know the
/// thread.
#[must_use]
#[doc(alias("pthread_mach_thread_np", "mach_thread_self"))]
pub fn own_thread_port() -> mach_port_name_t {
    // SAFETY: the calling thread runs, so it was not joined.
    unsafe { thread_port(Pthread::current()) }
}

/// Returns the addresses of the calling thread's stack, lowest first. `None` if the system does not say.
///
/// May allocate: call it when a thread is attached, not when it has faulted.
#[must_use]
#[doc(alias(
    "pthread_get_stackaddr_np",
    "pthread_get_stacksize_np",
    "pthread_getattr_np"
))]
pub fn stack_bounds() -> Option<Range<usize>> {
    host::stack_bounds()
}

/// Returns the calling thread's 64-bit identifier. Darwin never uses one again while the system runs; the emulation never within a
/// process, though the host uses its own thread identifiers again. A thread that the emulation has no room for, and a thread of a
/// child process, get the host's identifier, which is smaller than any other.
#[must_use]
#[doc(alias("pthread_threadid_np", "THREAD_IDENTIFIER_INFO"))]
pub fn thread_id() -> u64 {
    host::thread_id()
}

/// Returns the page size in bytes, a power of two.
#[must_use]
#[doc(alias("vm_page_size", "getpagesize"))]
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Returns the number of the CPU that the calling thread ran on a moment ago; `u32::MAX` if the system does not say. A hint for
/// spinning, nothing else.
#[must_use]
#[doc(alias = "pthread_cpu_number_np")]
pub fn current_cpu() -> u32 {
    host::current_cpu()
}

/// Returns how many bytes the C library takes out of the stack of a thread that is created now: its static thread-local variables, where
/// these are on the stack; 0 where they are not. May take the loader's lock: call it to create a thread, not when one has faulted.
#[must_use]
#[doc(alias("PTHREAD_STACK_MIN", "pthread_attr_setstacksize"))]
pub fn stack_overhead() -> usize {
    host::stack_overhead()
}

/// Returns the size of a stack of which a thread that is created now has so many bytes for its own: beyond [`stack_overhead`], in whole
/// pages. Every thread that these crates start is sized by it. `usize::MAX`, which the system refuses, where there is no such size. May
/// take the loader's lock.
#[must_use]
#[doc(alias("PTHREAD_STACK_MIN", "pthread_attr_setstacksize"))]
pub fn stack_size_for(bytes: usize) -> usize {
    host::stack_size_for(bytes)
}

/// Returns the address of the calling thread's `errno`. It stays the same for as long as the thread lives, also while other code has
/// exchanged its thread-local storage.
#[must_use]
#[doc(alias("__errno_location", "__error"))]
pub fn errno_address() -> usize {
    host::errno_address()
}

/// Makes the calling thread a server thread: blocks every signal but the five that its own faults raise and those that the emulation
/// stops threads with. Meant for a thread that answers exceptions until it ends. Returns the signal mask that the thread had before.
///
/// The five are never blocked: a blocked synchronous signal kills the process at the thread's first fault. Code on the thread that blocks
/// SIGSEGV or SIGBUS there is on its own: on the emulation a kernel call with a bad address then ends the process, as a fault of its own does
/// on every host. Code in [`OuterMask::run`] may block them: kernel calls answer, and the signals are unblocked when it returns.
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
    /// A mask is a thread's own.
    thread_bound: PhantomData<*const ()>,
}

impl OuterMask {
    /// Runs code with this mask, and blocks the signals again when it returns or panics. Threads and child processes that the code
    /// starts inherit this mask, not the server thread's. Costs two system calls.
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

    /// Sets the calling thread's signal mask to this one: it is a server thread no longer.
    pub fn restore(&self) {
        host::leave_server_thread(&self.mask);
    }
}

impl fmt::Debug for OuterMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterMask").finish_non_exhaustive()
    }
}

/// Blocks signals on the calling thread, in Darwin's bits ([`DarwinSignal::mask`](crate::darwin::DarwinSignal::mask)), but never the five
/// that its own faults raise. Returns what was blocked before. One system call, no thread-local storage.
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

/// Blocks the signals of `signals` on the calling thread, and unblocks the others that Darwin has, in Darwin's bits; never blocks the five
/// that its own faults raise. Signals that only the host has stay as they are.
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
    /// A mask is a thread's own.
    thread_bound: PhantomData<*const ()>,
}

impl BlockedBefore {
    /// Returns them in Darwin's bits.
    #[must_use]
    pub fn signals(&self) -> u32 {
        let has = |signal: &DarwinSignal| {
            let host = signal.to_host();
            host.is_some_and(|host| host::has_signal(&self.mask, host))
        };
        darwin_signals()
            .filter(has)
            .fold(0, |bits, signal| bits | signal.mask())
    }

    /// Replaces them, in Darwin's bits. The five that a thread's faults raise can only be taken out.
    pub fn set_signals(&mut self, signals: u32) {
        let changed = self.signals() ^ signals;
        put_signals(&mut self.mask, changed, signals);
    }

    /// Sets the calling thread's mask to them. One system call, no thread-local storage.
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

/// Puts those signals of a set that are in `which` to what they are in `signals`, but for the five.
fn put_signals(set: &mut host::SignalMask, which: u32, signals: u32) {
    for signal in darwin_signals().filter(|signal| which & signal.mask() != 0) {
        let there = signals & signal.mask() != 0;
        let allowed = !there || !DarwinSignal::FAULTS.contains(&signal);
        if let Some(host) = signal.to_host().filter(|_| allowed) {
            host::put_signal(set, host, there);
        }
    }
}

/// Identifies the process that made a value, and the start of the emulated kernel where that answers. Names of ports and threads mean nothing in the child of a fork: a value that owns some
/// notes its origin, and compares it before it releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    process: libc::pid_t,
    /// How often the kernel was stopped before, where it is the emulated one.
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
    /// A child that shares its parent's memory (`vfork`) counts as its parent here. Its kernel calls are refused by the emulation.
    #[must_use]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }

    /// Returns the process identifier; in the child of a fork, on the emulation, a number that is no process's identifier, since the child's
    /// own may be its parent's in a PID namespace.
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

/// Makes the calling thread ready to have its faults answered, however it is arranged at the moment. On Apple's kernel that takes
/// nothing. The emulation registers an alternate signal stack of its own, of 96 KiB or more, and unblocks the five signals that the
/// thread's faults raise: a blocked one would kill the process. It does so even if the thread has an alternate signal stack, since the
/// component that registered that one may unmap it on another thread, as Rust's runtime does at `exit`.
///
/// When the thread no longer needs to be ready, [`FaultReadiness::undo`] puts both back.
pub fn prepare_for_faults() -> FaultReadiness {
    FaultReadiness {
        inner: host::prepare_for_faults(),
        not_send: PhantomData,
    }
}

/// Records what [`prepare_for_faults`] changed. Dropping it changes nothing: the thread stays ready until it ends.
#[derive(Debug)]
#[must_use = "the thread stays ready unless this is undone"]
pub struct FaultReadiness {
    inner: host::FaultReadiness,
    /// It describes the thread that made it.
    not_send: PhantomData<*const ()>,
}

impl FaultReadiness {
    /// Puts the calling thread's previous alternate signal stack back, if the emulation's is still the registered one, and blocks the
    /// signals again that were unblocked. What the thread arranged meanwhile stays. A thread that runs on its alternate signal stack
    /// keeps the one it has, as the system refuses to change it there.
    pub fn undo(self) {
        self.inner.undo();
    }
}
