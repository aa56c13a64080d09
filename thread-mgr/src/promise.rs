//! What trimming rests on.

/// The promise that nobody's reference is taken away by a trim.
///
/// All user references that a task holds on one name are one counter. Trimming a thread's name to 1 takes a legitimate holder's
/// reference too; his later release fails, or hits whoever has the name by then. No type can see what another library holds, so a
/// manager trims only if its builder was given this.
#[derive(Clone, Copy, Debug)]
pub struct SurplusPromise(());

impl SurplusPromise {
    /// Promises.
    ///
    /// # Safety
    /// Nobody in the process releases a reference on a managed thread's name after that thread's exit, which begins with the last
    /// pass of its thread-specific-data destructors: each that is taken is released before, or forgotten for good. What these crates
    /// hold themselves keeps the promise.
    #[allow(unsafe_code)]
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(())
    }
}
