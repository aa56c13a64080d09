//! States as words.

use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::ThreadState;

/// Where a state is read to.
pub(super) struct Out<'a> {
    pub(super) words: &'a mut [u32],
    pub(super) count: &'a mut u32,
}

impl Out<'_> {
    pub(super) fn put<S: ThreadState>(&mut self, state: &S) -> Result<(), KernReturn> {
        let from = state.as_words();
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
