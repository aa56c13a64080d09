//! The errors of raising an exception by message.

use crate::kern_return::{KernError, KernReturn};
use crate::mig::{EncodeError, ReplyError};

/// The exception was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RaiseError {
    /// The request cannot be encoded: more than two codes, or more than 1296 words of state. Nothing was sent.
    #[error("the request cannot be encoded")]
    Request(#[from] EncodeError),
    /// The reply port could not be created. Nothing was sent.
    #[error("no port for the reply")]
    ReplyPort(#[source] KernError),
    /// The request was not delivered: a `MACH_SEND_*` error (C10). Its rights were released.
    #[error("the request was not sent")]
    Send(#[source] KernError),
    /// The request was delivered, and no reply was received: a `MACH_RCV_*` error (C11). After `MACH_RCV_TIMED_OUT` the handler may still
    /// be at work; its reply will be destroyed.
    #[error("no reply was received")]
    Receive(#[source] KernError),
    /// The reply does not mean "handled". Its rights were released.
    #[error("the handler did not handle the exception")]
    Reply(#[from] ReplyError),
    /// The exception was handled, and the new state does not fit in the caller's array.
    #[error("{found} words of new state do not fit into {room}")]
    NewState {
        /// Words in the reply.
        found: usize,
        /// Words in the array.
        room: usize,
    },
}

impl RaiseError {
    /// Returns the stable numeric code of this error, for callers in C. A code never changes its meaning.
    pub const fn code(self) -> u32 {
        match self {
            Self::Request(_) => 0x3101,
            Self::ReplyPort(_) => 0x3102,
            Self::Send(_) => 0x3103,
            Self::Receive(_) => 0x3104,
            Self::Reply(_) => 0x3105,
            Self::NewState { .. } => 0x3106,
        }
    }

    /// Returns the result that MIG's client code returns.
    pub const fn kern_return(self) -> KernReturn {
        match self {
            Self::Request(_) | Self::NewState { .. } => KernReturn::MIG_ARRAY_TOO_LARGE,
            Self::ReplyPort(error) | Self::Send(error) | Self::Receive(error) => {
                error.kern_return()
            }
            Self::Reply(error) => error.kern_return(),
        }
    }
}
