//! Demultiplexers, as a C runtime uses `exc_server()` and `mach_exc_server()`: a received message in, a handler called, a
//! reply out.

use crate::kern_return::KernReturn;

use super::decode::{Accept, decode_body, decode_header};
use super::error::{DecodeError, EncodeError};
use super::reply::{NewState, ReplyTo, STATUS_REPLY_SIZE};
use super::view::Request;

/// The outcome of serving a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Bytes of the reply.
    pub reply_size: usize,
    /// The reply's return code.
    pub code: KernReturn,
    /// Why the handler was not called; `None` if it was.
    pub malformed: Option<DecodeError>,
}

impl Served {
    /// Returns `true` if the id is one of the server's, even if the message was malformed: what C's demultiplexer returns.
    #[inline]
    pub const fn is_known(&self) -> bool {
        !matches!(self.malformed, Some(DecodeError::UnknownId { .. }))
    }

    /// Returns `true` if a receive loop (`mach_msg_server`) sends the reply: not after `MIG_NO_REPLY`.
    pub const fn sends_reply(&self) -> bool {
        !matches!(self.code, KernReturn::MIG_NO_REPLY)
    }

    /// Returns `true` if the handler now owns the rights that the request carried. Otherwise the receive loop destroys them, except the
    /// reply right, which moves into the reply. So a handler that fails must not have released them.
    pub const fn handler_owns_rights(&self) -> bool {
        matches!(self.code, KernReturn::SUCCESS | KernReturn::MIG_NO_REPLY)
    }
}

/// A message or a buffer with which nothing can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The message has no header, so there is no reply right to answer through.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The buffer holds no reply.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl ServeError {
    /// Returns the stable numeric code of this error, for callers in C: the code of the error that it carries.
    pub const fn code(self) -> u32 {
        match self {
            Self::Decode(error) => error.code(),
            Self::Encode(error) => error.code(),
        }
    }
}

/// Serves messages 2401 to 2403 (`exc_server`), whose codes have 32 bits, as [`serve`] does.
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right to answer through. Every other
///   malformed message is answered, and [`Served::malformed`] says why the handler was not called.
/// - [`ServeError::Encode`] with [`EncodeError::Buffer`]: `reply` is smaller than 36 bytes, or than 44 for a routine with state.
#[doc(alias(
    "catch_exception_raise",
    "catch_exception_raise_state",
    "catch_exception_raise_state_identity",
    "mach_msg_server"
))]
pub fn exc_server(
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    serve_inline(Accept::Exc, request, reply, handler)
}

/// Serves messages 2405 to 2410 (`mach_exc_server`), whose codes have 64 bits, as [`serve`] does.
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right to answer through. Every other
///   malformed message is answered, and [`Served::malformed`] says why the handler was not called.
/// - [`ServeError::Encode`] with [`EncodeError::Buffer`]: `reply` is smaller than 36 bytes, or than 44 for a routine with state.
#[doc(alias(
    "catch_mach_exception_raise",
    "catch_mach_exception_raise_state",
    "catch_mach_exception_raise_state_identity",
    "catch_mach_exception_raise_identity_protected",
    "mach_msg_server"
))]
pub fn mach_exc_server(
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    serve_inline(Accept::MachExc, request, reply, handler)
}

/// Serves a message and writes its reply into `reply`: 36 bytes, or for a state routine 44 and the words of the new state.
///
/// The handler sets the new state of a state routine in [`NewState`] and returns the code. It is called only for a
/// well-formed message of an accepted id. With [`REPLY_SIZE_MAX`](super::REPLY_SIZE_MAX) bytes of buffer every state fits; with less,
/// [`NewState::set`] fails for a longer one.
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right to answer through. Every other
///   malformed message is answered, and [`Served::malformed`] says why the handler was not called.
/// - [`ServeError::Encode`] with [`EncodeError::Buffer`]: `reply` is smaller than 36 bytes, or than 44 for a routine with state.
pub fn serve(
    accept: Accept,
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    serve_inline(accept, request, reply, handler)
}

/// One copy for each demultiplexer, so that its ids are constants.
#[inline(always)]
fn serve_inline(
    accept: Accept,
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    let header = decode_header(request)?;
    let reply_to = ReplyTo::header(&header);
    if reply.len() < STATUS_REPLY_SIZE {
        return Err(ServeError::Encode(EncodeError::Buffer {
            needed: STATUS_REPLY_SIZE,
            length: reply.len(),
        }));
    }
    let decoded = match decode_body(request, &header, accept) {
        Ok(decoded) => decoded,
        Err(malformed) => {
            let code = malformed.kern_return();
            return Ok(Served {
                reply_size: reply_to.encode_status(reply, code)?,
                code,
                malformed: Some(malformed),
            });
        }
    };
    let (code, reply_size) = match decoded.flavor() {
        None => {
            let code = handler(&decoded, &mut NewState::none());
            (code, reply_to.encode_status(reply, code)?)
        }
        Some(flavor) => {
            let mut state = NewState::new(reply, flavor)?;
            let code = handler(&decoded, &mut state);
            let (flavor, count) = (state.flavor, state.count);
            let size = match code {
                KernReturn::SUCCESS => reply_to.encode_around_state(reply, flavor, count)?,
                _ => reply_to.encode_status(reply, code)?,
            };
            (code, size)
        }
    };
    Ok(Served {
        reply_size,
        code,
        malformed: None,
    })
}
