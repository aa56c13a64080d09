//! What a message carries, borrowed from its bytes.
//!
//! A message is aligned to 4 at best and a 64-bit code lies where it falls, so elements are copied out, never referred to.

use crate::exception::{ExceptionType, Meaning};
use crate::machine::Machine;
use crate::message::{Disposition, mach_msg_header_t};
use crate::pod;
use crate::thread_state::{Flavor, StateMismatch, ThreadState};
use crate::types::{mach_exception_data_type_t, mach_port_t, thread_state_flavor_t};

use super::routine::{CODES_MAX, IdentityKind, Routine, Shape};

/// The word at an offset; 0 past the end, where no caller reads: sizes were checked when the message was decoded.
#[inline]
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(pod::read).unwrap_or(0)
}

/// The words of a thread state.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many there are.
    #[inline]
    pub const fn len(self) -> usize {
        self.bytes.len() / 4
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// A word.
    #[inline]
    pub fn get(self, index: usize) -> Option<u32> {
        pod::read(self.bytes.get(index.checked_mul(4)?..)?)
    }

    /// All words.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.bytes.chunks_exact(4).filter_map(pod::read)
    }

    /// The words as they lie in the message.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Copies all words to the start of `to` and returns them; `None` if they do not fit.
    #[inline]
    pub fn copy_to(self, to: &mut [u32]) -> Option<&mut [u32]> {
        let to = to.get_mut(..self.len())?;
        pod::word_bytes_mut(to).copy_from_slice(self.bytes);
        Some(to)
    }

    /// The state that these words are, if their number is the structure's.
    #[inline]
    pub fn to_state<S: ThreadState>(self) -> Result<S, StateMismatch> {
        // The number of bytes is a multiple of 4, as decoding checked.
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

/// Who the exception is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// Nobody is named; the port alone tells.
    None,
    /// Rights on the thread and its task. Either may be null or dead (A5.5).
    ThreadAndTask {
        /// The thread's name.
        thread: mach_port_t,
        /// The task's name.
        task: mach_port_t,
    },
    /// A token for the task, and the thread's id.
    Token {
        /// The token's name.
        token: mach_port_t,
        /// The thread's 64-bit id.
        thread_id: u64,
    },
    /// A backtrace.
    Kcdata {
        /// The object's name.
        object: mach_port_t,
    },
}

impl Identity {
    /// What kind it is.
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

/// A request of `exc` or `mach_exc`, well-formed, borrowed from its bytes.
///
/// The names in it are not owned by this view: who received the message owns them (one send right a descriptor, the reply
/// right, and the voucher if he asked for it).
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Exactly `msgh_size` bytes.
    pub(super) message: &'a [u8],
    pub(super) shape: &'static Shape,
    pub(super) exception_port: mach_port_t,
    /// The names in the descriptors.
    pub(super) names: [mach_port_t; 2],
    pub(super) exception: ExceptionType,
    /// The codes; 0 where there is none.
    pub(super) codes: [mach_exception_data_type_t; CODES_MAX],
    pub(super) code_count: usize,
    pub(super) flavor: Option<thread_state_flavor_t>,
    pub(super) old_state: Words<'a>,
}

impl<'a> Request<'a> {
    /// The routine.
    #[inline]
    pub const fn routine(&self) -> Routine {
        self.shape.routine
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> mach_msg_header_t {
        pod::read(self.message).unwrap_or_default()
    }

    /// The whole message without its trailer.
    #[inline]
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The receiver's name of the exception port; not his to release.
    #[inline]
    pub const fn exception_port(&self) -> mach_port_t {
        self.exception_port
    }

    /// The reply right.
    #[inline]
    pub fn reply_port(&self) -> mach_port_t {
        word(
            self.message,
            core::mem::offset_of!(mach_msg_header_t, msgh_remote_port),
        )
    }

    /// What the reply right is: send-once from the kernel.
    #[inline]
    pub fn reply_disposition(&self) -> Disposition {
        Disposition::new(crate::message::MACH_MSGH_BITS_REMOTE(word(self.message, 0)))
    }

    /// Who the exception is about.
    #[inline]
    pub fn identity(&self) -> Identity {
        let [first, second] = self.names;
        match self.shape.identity {
            IdentityKind::None => Identity::None,
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: first,
                task: second,
            },
            IdentityKind::Token => {
                let thread_id = self.message.get(self.shape.thread_id_at..);
                Identity::Token {
                    token: first,
                    thread_id: thread_id.and_then(pod::read).unwrap_or(0),
                }
            }
            IdentityKind::Kcdata => Identity::Kcdata { object: first },
        }
    }

    /// The kind of exception.
    #[inline]
    pub const fn exception(&self) -> ExceptionType {
        self.exception
    }

    /// The codes: 0, 1 or 2. Those of 32 bits are extended with their sign.
    #[inline]
    pub fn codes(&self) -> &[mach_exception_data_type_t] {
        self.codes.get(..self.code_count).unwrap_or(&self.codes)
    }

    /// What the codes say.
    pub fn meaning(&self, machine: Machine) -> Meaning {
        Meaning::decode(machine, self.exception, self.codes())
    }

    /// The flavor of the state, if the routine carries one.
    #[inline]
    pub const fn flavor(&self) -> Option<thread_state_flavor_t> {
        self.flavor
    }

    /// The words of the state; none if the routine carries none.
    #[inline]
    pub const fn old_state(&self) -> Words<'a> {
        self.old_state
    }

    /// The state as a structure, if it is of that flavor and count.
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

/// Where a descriptor starts: they follow the body one after the other.
#[inline]
pub(super) const fn descriptor_at(index: usize) -> usize {
    size_of::<crate::message::mach_msg_base_t>()
        + index * size_of::<crate::message::mach_msg_port_descriptor_t>()
}
