//! Notifications (`mach/notify.h`, `notify.defs`): decoding, encoding, and a demultiplexer.

use crate::kern_return::KernReturn;
use crate::message::{
    Disposition, MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSGH_BITS_COMPLEX, MACH_MSGH_BITS_SET,
    MessageFlags, mach_msg_body_t, mach_msg_header_t, mach_msg_port_descriptor_t,
};
use crate::pod::{self, Pod};
use crate::types::{
    MACH_PORT_NULL, mach_msg_id_t, mach_port_mscount_t, mach_port_name_t, mach_port_t,
};

use super::decode::{decode_header, port_descriptors, whole_message};
use super::error::{DecodeError, EncodeError};
use super::ndr::NDR_record_t;
use super::notify_layouts::*;
use super::reply::ReplyTo;
use super::server::{ServeError, Served};

/// A decoded notification of the kernel.
///
/// ```
/// use mach_wire::mig::Notification;
///
/// let mut message = [0; 64];
/// let size = Notification::DeadName { name: 0x1403 }.encode(&mut message, 0x1203)?;
/// assert_eq!(Notification::decode(&message[..size]), Ok(Notification::DeadName { name: 0x1403 }));
/// # Ok::<(), mach_wire::mig::EncodeError>(())
/// ```
#[doc(alias(
    "mach_notify_dead_name",
    "mach_notify_no_senders",
    "mach_notify_send_once",
    "mach_notify_port_destroyed"
))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// 65: the name was deleted.
    PortDeleted {
        /// The name.
        name: mach_port_name_t,
    },
    /// 66: a message can be sent to the port again.
    SendPossible {
        /// The name.
        name: mach_port_name_t,
    },
    /// 69: the port's receive right would have been destroyed, and was moved to the receiver of this message instead.
    PortDestroyed {
        /// The right's name in the receiver's name space.
        right: mach_port_name_t,
    },
    /// 70: no send rights are left.
    NoSenders {
        /// The port's make-send count.
        count: mach_port_mscount_t,
    },
    /// 71: the send-once right was destroyed.
    SendOnce,
    /// 72: the name is a dead name, with one more reference for this notification.
    DeadName {
        /// The name.
        name: mach_port_name_t,
    },
}

impl Notification {
    /// Returns the message's id.
    pub const fn id(self) -> mach_msg_id_t {
        match self {
            Self::PortDeleted { .. } => MACH_NOTIFY_PORT_DELETED,
            Self::SendPossible { .. } => MACH_NOTIFY_SEND_POSSIBLE,
            Self::PortDestroyed { .. } => MACH_NOTIFY_PORT_DESTROYED,
            Self::NoSenders { .. } => MACH_NOTIFY_NO_SENDERS,
            Self::SendOnce => MACH_NOTIFY_SEND_ONCE,
            Self::DeadName { .. } => MACH_NOTIFY_DEAD_NAME,
        }
    }

