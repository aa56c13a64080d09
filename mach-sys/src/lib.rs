#![doc = include_str!("../README.md")]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

#[doc(inline)]
pub use mach_wire::{
    ParseNameError, darwin, exception, host, info, kern_return, machine, message, mig, pod, policy,
    port, thread_state, types, vm,
};

pub mod capabilities;
#[cfg(any(target_vendor = "apple", feature = "std"))]
pub mod kernel;
pub mod processor;
#[cfg(any(target_vendor = "apple", feature = "std"))]
pub mod raise;
#[cfg(any(target_vendor = "apple", feature = "std"))]
pub mod rights;

#[cfg(all(not(target_vendor = "apple"), feature = "std"))]
#[doc(inline)]
pub use mach_emulated as emulated;

#[cfg(target_vendor = "apple")]
mod layout_checks;
