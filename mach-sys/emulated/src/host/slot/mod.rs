//! Slots: per system thread a stack for the fault handler, and the host layer's record of the thread.
//!
//! | file | contents |
//! |---|---|
//! | `layout` | where the parts of a slot lie, by page size |
//! | `region` | the memory of all slots |
//! | `header` | the record of a thread at the end of its slot |
//! | `identity` | (epoch, tid): never the same for two threads of a process |
//! | `keys` | from a thread identifier to a slot |
//! | `origin` | whether this process is the one that the slots belong to |
//! | `owner` | which thread a slot belongs to, and whether it is still that thread |
//! | `watch_word` | wakes the watching thread |
//! | `held` | sent signals that are held back until a thread leaves the kernel |
//! | `kept` | the record of those signals |
//! | `suspension` | the words through which a thread is suspended and ended |
//! | `call_wait` | a thread's wait in a kernel call |
//! | `inside` | a thread knows that it is in the kernel |

pub(crate) mod call_wait;
pub(in crate::host) mod header;
pub(in crate::host) mod held;
pub(in crate::host) mod identity;
pub(crate) mod inside;
mod kept;
pub(in crate::host) mod keys;
pub(crate) mod layout;
pub(in crate::host) mod origin;
pub(in crate::host) mod owner;
pub(in crate::host) mod place;
pub(in crate::host) mod region;
pub(in crate::host) mod suspension;
pub(in crate::host) mod watch_word;
