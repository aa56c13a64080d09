//! See the README.
#![deny(unsafe_code)]
