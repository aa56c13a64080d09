//! Answers: the one code that means each, and the proof that one was given.

use mach_sys::kern_return::KernReturn;
use mach_sys::mig::Routine;

/// What a reply tells the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// Not handled: the kernel tries the next level.
    Decline,
    /// Handled: the thread goes on with the registers that it has.
    Resume,
    /// Handled: the thread goes on with the state in the reply.
    ResumeWithState,
}

impl Answer {
    /// Returns the reply code that makes the kernel do this for a request of `routine` (A6.5, A1.1).
    ///
    /// [`Resume`](Self::Resume) of a routine that carries a state is `MACH_RCV_PORT_DIED`: the kernel then neither sets a state nor
    /// tries the next level. Success without a state would be a malformed reply there, hence "not handled" (A6.4).
    /// [`ResumeWithState`](Self::ResumeWithState) of a routine without one is `KERN_SUCCESS`: its reply has no room for a state.
    ///
    /// ```
    /// use exc_server::Answer;
    /// use mach_sys::kern_return::KernReturn;
    /// use mach_sys::mig::Routine;
    ///
    /// let routine = Routine::MachExceptionRaiseState;
    /// assert_eq!(Answer::Resume.return_code(routine), KernReturn::RCV_PORT_DIED);
    /// assert_eq!(Answer::Decline.return_code(routine), KernReturn::FAILURE);
    /// ```
    #[doc(alias = "ExcServerSuccessfulReturnValue")]
    pub const fn return_code(self, routine: Routine) -> KernReturn {
        match self {
            Self::Decline => KernReturn::FAILURE,
            Self::Resume if routine.has_state() => KernReturn::RCV_PORT_DIED,
            Self::Resume | Self::ResumeWithState => KernReturn::SUCCESS,
        }
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
    /// The kernel refused the reply: the thread was terminated or its wait aborted meanwhile. Also in the child of a fork, where no thread
    /// waits. A reply that comes late is not always refused ([`Stats::unwanted`](crate::Stats::unwanted)).
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
        for routine in Routine::ALL {
            let unchanged = if routine.has_state() {
                KernReturn::RCV_PORT_DIED
            } else {
                KernReturn::SUCCESS
            };
            assert_eq!(Answer::Decline.return_code(routine), KernReturn::FAILURE);
            assert_eq!(Answer::Resume.return_code(routine), unchanged);
            assert_eq!(
                Answer::ResumeWithState.return_code(routine),
                KernReturn::SUCCESS
            );
        }
    }
}
