//! The promise that makes trimming sound.

/// A promise that a trim takes no reference from an owner: [`ManagerBuilder::trim_surplus`](crate::ManagerBuilder::trim_surplus).
///
/// All user references that a task holds on one name are one counter. mach-sys counts those that its own rights own, and a trim leaves
/// them: routes of other servers, a `ThreadRight` that is kept for later. No type can see the references that other code got from
/// `mach_thread_self`, `task_threads` or a received message. A trim takes those too; the other code's later release fails, or releases
/// another right that has the name by then. So a manager trims only if its builder was given this promise.
#[derive(Clone, Copy, Debug)]
pub struct SurplusPromise(());

impl SurplusPromise {
    /// Makes the promise.
    ///
    /// # Safety
    /// The promise concerns the user references on the names of threads that the manager starts or attaches, except those that rights of
    /// mach-sys own (`SendRight`, `ThreadRight` and values made from them: requests, routes, installations).
    ///
    /// Such a thread's exit begins with the last pass over its thread-specific-data destructors. From then on no code of the process
    /// releases such a reference. Each one is released before, handed to a right before (`Right::from_name`), or forgotten for good. This
    /// includes references taken out of a right (`Right::into_name`). Nor does any code rely on such a reference staying, for example to
    /// keep the name from being used again.
    #[allow(unsafe_code)]
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(())
    }
}
