//! A word on which threads wait for the next event.

use crate::host::sync::{AtomicU32, Ordering, spin_loop};
use crate::host::{cpu, futex};
use core::time::Duration;
use std::time::Instant;

/// A word that changes with every event, and the number of threads that wait for it.
#[derive(Debug)]
pub(crate) struct WaitWord {
    sequence: AtomicU32,
    sleepers: AtomicU32,
    /// CPU of the thread that waited last, plus one; 0 when none did.
    cpu: AtomicU32,
}

/// Longest spin of a waiting thread before it sleeps: a fault, and an interrupt of either CPU, which take a virtual machine some 25 µs each.
/// A thread that sleeps too early takes longer to wake than the other spins, which then sleeps, too, and so on.
const SPIN: Duration = Duration::from_micros(100);

/// Result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something happened; look again.
    Event,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

impl WaitWord {
    /// Creates one that is in no table.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            sequence: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            cpu: AtomicU32::new(0),
        }
    }

    /// Reads the word, which a caller does under the kernel's lock together with the state that it waits for.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Waits until something happens after `sequence` was read. Spins first only if `spin` says so; then `is_there` may end the wait before
    /// the event is signalled.
    pub(crate) fn wait(
        &self,
        sequence: u32,
        deadline: Option<Instant>,
        spin: bool,
        is_there: impl Fn() -> bool,
    ) -> Waited {
        let cpu = cpu::current().wrapping_add(1);
        // Rarely another: the word stays in the cache of the thread that will signal it.
        if self.cpu.load(Ordering::Relaxed) != cpu {
            self.cpu.store(cpu, Ordering::Relaxed);
        }
        // On one CPU the answer may be there already: a thread that was woken just before ran at once.
        let is_over = || is_there() || self.sequence() != sequence;
        if is_over() || spin && spin_for(is_over) {
            return Waited::Event;
        }
        let timeout = match deadline {
            None => None,
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(rest) if !rest.is_zero() => Some(rest),
                _ => return Waited::TimedOut,
            },
        };
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let outcome = futex::wait(&self.sequence, sequence, timeout);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        match outcome {
            futex::Wait::Woken | futex::Wait::Changed => Waited::Event,
            futex::Wait::TimedOut => Waited::TimedOut,
            futex::Wait::Interrupted => Waited::Interrupted,
        }
    }

    /// Says that something happened. Called after the kernel's lock was given back, so that a spinning thread does not run into
    /// it.
    pub(crate) fn signal(&self) {
        self.sequence.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            futex::wake(&self.sequence, u32::MAX);
        }
    }

    /// Returns whether the thread that waited here last ran on another CPU than the caller: only then can spinning win.
    pub(crate) fn waiter_is_elsewhere(&self) -> bool {
        let waiter = self.cpu.load(Ordering::Relaxed);
        waiter != 0 && waiter != cpu::current().wrapping_add(1)
    }
}

/// Spins until it is over, for a while. Returns whether it is.
fn spin_for(is_over: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if is_over() {
                return true;
            }
            spin_loop();
        }
        if start.elapsed() > SPIN {
            return false;
        }
    }
}
