//! The promise that trimming rests on.

/// Promises that a trim takes no reference from an owner: [`ManagerBuilder::trim_surplus`](crate::ManagerBuilder::trim_surplus).
///
/// All user references that a task holds on one name are one counter. mach-sys counts those that its own rights own, and a trim leaves
/// them: routes of other servers, a `ThreadRight` that is kept for later. No type can see what other code holds, through
/// `mach_thread_self`, `task_threads` or a received message. A trim takes its references too; its later release fails, or hits
/// whatever has the name by then. So a manager trims only if its builder was given this.
#[derive(Clone, Copy, Debug)]
pub struct SurplusPromise(());

impl SurplusPromise {
    /// Makes the promise.
    ///
    /// # Safety
    /// It concerns user references on the names of threads that the manager starts or attaches, other than those that rights of mach-sys
    /// own (`SendRight`, `ThreadRight` and what is made of them: requests, routes, installations).
    ///
    /// From the moment at which such a thread's exit begins, which is the last pass over its thread-specific-data destructors, no code of
    /// the process releases such a reference: each one that exists is released, or handed to a right (`Right::from_name`), before,
    /// or forgotten for good. Code that takes one out of a right (`Right::into_name`) is bound likewise. The same goes for code that
    /// relies on one staying, for example to keep the name from being used again.
    #[allow(unsafe_code)]
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(())
    }
}
