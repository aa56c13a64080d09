//! What a message carries, borrowed from its bytes.
//!
//! A message is aligned to 4 at best and a 64-bit code lies where it falls, so elements are copied out, never referred to.

use crate::exception::ExceptionType;
use crate::message::{Disposition, mach_msg_header_t};
use crate::pod;
use crate::thread_state::{Flavor, StateError, ThreadState};
use crate::types::{mach_port_t, thread_state_flavor_t};

use super::routine::{IdentityKind, Routine};

/// The word at an offset; 0 past the end, where no caller reads: sizes were checked when the message was decoded.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(pod::read).unwrap_or(0)
}

/// The codes of an exception: 0, 1 or 2.
#[derive(Clone, Copy)]
pub struct Codes<'a> {
    bytes: &'a [u8],
    wide: bool,
}

impl<'a> Codes<'a> {
    pub(super) const fn new(bytes: &'a [u8], wide: bool) -> Self {
        Self { bytes, wide }
    }

    const fn element(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.bytes.len() / self.element()
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// A code; one of 32 bits is extended with its sign.
    pub fn get(self, index: usize) -> Option<i64> {
        let bytes = self.bytes.get(index.checked_mul(self.element())?..)?;
        if self.wide {
            pod::read(bytes)
        } else {
            pod::read::<i32>(bytes).map(i64::from)
        }
    }

    /// All codes.
    pub fn iter(self) -> impl Iterator<Item = i64> + 'a {
        (0..self.len()).filter_map(move |index| self.get(index))
    }

    /// Both codes, 0 for what is missing, and how many there are.
    pub fn to_array(self) -> ([i64; 2], usize) {
        let code = |index| self.get(index).unwrap_or(0);
        ([code(0), code(1)], self.len())
    }
}

impl core::fmt::Debug for Codes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The words of a thread state.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    bytes: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.bytes.len() / 4
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// A word.
    pub fn get(self, index: usize) -> Option<u32> {
        pod::read(self.bytes.get(index.checked_mul(4)?..)?)
    }

    /// All words.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.bytes.chunks_exact(4).filter_map(pod::read)
    }

    /// The words as they lie in the message.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Copies all words to the start of `to` and returns them; `None` if they do not fit.
    pub fn copy_to(self, to: &mut [u32]) -> Option<&mut [u32]> {
        let to = to.get_mut(..self.len())?;
        pod::word_bytes_mut(to).copy_from_slice(self.bytes);
        Some(to)
    }

    /// The state that these words are, if their number is the structure's.
    pub fn to_state<S: ThreadState>(self) -> Result<S, StateError> {
        // The number of bytes is a multiple of 4, as decoding checked.
        match pod::read(self.bytes) {
            Some(state) if self.len() == S::COUNT as usize => Ok(state),
            _ => Err(StateError::Count {
                flavor: Flavor::new(S::MACHINE, S::FLAVOR),
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
    pub(super) routine: Routine,
    pub(super) codes: usize,
}

impl<'a> Request<'a> {
    /// The routine.
    pub const fn routine(&self) -> Routine {
        self.routine
    }

    /// The header.
    pub fn header(&self) -> mach_msg_header_t {
        pod::read(self.message).unwrap_or_default()
    }

    /// The whole message without its trailer.
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The receiver's name of the exception port; not his to release.
    pub fn exception_port(&self) -> mach_port_t {
        word(
            self.message,
            core::mem::offset_of!(mach_msg_header_t, msgh_local_port),
        )
    }

    /// The reply right.
    pub fn reply_port(&self) -> mach_port_t {
        word(
            self.message,
            core::mem::offset_of!(mach_msg_header_t, msgh_remote_port),
        )
    }

    /// What the reply right is: send-once from the kernel.
    pub fn reply_disposition(&self) -> Disposition {
        Disposition::new(crate::message::MACH_MSGH_BITS_REMOTE(word(self.message, 0)))
    }

    /// Who the exception is about.
    pub fn identity(&self) -> Identity {
        let shape = self.routine.shape();
        let name = |index| word(self.message, descriptor_at(index));
        match shape.identity {
            IdentityKind::None => Identity::None,
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: name(0),
                task: name(1),
            },
            IdentityKind::Token => {
                let at = self.message.get(shape.thread_id_at..);
                Identity::Token {
                    token: name(0),
                    thread_id: at.and_then(pod::read).unwrap_or(0),
                }
            }
            IdentityKind::Kcdata => Identity::Kcdata { object: name(0) },
        }
    }

    /// The kind of exception.
    pub fn exception(&self) -> ExceptionType {
        ExceptionType::new(word(self.message, self.routine.shape().exception_at) as i32)
    }

    /// The codes.
    pub fn codes(&self) -> Codes<'a> {
        let shape = self.routine.shape();
        let bytes = self.message.get(shape.code_at..self.codes_end());
        Codes::new(bytes.unwrap_or(&[]), shape.code_size == 8)
    }

    /// Where the codes end, and a state's flavor stands.
    fn codes_end(&self) -> usize {
        let shape = self.routine.shape();
        shape.code_at + self.codes * shape.code_size
    }

    /// The flavor of the state, if the routine carries one.
    pub fn flavor(&self) -> Option<thread_state_flavor_t> {
        let has_state = self.routine.has_state();
        has_state.then(|| word(self.message, self.codes_end()) as thread_state_flavor_t)
    }

    /// The words of the state; none if the routine carries none.
    pub fn old_state(&self) -> Words<'a> {
        let bytes = match self.routine.has_state() {
            true => self.message.get(self.codes_end() + 8..),
            false => None,
        };
        Words::new(bytes.unwrap_or(&[]))
    }

    /// The state as a structure, if it is of that flavor and count.
    pub fn state<S: ThreadState>(&self) -> Result<S, StateError> {
        let found = self.flavor().unwrap_or(S::MACHINE.thread_state_none());
        if found != S::FLAVOR {
            return Err(StateError::Flavor {
                found: Flavor::new(S::MACHINE, found),
                wanted: Flavor::new(S::MACHINE, S::FLAVOR),
            });
        }
        self.old_state().to_state()
    }
}

impl core::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request")
            .field("routine", &self.routine)
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
pub(super) const fn descriptor_at(index: usize) -> usize {
    size_of::<crate::message::mach_msg_base_t>()
        + index * size_of::<crate::message::mach_msg_port_descriptor_t>()
}
