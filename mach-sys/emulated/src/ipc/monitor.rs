//! One emulated kernel: its state under one lock, its message buffers, and the words that threads wait on.
//!
//! One short lock covers all of a kernel's objects, so that an operation over several name spaces is one step. It is never held
//! across a wait or a copy of user memory, and only with all signals but the five synchronous ones blocked.

use super::lock::{Guard, Lock};
use super::pool::Pool;
use super::state::{Ipc, State};
use super::wait_word::Waited;
use super::waitq::{WaitOn, WaitWords, Waiting, Wakes};
use crate::error::ReserveError;
use crate::host::copy::{self, CopyFault};
use crate::host::{Blocked, InKernel};
use crate::rules::Rules;
use mach_wire::kern_return::KernReturn;
use std::time::Instant;

/// A kernel. `T` is what the rooms above keep under the same lock.
#[derive(Debug)]
pub(crate) struct Monitor<T> {
    state: Lock<(State, T)>,
    pool: Pool,
    words: WaitWords,
    rules: Rules,
}

impl<T> Monitor<T> {
    /// Creates a kernel with no name space.
    pub(crate) fn new(rules: Rules, above: T) -> Result<Self, ReserveError> {
        let limits = &rules.limits;
        Ok(Self {
            state: Lock::new((State::new(limits)?, above)),
            pool: Pool::new(limits.messages, limits.reserved_messages)?,
            words: WaitWords::new(limits.ports, limits.sets)?,
            rules,
        })
    }

    /// Takes the lock, with all signals but the five synchronous ones blocked until it is given back.
    #[inline]
    pub(crate) fn lock(&self) -> Held<'_, T> {
        self.locked(Some(InKernel::enter()))
    }

    /// Enters the kernel without the lock, for a copy that comes before it.
    #[inline]
    pub(crate) fn enter(&self) -> InKernel {
        InKernel::enter()
    }

    /// Takes the lock for a caller that has [entered](Self::enter).
    #[inline]
    pub(crate) fn lock_inside(&self, inside: InKernel) -> Held<'_, T> {
        self.locked(Some(inside))
    }

    /// Takes the lock for a caller that has those signals blocked anyway: the fault handler, the reaper.
    #[inline]
    pub(crate) fn lock_with_signals_blocked(&self) -> Held<'_, T> {
        self.locked(None)
    }

    #[inline]
    fn locked(&self, inside: Option<InKernel>) -> Held<'_, T> {
        Held {
            state: self.state.lock(),
            wakes: Wakes::new(&self.words),
            pool: &self.pool,
            rules: &self.rules,
            _sweep: inside.is_some().then_some(Sweep(&self.pool)),
            inside,
        }
    }

    #[inline]
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns what threads use that wait for an object.
    #[inline]
    pub(super) fn waiting(&self, object: WaitOn) -> &Waiting {
        self.words.of(object)
    }

    /// Waits until something happens to an object after `sequence` was read under the lock.
    pub(crate) fn wait(
        &self,
        object: WaitOn,
        sequence: u32,
        deadline: Option<Instant>,
        spin: bool,
    ) -> Waited {
        self.state.assert_not_held();
        let Waiting { word, hand_off } = self.words.of(object);
        word.wait(sequence, deadline, spin, || hand_off.is_full())
    }

    /// Copies from user memory; a bad address is an error, never a fault, whatever the calling thread has blocked.
    pub(crate) fn copy_from_user(
        &self,
        blocked: Blocked,
        from: u64,
        into: &mut [u8],
    ) -> Result<(), CopyFault> {
        self.state.assert_not_held();
        blocked.around(|| copy::read(from, into))
    }

    /// Copies to user memory; a bad address is an error, never a fault, whatever the calling thread has blocked.
    pub(crate) fn copy_to_user(
        &self,
        blocked: Blocked,
        to: u64,
        from: &[u8],
    ) -> Result<(), CopyFault> {
        self.state.assert_not_held();
        blocked.around(|| copy::write(to, from))
    }

    /// Copies between two places in user memory, which may overlap. As on XNU (`vm_map_copyin`, `vm_map_copy_overwrite`), all of the
    /// source is proven readable first and then all of the destination writable: where that fails, nothing is changed. Of a copy that is
    /// [`LARGE`] the destination's end is proven before that, so that a wrong size costs no walk through all that is mapped.
    pub(crate) fn copy_within_user(
        &self,
        blocked: Blocked,
        from: u64,
        to: u64,
        size: u64,
    ) -> Result<(), KernReturn> {
        let (source, destination) = (one_byte_a_page(from, size)?, one_byte_a_page(to, size)?);
        if size <= SMALL {
            let bytes = &mut [0; SMALL as usize][..size as usize];
            self.copy_from_user(blocked, from, bytes)?;
            // What cannot be written to one page changes nothing.
            if to % PAGE + size > PAGE {
                for byte in destination {
                    blocked.around(|| copy::prove_writable(byte))?;
                }
            }
            return Ok(self.copy_to_user(blocked, to, bytes)?);
        }
        if size >= LARGE {
            self.copy_from_user(blocked, from + (size - 1), &mut [0])?;
            blocked.around(|| copy::prove_writable(to + (size - 1)))?;
        }
        for byte in source {
            self.copy_from_user(blocked, byte, &mut [0])?;
        }
        for byte in destination {
            blocked.around(|| copy::prove_writable(byte))?;
        }
        // What is copied last must not have been written over by what was copied first.
        let backwards = to.wrapping_sub(from) < size;
        let mut chunk = [0; 1024];
        let mut left = size;
        while left > 0 {
            let length = left.min(chunk.len() as u64);
            let at = if backwards {
                left - length
            } else {
                size - left
            };
            let bytes = &mut chunk[..length as usize];
            self.copy_from_user(blocked, from + at, bytes)?;
            self.copy_to_user(blocked, to + at, bytes)?;
            left -= length;
        }
        Ok(())
    }
}

