//! Labels of the names that this crate's values own, for a [census](super::Census).
//!
//! There is one word for each index of the name table, in zeroed memory that is only touched where it is used: no allocation, no lock.
//! The word holds the generation of its name (C0.2) and the process of the name, so that a label never applies to the next name with
//! the index, or to the child of a fork.

use super::name::Name;
use crate::kernel::system::Origin;
use crate::types::mach_port_name_t;
use core::sync::atomic::{AtomicU64, Ordering};

/// The labels. From low to high: 32 bits thread, 20 bits process, 3 bits kind, 1 bit [`ENDING`], 8 bits generation; 0 for no label.
static WORDS: [AtomicU64; Name::INDICES] = [const { AtomicU64::new(0) }; Name::INDICES];

/// The label of an owned name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// A receive right, port set or send-once right that a right type owns.
    Owned,
    /// The receive right of a route.
    Route,
    /// The reply port of the thread whose port has this name.
    ReplyPort(mach_port_name_t),
}

impl Label {
    fn to_bits(self) -> u64 {
        let (kind, thread) = match self {
            Self::Owned => (1, 0),
            Self::Route => (2, 0),
            Self::ReplyPort(thread) => (3, thread),
        };
        kind << 52 | u64::from(thread)
    }

    fn from_bits(bits: u64) -> Option<Self> {
        match bits >> 52 & 7 {
            1 => Some(Self::Owned),
            2 => Some(Self::Route),
            3 => Some(Self::ReplyPort(bits as u32)),
            _ => None,
        }
    }
}

fn word(name: Name) -> Option<&'static AtomicU64> {
    WORDS.get(name.index())
}

/// Returns the generation and process bits of a name's label.
fn about(name: Name, origin: Origin) -> u64 {
    u64::from(name.generation()) << 56
        | u64::from((origin.mark() ^ origin.mark() >> 20) & 0xf_ffff) << 32
}

const ABOUT: u64 = 0xff << 56 | 0xf_ffff << 32;

/// Labels a name of the calling process, which must be `origin`.
pub(super) fn set(name: Name, origin: Origin, label: Label) {
    if let Some(word) = word(name) {
        word.store(about(name, origin) | label.to_bits(), Ordering::Relaxed);
    }
}

/// Removes the label of a name, but not that of the next name with its index.
pub(super) fn clear(name: Name, origin: Origin) {
    if let Some(word) = word(name) {
        let seen = word.load(Ordering::Relaxed);
        if seen & ABOUT == about(name, origin) {
            let _ = word.compare_exchange(seen, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// The bit of a label whose right is about to be released. Until it is, a census finds the name under its own source.
const ENDING: u64 = 1 << 55;

/// A label whose right is about to be released.
pub(super) struct Ending(u64);

/// Notes that the right under a name is about to be released; [`ended`] removes the label afterwards.
pub(super) fn ending(name: Name, origin: Origin) -> Ending {
    let Some(word) = word(name) else {
        return Ending(0);
    };
    let seen = word.load(Ordering::Relaxed);
    if seen & ABOUT != about(name, origin) {
        return Ending(0);
    }
    let noted = seen | ENDING;
    let swapped = word.compare_exchange(seen, noted, Ordering::Relaxed, Ordering::Relaxed);
    Ending(swapped.map_or(0, |_| noted))
}

/// Removes the label of a right that was released, but not one that the next name with its index has got meanwhile.
pub(super) fn ended(name: Name, Ending(noted): Ending) {
    if let Some(word) = word(name) {
        let _ = word.compare_exchange(noted, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Returns the label of a name of the calling process, if it has one.
pub(super) fn of(name: Name) -> Option<Label> {
    let bits = word(name)?.load(Ordering::Relaxed);
    (bits & ABOUT == about(name, Origin::current()))
        .then(|| Label::from_bits(bits))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Indices that no port of these tests' process has: one for each test, since tests run side by side.
    const INDICES: [u32; 2] = [0x7_fff0, 0x7_fff1];

    fn name(index: u32, generation: u32) -> Name {
        Name::new(index << 8 | generation).expect("a name")
    }

    #[test]
    fn c0_2_a_label_does_not_pass_to_the_next_name_of_an_index() {
        let here = Origin::current();
        let (first, next) = (name(INDICES[0], 3), name(INDICES[0], 7));
        for label in [Label::Owned, Label::Route, Label::ReplyPort(u32::MAX)] {
            set(first, here, label);
            assert_eq!((of(first), of(next)), (Some(label), None));
        }
        set(next, here, Label::Route);
        clear(first, here);
        assert_eq!((of(first), of(next)), (None, Some(Label::Route)));
        clear(next, here);
        assert_eq!(of(next), None);
    }

    #[test]
    fn a_label_lasts_until_its_right_is_released() {
        let here = Origin::current();
        let (first, other) = (name(INDICES[1], 11), name(INDICES[1], 15));
        for label in [Label::Owned, Label::Route] {
            set(first, here, label);
            let noted = ending(first, here);
            assert_eq!(of(first), Some(label));
            ended(first, noted);
            assert_eq!(of(first), None);
            // The next name with the index keeps the label that it got before the first one's end was noted.
            set(first, here, label);
            let noted = ending(first, here);
            set(other, here, Label::Route);
            ended(first, noted);
            assert_eq!(of(other), Some(Label::Route));
            // So does the first one's own name, if it was allocated again by then.
            set(first, here, label);
            let noted = ending(first, here);
            set(first, here, label);
            ended(first, noted);
            assert_eq!(of(first), Some(label));
        }
        clear(first, here);
    }

    #[test]
    fn names_that_no_kernel_uses_have_no_label() {
        let name = Name::new(u32::MAX - 1).expect("a name");
        set(name, Origin::current(), Label::Owned);
        assert_eq!(of(name), None);
        ended(name, ending(name, Origin::current()));
        clear(name, Origin::current());
    }
}
