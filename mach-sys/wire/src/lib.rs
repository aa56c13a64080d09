#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little"
)))]
compile_error!("this crate supports only x86_64 and aarch64 with 64-bit pointers, little-endian");

pub mod darwin;
pub mod exception;
pub mod host;
pub mod info;
pub mod kern_return;
pub mod machine;
pub mod message;
pub mod mig;
pub(crate) mod names;
pub mod pod;
pub mod policy;
pub mod port;
pub mod thread_state;
pub mod types;
pub mod vm;

pub use names::ParseNameError;
