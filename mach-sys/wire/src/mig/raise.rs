//! Encoding of requests, as the kernel or a forwarder sends them.

use crate::exception::ExceptionType;
use crate::message::{
    Disposition, MACH_MSGH_BITS_SET, MessageFlags, mach_msg_header_t, mach_msg_port_descriptor_t,
};
use crate::pod::{self, Pod};
use crate::thread_state::THREAD_STATE_MAX;
use crate::types::{MACH_PORT_NULL, mach_port_t, natural_t, thread_state_flavor_t};

use super::error::EncodeError;
use super::ndr::NDR_record_t;
use super::routine::{CODES_MAX, Routine};
use super::view::Identity;

/// A port of a message's header, with its disposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderPort {
    /// The name.
    pub name: mach_port_t,
    /// The disposition.
    pub disposition: Disposition,
}

impl HeaderPort {
    /// No port.
    pub const NONE: Self = Self {
        name: MACH_PORT_NULL,
        disposition: Disposition::PORT_NONE,
    };

    /// Creates a port with its disposition.
    pub const fn new(name: mach_port_t, disposition: Disposition) -> Self {
        Self { name, disposition }
    }
}

/// A request to encode.
///
/// For a sender `remote` is the exception port and `local` the reply port. A receiver gets them the other way round. Both forms can be
/// encoded: an emulated kernel writes the request as received.
#[derive(Debug, Clone, Copy)]
pub struct Raise<'a> {
    /// The routine.
    pub routine: Routine,
    /// `msgh_remote_port`.
    pub remote: HeaderPort,
    /// `msgh_local_port`.
    pub local: HeaderPort,
    /// `msgh_voucher_port`.
    pub voucher: HeaderPort,
    /// The thread and task that the exception is about, in the form that the routine carries ([`Routine::identity`]).
    pub identity: Identity,
    /// The disposition of the rights in descriptors: `COPY_SEND` as sent, `MOVE_SEND` as received.
    pub disposition: Disposition,
    /// The exception type.
    pub exception: ExceptionType,
    /// The codes, at most two; a routine of `exc` carries the low 32 bits of each.
    pub codes: &'a [i64],
    /// The flavor of the state; a routine without state does not carry it.
    pub flavor: thread_state_flavor_t,
    /// The words of the state; must be empty for a routine without state.
    pub state: &'a [natural_t],
}

impl Raise<'_> {
    /// Returns the size of the message in bytes.
    pub fn size(&self) -> usize {
        self.routine
            .request_size(self.codes.len(), self.state.len())
    }

    /// Writes the message and returns its size in bytes. `msgh_size` is filled in; padding is zero.
    ///
    /// # Errors
    /// - [`EncodeError::CodeCount`]: more than two codes.
    /// - [`EncodeError::StateCount`]: more than 1296 words of state, or any for a routine without state.
    /// - [`EncodeError::Identity`]: the routine carries another kind of identity.
    /// - [`EncodeError::Buffer`]: `to` is smaller than the message.
    #[doc(alias(
        "mach_exception_raise",
        "mach_exception_raise_state",
        "mach_exception_raise_state_identity",
        "exception_raise"
    ))]
    pub fn encode(&self, to: &mut [u8]) -> Result<usize, EncodeError> {
        let (size, mut rest) = self.encode_up_to_state(self.state.len(), to)?;
        rest.put_bytes(pod::word_bytes(self.state));
        Ok(size)
    }

    /// Writes the message around `words` words of state that are in their place already. The state begins at
    /// [`routine.request_size(codes.len(), 0)`](Routine::request_size). Returns the message's size in bytes, with the state. The field
    /// [`state`](Self::state), and with it [`size`](Self::size), is ignored.
    ///
    /// # Errors
    /// As of [`encode`](Self::encode).
    pub fn encode_around_state(&self, words: usize, to: &mut [u8]) -> Result<usize, EncodeError> {
        self.encode_up_to_state(words, to).map(|(size, _)| size)
    }

    /// Writes all but the words of the state. Returns the size of the message in bytes, and a writer of what is left.
    fn encode_up_to_state<'t>(
        &self,
        words: usize,
        to: &'t mut [u8],
    ) -> Result<(usize, Writer<'t>), EncodeError> {
        let shape = self.routine.shape();
        if self.codes.len() > CODES_MAX {
            return Err(EncodeError::CodeCount {
                found: self.codes.len(),
            });
        }
        let maximum = if shape.state { THREAD_STATE_MAX } else { 0 };
        if words > maximum {
            return Err(EncodeError::StateCount {
                found: words,
                maximum,
            });
        }
        if self.identity.kind() != shape.identity {
            return Err(EncodeError::Identity);
        }
        let size = self.routine.request_size(self.codes.len(), words);
        let length = to.len();
        let to = to.get_mut(..size).ok_or(EncodeError::Buffer {
            needed: size,
            length,
        })?;
        let mut writer = Writer { rest: to };
        writer.put(&self.header(size));
        self.put_identity(&mut writer);
        writer.put(&self.exception.raw());
        writer.put(&(self.codes.len() as u32));
        for code in self.codes {
            match shape.code_size {
                8 => writer.put(code),
                // The low half, as the kernel sends it without MACH_EXCEPTION_CODES.
                _ => writer.put(&(*code as i32)),
            }
        }
        if shape.state {
            writer.put(&self.flavor);
            writer.put(&(words as u32));
        }
        Ok((size, writer))
    }

    fn header(&self, size: usize) -> mach_msg_header_t {
        let complex = match self.routine.identity().descriptors() {
            0 => MessageFlags::empty(),
            _ => MessageFlags::COMPLEX,
        };
        mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS_SET(
                self.remote.disposition.raw(),
                self.local.disposition.raw(),
                self.voucher.disposition.raw(),
                complex.bits(),
            ),
            // At most 5276 bytes.
            msgh_size: size as u32,
            msgh_remote_port: self.remote.name,
            msgh_local_port: self.local.name,
            msgh_voucher_port: self.voucher.name,
            msgh_id: self.routine.id(),
        }
    }

    /// Writes the body, the descriptors, NDR and the thread's id. The id follows NDR, although it is an earlier argument.
    fn put_identity(&self, writer: &mut Writer<'_>) {
        let right = |name| mach_msg_port_descriptor_t::new(name, self.disposition);
        let count = self.identity.kind().descriptors();
        if count != 0 {
            writer.put(&count);
        }
        match self.identity {
            Identity::None => {}
            Identity::ThreadAndTask { thread, task } => {
                writer.put(&right(thread));
                writer.put(&right(task));
            }
            Identity::Token { token: name, .. } | Identity::Kcdata { object: name } => {
                writer.put(&right(name));
            }
        }
        writer.put(&NDR_record_t::RECORD);
        if let Identity::Token { thread_id, .. } = self.identity {
            writer.put(&thread_id);
        }
    }
}

/// A writer that fills a buffer from its start. It drops values that do not fit; the caller has checked the size.
struct Writer<'a> {
    rest: &'a mut [u8],
}

impl Writer<'_> {
    fn put(&mut self, value: &impl Pod) {
        self.put_bytes(pod::bytes_of(value));
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        let rest = core::mem::take(&mut self.rest);
        if let Some((to, rest)) = rest.split_at_mut_checked(bytes.len()) {
            to.copy_from_slice(bytes);
            self.rest = rest;
        }
    }
}