/// The size in bytes up to which a copy is read whole before any of it is written. The part of a redirect's frame that the server writes is no
/// larger, where it sets no vector registers.
const SMALL: u64 = 640;

/// The size in bytes from which a copy's ends are proven first.
const LARGE: u64 = 1 << 24;

/// The smallest page of any system, in bytes.
const PAGE: u64 = 4096;

/// Returns an address in each page of a range: its first byte, and the first byte of each further page.
fn one_byte_a_page(start: u64, size: u64) -> Result<impl Iterator<Item = u64>, KernReturn> {
    let end = start.checked_add(size).ok_or(KernReturn::INVALID_ADDRESS)?;
    let pages = (start / PAGE + 1..end.div_ceil(PAGE)).map(|page| page * PAGE);
    Ok((size > 0).then_some(start).into_iter().chain(pages))
}

/// A kernel whose lock is held. Threads that an operation wakes are woken when it is dropped, after the lock is given back.
#[derive(Debug)]
pub(crate) struct Held<'k, T> {
    // Declared first, hence dropped first.
    state: Guard<'k, (State, T)>,
    wakes: Wakes<'k>,
    pool: &'k Pool,
    rules: &'k Rules,
    // Not for the fault handler: between a fault and its answer nothing is unmapped.
    _sweep: Option<Sweep<'k>>,
    // Declared last, hence dropped last: the thread leaves the kernel when the lock is free and the waiters are woken.
    inside: Option<InKernel>,
}

/// Unmaps the pages of messages that are gone, when it is dropped.
#[derive(Debug)]
struct Sweep<'k>(&'k Pool);

impl Drop for Sweep<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.sweep();
    }
}

impl<'k, T> Held<'k, T> {
    /// Returns which signals of a probed copy the calling thread has blocked outside, for copies when the lock was given back.
    #[inline]
    pub(crate) fn blocked(&self) -> Blocked {
        self.inside
            .as_ref()
            .map_or(Blocked::NONE, InKernel::blocked)
    }

    /// Returns the view that operations on ports and names work on.
    #[inline]
    pub(crate) fn ipc(&mut self) -> Ipc<'_, 'k> {
        self.parts().0
    }

    /// Returns that view, and the state of the rooms above.
    #[inline]
    pub(crate) fn parts(&mut self) -> (Ipc<'_, 'k>, &mut T) {
        let (state, above) = &mut *self.state;
        let ipc = Ipc {
            state,
            wakes: &mut self.wakes,
            pool: self.pool,
            rules: self.rules,
        };
        (ipc, above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Limits;

    fn small() -> Monitor<()> {
        let rules = Rules {
            limits: Limits::SMALL,
            ..Rules::default()
        };
        Monitor::new(rules, ()).expect("address space for a small kernel")
    }

    /// Tests are built with the assertion: every test of the kernel is a test of this rule. Without it there is nothing to test.
    #[cfg(debug_assertions)]
    #[test]
    fn neither_waits_nor_copies_of_user_memory_happen_under_the_lock() {
        use crate::ipc::id::{Id, PortId};
        use std::panic::{AssertUnwindSafe, catch_unwind};

        let panics = |action: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(action)).is_err();
        let mach = small();
        let object = WaitOn::Port(PortId::from_word(1).expect("not 0"));
        let mut word = [1_u8; 4];
        let address = word.as_ptr() as u64;
        let mut copy = [0_u8; 4];
        let mut actions: [(&str, &mut dyn FnMut()); 4] = [
            ("read", &mut || {
                mach.copy_from_user(Blocked::NONE, address, &mut copy)
                    .expect("good");
            }),
            ("write", &mut || {
                mach.copy_to_user(Blocked::NONE, word.as_mut_ptr() as u64, &[2; 4])
                    .expect("good");
            }),
            ("copy", &mut || {
                mach.copy_within_user(Blocked::NONE, address, address, 4)
                    .expect("good");
            }),
            ("wait", &mut || {
                mach.wait(object, 1, Some(Instant::now()), false);
            }),
        ];
        for (what, action) in &mut actions {
            assert!(!panics(*action), "{what} without the lock");
            let held = mach.lock();
            assert!(panics(*action), "{what} under the lock");
            drop(held);
            assert!(!panics(*action), "{what} afterwards");
        }
    }

    /// A lock that another thread holds is no obstacle.
    #[test]
    fn a_lock_that_another_thread_holds_does_not_count() {
        let mach = small();
        let held = mach.lock();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| mach.copy_from_user(Blocked::NONE, 8, &mut []));
            assert_eq!(other.join().expect("no assertion"), Ok(()));
        });
        drop(held);
    }
}
