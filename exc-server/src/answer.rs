//! Answers: the one code that means each, and the proof that one was given.

use mach_sys::kern_return::KernReturn;

/// The reply code that makes the kernel do what the handler meant (A6.5, A1.1).
///
/// A state-carrying request that is resumed without a new state answers `MACH_RCV_PORT_DIED`: the kernel then neither sets a state
/// nor looks further. Success without a state would be a malformed reply there, hence "not handled" (A6.4).
pub const fn return_code(handled: bool, carries_state: bool, new_state: bool) -> KernReturn {
    match (handled, carries_state && !new_state) {
        (false, _) => KernReturn::FAILURE,
        (true, false) => KernReturn::SUCCESS,
        (true, true) => KernReturn::RCV_PORT_DIED,
    }
}

/// How a request was answered.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: the thread goes on.
    Resumed,
    /// Declined: the kernel tries the next level.
    Declined,
    /// The previously registered handler handled it.
    Forwarded,
    /// Deferred: a [`Deferred`](crate::Deferred) answers later.
    Deferred,
    /// The reply could not be delivered: the thread was terminated or its wait aborted meanwhile.
    Unwanted,
}

/// The proof that a request was answered. Only the calls that answer make one.
#[cfg(feature = "receiver")]
#[must_use = "a handler returns it"]
#[derive(Debug)]
pub struct Answered(pub(crate) Outcome);

#[cfg(feature = "receiver")]
impl Answered {
    /// Returns the outcome.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_5_each_answer_has_the_code_that_the_kernel_takes_for_it() {
        assert_eq!(return_code(true, false, false), KernReturn::SUCCESS);
        assert_eq!(return_code(true, true, true), KernReturn::SUCCESS);
        assert_eq!(return_code(true, true, false), KernReturn::RCV_PORT_DIED);
        for (carries, new) in [(false, false), (true, false), (true, true)] {
            assert_eq!(return_code(false, carries, new), KernReturn::FAILURE);
        }
    }
}
