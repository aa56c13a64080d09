//! Answers to requests: their reply codes, their outcomes, and the proof that a request was answered.

use mach_sys::kern_return::KernReturn;
use mach_sys::mig::Routine;

/// The meaning of a reply to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// Not handled: the kernel tries the next level.
    Decline,
    /// Handled: the thread resumes with its registers unchanged.
    Resume,
    /// Handled: the thread resumes with the state in the reply.
    ResumeWithState,
}

impl Answer {
    /// Returns the reply code that has this meaning in a reply to `routine` (A6.5, A1.1).
    ///
    /// For [`Resume`](Self::Resume) of a routine with a state it is `MACH_RCV_PORT_DIED`: the kernel then neither sets a state nor
    /// tries the next level. `KERN_SUCCESS` without a state would be a malformed reply, which the kernel takes as "not handled" (A6.4).
    /// For [`ResumeWithState`](Self::ResumeWithState) of a routine without a state it is `KERN_SUCCESS`: its reply has no room for one.
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

/// The result of answering a request.
#[cfg(feature = "receiver")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: the thread resumes.
    Resumed,
    /// Declined: the kernel tries the next level.
    Declined,
    /// Handled by the previously registered handler.
    Forwarded,
    /// Deferred: a [`Deferred`](crate::Deferred) answers later.
    Deferred,
    /// The reply could not be delivered: the thread was terminated or its wait aborted meanwhile, or the calling process is the child of a
    /// fork, where no thread waits. The kernel does not refuse every late reply ([`Stats::unwanted`](crate::Stats::unwanted)).
    Unwanted,
}

/// The proof that a request was answered. Only the functions that answer return one.
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
