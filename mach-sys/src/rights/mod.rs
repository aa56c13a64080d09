//! Port rights as owned values: the type is the kind of right, and dropping a value releases the right.
//!
//! | type | owns | released by |
//! |---|---|---|
//! | [`SendRight`] | one user reference of a send right | `mach_port_deallocate` |
//! | [`SendOnceRight`] | a send-once right | the message that uses it, otherwise `mach_port_deallocate` |
//! | [`ReceiveRight`] | a port's receive right | `mach_port_mod_refs(…, RECEIVE, −1)`: the port dies, the queue is destroyed |
//! | [`PortSet`] | a port set | `mach_port_mod_refs(…, PORT_SET, −1)`: the members stay |
//! | [`Borrowed`] | nothing: a right that something else owns | never |
//!
//! There is no `Clone`, because adding a reference is a kernel call that can fail: see [`SendRight::try_clone`]. All references that a
//! task holds on one port are one counter under one name (C0.1), whatever code added them. This crate counts those that its own types
//! own ([`owned_references`]), so that code that releases forgotten references can keep them ([`send_references`]). It cannot prevent
//! other code from releasing them.
//!
//! # After a fork
//! The child has a name space of its own, in which the parent's names denote other rights or none. A right that was created before the
//! fork releases nothing when it is dropped in the child, however the child was created ([`Origin`](crate::kernel::system::Origin)). A
//! child that shares its parent's memory (`vfork`) is not detected: a right that it drops is dropped in the parent too, and if the
//! kernel refuses the child's calls, its reference has no owner any more.
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
