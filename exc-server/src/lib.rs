//! See the README.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]
