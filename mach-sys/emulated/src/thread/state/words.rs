//! States as words.

use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::ThreadState;

/// Output buffer for a thread state.
pub(super) struct Out<'a> {
    pub(super) words: &'a mut [u32],
    pub(super) count: &'a mut u32,
}

impl Out<'_> {
    pub(super) fn put<S: ThreadState>(&mut self, state: &S) -> Result<(), KernReturn> {
        self.put_words(state.as_words())
    }

    /// Puts the state of a flavor whose words are all zero.
    pub(super) fn put_zeros(&mut self, count: u32) -> Result<(), KernReturn> {
        let words = self.words.get_mut(..count as usize);
        words.ok_or(KernReturn::INVALID_ARGUMENT)?.fill(0);
        *self.count = count;
        Ok(())
    }

    /// Puts the numbers of flavors, in answer to the flavor of a list.
    pub(super) fn put_list(&mut self, flavors: &[i32]) -> Result<(), KernReturn> {
        self.put_zeros(flavors.len() as u32)?;
        for (word, flavor) in self.words.iter_mut().zip(flavors) {
            *word = *flavor as u32;
        }
        Ok(())
    }

    pub(super) fn put_words(&mut self, from: &[u32]) -> Result<(), KernReturn> {
        let to = self
            .words
            .get_mut(..from.len())
            .ok_or(KernReturn::INVALID_ARGUMENT)?;
        to.copy_from_slice(from);
        *self.count = from.len() as u32;
        Ok(())
    }
}

/// Returns the state that words are, if their number is exactly its (A4.6).
pub(super) fn exactly<S: ThreadState>(words: &[u32]) -> Result<S, KernReturn> {
    S::from_words(words).map_err(|_| KernReturn::INVALID_ARGUMENT)
}
