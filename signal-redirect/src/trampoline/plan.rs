//! A trampoline as addresses: what plans are computed with.

use core::borrow::Borrow;
use core::marker::PhantomData;

use crate::key::Key;
use crate::machine::{Machine, Native};
use crate::vector_save::VectorSave;

/// Distance from the return trap to the entry: the trap comes first, so that one symbol names both.
pub(crate) const ENTRY: u64 = 16;

/// A trampoline that would lie at some address, for plans that are computed and not run, of either machine.
///
/// No thread can be sent there: [`Redirect::to`](crate::Redirect::to) takes the process's own
/// [`Trampoline`](crate::Trampoline) only, which lends out its plan.
///
/// ```compile_fail,E0308
/// use signal_redirect::{Entry, Key, Native, Redirect, TrampolinePlan};
///
/// fn to_code_that_is_not_there(entry: Entry) -> Redirect {
///     Redirect::to(entry, TrampolinePlan::<Native>::at(0x5000_0000, Key::new(1)))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrampolinePlan<M: Machine = Native> {
    trap: u64,
    save: VectorSave,
    key: Key,
    machine: PhantomData<M>,
}

impl<M: Machine> TrampolinePlan<M> {
    /// Plans with a trampoline whose return trap is at `address`, and which saves no vector registers on the stack.
    pub const fn at(address: u64, key: Key) -> Self {
        Self {
            trap: address,
            save: VectorSave::NONE,
            key,
            machine: PhantomData,
        }
    }

    /// Changes which vector registers are saved on the stack.
    pub const fn vector_save(mut self, save: VectorSave) -> Self {
        self.save = save;
        self
    }

    /// Changes the key, as for another thread.
    pub const fn with_key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Returns the address that a redirected thread starts at.
    pub const fn entry(&self) -> u64 {
        self.trap.wrapping_add(ENTRY)
    }

    /// Returns the address of the instruction that traps when the handler has returned.
    pub const fn trap(&self) -> u64 {
        self.trap
    }

    /// Returns which vector registers are saved on the stack.
    pub const fn save(&self) -> VectorSave {
        self.save
    }

    pub(crate) const fn key(&self) -> Key {
        self.key
    }
}

/// A trampoline of machine `M`: the process's own, or one that is only planned with.
pub trait Code<M: Machine>: Borrow<TrampolinePlan<M>> + Clone {}

impl<M: Machine> Code<M> for TrampolinePlan<M> {}
