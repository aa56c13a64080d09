//! Decoding of requests, with the checks of Apple's generated servers, in their order.
//!
//! Like these servers, it does not check local and voucher bits, other high bits, NDR, padding of descriptors, the existence of
//! names, and the values of exception, codes, flavor and thread id. One thing differs: the length is checked before anything is read.
//! Apple's code reads the descriptor count first; the result is the same.

use crate::exception::ExceptionType;
use crate::message::{
    MACH_MSG_PORT_DESCRIPTOR, MACH_MSG_TYPE_MOVE_SEND, MACH_MSGH_BITS_COMPLEX, mach_msg_header_t,
    mach_msg_port_descriptor_t,
};
use crate::pod;
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::{exception_type_t, mach_msg_id_t, thread_state_flavor_t};

use super::error::DecodeError;
use super::routine::{CODES_MAX, Routine, STATE_HEADER, Shape, Subsystem};
use super::view::{Request, Words, descriptor_at, word};

/// The subsystems whose message ids a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accept {
    /// `exc`, 2401 to 2403, as `exc_server()`.
    Exc,
    /// `mach_exc`, 2405 to 2410, as `mach_exc_server()`.
    MachExc,
    /// Both subsystems.
    Both,
}

impl Accept {
    #[inline(always)]
    const fn routine(self, id: mach_msg_id_t) -> Option<Routine> {
        match self {
            Self::Exc => Subsystem::Exc.routine(id),
            Self::MachExc => Subsystem::MachExc.routine(id),
            Self::Both => Routine::from_id(id),
        }
    }
}

/// Decodes a request from the bytes of a received message, with the checks of Apple's generated servers. The bytes after the message
/// (its trailer) are not read.
///
/// # Errors
/// - [`DecodeError::NoHeader`]: fewer than 24 bytes. There is no reply right.
/// - [`DecodeError::UnknownId`]: `accept` does not include the message's id.
/// - [`DecodeError::Truncated`], [`DecodeError::SizeRange`], [`DecodeError::Size`]: `msgh_size` is larger than `bytes`, impossible for
///   the routine, or not the size that its counts require.
/// - [`DecodeError::Complex`], [`DecodeError::NotComplex`], [`DecodeError::DescriptorCount`], [`DecodeError::DescriptorKind`],
///   [`DecodeError::Disposition`]: the descriptors are not the routine's.
/// - [`DecodeError::CodeCount`], [`DecodeError::StateCount`]: more than 2 codes, or more than 1296 words of state.
///
/// [`DecodeError::kern_return`] returns the code that a server replies for each.
#[doc(alias("mach_exc_server", "exc_server", "mach_exc_server_routine"))]
pub fn decode(bytes: &[u8], accept: Accept) -> Result<Request<'_>, DecodeError> {
    let header = decode_header(bytes)?;
    decode_body(bytes, &header, accept)
}

/// The result of a check that fails: the reason, or only that there is one.
pub(super) trait Refusal {
    fn because(reason: impl FnOnce() -> DecodeError) -> Self;
}

impl Refusal for DecodeError {
    #[inline(always)]
    fn because(reason: impl FnOnce() -> DecodeError) -> Self {
        reason()
    }
}

/// A message is malformed, for a reason that [`decode`] returns. A server decodes with this, and only a malformed message once more: then
/// no instruction of the usual path prepares a reason.
#[derive(Debug)]
pub(super) struct Malformed;

impl Refusal for Malformed {
    #[inline(always)]
    fn because(_: impl FnOnce() -> DecodeError) -> Self {
        Self
    }
}

/// Reads the header, if there are enough bytes.
#[inline(always)]
pub(super) fn decode_header(bytes: &[u8]) -> Result<mach_msg_header_t, DecodeError> {
    pod::read(bytes).ok_or(DecodeError::NoHeader {
        length: bytes.len(),
    })
}

/// Decodes the message after the header, by routine. With a constant shape the offsets are constant too, and one check of the size
/// covers all reads before the arrays.
#[inline(always)]
pub(super) fn decode_body<'a, E: Refusal>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    accept: Accept,
) -> Result<Request<'a>, E> {
    macro_rules! by_routine {
        ($routine:expr => $($name:ident)*) => {
            match $routine {
                $(Routine::$name => decode_as(bytes, header, const { Routine::$name.shape() }),)*
            }
        };
    }
    let id = header.msgh_id;
    let routine = accept
        .routine(id)
        .ok_or_else(|| E::because(|| DecodeError::UnknownId { id }))?;
    by_routine!(routine =>
        ExceptionRaise
        ExceptionRaiseState
        ExceptionRaiseStateIdentity
        MachExceptionRaise
        MachExceptionRaiseState
        MachExceptionRaiseStateIdentity
        MachExceptionRaiseIdentityProtected
        MachExceptionRaiseBacktrace
        MachExceptionRaiseStateIdentityProtected
    )
}

