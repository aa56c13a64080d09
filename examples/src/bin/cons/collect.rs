//! Cheney's copying collection.
#![allow(unsafe_code)]

use crate::value::{CONS, Value};
use core::ops::Range;

/// A collection under way.
#[derive(Debug)]
pub(crate) struct Collection {
    /// The spaces that living conses leave.
    left: [Range<u64>; 2],
    /// The free part of the space that conses are copied to.
    to: Range<u64>,
    full: bool,
}

impl Collection {
    /// Begins to copy conses out of `left`, into the free memory `to`, all of it the heap's.
    pub(crate) const fn new(left: [Range<u64>; 2], to: Range<u64>) -> Self {
        Self {
            left,
            to,
            full: false,
        }
    }

    /// Returns the address of the next copy.
    pub(crate) const fn free(&self) -> u64 {
        self.to.start
    }

    /// Returns whether a cons had no room.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }

    /// Returns a value as it is after the collection: a cons that leaves is copied, once.
    pub(crate) fn moved(&mut self, value: Value) -> Value {
        let leaves = self.left.iter().any(|from| from.contains(&value.word()));
        if !value.is_cons() || !leaves {
            return value;
        }
        let [car, cdr] = value.load();
        if car == Value::MOVED {
            return cdr;
        }
        if self.to.end - self.to.start < CONS {
            self.full = true;
            return Value::NIL;
        }
        let copy = at(self.to.start);
        self.to.start += CONS;
        copy.store([car, cdr]);
        value.store([Value::MOVED, copy]);
        copy
    }

    /// Moves what the conses from `start` on refer to, up to `end` or the last copy.
    pub(crate) fn scan(&mut self, start: u64, end: u64) {
        let mut cons = start;
        while cons < end.min(self.to.start) {
            let words = at(cons).load().map(|word| self.moved(word));
            at(cons).store(words);
            cons += CONS;
        }
    }
}

fn at(address: u64) -> Value {
    // SAFETY: the collection's ranges are the heap's, and conses stand in them at multiples of their size.
    unsafe { Value::from_word(address) }
}
