//! The host's own ways: everything that knows Linux stands here and nowhere else.
//!
//! | room | what stands there |
//! |---|---|
//! | `start` | every process-wide hook, set up in one call |
//! | `entry` | the fault handler's way onto its own stack, in assembly |
//! | `slot` | that stack, and the record of a thread |
//! | `fault` | what the handler does: classify, ask the layers above, or go on to who was there before |
//! | `deferred` | signals that are sent to a thread in there |
//! | `classify` | signal → exception, as a pure function |
//! | `context` | the interrupted registers |
//! | `previous` | the handlers that were installed before |
//! | `exit` | the end of threads |
//! | `copy` | copies of user memory that may turn out bad |
//! | `reservation` | address space, reserved once |
//! | `futex`, `signals`, `sys`, `cpu`, `stack`, `pages`, `user` | the calls below all that |

pub(crate) mod classify;
pub(crate) mod context;
pub(crate) mod copy;
pub(crate) mod cpu;
mod deferred;
mod entry;
mod exit;
pub(crate) mod fault;
pub(crate) mod futex;
pub(crate) mod pages;
pub(crate) mod previous;
pub(crate) mod reservation;
pub(crate) mod signals;
pub(crate) mod slot;
pub(crate) mod stack;
pub(crate) mod start;
mod sys;
pub(crate) mod user;
