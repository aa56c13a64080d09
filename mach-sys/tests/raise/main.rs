//! The raising client: what its requests carry, how their replies are judged, and that no path leaves a right behind.
#![allow(unsafe_code)]

mod replies;
mod requests;
mod support;
