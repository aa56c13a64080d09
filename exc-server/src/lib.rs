#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "receiver")]
extern crate alloc;

mod answer;
mod delivery;
mod error;

#[cfg(feature = "receiver")]
mod buffer;
#[cfg(feature = "receiver")]
mod deferred;
#[cfg(feature = "receiver")]
mod exception;
#[cfg(feature = "receiver")]
mod forward;
#[cfg(feature = "receiver")]
mod message;
#[cfg(feature = "receiver")]
mod question;
#[cfg(feature = "receiver")]
mod receiver;

// Parts of these are the server's only.
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code))]
mod install;
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code))]
mod registration;
#[cfg(feature = "receiver")]
#[cfg_attr(not(feature = "std"), allow(dead_code, unreachable_pub))]
mod stats;

#[cfg(feature = "std")]
mod installed;
#[cfg(feature = "std")]
mod route;
#[cfg(feature = "std")]
mod serve;
#[cfg(feature = "std")]
mod server;
#[cfg(feature = "std")]
mod shared;
#[cfg(feature = "std")]
mod table;

pub use answer::return_code;
pub use delivery::Delivery;
pub use error::{DeliveryError, StateError};

#[cfg(feature = "receiver")]
pub use {
    answer::{Answered, Outcome},
    buffer::MessageBuffer,
    deferred::{DeferSlot, Deferred},
    error::{InstallError, ReceiveError, ReplyError},
    exception::Exception,
    install::{Installation, Restored},
    receiver::{Receiver, Timeout},
    registration::{Previous, PreviousHandler, Target},
};

#[cfg(feature = "std")]
pub use {
    error::{InFlight, RouteError, StartError},
    route::{Route, Routing, Unrouted},
    server::{Builder, Handler, PanicPolicy, Server},
    stats::Stats,
};
