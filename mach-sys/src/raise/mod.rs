//! The client side of `exc` and `mach_exc`: raises an exception by a message to its handler, and waits for the reply.
//!
//! The kernel's own stubs of these routines are exported by no system library. A crash reporter that runs another handler first, or a test
//! that needs an exception without a fault, calls them here. Each function sends the request with `mach_msg`, receives the reply on a port
//! of its own, and checks it as the kernel does ([`check_reply`](crate::mig::check_reply), A6.12).
//!
//! Nothing here stops a thread, reads its registers or applies a new state: `thread` and `task` are only named in the request, and a
//! new state is returned. On every path the rights of the request and of the reply are released: a reply that comes after the time limit is
//! destroyed with the reply port.
//!
//! ```
//! use core::time::Duration;
//! use mach_sys::exception::ExceptionType;
//! use mach_sys::kern_return::KernReturn;
//! use mach_sys::kernel;
//! use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
//! use mach_sys::mig::{mach_exc_server, REPLY_SIZE_MAX};
//! use mach_sys::pod;
//! use mach_sys::raise::mach_exception_raise;
//! use mach_sys::rights::{Borrowed, ReceiveRight, Right, ThreadRight};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let port = ReceiveRight::new()?;
//! let handler = port.make_send()?;
//! let server = std::thread::spawn(move || {
//!     let mut request = [0_u32; 400];
//!     // SAFETY: the buffer has the size that is passed.
//!     let received = unsafe {
//!         kernel::mach_msg(request.as_mut_ptr().cast(), MACH_RCV_MSG, 0, 1600, port.name().raw(), 0, 0)
//!     };
//!     assert_eq!(received, 0);
//!     let mut reply = [0_u32; REPLY_SIZE_MAX / 4];
//!     let served = mach_exc_server(pod::word_bytes(&request), pod::word_bytes_mut(&mut reply), |request, _| {
//!         assert_eq!(request.codes(), [2, 0x7000]);
//!         KernReturn::SUCCESS
//!     });
//!     let size = served.expect("a request").reply_size as u32;
//!     // SAFETY: the buffers have the sizes that are passed; the request's rights but the reply right are still there.
//!     unsafe {
//!         kernel::mach_msg(reply.as_mut_ptr().cast(), MACH_SEND_MSG, size, 0, 0, 0, 0);
//!         request[2] = 0;
//!         kernel::mach_msg_destroy(request.as_mut_ptr().cast());
//!     }
//! });
//!
//! let (thread, task) = (ThreadRight::current()?, Borrowed::current_task());
//! let limit = Some(Duration::from_secs(10));
//! mach_exception_raise(&handler, &thread, &task, ExceptionType::BAD_ACCESS, &[2, 0x7000], limit)?;
//! # server.join().expect("the server");
//! # Ok(())
//! # }
//! ```
mod client;
mod error;
mod exchange;

pub use client::*;
pub use error::RaiseError;
