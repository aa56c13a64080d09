//! Trampolines as plans use them: addresses, vector registers and key.

use core::borrow::Borrow;
use core::marker::PhantomData;

use crate::key::Key;
use crate::machine::{Native, Rewriter};
use crate::vector_save::VectorSave;

/// Distance from the return trap to the entry, in bytes. The trap comes first, so that one symbol names both.
pub(crate) const ENTRY: u64 = 16;

/// A trampoline at any address, of either machine, for redirects that are only computed.
///
/// No thread can be sent there: [`Redirect::to`](crate::Redirect::to) takes only the process's own
/// [`Trampoline`](crate::Trampoline), which dereferences to its plan.
///
/// ```compile_fail,E0308
/// use signal_redirect::{Entry, Key, Native, Redirect, TrampolinePlan};
///
/// fn to_code_that_is_not_there(entry: Entry) -> Redirect {
///     Redirect::to(entry, TrampolinePlan::<Native>::at(0x5000_0000, Key::new(1)))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrampolinePlan<M: Rewriter = Native> {
    trap: u64,
    save: VectorSave,
    key: Key,
    machine: PhantomData<M>,
}

impl<M: Rewriter> TrampolinePlan<M> {
    /// Creates a plan of a trampoline with its return trap at `address`, which saves no vector registers on the stack.
    #[must_use]
    pub const fn at(address: u64, key: Key) -> Self {
        Self {
            trap: address,
            save: VectorSave::NONE,
            key,
            machine: PhantomData,
        }
    }

    /// Sets the vector registers that the trampoline saves on the stack.
    #[must_use]
    pub const fn vector_save(mut self, save: VectorSave) -> Self {
        self.save = save;
        self
    }

    /// Returns this plan with another key, for example one for a single thread.
    #[must_use]
    pub const fn with_key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Returns the address at which a redirected thread resumes.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.trap.wrapping_add(ENTRY)
    }

    /// Returns the address of the return trap, the instruction that faults when the handler has returned.
    #[must_use]
    pub const fn trap(&self) -> u64 {
        self.trap
    }

    /// Returns the vector registers that the trampoline saves on the stack.
    #[must_use]
    pub const fn save(&self) -> VectorSave {
        self.save
    }

    pub(crate) const fn key(&self) -> Key {
        self.key
    }
}

/// A trampoline of machine `M`: the process's own ([`Trampoline`](crate::Trampoline)), or one for computing only
/// ([`TrampolinePlan`]). Sealed.
pub trait Code<M: Rewriter>: Borrow<TrampolinePlan<M>> + Clone + sealed::Sealed {}

pub(super) mod sealed {
    /// Restricts [`Code`](super::Code) to this crate's types.
    pub trait Sealed {}
}

impl<M: Rewriter> sealed::Sealed for TrampolinePlan<M> {}

impl<M: Rewriter> Code<M> for TrampolinePlan<M> {}
