//! Messages with out-of-line memory and arrays of ports, messages of any size, and the server loops (C10, C11, C12).
#![allow(unsafe_code)]

mod memory;
mod ports;
mod server;
mod sizes;
mod support;
