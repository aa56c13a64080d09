//! Decoded requests, borrowed from their bytes.
//!
//! A message is aligned to at most 4, and a 64-bit code may be unaligned. So codes are copied; the words of a state are
//! referenced in place only if they are aligned ([`Words::as_words`]).

use crate::exception::{ExceptionType, Meaning};
use crate::machine::Machine;
use crate::message::{Disposition, MACH_MSGH_BITS_REMOTE, mach_msg_header_t};
use crate::pod;
use crate::thread_state::{Flavor, StateMismatch, ThreadState};
use crate::types::{mach_exception_data_type_t, mach_port_t, thread_state_flavor_t};

use super::routine::{CODES_MAX, IdentityKind, Routine, SHAPES, Shape};

/// Returns the word at an offset; 0 past the end. No caller reads there, because decoding has checked the sizes.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(pod::read).unwrap_or(0)
}

/// The words of a thread state.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    bytes: &'a [u8],
    /// Number of words: a fourth of the bytes. It is kept because the messages carry it.
    count: usize,
}

impl<'a> Words<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self::of(bytes, bytes.len() / 4)
    }

    /// Takes the bytes of `count` words.
    #[inline]
    pub(super) const fn of(bytes: &'a [u8], count: usize) -> Self {
        Self { bytes, count }
    }

    /// Returns the number of words.
    #[inline]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Returns `true` if there are no words.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Returns the word at an index; `None` past the end.
    #[inline]
    pub fn get(self, index: usize) -> Option<u32> {
        pod::read(self.bytes.get(index.checked_mul(4)?..)?)
    }

    /// Returns the words in order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.bytes.chunks_exact(4).filter_map(pod::read)
    }

    /// Returns the bytes of the words, as in the message.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the words where they are in the message; `None` if there are any and they are not aligned.
    #[inline]
    pub fn as_words(self) -> Option<&'a [u32]> {
        pod::bytes_as_words(self.bytes)
    }

    /// Copies all words to the start of `to` and returns them; `None` if they do not fit.
    #[inline]
    pub fn copy_to(self, to: &mut [u32]) -> Option<&mut [u32]> {
        let to = to.get_mut(..self.len())?;
        pod::word_bytes_mut(to).copy_from_slice(self.bytes);
        Some(to)
    }

    /// Copies the words into a structure.
    ///
    /// # Errors
    /// [`StateMismatch::Count`]: the number of words is not the structure's.
    #[inline]
    pub fn to_state<S: ThreadState>(self) -> Result<S, StateMismatch> {
        // Decoding has checked that the number of bytes is a multiple of 4.
        match pod::read(self.bytes) {
            Some(state) if self.len() == S::COUNT as usize => Ok(state),
            _ => Err(StateMismatch::Count {
                flavor: Flavor::of::<S>(),
                found: self.len(),
                wanted: S::COUNT,
            }),
        }
    }
}

impl core::fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The identity of the exception's thread and task, as the request carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// The request carries neither: only the exception port identifies them.
    None,
    /// Rights on the thread and its task. Either may be null or dead (A5.5).
    ThreadAndTask {
        /// The thread's name.
        thread: mach_port_t,
        /// The task's name.
        task: mach_port_t,
    },
    /// A task identity token, and the thread's id.
    Token {
        /// The token's name.
        token: mach_port_t,
        /// The thread's 64-bit id.
        thread_id: u64,
    },
    /// A kcdata object with a backtrace.
    Kcdata {
        /// The object's name.
        object: mach_port_t,
    },
}

impl Identity {
    /// Returns the kind of identity.
    #[inline]
    pub const fn kind(self) -> IdentityKind {
        match self {
            Self::None => IdentityKind::None,
            Self::ThreadAndTask { .. } => IdentityKind::ThreadAndTask,
            Self::Token { .. } => IdentityKind::Token,
            Self::Kcdata { .. } => IdentityKind::Kcdata,
        }
    }
}

/// Bytes at the start of a request that hold the header and the names of its descriptors. Every request has as many.
pub(super) const FRONT: usize = descriptor_at(1) + size_of::<mach_port_t>();
const _: () = {
    let mut shapes: &[Shape] = &SHAPES;
    while let [shape, rest @ ..] = shapes {
        assert!(shape.minimum >= FRONT);
        shapes = rest;
    }
};

