//! The Linux side: signals, contexts, futexes, stacks and thread exit. No other folder knows Linux.
//!
//! Each room uses the ones below it, never one above:
//!
//! | room | contents |
//! |---|---|
//! | `start` | every process-wide hook, set up in one call |
//! | `threads` | threads that make kernel calls: registration, readiness for faults |
//! | `usage` | what the process and its threads use |
//! | `exit` | the end of threads |
//! | `fault` | what the fault handler does: classify, ask the layers above, or go on to the handler that was there before |
//! | `entry` | the fault handler's way onto its own stack, in assembly |
//! | `suspend` | stops a thread from outside |
//! | `context` | the interrupted registers; from a signal to an exception |
//! | `slot` | per thread a stack for the fault handler, its record and its identity |
//! | `sys` | system calls, and what is made of them directly |

pub(crate) mod context;
mod entry;
mod exit;
pub(crate) mod fault;
pub(crate) mod raw;
mod slot;
pub(crate) mod start;
pub(crate) mod suspend;
mod sys;
pub(crate) mod threads;
pub(crate) mod usage;

pub(crate) use slot::call_wait::{CallWait, Meanwhile, abandoned};
pub(crate) use slot::inside::{
    Blocked, Group, InKernel, Starting, block_for_good, is_child, unblock,
};
pub use slot::layout::LENT_STACK_SIZE;
pub(crate) use slot::origin::{process_id, stops};
pub(crate) use slot::region::{SlotId, exhausted};
pub(crate) use slot::suspension::Waits;
pub(crate) use slot::watch_word::{
    go_on as let_watching_thread_go_on, hurry as wake_watching_thread,
    pause as pause_watching_thread,
};
pub(crate) use sys::altstack::room as alternate_stack_room;
pub(crate) use sys::clock::{coarse_nanoseconds, nanoseconds, nanoseconds_with_sleep};
pub(crate) use sys::credentials::user_and_group;
pub(crate) use sys::installed::Installed;
pub(crate) use sys::mask::{AllBlocked, wait_was_interrupted};
pub(crate) use sys::status::is_traced;
pub(crate) use sys::thread::{gettid, stop_process};
pub(crate) use sys::{
    copy, cpu, futex, machine, mappings, maps, page_list, pages, reservation, smaps, stack, sync,
};
