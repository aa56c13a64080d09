//! Threads as the emulated kernel knows them: a control port, a reply port, exception actions.

pub(crate) mod life;
pub(crate) mod state;

use crate::exception::action::Actions;
use crate::exception::answer::Answer;
use crate::ipc::arena::Zeroed;
use crate::ipc::mach::TaskId;

/// One thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) task: TaskId,
    /// Its control port.
    pub(crate) port: u32,
    /// The port on which the kernel waits for answers to its exceptions.
    pub(crate) reply_port: u32,
    pub(crate) actions: Actions,
    /// What became of the exception that it waits in.
    pub(crate) answer: Answer,
    /// Where its registers are while it waits in an exception: the address of the host's context, else 0.
    pub(crate) context: usize,
}

// SAFETY: integers and arrays of them; `Actions` has an integer array and a bool; the first value of `Answer` is 0.
#[allow(unsafe_code)]
unsafe impl Zeroed for Thread {}
