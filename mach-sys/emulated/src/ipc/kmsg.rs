//! A message inside the kernel: the structures of `mach/message.h` over a buffer, and the rights that it carries.

use super::block::Block;
use super::id::{Id, PortId};
use core::mem::{offset_of, size_of};
use mach_wire::message::{
    Disposition, MACH_MSGH_BITS_IS_COMPLEX, MAX_TRAILER_SIZE, mach_msg_base_t, mach_msg_header_t,
    mach_msg_mac_trailer_t,
};
use mach_wire::pod::{self, Pod};
use mach_wire::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_t};

/// Bytes of a message without its trailer that a buffer holds. The largest exception message has 5276 (A5.7). A larger one is in pages of its own.
pub(crate) const CAPACITY: usize = 5312;

pub(super) const TRAILER: usize = MAX_TRAILER_SIZE as usize;
const BODY: usize = size_of::<mach_msg_base_t>();

/// A right in the kernel's hands, under no name. It owns one reference on its port, and is counted there as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Right {
    /// `MACH_PORT_NULL`.
    Null,
    /// `MACH_PORT_DEAD`: a right whose port died.
    Dead,
    Send(PortId),
    SendOnce(PortId),
    Receive(PortId),
}

impl Right {
    pub(crate) const fn port(self) -> Option<PortId> {
        match self {
            Self::Null | Self::Dead => None,
            Self::Send(port) | Self::SendOnce(port) | Self::Receive(port) => Some(port),
        }
    }

    /// Returns the word that replaces the name while the message is in the kernel. A port's identifier is neither of
    /// `MACH_PORT_NULL` and `MACH_PORT_DEAD`.
    pub(crate) fn to_word(self) -> mach_port_t {
        match self {
            Self::Null => MACH_PORT_NULL,
            Self::Dead => MACH_PORT_DEAD,
            Self::Send(port) | Self::SendOnce(port) | Self::Receive(port) => port.to_word(),
        }
    }

    /// Returns the right in a message inside the kernel, by its word and its received disposition.
    pub(crate) fn from_word(word: mach_port_t, disposition: Disposition) -> Self {
        if word == MACH_PORT_DEAD {
            return Self::Dead;
        }
        let Some(port) = PortId::from_word(word) else {
            return Self::Null;
        };
        match disposition {
            Disposition::PORT_RECEIVE => Self::Receive(port),
            Disposition::PORT_SEND_ONCE => Self::SendOnce(port),
            _ => Self::Send(port),
        }
    }

    /// Takes the right out of its place, which is left null.
    #[must_use]
    pub(crate) const fn take(&mut self) -> Self {
        core::mem::replace(self, Self::Null)
    }
}

/// One message inside the kernel.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Kmsg {
    /// The next message in the queue that this one is in; 0 at its end.
    pub(super) next: u32,
    /// Bytes of the message in `words`, without the trailer.
    pub(crate) size: u32,
    /// The right that it is sent through; null once it is used up.
    pub(crate) destination: Right,
    /// The reply right that it carries.
    pub(crate) reply: Right,
    /// Disposition of the reply right for the receiver: `PORT_SEND`, `PORT_SEND_ONCE`, or `PORT_NONE`. A right that is null or dead has one
    /// too.
    pub(crate) reply_disposition: Disposition,
    /// True if the kernel sent it.
    pub(crate) from_kernel: bool,
    /// The pages that hold the message in place of `words`, if it is larger than those.
    pub(super) content: Block,
    /// The pages of its out-of-line memory.
    pub(super) memory: Block,
    /// Header, descriptors and body as the receiver will see them, and room for the trailer. The header's ports are filled in
    /// when the message is received; [`Right::to_word`] stands in place of the names of its body.
    pub(crate) words: [u32; (CAPACITY + TRAILER) / 4],
}

impl Kmsg {
    /// Makes the buffer an empty message without rights. Its words are what the last message left.
    pub(super) fn reset(&mut self) {
        self.next = 0;
        self.size = 0;
        self.destination = Right::Null;
        self.reply = Right::Null;
        self.reply_disposition = Disposition::PORT_NONE;
        self.from_kernel = false;
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.content.is_none() {
            pod::word_bytes(&self.words)
        } else {
            self.content.bytes()
        }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if self.content.is_none() {
            pod::word_bytes_mut(&mut self.words)
        } else {
            self.content.bytes_mut()
        }
    }

    /// Returns the structure at a byte of the buffer. Its place is inside: the callers look at the message's size first.
    #[inline]
    pub(super) fn at<T: Pod>(&self, at: usize) -> T {
        self.bytes()
            .get(at..)
            .and_then(pod::read)
            .unwrap_or_else(pod::zeroed)
    }

    #[inline]
    pub(super) fn put<T: Pod>(&mut self, at: usize, value: &T) {
        let bytes = pod::bytes_of(value);
        if let Some(to) = self.bytes_mut().get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    pub(crate) fn header(&self) -> mach_msg_header_t {
        self.at(0)
    }

    pub(crate) fn set_header(&mut self, header: &mach_msg_header_t) {
        self.put(0, header);
    }

    /// Writes a whole message that has no descriptors.
    pub(crate) fn write<T: Pod>(&mut self, message: &T) {
        self.put(0, message);
        self.size = size_of::<T>() as u32;
    }

    /// Returns whether the header says that descriptors follow it.
    #[inline]
    pub(super) fn is_complex(&self) -> bool {
        MACH_MSGH_BITS_IS_COMPLEX(self.at(offset_of!(mach_msg_header_t, msgh_bits)))
    }

    /// Returns how many descriptors the message has.
    #[inline]
    pub(crate) fn descriptors(&self) -> usize {
        if self.is_complex() && self.size as usize >= BODY {
            self.at::<mach_msg_base_t>(0).body.msgh_descriptor_count as usize
        } else {
            0
        }
    }

    /// Returns whether there are rights to release when the message is destroyed. One with descriptors may have some.
    pub(crate) fn carries_rights(&self) -> bool {
        self.destination != Right::Null || self.reply != Right::Null || self.descriptors() > 0
    }

    /// Makes the message one without descriptors, so that no right is looked for in them.
    pub(crate) fn forget_descriptors(&mut self) {
        let mut base: mach_msg_base_t = self.at(0);
        base.body.msgh_descriptor_count = 0;
        self.put(0, &base);
    }

    /// Returns how the receiver sees the right that the message was sent through.
    pub(crate) fn destination_disposition(&self) -> Disposition {
        match self.destination {
            Right::SendOnce(_) => Disposition::PORT_SEND_ONCE,
            _ => Disposition::PORT_SEND,
        }
    }

    /// Writes the first bytes of a trailer behind the message.
    pub(crate) fn put_trailer(&mut self, trailer: &mach_msg_mac_trailer_t) {
        let at = self.size as usize;
        let length = trailer.msgh_trailer_size as usize;
        let bytes = &pod::bytes_of(trailer)[..length];
        self.bytes_mut()[at..at + length].copy_from_slice(bytes);
    }

    /// Returns the trailer behind the message, as [`put_trailer`](Self::put_trailer) wrote it.
    pub(crate) fn trailer(&self, length: usize) -> mach_msg_mac_trailer_t {
        let at = self.size as usize;
        let mut trailer = pod::zeroed();
        pod::bytes_of_mut(&mut trailer)[..length].copy_from_slice(&self.bytes()[at..at + length]);
        trailer
    }
}
