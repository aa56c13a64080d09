//! One entry of the table of owned references, packed into a word.

/// The fields of a word. From low to high: 20 bits count, 15 bits changes, 1 bit `is_looked_at`, 20 bits version, 8 bits generation.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Number of references that right types own. It stays at its largest value, as the kernel's count does at 65535 (A7.3).
    pub(super) owned: u32,
    /// Number of changes in progress.
    pub(super) changes: u32,
    /// A reader waits until no change is in progress, so new changes must wait.
    pub(super) is_looked_at: bool,
    /// Incremented with every update, so that a word that returned to an earlier value differs.
    pub(super) version: u32,
    /// The generation of the name: its low byte.
    pub(super) generation: u32,
}

const MOST_OWNED: u32 = (1 << 20) - 1;
const MOST_CHANGES: u32 = (1 << 15) - 1;
const VERSIONS: u32 = 1 << 20;

impl Word {
    pub(super) const fn unpack(bits: u64) -> Self {
        Self {
            owned: bits as u32 & MOST_OWNED,
            changes: (bits >> 20) as u32 & MOST_CHANGES,
            is_looked_at: bits >> 35 & 1 != 0,
            version: (bits >> 36) as u32 & (VERSIONS - 1),
            generation: (bits >> 56) as u32,
        }
    }

    pub(super) const fn pack(self) -> u64 {
        self.owned as u64
            | (self.changes as u64) << 20
            | (self.is_looked_at as u64) << 35
            | ((self.version % VERSIONS) as u64) << 36
            | (self.generation as u64) << 56
    }

    /// Returns the number of updates between an earlier read and this one.
    pub(super) const fn updates_since(self, earlier: Self) -> u32 {
        self.version.wrapping_sub(earlier.version) % VERSIONS
    }

    /// Returns the number of references owned under the name with this generation.
    pub(super) const fn owned_of(self, generation: u32) -> u32 {
        if self.generation == generation {
            self.owned
        } else {
            0
        }
    }

    pub(super) fn begin(&mut self) {
        self.changes = (self.changes + 1).min(MOST_CHANGES);
    }

    pub(super) fn end(&mut self) {
        self.changes = self.changes.saturating_sub(1);
    }

    pub(super) fn add(&mut self, generation: u32) {
        if self.generation != generation {
            self.is_looked_at = false;
        }
        self.owned = (self.owned_of(generation) + 1).min(MOST_OWNED);
        self.generation = generation;
    }

    /// Removes a reference, unless the word is that of another name with the index: an earlier name's count ended with it.
    pub(super) fn remove(&mut self, generation: u32) {
        if self.generation == generation && self.owned != MOST_OWNED {
            self.owned = self.owned.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(owned: u32, generation: u32) -> Word {
        Word {
            owned,
            generation,
            ..Word::default()
        }
    }

    #[test]
    fn a_word_is_unpacked_as_packed_and_versions_wrap() {
        let all = Word {
            owned: MOST_OWNED,
            changes: MOST_CHANGES,
            is_looked_at: true,
            version: VERSIONS - 1,
            generation: 0xff,
        };
        assert_eq!(Word::unpack(all.pack()), all);
        assert_eq!(all.pack(), u64::MAX);
        let mut wrapped = all;
        wrapped.version += 1;
        let wrapped = Word::unpack(wrapped.pack());
        assert_eq!(wrapped, Word { version: 0, ..all });
        assert_eq!(wrapped.updates_since(all), 1);
    }

    #[test]
    fn c0_2_a_count_does_not_pass_to_the_next_name_of_an_index() {
        let mut counted = word(3, 0x07);
        counted.add(0x0b);
        assert_eq!(counted, word(1, 0x0b), "the earlier name no longer exists");
        counted.remove(0x07);
        assert_eq!(
            counted.owned, 1,
            "a right of the earlier name removes nothing"
        );
        counted.remove(0x0b);
        counted.remove(0x0b);
        assert_eq!(counted.owned, 0, "never below");
    }

    #[test]
    fn a_full_count_stays_like_the_kernels() {
        let mut full = word(MOST_OWNED, 3);
        full.add(3);
        assert_eq!(full.owned, MOST_OWNED);
        full.remove(3);
        assert_eq!(full.owned, MOST_OWNED);
    }
}
