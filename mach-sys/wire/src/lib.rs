#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
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
