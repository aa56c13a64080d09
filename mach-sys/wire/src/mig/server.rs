//! Demultiplexers, like C's `exc_server()` and `mach_exc_server()`: they decode a received message, call a handler, and write the
//! reply.

use crate::kern_return::KernReturn;

use super::decode::{Accept, Malformed, decode, decode_body, decode_header};
use super::error::{DecodeError, EncodeError};
use super::reply::{NewState, ReplyTo, STATUS_REPLY_SIZE, finish_status};
use super::routine::STATE_AT;
use super::view::Request;

/// The result of serving a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Size of the reply in bytes.
    pub reply_size: usize,
    /// The reply's return code.
    pub code: KernReturn,
    /// The reason why the handler was not called; `None` if it was called.
    pub malformed: Option<DecodeError>,
}

impl Served {
    /// Returns `true` if the server has a routine with the message's id, even if the message is malformed, like C's demultiplexer.
    #[inline]
    pub const fn is_known(&self) -> bool {
        !matches!(self.malformed, Some(DecodeError::UnknownId { .. }))
    }

    /// Returns `true` if the receive loop (`mach_msg_server`) must send the reply: unless the code is `MIG_NO_REPLY`.
    pub const fn sends_reply(&self) -> bool {
        !matches!(self.code, KernReturn::MIG_NO_REPLY)
    }

    /// Returns `true` if the handler now owns the rights that the request carried. Otherwise the receive loop destroys them, except the
    /// reply right, which moves into the reply. So a handler that fails must not have released them.
    pub const fn handler_owns_rights(&self) -> bool {
        matches!(self.code, KernReturn::SUCCESS | KernReturn::MIG_NO_REPLY)
    }
}

/// The error of a message that cannot be replied to, or of a buffer without room for the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The message has no header, so there is no reply right.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The buffer is too small for the reply.
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

/// Serves messages 2401 to 2403, with 32-bit codes, as `exc_server()` does; see [`serve`].
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right. For every other malformed
///   message an error reply is written, and [`Served::malformed`] has the reason.
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

/// Serves messages 2405 to 2410, with 64-bit codes, as `mach_exc_server()` does; see [`serve`].
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right. For every other malformed
///   message an error reply is written, and [`Served::malformed`] has the reason.
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

/// Serves a message and writes its reply to `reply`: 36 bytes, or for a routine with state 44 and the words of the new state.
///
/// The handler returns the code, and for a routine with state sets the new state in [`NewState`]. It is called only for a well-formed
/// message with an accepted id. In a buffer of [`REPLY_SIZE_MAX`](super::REPLY_SIZE_MAX) bytes every state fits; with a smaller one
/// [`NewState::set`] fails for a state that does not fit.
///
/// # Errors
/// - [`ServeError::Decode`] with [`DecodeError::NoHeader`]: fewer than 24 bytes, so there is no reply right. For every other malformed
///   message an error reply is written, and [`Served::malformed`] has the reason.
/// - [`ServeError::Encode`] with [`EncodeError::Buffer`]: `reply` is smaller than 36 bytes, or than 44 for a routine with state.
pub fn serve(
    accept: Accept,
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    serve_inline(accept, request, reply, handler)
}

/// Serves a message. It is inlined in each demultiplexer, so that the accepted ids are constants.
#[inline(always)]
fn serve_inline(
    accept: Accept,
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(&Request<'_>, &mut NewState<'_>) -> KernReturn,
) -> Result<Served, ServeError> {
    let header = decode_header(request)?;
    let start = ReplyTo::header(&header).begin(reply)?;
    let Ok(decoded) = decode_body::<Malformed>(request, &header, accept) else {
        return Ok(refuse(accept, request, start));
    };
    let (code, reply_size) = match decoded.flavor() {
        None => {
            let code = handler(&decoded, &mut NewState::none(&mut [0; STATE_AT]));
            (code, finish_status(start, code))
        }
        Some(flavor) => {
            let mut state = NewState::new(reply, flavor)?;
            let code = handler(&decoded, &mut state);
            (code, state.finish(code))
        }
    };
    Ok(Served {
        reply_size,
        code,
        malformed: None,
    })
}

/// Writes the rest of the reply to a malformed message, with the reason.
#[cold]
#[inline(never)]
fn refuse(accept: Accept, request: &[u8], start: &mut [u8; STATUS_REPLY_SIZE]) -> Served {
    let malformed = decode(request, accept).err();
    let code = malformed.map_or(KernReturn::MIG_BAD_ARGUMENTS, DecodeError::kern_return);
    Served {
        reply_size: finish_status(start, code),
        code,
        malformed,
    }
}
