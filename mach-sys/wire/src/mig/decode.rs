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
use crate::types::{
    MACH_PORT_NULL, exception_type_t, mach_msg_id_t, mach_port_t, thread_state_flavor_t,
};

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
pub(super) fn decode_body<'a>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    accept: Accept,
) -> Result<Request<'a>, DecodeError> {
    macro_rules! by_routine {
        ($routine:expr => $($name:ident)*) => {
            match $routine {
                $(Routine::$name => decode_as(bytes, header, const { Routine::$name.shape() }),)*
            }
        };
    }
    let id = header.msgh_id;
    let routine = accept.routine(id).ok_or(DecodeError::UnknownId { id })?;
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
fn decode_as<'a>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    shape: &'static Shape,
) -> Result<Request<'a>, DecodeError> {
    let message = whole_message(bytes, header, shape.minimum, shape.maximum)?;
    let is_complex = header.msgh_bits & MACH_MSGH_BITS_COMPLEX != 0;
    let names = match (shape.identity.descriptors(), is_complex) {
        (0, false) => [MACH_PORT_NULL; 2],
        (0, true) => return Err(DecodeError::Complex),
        (_, false) => return Err(DecodeError::NotComplex),
        (wanted, true) => port_descriptors(message, wanted, MACH_MSG_TYPE_MOVE_SEND as u8)?,
    };
    let exception = word(message, shape.code_at - 8) as exception_type_t;
    let front = Front {
        header,
        message,
        shape,
        names,
        exception: ExceptionType::new(exception),
    };
    // Two codes are the usual case. With their number constant, the offsets after them are constant too.
    match word(message, shape.code_at - 4) {
        2 => decode_arrays(front, 2),
        found if found as usize > CODES_MAX => Err(DecodeError::CodeCount { found }),
        found => decode_arrays(front, found as usize),
    }
}

/// The part of a request before its arrays.
struct Front<'h, 'a> {
    header: &'h mach_msg_header_t,
    message: &'a [u8],
    shape: &'static Shape,
    names: [mach_port_t; 2],
    exception: ExceptionType,
}

#[inline(always)]
fn decode_arrays<'a>(front: Front<'_, 'a>, count: usize) -> Result<Request<'a>, DecodeError> {
    let Front {
        header,
        message,
        shape,
        names,
        exception,
    } = front;
    let size_error = |wanted: usize| DecodeError::Size {
        found: header.msgh_size,
        wanted: wanted as u32,
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
    let mut wanted = state_at;
    let mut flavor = None;
    if shape.state {
        let words = word(message, state_at - 4);
        if words as usize > THREAD_STATE_MAX {
            return Err(DecodeError::StateCount { found: words });
        }
        flavor = Some(word(message, state_at - STATE_HEADER) as thread_state_flavor_t);
        wanted += 4 * words as usize;
    }
    match message.get(state_at..) {
        Some(old_state) if message.len() == wanted => Ok(Request {
            message,
            shape,
            exception_port: header.msgh_local_port,
            names,
            exception,
            codes,
            code_count: count,
            flavor,
            old_state: Words::new(old_state),
        }),
        _ => Err(size_error(wanted)),
    }
}

/// Returns the message's bytes, if all are there and their number is possible for its id.
#[inline(always)]
pub(super) fn whole_message<'a>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    minimum: usize,
    maximum: usize,
) -> Result<&'a [u8], DecodeError> {
    let size = header.msgh_size;
    if !(minimum..=maximum).contains(&(size as usize)) {
        return Err(DecodeError::SizeRange {
            found: size,
            minimum: minimum as u32,
            maximum: maximum as u32,
        });
    }
    bytes.get(..size as usize).ok_or(DecodeError::Truncated {
        size,
        length: bytes.len(),
    })
}

/// Checks number, kind and disposition of the descriptors of a complex message: one or two, each of a port. Returns their names.
#[inline(always)]
pub(super) fn port_descriptors(
    message: &[u8],
    wanted: u32,
    disposition: u8,
) -> Result<[mach_port_t; 2], DecodeError> {
    let found = word(message, size_of::<mach_msg_header_t>());
    if found != wanted {
        return Err(DecodeError::DescriptorCount { found, wanted });
    }
    let first = port_descriptor(message, 0, disposition)?;
    let second = match wanted {
        2 => port_descriptor(message, 1, disposition)?,
        _ => MACH_PORT_NULL,
    };
    Ok([first, second])
}

#[inline(always)]
fn port_descriptor(message: &[u8], index: u32, wanted: u8) -> Result<mach_port_t, DecodeError> {
    // The size was checked: every message with this id is long enough for its descriptors.
    let bytes = message.get(descriptor_at(index as usize)..);
    let descriptor: mach_msg_port_descriptor_t = bytes.and_then(pod::read).unwrap_or_default();
    // Both in one comparison. Only the error distinguishes them.
    let kind = [descriptor.disposition, descriptor.type_];
    if u16::from_ne_bytes(kind) == u16::from_ne_bytes([wanted, MACH_MSG_PORT_DESCRIPTOR as u8]) {
        return Ok(descriptor.name);
    }
    Err(match kind {
        [found, 0] => DecodeError::Disposition {
            index,
            found,
            wanted,
        },
        [_, found] => DecodeError::DescriptorKind { index, found },
    })
}
