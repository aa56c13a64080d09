//! Requests from bytes: accepts what Apple's generated servers accept, in their order of checks.
//!
//! Not looked at, as there: local and voucher bits, other high bits, NDR, padding of descriptors, whether names live, the
//! values of exception, codes, flavor and thread id. One thing is done differently: a length is checked before anything
//! is read. Apple's code reads the descriptor count first; the answer is the same.

use crate::message::{
    MACH_MSG_PORT_DESCRIPTOR, MACH_MSG_TYPE_MOVE_SEND, MACH_MSGH_BITS_COMPLEX, mach_msg_header_t,
    mach_msg_port_descriptor_t,
};
use crate::pod;
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::mach_msg_bits_t;

use super::error::DecodeError;
use super::routine::{CODES_MAX, Routine, Shape, Subsystem};
use super::view::{Request, descriptor_at, word};

/// Which ids a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accept {
    /// `exc`, as `exc_server()`.
    Exc,
    /// `mach_exc`, as `mach_exc_server()`.
    MachExc,
    /// Both.
    Both,
}

impl Accept {
    const fn routine(self, id: i32) -> Option<Routine> {
        match (self, Routine::from_id(id)) {
            (Self::Both, routine) => routine,
            (Self::Exc, Some(routine)) if matches!(routine.subsystem(), Subsystem::Exc) => {
                Some(routine)
            }
            (Self::MachExc, Some(routine)) if matches!(routine.subsystem(), Subsystem::MachExc) => {
                Some(routine)
            }
            _ => None,
        }
    }
}

/// A request from the bytes of a received message. What follows the message (its trailer) is not looked at.
pub fn decode(bytes: &[u8], accept: Accept) -> Result<Request<'_>, DecodeError> {
    let header = decode_header(bytes)?;
    decode_body(bytes, &header, accept)
}

/// The header, if there are bytes enough for one.
pub(super) fn decode_header(bytes: &[u8]) -> Result<mach_msg_header_t, DecodeError> {
    pod::read(bytes).ok_or(DecodeError::NoHeader {
        length: bytes.len(),
    })
}

pub(super) fn decode_body<'a>(
    bytes: &'a [u8],
    header: &mach_msg_header_t,
    accept: Accept,
) -> Result<Request<'a>, DecodeError> {
    let id = header.msgh_id;
    let routine = accept.routine(id).ok_or(DecodeError::UnknownId { id })?;
    let shape = routine.shape();
    let message = whole_message(bytes, header, shape.minimum, shape.maximum)?;
    check_descriptors(message, header.msgh_bits, shape)?;
    let codes = check_codes(message, shape)?;
    if shape.state {
        check_state(message, shape, codes)?;
    }
    Ok(Request {
        message,
        routine,
        codes,
    })
}

/// The message's bytes, if they are all there and as many as its id can have.
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

fn check_descriptors(
    message: &[u8],
    bits: mach_msg_bits_t,
    shape: &Shape,
) -> Result<(), DecodeError> {
    let wanted = shape.identity.descriptors();
    match (bits & MACH_MSGH_BITS_COMPLEX != 0, wanted) {
        (false, 0) => return Ok(()),
        (true, 0) => return Err(DecodeError::Complex),
        (false, _) => return Err(DecodeError::NotComplex),
        (true, _) => {}
    }
    check_port_descriptors(message, wanted, MACH_MSG_TYPE_MOVE_SEND as u8)
}

/// Checks number, kind and disposition of the descriptors of a complex message.
pub(super) fn check_port_descriptors(
    message: &[u8],
    wanted: u32,
    disposition: u8,
) -> Result<(), DecodeError> {
    let found = word(message, size_of::<mach_msg_header_t>());
    if found != wanted {
        return Err(DecodeError::DescriptorCount { found, wanted });
    }
    for index in 0..wanted {
        let descriptor: mach_msg_port_descriptor_t = message
            .get(descriptor_at(index as usize)..)
            .and_then(pod::read)
            .unwrap_or_default();
        if u32::from(descriptor.type_) != MACH_MSG_PORT_DESCRIPTOR {
            return Err(DecodeError::DescriptorKind {
                index,
                found: descriptor.type_,
            });
        }
        if descriptor.disposition != disposition {
            return Err(DecodeError::Disposition {
                index,
                found: descriptor.disposition,
                wanted: disposition,
            });
        }
    }
    Ok(())
}

/// The number of codes, if the message has room for them, and, without a state, for nothing else.
fn check_codes(message: &[u8], shape: &Shape) -> Result<usize, DecodeError> {
    let found = word(message, shape.code_at - 4);
    let codes = found as usize;
    if codes > CODES_MAX {
        return Err(DecodeError::CodeCount { found });
    }
    let wanted = shape.minimum + codes * shape.code_size;
    let fits = match shape.state {
        true => message.len() >= wanted,
        false => message.len() == wanted,
    };
    if fits {
        Ok(codes)
    } else {
        Err(size_error(message, wanted))
    }
}

fn check_state(message: &[u8], shape: &Shape, codes: usize) -> Result<(), DecodeError> {
    let start = shape.minimum + codes * shape.code_size;
    let found = word(message, start - 4);
    if found as usize > THREAD_STATE_MAX {
        return Err(DecodeError::StateCount { found });
    }
    let wanted = start + 4 * found as usize;
    if message.len() == wanted {
        Ok(())
    } else {
        Err(size_error(message, wanted))
    }
}

fn size_error(message: &[u8], wanted: usize) -> DecodeError {
    DecodeError::Size {
        found: message.len() as u32,
        wanted: wanted as u32,
    }
}
