//! MIG's messages for exceptions and notifications: `exc` (2401 to 2403), `mach_exc` (2405 to 2410), `notify` (65 to 72).
//!
//! A receiver calls [`decode`] and replies with [`ReplyTo`], or uses a demultiplexer ([`exc_server`], [`mach_exc_server`],
//! [`serve`]). A sender encodes a request with [`Raise`] and checks its reply with [`check_reply`]. A decoded message
//! borrows its bytes. Nothing allocates, and no input makes it panic.
//!
//! A receive loop calls a demultiplexer between receiving and sending:
//!
//! ```
//! use mach_wire::exception::ExceptionType;
//! use mach_wire::kern_return::KernReturn;
//! use mach_wire::mig::{self, mach_exc_server};
//! use mach_wire::thread_state::{Registers, x86_thread_state64_t};
//!
//! /// Serves the message in `received`. Returns the reply to send, if there is one.
//! fn serve<'r>(received: &[u8], reply: &'r mut [u8]) -> Option<&'r [u8]> {
//!     let served = mach_exc_server(received, reply, |request, new_state| {
//!         let Ok(mut state) = request.state::<x86_thread_state64_t>() else {
//!             return KernReturn::FAILURE; // not handled: the kernel tries the next level
//!         };
//!         if request.exception() != ExceptionType::BREAKPOINT {
//!             return KernReturn::FAILURE;
//!         }
//!         state.set_pc(state.pc() + 1);
//!         match new_state.set(&state) {
//!             Ok(()) => KernReturn::SUCCESS,
//!             Err(_) => KernReturn::FAILURE,
//!         }
//!     })
//!     .ok()?;
//!     // Unless `served.handler_owns_rights()`, the loop destroys the request's rights.
//!     served.sends_reply().then(|| &reply[..served.reply_size])
//! }
//!
//! # use mach_wire::{message::Disposition, mig::{HeaderPort, Identity, Raise, Routine, check_reply}};
//! # use mach_wire::thread_state::ThreadState;
//! # let stopped = x86_thread_state64_t { rip: 0x1000, ..Default::default() };
//! # let raise = Raise {
//! #     routine: Routine::MachExceptionRaiseState,
//! #     remote: HeaderPort::new(1, Disposition::MOVE_SEND_ONCE),
//! #     local: HeaderPort::new(2, Disposition::MOVE_SEND),
//! #     voucher: HeaderPort::NONE,
//! #     identity: Identity::None,
//! #     disposition: Disposition::MOVE_SEND,
//! #     exception: ExceptionType::BREAKPOINT,
//! #     codes: &[2, 0],
//! #     flavor: x86_thread_state64_t::FLAVOR,
//! #     state: stopped.as_words(),
//! # };
//! # let mut message = [0; mig::REQUEST_SIZE_MAX];
//! # let size = raise.encode(&mut message).unwrap();
//! # let mut reply = [0; mig::REPLY_SIZE_MAX];
//! # let mut reply = serve(&message[..size], &mut reply).unwrap().to_vec();
//! # reply[8..16].rotate_left(4);
//! # let checked = check_reply(raise.routine, &reply, raise.routine.reply_buffer_size()).unwrap();
//! # assert_eq!(checked.new_state.to_state::<x86_thread_state64_t>().unwrap().rip, 0x1001);
//! ```

mod decode;
mod error;
pub mod exc;
pub mod mach_exc;
mod ndr;
mod notify;
mod notify_layouts;
mod raise;
mod reply;
mod routine;
mod server;
mod view;

pub use decode::{Accept, decode};
pub use error::{DecodeError, EncodeError, ReplyError};
pub use ndr::*;
pub use notify::*;
pub use notify_layouts::*;
pub use raise::{HeaderPort, Raise};
pub use reply::{NewState, Reply, ReplyTo, STATUS_REPLY_SIZE, check_reply};
pub use routine::{
    CODES_MAX, IdentityKind, REPLY_ID_OFFSET, REPLY_SIZE_MAX, REQUEST_SIZE_MAX, Routine, Subsystem,
};
pub use server::{ServeError, Served, exc_server, mach_exc_server, serve};
pub use view::{Identity, Request, Words};
