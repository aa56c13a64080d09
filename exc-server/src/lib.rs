#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "receiver")]
extern crate alloc;

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
// Parts of this are the server's only.
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
