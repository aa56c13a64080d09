//! Ports, names and messages.
//!
//! | room | what stands there |
//! |---|---|
//! | `arena`, `buffer` | memory that is reserved once: objects, message buffers, queues |
//! | `lock` | the kernel's one lock, and the words that threads wait on |
//! | `mach` | one emulated kernel, and the view of it while its lock is held |
//! | `object` | ports, sets and kernel objects, their life and death (C1, C3) |
//! | `space` | tables of names (C0) |
//! | `references` | what a task does with its names: allocate, deallocate, mod_refs, … (C2–C6) |
//! | `copyin`, `copyout` | rights on their way into and out of the kernel (C7) |
//! | `set` | port sets (C9) |
//! | `send`, `receive` | messages (C10, C11) |

pub(crate) mod arena;
pub(crate) mod buffer;
pub(crate) mod copyin;
pub(crate) mod copyout;
pub(crate) mod lock;
pub(crate) mod mach;
pub(crate) mod naming;
pub(crate) mod object;
pub(crate) mod receive;
pub(crate) mod references;
pub(crate) mod send;
pub(crate) mod set;
pub(crate) mod space;

#[cfg(test)]
mod tests;