#[inline(always)]
fn decode_as<'a, E: Refusal>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    shape: &'static Shape,
) -> Result<Request<'a>, E> {
    let message = whole_message(bytes, header, shape.minimum, shape.maximum)?;
    let is_complex = header.msgh_bits & MACH_MSGH_BITS_COMPLEX != 0;
    match (shape.identity.descriptors(), is_complex) {
        (0, false) => {}
        (0, true) => return Err(E::because(|| DecodeError::Complex)),
        (_, false) => return Err(E::because(|| DecodeError::NotComplex)),
        (wanted, true) => port_descriptors(message, wanted, MACH_MSG_TYPE_MOVE_SEND as u8)?,
    }
    let exception = word(message, shape.code_at - 8) as exception_type_t;
    let front = Front {
        header,
        message,
        shape,
        exception: ExceptionType::new(exception),
    };
    // Two codes are the usual case. With their number constant, the offsets after them are constant too.
    match word(message, shape.code_at - 4) {
        2 => decode_arrays(front, 2),
        found if found as usize > CODES_MAX => Err(E::because(|| DecodeError::CodeCount { found })),
        found => decode_arrays(front, found as usize),
    }
}

/// The part of a request before its arrays.
struct Front<'h, 'a> {
    header: &'h mach_msg_header_t,
    message: &'a [u8],
    shape: &'static Shape,
    exception: ExceptionType,
}

#[inline(always)]
fn decode_arrays<'a, E: Refusal>(front: Front<'_, 'a>, count: usize) -> Result<Request<'a>, E> {
    let Front {
        header,
        message,
        shape,
        exception,
    } = front;
    let size_error = |wanted: usize| {
        E::because(|| DecodeError::Size {
            found: header.msgh_size,
            wanted: wanted as u32,
        })
    };
    let state_at = shape.minimum + count * shape.code_size;
    // One check covers the reads up to the words of the state.
    if message.len() < state_at {
        return Err(size_error(state_at));
    }
    let code = |index: usize| {
        let bytes = message.get(shape.code_at + index * shape.code_size..);
        let code = match shape.code_size {
            8 => bytes.and_then(pod::read::<i64>),
            _ => bytes.and_then(pod::read::<i32>).map(i64::from),
        };
        code.unwrap_or(0)
    };
    let codes = match count {
        0 => [0, 0],
        1 => [code(0), 0],
        _ => [code(0), code(1)],
    };
    let mut words = 0;
    let mut flavor = None;
    if shape.state {
        let found = word(message, state_at - 4);
        words = found as usize;
        if words > THREAD_STATE_MAX {
            return Err(E::because(|| DecodeError::StateCount { found }));
        }
        flavor = Some(word(message, state_at - STATE_HEADER) as thread_state_flavor_t);
    }
    let wanted = state_at + 4 * words;
    match (message.first_chunk(), message.get(state_at..wanted)) {
        (Some(front), Some(old_state)) if message.len() == wanted => Ok(Request {
            message,
            shape,
            front,
            exception,
            codes,
            code_count: count,
            flavor,
            old_state: Words::of(old_state, words),
        }),
        _ => Err(size_error(wanted)),
    }
}

/// Returns the message's bytes, if all are there and their number is possible for its id.
#[inline(always)]
pub(super) fn whole_message<'a, E: Refusal>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    minimum: usize,
    maximum: usize,
) -> Result<&'a [u8], E> {
    let size = header.msgh_size;
    if !(minimum..=maximum).contains(&(size as usize)) {
        return Err(E::because(|| DecodeError::SizeRange {
            found: size,
            minimum: minimum as u32,
            maximum: maximum as u32,
        }));
    }
    bytes.get(..size as usize).ok_or_else(|| {
        E::because(|| DecodeError::Truncated {
            size,
            length: bytes.len(),
        })
    })
}

/// Checks number, kind and disposition of the descriptors of a complex message: one or two, each of a port.
#[inline(always)]
pub(super) fn port_descriptors<E: Refusal>(
    message: &[u8],
    wanted: u32,
    disposition: u8,
) -> Result<(), E> {
    let found = word(message, size_of::<mach_msg_header_t>());
    if found != wanted {
        return Err(E::because(|| DecodeError::DescriptorCount {
            found,
            wanted,
        }));
    }
    for index in 0..wanted {
        port_descriptor(message, index, disposition)?;
    }
    Ok(())
}

#[inline(always)]
fn port_descriptor<E: Refusal>(message: &[u8], index: u32, wanted: u8) -> Result<(), E> {
    // The size was checked: every message with this id is long enough for its descriptors.
    let bytes = message.get(descriptor_at(index as usize)..);
    let descriptor: mach_msg_port_descriptor_t = bytes.and_then(pod::read).unwrap_or_default();
    // Both in one comparison. Only the error distinguishes them.
    let kind = [descriptor.disposition, descriptor.type_];
    if u16::from_ne_bytes(kind) == u16::from_ne_bytes([wanted, MACH_MSG_PORT_DESCRIPTOR as u8]) {
        return Ok(());
    }
    Err(E::because(|| match kind {
        [found, 0] => DecodeError::Disposition {
            index,
            found,
            wanted,
        },
        [_, found] => DecodeError::DescriptorKind { index, found },
    }))
}
