//! A typed Mach exception server.
//!
//! [`Server`] is one thread on one port set, with an exception port of its own per routed thread or task. A [`Handler`] is given
//! an [`Exception`] by value and must give an [`Answered`] back, which only answering makes: so exactly one answer leaves for each
//! request, and what is forgotten, dropped or lost in a panic is declined.
//!
//! ```
//! use exc_server::{Answered, Delivery, Exception, Routing, Server, Target};
//! use mach_sys::exception::ExceptionMask;
//! use mach_sys::rights::ThreadRight;
//! use mach_sys::thread_state::NativeState;
//!
//! let server = Server::start(|exception: Exception<'_>| -> Answered {
//!     println!("{:?}: {}", exception.tag(), exception.meaning());
//!     exception.decline()
//! })?;
//! let thread = ThreadRight::current()?;
//! let route = server.route(
//!     Target::Thread(&thread),
//!     &Routing::new(ExceptionMask::BAD_ACCESS, Delivery::state::<NativeState>()).tag(7),
//! )?;
//! # drop(route);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Below the server, [`Receiver`] pulls one exception at a time from a port or set, on a thread of the caller's.
//!
//! # Rights
//! A request owns the rights that its message brought — one on the thread, one on the task, with every message of a behavior that
//! names them — and releases them before its reply leaves: after it the thread may be gone, and its name another thread's. The leak
//! that comes from forgetting them cannot be written.
//!
//! # Between a request and its answer
//! Nothing here allocates, takes a lock that user code can hold, or writes to a stream. What the handler does is its own business:
//! the faulting thread is stopped at an arbitrary instruction and may hold any lock, the allocator's included.
//!
//! # Features
//! `std` (default): the server, and everything that calls the kernel. Without it: [`Delivery`] and [`return_code`].
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

mod answer;
mod delivery;
mod error;

#[cfg(feature = "std")]
mod buffer;
#[cfg(feature = "std")]
mod deferred;
#[cfg(feature = "std")]
mod exception;
#[cfg(feature = "std")]
mod forward;
#[cfg(feature = "std")]
mod install;
#[cfg(feature = "std")]
mod installed;
#[cfg(feature = "std")]
mod message;
#[cfg(feature = "std")]
mod question;
#[cfg(feature = "std")]
mod receiver;
#[cfg(feature = "std")]
mod registration;
#[cfg(feature = "std")]
mod route;
#[cfg(feature = "std")]
mod serve;
#[cfg(feature = "std")]
mod server;
#[cfg(feature = "std")]
mod shared;
#[cfg(feature = "std")]
mod stats;
#[cfg(feature = "std")]
mod table;

pub use answer::return_code;
pub use delivery::Delivery;
pub use error::{DeliveryError, StateError};

#[cfg(feature = "std")]
pub use {
    answer::{Answered, Outcome},
    buffer::MessageBuffer,
    deferred::{DeferSlot, Deferred},
    error::{InFlight, InstallError, ReceiveError, ReplyError, RouteError, StartError},
    exception::Exception,
    install::{Installation, Restored},
    receiver::{Receiver, Timeout},
    registration::{Previous, PreviousHandler, Target},
    route::{Route, Routing, Unrouted},
    server::{Builder, Handler, PanicPolicy, Server},
    stats::Stats,
};