/// A well-formed request of `exc` or `mach_exc`, borrowed from its bytes.
///
/// It does not own the rights in the message. The receiver of the message owns them: one send right for each descriptor, the reply
/// right, and the voucher if the receiver requested it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Exactly `msgh_size` bytes.
    pub(super) message: &'a [u8],
    pub(super) shape: &'static Shape,
    /// The start of `message`, with the header and the names of its descriptors.
    pub(super) front: &'a [u8; FRONT],
    pub(super) exception: ExceptionType,
    /// The codes; 0 for each that is missing.
    pub(super) codes: [mach_exception_data_type_t; CODES_MAX],
    pub(super) code_count: usize,
    pub(super) flavor: Option<thread_state_flavor_t>,
    pub(super) old_state: Words<'a>,
}

impl<'a> Request<'a> {
    /// Returns the routine.
    #[inline]
    pub const fn routine(&self) -> Routine {
        self.shape.routine
    }

    /// Returns a copy of the header.
    #[inline]
    pub const fn header(&self) -> mach_msg_header_t {
        match pod::read(self.front) {
            Some(header) => header,
            // Never: it holds a header.
            None => pod::zeroed(),
        }
    }

    /// Returns the bytes of the message, without its trailer.
    #[inline]
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Returns the receiver's name of the exception port. The message carries no reference for it, so none may be released.
    #[inline]
    pub const fn exception_port(&self) -> mach_port_t {
        self.header().msgh_local_port
    }

    /// Returns the name of the reply right.
    #[inline]
    pub const fn reply_port(&self) -> mach_port_t {
        self.header().msgh_remote_port
    }

    /// Returns the disposition of the reply right. From the kernel it is a send-once right.
    #[inline]
    pub const fn reply_disposition(&self) -> Disposition {
        Disposition::new(MACH_MSGH_BITS_REMOTE(self.header().msgh_bits))
    }

    /// Returns the identity of the exception's thread and task.
    #[inline]
    pub fn identity(&self) -> Identity {
        let name = |index| word(self.front, descriptor_at(index));
        match self.shape.identity {
            IdentityKind::None => Identity::None,
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: name(0),
                task: name(1),
            },
            IdentityKind::Token => {
                let thread_id = self.message.get(self.shape.thread_id_at..);
                Identity::Token {
                    token: name(0),
                    thread_id: thread_id.and_then(pod::read).unwrap_or(0),
                }
            }
            IdentityKind::Kcdata => Identity::Kcdata { object: name(0) },
        }
    }

    /// Returns the exception type.
    #[inline]
    pub const fn exception(&self) -> ExceptionType {
        self.exception
    }

    /// Returns the codes: none, one or two. 32-bit codes are sign-extended.
    #[inline]
    pub fn codes(&self) -> &[mach_exception_data_type_t] {
        self.codes.get(..self.code_count).unwrap_or(&self.codes)
    }

    /// Returns the meaning of the codes on `machine`.
    pub fn meaning(&self, machine: Machine) -> Meaning {
        Meaning::decode(machine, self.exception, self.codes())
    }

    /// Returns the flavor of the state; `None` if the routine carries no state. The meaning of the number depends on the sender's machine,
    /// which a message does not carry ([`Flavor::new`]).
    #[inline]
    pub const fn flavor(&self) -> Option<thread_state_flavor_t> {
        self.flavor
    }

    /// Returns the words of the state; empty if the routine carries no state.
    #[inline]
    pub const fn old_state(&self) -> Words<'a> {
        self.old_state
    }

    /// Copies the state into a structure.
    ///
    /// # Errors
    /// - [`StateMismatch::Flavor`]: the message carries another flavor, or no state.
    /// - [`StateMismatch::Count`]: the number of words is not the structure's.
    #[inline]
    pub fn state<S: ThreadState>(&self) -> Result<S, StateMismatch> {
        let found = match self.flavor() {
            Some(raw) => Flavor::new(S::MACHINE, raw),
            None => S::MACHINE.thread_state_none(),
        };
        let wanted = Flavor::of::<S>();
        if found != wanted {
            return Err(StateMismatch::Flavor { found, wanted });
        }
        self.old_state().to_state()
    }
}

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request")
            .field("routine", &self.routine())
            .field("header", &self.header())
            .field("identity", &self.identity())
            .field("exception", &self.exception())
            .field("codes", &self.codes())
            .field("flavor", &self.flavor())
            .field("old_state", &self.old_state())
            .finish()
    }
}

/// Returns the offset of a descriptor. Descriptors follow the body without gaps.
#[inline]
pub(super) const fn descriptor_at(index: usize) -> usize {
    size_of::<crate::message::mach_msg_base_t>()
        + index * size_of::<crate::message::mach_msg_port_descriptor_t>()
}