    /// Decodes a notification from the bytes of a received message, with the checks of Apple's generated server.
    ///
    /// # Errors
    /// - [`DecodeError::NoHeader`]: fewer than 24 bytes.
    /// - [`DecodeError::UnknownId`]: not a notification.
    /// - [`DecodeError::SizeRange`], [`DecodeError::Truncated`]: `msgh_size` is not the notification's, or larger than `bytes`.
    /// - [`DecodeError::Complex`], [`DecodeError::NotComplex`], [`DecodeError::DescriptorCount`], [`DecodeError::DescriptorKind`],
    ///   [`DecodeError::Disposition`]: the descriptors are not the notification's.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = decode_header(bytes)?;
        let id = header.msgh_id;
        let size = match id {
            MACH_NOTIFY_PORT_DELETED
            | MACH_NOTIFY_SEND_POSSIBLE
            | MACH_NOTIFY_NO_SENDERS
            | MACH_NOTIFY_DEAD_NAME => size_of::<__Request__mach_notify_dead_name_t>(),
            MACH_NOTIFY_PORT_DESTROYED => size_of::<__Request__mach_notify_port_destroyed_t>(),
            MACH_NOTIFY_SEND_ONCE => size_of::<__Request__mach_notify_send_once_t>(),
            _ => return Err(DecodeError::UnknownId { id }),
        };
        let message = whole_message(bytes, &header, size, size)?;
        match (id, header.msgh_bits & MACH_MSGH_BITS_COMPLEX != 0) {
            (MACH_NOTIFY_PORT_DESTROYED, true) => {
                port_descriptors(message, 1, MACH_MSG_TYPE_MOVE_RECEIVE as u8)?;
            }
            (MACH_NOTIFY_PORT_DESTROYED, false) => return Err(DecodeError::NotComplex),
            (_, true) => return Err(DecodeError::Complex),
            (_, false) => {}
        }
        // The payload is the word after NDR in all but 69, which has its right at 28.
        let payload: __Request__mach_notify_dead_name_t = pod::read(message).unwrap_or_default();
        let name = payload.name;
        Ok(match id {
            MACH_NOTIFY_PORT_DELETED => Self::PortDeleted { name },
            MACH_NOTIFY_SEND_POSSIBLE => Self::SendPossible { name },
            MACH_NOTIFY_PORT_DESTROYED => {
                let message: __Request__mach_notify_port_destroyed_t =
                    pod::read(message).unwrap_or_default();
                Self::PortDestroyed {
                    right: message.rights.name,
                }
            }
            MACH_NOTIFY_NO_SENDERS => Self::NoSenders { count: name },
            MACH_NOTIFY_SEND_ONCE => Self::SendOnce,
            _ => Self::DeadName { name },
        })
    }

    /// Writes the message as its receiver gets it, and returns its size in bytes. The message arrives through a send-once right of `port`,
    /// the receiver's own name, and has no reply port.
    ///
    /// # Errors
    /// [`EncodeError::Buffer`]: `to` is smaller than the message.
    pub fn encode(self, to: &mut [u8], port: mach_port_t) -> Result<usize, EncodeError> {
        let header = |size: usize, flags: MessageFlags| mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS_SET(
                Disposition::PORT_NONE.raw(),
                Disposition::MOVE_SEND_ONCE.raw(),
                Disposition::PORT_NONE.raw(),
                flags.bits(),
            ),
            msgh_size: size as u32,
            msgh_remote_port: MACH_PORT_NULL,
            msgh_local_port: port,
            msgh_voucher_port: MACH_PORT_NULL,
            msgh_id: self.id(),
        };
        match self {
            Self::SendOnce => {
                let size = size_of::<__Request__mach_notify_send_once_t>();
                write(to, &header(size, MessageFlags::empty()))
            }
            Self::PortDestroyed { right } => {
                let size = size_of::<__Request__mach_notify_port_destroyed_t>();
                let message = __Request__mach_notify_port_destroyed_t {
                    Head: header(size, MessageFlags::COMPLEX),
                    msgh_body: mach_msg_body_t {
                        msgh_descriptor_count: 1,
                    },
                    rights: mach_msg_port_descriptor_t::new(right, Disposition::MOVE_RECEIVE),
                };
                write(to, &message)
            }
            Self::PortDeleted { name }
            | Self::SendPossible { name }
            | Self::DeadName { name }
            | Self::NoSenders { count: name } => {
                let size = size_of::<__Request__mach_notify_dead_name_t>();
                let message = __Request__mach_notify_dead_name_t {
                    Head: header(size, MessageFlags::empty()),
                    NDR: NDR_record_t::RECORD,
                    name,
                };
                write(to, &message)
            }
        }
    }
}

/// Writes a whole message to the start of a buffer.
fn write<M: Pod>(to: &mut [u8], message: &M) -> Result<usize, EncodeError> {
    let bytes = pod::bytes_of(message);
    let length = to.len();
    let room = to.get_mut(..bytes.len()).ok_or(EncodeError::Buffer {
        needed: bytes.len(),
        length,
    })?;
    room.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// Serves a notification, as `notify_server()` does. The reply has no destination; it is written for receive loops that read its code.
/// `handler` is called only for a well-formed notification; otherwise [`Served::malformed`] has the error.
///
/// # Errors
/// - [`ServeError::Decode`]: fewer than 24 bytes.
/// - [`ServeError::Encode`]: `reply` is smaller than 36 bytes.
#[doc(alias("do_mach_notify_dead_name", "do_mach_notify_no_senders"))]
pub fn notify_server(
    request: &[u8],
    reply: &mut [u8],
    handler: impl FnOnce(Notification) -> KernReturn,
) -> Result<Served, ServeError> {
    let reply_to = ReplyTo::header(&decode_header(request)?);
    let (code, malformed) = match Notification::decode(request) {
        Ok(notification) => (handler(notification), None),
        Err(malformed) => (malformed.kern_return(), Some(malformed)),
    };
    Ok(Served {
        reply_size: reply_to.encode_status(reply, code)?,
        code,
        malformed,
    })
}
