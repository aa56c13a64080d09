//! Seals, which bind a frame to a process and an address.

/// The secret that seals frames. One key for the process is enough; a key per thread ([`derive`](Self::derive)) also binds a frame to
/// its thread.
///
/// A seal guards against accidents: stack garbage taken for a frame, a second return from a frame, a wrong return address. It does not
/// stop code that can read this process's memory, because the key is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // A key in a log would no longer be secret.
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Creates a key from a random number that the caller supplies.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(mix(random ^ 0x6b65_795f_7369_676e))
    }

    /// Creates a random key. Call it before faults are possible: it may make a system call.
    #[must_use]
    #[cfg(feature = "std")]
    pub fn random() -> Self {
        use std::hash::BuildHasher;
        Self::new(std::hash::RandomState::new().hash_one(0u64))
    }

    /// Creates another key from this one, for a thread or any other unit with a number.
    #[must_use]
    pub const fn derive(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// Returns the seal of `words` at `address`.
    pub(crate) fn seal(self, address: u64, words: &[u64]) -> u64 {
        // One multiplication for each word, by an odd number: two headers that differ in one word never have the same sum.
        let sum = words.iter().fold(mix(self.0 ^ address), |sum, word| {
            (sum.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        mix(sum)
    }

    /// Returns the word that replaces the seal when the handler has returned.
    pub(crate) const fn used(self, address: u64) -> u64 {
        mix(self.0 ^ address ^ 0x7573_6564_5f75_705f)
    }
}

/// Mixes all bits into all bits, one to one (the finaliser of MurmurHash3).
const fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_depends_on_key_address_and_every_word() {
        let words = [7u64; 13];
        let key = Key::new(1);
        let seal = key.seal(0x1000, &words);
        assert_ne!(seal, Key::new(2).seal(0x1000, &words));
        assert_ne!(seal, key.derive(0).seal(0x1000, &words));
        assert_ne!(seal, key.seal(0x1040, &words));
        for at in 0..words.len() {
            for bit in 0..64 {
                let mut other = words;
                other[at] ^= 1 << bit;
                assert_ne!(seal, key.seal(0x1000, &other), "word {at}, bit {bit}");
            }
        }
        let mut swapped = words;
        swapped[3] = 1;
        let mut elsewhere = words;
        elsewhere[4] = 1;
        assert_ne!(key.seal(0, &swapped), key.seal(0, &elsewhere));
    }

    #[cfg(feature = "std")]
    #[test]
    fn random_keys_differ_and_are_not_printed() {
        assert_ne!(Key::random(), Key::random());
        assert_eq!(format!("{:?}", Key::new(5)), "Key(..)");
    }
}
