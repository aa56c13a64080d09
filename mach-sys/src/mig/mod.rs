//! MIG's messages for exceptions and notifications, exact: `exc` (2401 to 2403), `mach_exc` (2405 to 2410), `notify`.
//!
//! A receiver takes [`decode`] apart from answering ([`ReplyTo`]), or uses a demultiplexer ([`exc_server`],
//! [`mach_exc_server`], [`serve`]). A sender writes a request with [`Raise`] and takes its reply with [`check_reply`].
//! Everything borrows, nothing allocates, and no bytes make it panic.

mod decode;
mod error;
pub mod exc;
pub mod mach_exc;
mod ndr;
mod notify;
mod notify_layouts;
mod raise;
mod reply;
mod routine;
mod server;
mod view;

pub use decode::{Accept, decode};
pub use error::{DecodeError, EncodeError, ReplyError};
pub use ndr::*;
pub use notify::*;
pub use notify_layouts::*;
pub use raise::{HeaderPort, Raise};
pub use reply::{NewState, Reply, ReplyTo, STATUS_REPLY_SIZE, check_reply};
pub use routine::{
    CODES_MAX, IdentityKind, REPLY_ID_OFFSET, REPLY_SIZE_MAX, REQUEST_SIZE_MAX, Routine, Subsystem,
};
pub use server::{ServeError, Served, exc_server, mach_exc_server, serve};
pub use view::{Identity, Request, Words};
