//! The emulated kernel's lock, and the words that threads wait on.
//!
//! One short lock covers all of one kernel's objects, so that an operation over several name spaces is one step. It is never
//! held across a wait or a copy of user memory, and only with all signals but the five synchronous ones blocked.
#![allow(unsafe_code)]

use super::arena::{Table, Zeroed};
use crate::error::ReserveError;
use crate::host::{cpu, futex, gettid};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::time::Instant;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A mutual exclusion lock that allocates nothing and knows nothing of poisoning: no code under it can panic half-way in a way
/// that matters more than the panic itself.
#[derive(Debug)]
pub(crate) struct Lock<T> {
    word: AtomicU32,
    /// Thread that holds it, by the host's identifier; kept in debug builds only.
    owner: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by the thread that moved the word from FREE to HELD or CONTENDED.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            owner: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slowly();
        }
        if cfg!(debug_assertions) {
            self.owner.store(gettid(), Ordering::Relaxed);
        }
        Guard { lock: self }
    }

    /// Asserts, in debug builds, that the calling thread does not hold this lock: before each wait and each copy of user memory.
    pub(crate) fn assert_not_held(&self) {
        debug_assert_ne!(
            self.owner.load(Ordering::Relaxed),
            gettid(),
            "the kernel's lock is held across a wait or a copy of user memory"
        );
    }

    fn lock_slowly(&self) {
        // The holder is in the middle of some hundred instructions; a few tries are cheaper than two system calls, and few
        // enough to cost nothing where the holder waits for this CPU.
        for _ in 0..64 {
            core::hint::spin_loop();
            if self
                .word
                .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            futex::wait(&self.word, CONTENDED, None);
        }
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            self.lock.owner.store(0, Ordering::Relaxed);
        }
        if self.lock.word.swap(FREE, Ordering::Release) == CONTENDED {
            futex::wake(&self.lock.word, 1);
        }
    }
}

/// What a thread waits on: a word that changes with every event, and who waits.
#[derive(Debug)]
pub(crate) struct WaitWord {
    sequence: AtomicU32,
    sleepers: AtomicU32,
    /// CPU of the thread that waited last, plus one; 0 when none did.
    cpu: AtomicU32,
}

// SAFETY: three integers.
unsafe impl Zeroed for WaitWord {}

/// How long a waiting thread may spin before it sleeps: about four traps.
const SPIN: Duration = Duration::from_micros(50);

/// How a wait ended.
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
    /// To be read under the kernel's lock, together with the state that is waited for.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Waits until something happens after `sequence` was read. Spins first only if `spin` says so.
    pub(crate) fn wait(&self, sequence: u32, deadline: Option<Instant>, spin: bool) -> Waited {
        self.cpu
            .store(cpu::current().wrapping_add(1), Ordering::Relaxed);
        if spin && self.spin(sequence) {
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

    fn spin(&self, sequence: u32) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..32 {
                if self.sequence() != sequence {
                    return true;
                }
                core::hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                return false;
            }
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

    /// Whether the thread that waited here last ran on another CPU than the caller: only then can spinning win.
    pub(crate) fn waiter_is_elsewhere(&self) -> bool {
        let waiter = self.cpu.load(Ordering::Relaxed);
        waiter != 0 && waiter != cpu::current().wrapping_add(1)
    }
}

/// The wait words of one kernel's objects, by object identifier. They outlive the objects: a thread may still look at the word
/// of an object that died.
#[derive(Debug)]
pub(crate) struct WaitWords(Table<WaitWord>);

impl WaitWords {
    pub(crate) fn new(capacity: u32) -> Result<Self, ReserveError> {
        Table::new(capacity as usize + 1).map(Self)
    }

    pub(crate) fn of(&self, object: u32) -> &WaitWord {
        &self.0.as_slice()[object as usize]
    }
}

#[cfg(test)]
mod tests {
    use crate::ipc::mach::{Limits, Mach};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn small() -> Mach {
        let limits = Limits {
            objects: 64,
            messages: 16,
            threads: 4,
            names: 64,
        };
        Mach::new(limits).expect("address space for a small kernel")
    }

    fn panics(action: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(action)).is_err()
    }

    /// Tests are built with the assertion: every test of the kernel is a test of this rule.
    #[test]
    fn neither_waits_nor_copies_of_user_memory_happen_under_the_lock() {
        if !cfg!(debug_assertions) {
            println!("skipped: built without assertions");
            return;
        }
        let mach = small();
        let mut word = [1_u8; 4];
        let address = word.as_ptr() as u64;
        let mut copy = [0_u8; 4];
        let mut actions: [(&str, &mut dyn FnMut()); 4] = [
            ("read", &mut || {
                mach.copy_from_user(address, &mut copy).expect("good");
            }),
            ("write", &mut || {
                mach.copy_to_user(word.as_mut_ptr() as u64, &[2; 4])
                    .expect("good");
            }),
            ("copy", &mut || {
                mach.copy_within_user(address, address, 4).expect("good");
            }),
            ("wait", &mut || {
                mach.wait(0, 1, Some(std::time::Instant::now()), false);
            }),
        ];
        for (what, action) in &mut actions {
            assert!(!panics(&mut *action), "{what} without the lock");
            let held = mach.lock();
            assert!(panics(&mut *action), "{what} under the lock");
            drop(held);
            assert!(!panics(&mut *action), "{what} afterwards");
        }
    }

    /// Another thread's lock is nobody else's business.
    #[test]
    fn a_lock_that_another_thread_holds_does_not_count() {
        let mach = small();
        let held = mach.lock();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| mach.copy_from_user(8, &mut []));
            assert_eq!(other.join().expect("no assertion"), Ok(()));
        });
        drop(held);
    }
}
