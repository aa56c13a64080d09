//! The configuration of the emulated kernel: plain data.

/// Configures the emulated Mach. Start from `default` and change fields:
///
/// ```
/// let mut config = mach_emulated::Config::default();
/// config.threads = 256;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Number of threads that can be known at a time, rounded up to a power of two and at least 1. The default is 2048. Each takes 256 KiB
    /// of address space (512 KiB where pages have 64 KiB), and memory for the pages that it touches of it: two or three as a rule.
    /// Each also takes up to four of the process's memory mappings, of which Linux allows 65 530 by default (`vm.max_map_count`), beside
    /// those of the threads' own stacks. Where it allows no more, a thread goes without the guard pages of its slot, and nothing else
    /// changes. When all are taken, the kernel calls of another thread fail with `KERN_RESOURCE_SHORTAGE`, and its faults go to the
    /// signal fallback.
    pub threads: u32,
    /// Number of ports, port sets and memberships in sets that can exist at a time, rounded up to a power of two and at least 4096. The default
    /// is 524 288. The task has names for seven twelfths as many, and messages for a thirty-second part.
    ///
    /// Ports, messages and threads have their place in address space that is reserved at the start: 200 MiB for the default here, and what
    /// [`threads`](Self::threads) says. It takes memory as it is used. `mlockall(MCL_FUTURE)` before the start changes nothing about that.
    ///
    /// `mlockall(MCL_CURRENT)` after the start takes memory for all that is reserved, 700 MiB for the defaults here, unless `MCL_ONFAULT` is
    /// given, too, which makes it a few pages. A process that locks its memory so, and cannot give that flag, locks it before the start,
    /// or asks for less here: 4096 ports and 64 threads take 33 MiB.
    pub ports: u32,
    /// `Some(true)` if the trap number and error code in the system's signal frames are valid. Some sandboxes leave them 0; there the
    /// emulation uses the signal, its code and its address instead. With `None`, the default, one fault at the start decides.
    pub hardware_words: Option<bool>,
    /// Reaction to another component that replaces one of the emulation's signal handlers.
    pub displaced: WhenDisplaced,
    /// Signals of faults that no exception handler accepts. The default leaves the system's.
    pub fallback_signals: FallbackSignals,
    /// Treatment of a misused port, for which XNU raises `EXC_GUARD`. The default records it.
    pub guards: GuardPolicy,
    /// Raising of `EXC_CRASH` when a deadly signal is about to end the process. The default raises none.
    pub crashes: CrashPolicy,
    /// The signal by which the emulation reaches a thread that runs code of the program, to suspend, read or end it. With `None`, the default, it
    /// takes the first signal of 50 to 60, then of 36 to 49, whose action is the default, once, at the start. If there is none, or another
    /// component installs a handler for it later, running threads are out of reach (`UnreachableReason::Displaced`).
    pub suspension_signal: Option<i32>,
    /// macOS version whose behaviour the kernel follows, where versions differ. The default is macOS 26.
    pub generation: Generation,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 2048,
            ports: MOST_PORTS,
            hardware_words: None,
            displaced: WhenDisplaced::default(),
            fallback_signals: FallbackSignals::default(),
            guards: GuardPolicy::default(),
            crashes: CrashPolicy::default(),
            suspension_signal: None,
            generation: Generation::default(),
        }
    }
}

impl Config {
    /// Returns the number of threads that the kernel has room for: [`threads`](Self::threads), at least 1 and at most 65 536, rounded up to a power
    /// of two.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.threads.clamp(1, LARGEST).next_power_of_two()
    }

    /// Returns the number of ports that the kernel has room for: [`ports`](Self::ports), at least 4096 and at most 524 288, rounded up to a power of two.
    #[must_use]
    pub fn port_slots(&self) -> u32 {
        self.ports
            .clamp(FEWEST_PORTS, MOST_PORTS)
            .next_power_of_two()
    }
}

/// The most slots that the kernel's table of threads has room for.
const LARGEST: u32 = 1 << 16;

const MOST_PORTS: u32 = 1 << 19;
const FEWEST_PORTS: u32 = 1 << 12;

