//! What the table of owned references says of one index, packed into a word.

/// What a word says. From low to high: 20 bits count, 15 bits changes, 1 bit looked at, 20 bits version, 8 bits generation.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// References that right types own. Stays at its largest value, as the kernel's count does at 65535 (A7.3).
    pub(super) owned: u32,
    /// Changes under way.
    pub(super) changes: u32,
    /// A reader cannot find a quiet moment: changes that can wait do.
    pub(super) is_looked_at: bool,
    /// Goes up with every change, so that a word that went there and back is seen to differ.
    pub(super) version: u32,
    /// The low byte of the name.
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

    /// Updates between an earlier look and this one.
    pub(super) const fn updates_since(self, earlier: Self) -> u32 {
        self.version.wrapping_sub(earlier.version) % VERSIONS
    }

    /// References owned of the name of this generation.
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

    /// The count of an earlier name of this index is gone with it.
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
    fn a_word_is_what_was_packed_and_versions_wrap() {
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
        assert_eq!(counted, word(1, 0x0b), "the earlier name is gone");
        counted.remove(0x07);
        assert_eq!(
            counted.owned, 1,
            "a right of the earlier name takes nothing"
        );
        counted.remove(0x0b);
        counted.remove(0x0b);
        assert_eq!(counted.owned, 0, "never below");
    }

    #[test]
    fn a_count_that_is_full_stays_as_the_kernels_does() {
        let mut full = word(MOST_OWNED, 3);
        full.add(3);
        assert_eq!(full.owned, MOST_OWNED);
        full.remove(3);
        assert_eq!(full.owned, MOST_OWNED);
    }
}
