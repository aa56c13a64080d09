//! Port rights as owned values: the type is the right, dropping it releases it.
//!
//! | type | holds | released by |
//! |---|---|---|
//! | [`SendRight`] | one user reference of a send right | `mach_port_deallocate` |
//! | [`SendOnceRight`] | a send-once right | the message that uses it, else `mach_port_deallocate` |
//! | [`ReceiveRight`] | a port's receive right | `mach_port_mod_refs(…, RECEIVE, −1)`: the port dies, the queue is destroyed |
//! | [`PortSet`] | a port set | `mach_port_mod_refs(…, PORT_SET, −1)`: the members stay |
//! | [`Borrowed`] | nothing: a right that something else owns | never |
//!
//! There is no `Clone`: taking another reference is a kernel call that can fail, hence [`SendRight::try_clone`]. All references
//! that a task holds on one port are one counter under one name (C0.1), whatever took them. This crate counts those that its
//! own types own ([`owned_references`]), so that code which releases forgotten references leaves them alone
//! ([`send_references`]); it cannot stop other code from releasing them.
//!
//! # After a fork
//! The child has a name space of its own, in which the parent's names are other rights or none. A right that was made before the fork
//! releases nothing when it is dropped in the child, however that was made ([`Origin`](crate::kernel::system::Origin)). A child that
//! shares its parent's memory (`vfork`) is not told apart: a right that it drops is gone in the parent too, and its reference has no
//! owner where the kernel refuses the child's calls.
#![allow(unsafe_code)]

mod array;
mod borrowed;
mod census;
mod difference;
mod held;
mod label;
mod name;
mod owned;
mod port_set;
mod receive;
mod references;
mod reply_port;
mod send;
mod send_once;
mod source;
mod word;

pub use borrowed::Borrowed;
pub use census::{Census, CensusError, Count, NameInfo};
pub use difference::{Change, Difference};
pub use name::{Name, Right};
pub use owned::{References, owned_references, send_references};
pub use port_set::{PortSet, set_contains};
pub use receive::ReceiveRight;
pub use references::{modify_references, user_references};
pub use reply_port::ReplyPort;
pub use send::{Object, Queue, SendRight, Task, TaskIdToken, TaskRight, Thread, ThreadRight};
pub use send_once::SendOnceRight;
pub use source::Source;
