//! The paths under `crate::host` that the files of `mach-emulated` import.

pub(crate) mod slot;
pub(crate) mod sys;

/// A way to the keys that leads out of this module: they are their room's alone.
pub(crate) mod table {
    use super::slot::identity::Identity;
    use super::slot::keys::Keys;

    /// The table of keys, with what threads and the watching thread do to it.
    pub(crate) struct Table(Keys);

    impl Table {
        pub(crate) fn new(count: usize) -> Self {
            Self(Keys::new(count))
        }

        pub(crate) fn with_near(count: usize, near: usize) -> Self {
            Self(Keys::with_near(count, near))
        }

        /// A thread looks for its place, and claims one if it has none.
        pub(crate) fn find_or_claim(&self, tid: u32) -> Option<usize> {
            self.0.find_or_claim(tid)
        }

        /// Does the same as [`find_or_claim`](Self::find_or_claim) for a thread whose identifier an earlier thread had: the place is its own afterwards.
        pub(crate) fn adopt(&self, tid: u32, own: u64) -> Option<usize> {
            let index = self.find_or_claim(tid)?;
            let there = self.0.identity(index);
            if there.bits() != own {
                self.0.take_over(index, there, Identity::from_bits(own));
            }
            Some(index)
        }

        /// Returns the owner of a place.
        pub(crate) fn owner(&self, index: usize) -> u64 {
            self.0.identity(index).bits()
        }

        /// The watching thread looks at all places once, and frees those whose threads are gone.
        pub(crate) fn free_those_gone(&self, is_gone: impl Fn(u32) -> bool) -> usize {
            let seen: Vec<_> = self.0.taken().collect();
            let freed = seen.into_iter().filter(|seen| {
                let Some(seen) = self.0.unmark(*seen) else {
                    return false;
                };
                if !is_gone(seen.identity().tid()) || !self.0.begin_to_free(seen) {
                    return false;
                }
                self.0.free(seen);
                true
            });
            freed.count()
        }
    }
}

/// A way to the words of suspension, as above.
pub(crate) mod stop {
    use super::slot::suspension::{HOLD, Suspension};
    use super::sync::Ordering;
    use super::sys::futex;

    /// A thread's words, with the operations of the thread and of the thread that suspends it.
    pub(crate) struct Words(Suspension);

    impl Words {
        pub(crate) fn new() -> Self {
            Self(Suspension::new())
        }

        /// The thread is about to run code of the program; waits as long as it is held.
        pub(crate) fn enter_program(&self) {
            while self.0.enter_program() != 0 {
                self.0.leave_program();
                loop {
                    let wanted = self.0.wanted();
                    if wanted & HOLD == 0 {
                        break;
                    }
                    self.0.sleep(wanted);
                }
            }
        }

        /// The thread has left the program's code: for a fault, the suspension signal, or its end.
        pub(crate) fn leave_program(&self) {
            self.0.leave_program();
        }

        /// Another thread holds it. Returns whether the suspension signal is to be sent.
        pub(crate) fn hold(&self) -> bool {
            self.0.want(HOLD);
            !self.0.is_out()
        }

        /// Waits until it is out of the program's code.
        pub(crate) fn wait(&self) {
            loop {
                let event = self.0.event().load(Ordering::SeqCst);
                if self.0.is_out() {
                    return;
                }
                futex::wait(self.0.event(), event, None);
            }
        }

        /// Lets it go.
        pub(crate) fn release(&self) {
            self.0.want(0);
        }
    }
}

pub(crate) use sys::{cpu, futex, sync};

/// A thread's identifier.
pub(crate) fn gettid() -> u32 {
    1
}
