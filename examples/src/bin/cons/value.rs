//! Values: nil, integers, and conses by their address.
#![allow(unsafe_code)]

/// A value. It is made of an integer or by the heap, whose memory is never given back: looking at a cons is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Value(u64);

/// The bytes of a cons: car and cdr.
pub(crate) const CONS: u64 = 16;

impl Value {
    /// The empty list.
    pub(crate) const NIL: Self = Self(0);
    /// In the car of a cons that was copied: its cdr is where it is now. The mutator never sees it.
    pub(crate) const MOVED: Self = Self(2);

    /// An odd number.
    pub(crate) const fn integer(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    /// The integer; 0 if the value is none.
    pub(crate) const fn number(self) -> u64 {
        if self.0 & 1 == 1 { self.0 >> 1 } else { 0 }
    }

    /// A value that was in a register, or the cons at an address.
    ///
    /// # Safety
    /// The word is a value's, or the address of two words of the heap.
    pub(crate) const unsafe fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_cons(self) -> bool {
        self.0 != 0 && self.0 % CONS == 0
    }

    /// Car and cdr; of anything but a cons, nil.
    pub(crate) fn load(self) -> [Self; 2] {
        if !self.is_cons() {
            return [Self::NIL; 2];
        }
        // SAFETY: two words of the heap, which can always be read and are always values.
        unsafe { (self.0 as *const [Self; 2]).read_volatile() }
    }

    /// Changes both. The collector opened the page.
    pub(super) fn store(self, words: [Self; 2]) {
        if self.is_cons() {
            // SAFETY: two words of the heap, to which no reference leads.
            unsafe { (self.0 as *mut [Self; 2]).write_volatile(words) };
        }
    }

    /// Changes the car. On an old page this faults, once after each collection, and the handler opens the page.
    pub(crate) fn set_car(self, car: Self) {
        if self.is_cons() {
            // SAFETY: a word of the heap, to which no reference leads.
            unsafe { (self.0 as *mut Self).write_volatile(car) };
        }
    }
}
