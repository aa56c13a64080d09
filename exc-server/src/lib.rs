#![doc = include_str!("../README.md")]
//!
//! # Items
//!
//! | for | items |
//! |---|---|
//! | a server | [`Server`], [`ServerBuilder`], [`Handler`], [`PanicPolicy`], [`Stats`] |
//! | its routes | [`Routing`], [`Target`], [`Delivery`], [`Route`], [`DetachedRoute`] |
//! | an exception and its answer | [`Exception`], [`Answered`], [`Outcome`], [`Answer`], [`NotForwarded`], [`NotDeferred`] |
//! | answering later | [`Deferred`], [`Deferrals`], [`Pending`], [`Timeout`] |
//! | without a server | [`Receiver`], [`MessageBuffer`], [`Installation`], [`Restored`], [`Previous`], [`PreviousHandler`] |
//! | errors | [`ServerStartError`], [`RouteError`], [`InstallError`], [`DeliveryError`], [`StateError`], [`AnswerError`], [`ForwardError`], [`DeferError`], [`ReceiveError`], [`CapacityError`], [`InFlight`] |
//!
//! Each error has a stable numeric code, `code()`, for callers in C: 0x4001 to 0x4fff are this crate's.
//!
//! | in C | here |
//! |---|---|
//! | `mach_msg_server(mach_exc_server, …)` | [`Server::start`]; on a thread of your own, [`Receiver::receive`] |
//! | `catch_mach_exception_raise` and its siblings | the closure, or [`Handler::handle`] |
//! | `thread_swap_exception_ports`, `task_swap_exception_ports` | [`Server::route`], [`Installation::install`] |
//! | `KERN_SUCCESS`, `KERN_FAILURE`, `MACH_RCV_PORT_DIED` | [`Exception::resume`], [`Exception::decline`]; [`Answer::return_code`] |
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "receiver")]
extern crate alloc;

/// The crate whose types the signatures use, so that one dependency is enough.
#[doc(no_inline)]
pub use mach_sys;

// Rooms, lowest first: a room imports from those above it in this list only.
mod answer;
mod delivery;
mod error;

#[cfg(feature = "receiver")]
mod clock;
#[cfg(feature = "receiver")]
mod local;
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code, unreachable_pub))]
mod stats;
#[cfg(feature = "receiver")]
mod timeout;
#[cfg(feature = "receiver")]
mod wire;
// Only the server uses some parts of this.
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code))]
mod registration;
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code))]
mod request;
#[cfg(feature = "std")]
mod route;
#[cfg(feature = "std")]
mod server;

pub use answer::Answer;
pub use delivery::Delivery;
pub use error::{DeliveryError, StateError};

#[cfg(feature = "receiver")]
pub use {
    answer::{Answered, Outcome},
    error::{AnswerError, CapacityError, DeferError, ForwardError, InstallError, ReceiveError},
    registration::install::{Installation, Restored},
    registration::previous::{Previous, PreviousHandler},
    registration::target::Target,
    request::buffer::MessageBuffer,
    request::defer::NotDeferred,
    request::deferrals::{Deferrals, Pending},
    request::deferred::Deferred,
    request::exception::Exception,
    request::forward::NotForwarded,
    request::receiver::Receiver,
    timeout::Timeout,
};

#[cfg(feature = "std")]
pub use {
    error::{InFlight, RouteError, ServerStartError},
    server::handler::{Handler, PanicPolicy},
    server::route::{DetachedRoute, Route},
    server::routing::Routing,
    server::server::{Server, ServerBuilder},
    stats::Stats,
};