/// Reaction to another component that replaces one of the emulation's signal handlers. The emulation looks for that whenever the first kernel
/// call of a thread makes the thread known, and whenever a thread is made ready for faults (`prepare_for_faults`, which attaching does).
///
/// A component that only changes the flags or the mask of the emulation's handler, as `signal(SIGSEGV, signal(SIGSEGV, SIG_IGN))` does,
/// replaces nothing: the emulation puts both right at the same occasion, and when a fault shows the change. Some changes no fault shows
/// until then: without `SA_NODEFER` a bad address can end the process, and with another mask signal handlers may run while a fault
/// waits for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenDisplaced {
    /// Leaves the new handler in place. It runs first; the emulation sees a fault only if that handler chains.
    ///
    /// A handler that calls the one it replaced (chains) does not always get control back:
    ///
    /// - With `SA_ONSTACK` it runs on the alternate signal stack, which each thread has from its first kernel call on. If the interrupted code is
    ///   on another stack, the call returns.
    /// - Without `SA_ONSTACK`, or if the interrupted code is on the alternate stack too, it runs on the interrupted stack. The fault is served,
    ///   but the call does not return: the handler's frames are abandoned as by `siglongjmp`, because an answer may change the memory below the
    ///   interrupted stack pointer, where they are. Such a handler must do its work before it chains, and hold no lock then.
    #[default]
    Leave,
    /// Installs its own handler again. The new handler joins the signal fallback: it runs for faults that no exception handler accepts.
    ///
    /// Such a fault visits each handler of the fallback once, the last one installed first, while each chains to the next or puts back what it
    /// found. Then it takes the default action, with its own `siginfo_t`. A handler that puts back what it found leaves the fallback, with
    /// all that were installed after it. A handler whose code was unloaded is skipped. Of more than eight handlers, the last eight run, and the
    /// one from before the start.
    TakeBack,
}

/// Choice of the signal for a fault that no exception handler accepts: the signal fallback sees it, or the process dies of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FallbackSignals {
    /// Leaves the system's own signal as it is, with its `siginfo_t` (G3.3).
    #[default]
    System,
    /// Replaces it by the signal that XNU posts for the exception (A12.3). For code that tells its faults by XNU's signals, on a Mac and in tests
    /// on this system.
    ///
    /// An access that a mapped page does not permit (`KERN_PROTECTION_FAILURE`) is `SIGBUS` on XNU and `SIGSEGV` on Linux. With this setting the
    /// handler of `SIGBUS` runs for it, and a process without one dies of `SIGBUS`. `si_signo` and `si_code` are XNU's, in this system's numbers;
    /// the rest of the `siginfo_t` is unchanged.
    ///
    /// A handler that another component installed over the emulation's, for the signal that the system sends, runs first and sees that signal.
    /// The special case of the main thread's stack (A12.4) is not imitated.
    Xnu,
}

/// Treatment of a misused port, for which XNU raises `EXC_GUARD` beside the error that the call returns (A13.7). What the program asks for itself
/// by `task_set_exc_guard_behavior` is done with every policy, for the optional flavors that it is about (A13.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardPolicy {
    /// The call returns its error, and nothing else happens: an ordinary process's own view of the optional flavors (A13.6).
    Off,
    /// Records the misuse for the calling thread: `mach_sys::emulated::take_guard` takes it.
    #[default]
    Record,
    /// Records it, and raises `EXC_GUARD` on the calling thread before the call returns: at its own exception ports, then at the task's (A13.1).
    /// The task's behavior is `TASK_EXC_GUARD_MP_DELIVER` at the start: an optional flavor changes nothing else, whether a handler takes it or not
    /// (A13.6). A flavor up to 128 ends the process by `SIGKILL` afterwards, handled or not (A13.5).
    ///
    /// The registers that a handler sees are those inside the emulation's code. A handler that sets the program counter leaves the call
    /// unfinished, and its results unwritten.
    Deliver,
}

/// Raising of `EXC_CRASH` on the thread that ends the process, before it ends (A14.1): at the fault that no handler took, at a sent signal of the
/// five that faults raise, in `abort`, and at a fatal guard that no handler took ([`GuardPolicy::Deliver`]). Other signals raise none.
///
/// Where it is raised, the emulation takes the first signal of `abort` (`SIGABRT`) if its action is the default at the start. A handler that
/// the program installs later replaces that. Sent to a thread that waits for the answer to a fault, `SIGABRT` ends the process without an
/// `EXC_CRASH`, as other deadly signals do there. The codes have the signal that XNU would post (A12.3), in Darwin's number, and the last
/// exception of the thread that became a signal (A12.14); the process ends by the signal of
/// [`fallback_signals`](Config::fallback_signals), whatever the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// Raises none.
    #[default]
    Off,
    /// Raises it as XNU does: an action whose receive right this process holds is passed over, since the process could not answer for itself
    /// (A1.7). There is no other process here, so that only a port whose receive right is in a message gets a request, and no answer ends its wait but
    /// the right's.
    Xnu,
    /// Raises it to receivers in this process, in the place of those in another one: for tests of what a crash reporter does. The process's other
    /// threads run on until the answer, where XNU holds them. A second thread that crashes meanwhile waits for the first one's end, for up to
    /// half a minute. A `SIGABRT` that is sent to the process may come to the receiver's thread, which then is the one that crashes: block it there,
    /// as the thread of an `exc_server::Server` has it blocked. Where the thread that crashes is the only one that would receive the request, it
    /// waits for an answer that does not come, and nothing but `SIGKILL` ends that (A8.11).
    OwnReceivers,
}

/// A macOS whose kernel is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Generation {
    /// macOS 11 (xnu-7195).
    MacOs11,
    /// macOS 15.4 to 15.6 (xnu-11417).
    MacOs15,
    /// macOS 26 (xnu-12377).
    #[default]
    MacOs26,
}
