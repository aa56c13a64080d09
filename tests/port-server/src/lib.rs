//! An exception server over the raw kernel calls, for the tests of crates that exc-server is not below: one port, one thread, and a closure
//! that answers with the registers to resume with.
//!
//! It is not in `test-support`, because it needs mach-sys, whose tests use it: that package depends on no other of the workspace.

mod route;
mod serve;
mod server;

pub use route::{HARDWARE, route_task, route_thread};
pub use serve::{Fault, serve, stop};
pub use server::Server;
