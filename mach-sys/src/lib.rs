#![doc = include_str!("../README.md")]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

pub mod darwin;
pub mod exception;
pub mod kern_return;
pub mod machine;
pub mod message;
pub mod mig;
pub(crate) mod names;
pub mod pod;
pub mod port;
pub mod thread_state;
pub mod types;

pub use names::ParseNameError;

#[cfg(any(target_vendor = "apple", feature = "std"))]
pub mod kernel;
#[cfg(any(target_vendor = "apple", feature = "std"))]
pub mod rights;

#[cfg(all(not(target_vendor = "apple"), feature = "std"))]
pub mod emulated;

#[cfg(target_vendor = "apple")]
mod second_opinion;
