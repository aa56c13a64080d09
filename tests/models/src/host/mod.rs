//! What the files of `mach-emulated` find under `crate::host`.

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

        /// A thread looks for its place, and claims one if it has none.
        pub(crate) fn find_or_claim(&self, tid: u32) -> Option<usize> {
            self.0.find_or_claim(tid)
        }

        /// As [`find_or_claim`](Self::find_or_claim), for a thread whose identifier an earlier thread had: the place is its own afterwards.
        pub(crate) fn adopt(&self, tid: u32, own: u64) -> Option<usize> {
            let index = self.find_or_claim(tid)?;
            let there = self.0.identity(index);
            if there.bits() != own {
                self.0.take_over(index, there, Identity::from_bits(own));
            }
            Some(index)
        }

        /// Returns who a place belongs to.
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

pub(crate) use sys::{futex, sync};

/// A thread's identifier.
pub(crate) fn gettid() -> u32 {
    1
}
