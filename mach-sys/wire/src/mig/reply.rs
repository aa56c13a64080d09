//! Replies: encoded as Apple's generated servers encode them, with the state's count limited; and checked as MIG's client code, and so
//! the kernel, checks them.

use crate::kern_return::KernReturn;
use crate::message::{
    Disposition, MACH_MSGH_BITS_COMPLEX, MACH_MSGH_BITS_REMOTE, mach_msg_header_t as Header,
};
use crate::pod;
use crate::thread_state::{THREAD_STATE_MAX, ThreadState};
use crate::types::{MACH_PORT_NULL, mach_msg_id_t, mach_port_t, natural_t, thread_state_flavor_t};
use core::mem::offset_of;

use super::error::{EncodeError, ReplyError};
use super::ndr::{NDR_record_t, mig_reply_error_t};
use super::notify_layouts::MACH_NOTIFY_SEND_ONCE;
use super::routine::{COUNT_AT, FLAVOR_AT, REPLY_ID_OFFSET, RET_CODE_AT, Routine, STATE_AT};
use super::view::{Request, Words, word};

/// The size in bytes of a reply without state: 36.
pub const STATUS_REPLY_SIZE: usize = size_of::<mig_reply_error_t>();

/// The destination of a reply: the parts of a request that are needed to reply later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyTo {
    /// The reply right's disposition. The right moves into the reply.
    pub disposition: Disposition,
    /// The reply right.
    pub port: mach_port_t,
    /// The reply's id.
    pub id: mach_msg_id_t,
}

impl ReplyTo {
    /// Returns the destination of the reply to a request with this header, whatever its id.
    #[inline]
    pub const fn header(request: &Header) -> Self {
        Self {
            disposition: Disposition::new(MACH_MSGH_BITS_REMOTE(request.msgh_bits)),
            port: request.msgh_remote_port,
            id: request.msgh_id.wrapping_add(REPLY_ID_OFFSET),
        }
    }

    /// Returns the destination of the reply to a request.
    #[inline]
    pub fn request(request: &Request<'_>) -> Self {
        Self::header(&request.header())
    }

    /// Writes a reply without state and returns its size: 36 bytes. For a routine with state `code` must be an error.
    ///
    /// # Errors
    /// [`EncodeError::Buffer`]: `to` is smaller than 36 bytes.
    #[inline]
    pub fn encode_status(self, to: &mut [u8], code: KernReturn) -> Result<usize, EncodeError> {
        Ok(finish_status(self.begin(to)?, code))
    }

    /// Writes a reply of success with a new state and returns its size in bytes: 44 and the words of the state.
    ///
    /// # Errors
    /// - [`EncodeError::Buffer`]: `to` is smaller than 44 bytes.
    /// - [`EncodeError::StateCount`]: more than [`THREAD_STATE_MAX`] words, or more than fit in `to`.
    #[inline]
    pub fn encode_state(
        self,
        to: &mut [u8],
        flavor: thread_state_flavor_t,
        words: &[natural_t],
    ) -> Result<usize, EncodeError> {
        let mut state = NewState::new(to, flavor)?;
        state.set_words(flavor, words)?;
        self.begin(state.start)?;
        Ok(state.finish(KernReturn::SUCCESS))
    }

    /// Writes the start of a reply of success, without its size, and returns it. A server does so before it decodes the request, as
    /// MIG's does: nothing of it need be kept while the handler runs.
    #[inline]
    pub(super) fn begin(self, to: &mut [u8]) -> Result<&mut [u8; STATUS_REPLY_SIZE], EncodeError> {
        let length = to.len();
        let start = to
            .first_chunk_mut::<STATUS_REPLY_SIZE>()
            .ok_or(EncodeError::Buffer {
                needed: STATUS_REPLY_SIZE,
                length,
            })?;
        put(start, offset_of!(Header, msgh_bits), self.disposition.raw());
        put(start, offset_of!(Header, msgh_remote_port), self.port);
        put(start, offset_of!(Header, msgh_local_port), MACH_PORT_NULL);
        put(start, offset_of!(Header, msgh_voucher_port), MACH_PORT_NULL);
        put(start, offset_of!(Header, msgh_id), self.id as u32);
        let record = pod::bytes_of(&NDR_record_t::RECORD);
        put_bytes(start, offset_of!(mig_reply_error_t, NDR), record);
        put(start, RET_CODE_AT, KernReturn::SUCCESS.raw() as u32);
        Ok(start)
    }
}

/// Writes size and return code of a reply without state that was begun, and returns the size.
#[inline]
pub(super) fn finish_status(to: &mut [u8; STATUS_REPLY_SIZE], code: KernReturn) -> usize {
    put(to, RET_CODE_AT, code.raw() as u32);
    put_size(to, STATUS_REPLY_SIZE)
}

/// Writes the size of a reply, at most 5228 bytes, and returns it.
#[inline]
fn put_size<const N: usize>(to: &mut [u8; N], size: usize) -> usize {
    put(to, offset_of!(Header, msgh_size), size as u32);
    size
}

/// Writes a word at an offset within the array.
#[inline]
fn put<const N: usize>(to: &mut [u8; N], at: usize, value: u32) {
    put_bytes(to, at, &value.to_ne_bytes());
}

/// Writes bytes at an offset within the array.
#[inline]
fn put_bytes<const N: usize>(to: &mut [u8; N], at: usize, bytes: &[u8]) {
    if let Some(to) = to.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// The new state of a reply that is being written. Its words are in the reply's buffer.
///
/// If the handler sets none, the state has no words, and the kernel refuses it for almost every flavor (A4.6). (Apple's servers would
/// send 1296 words of the buffer's contents.)
#[derive(Debug)]
pub struct NewState<'a> {
    /// The reply before its words.
    start: &'a mut [u8; STATE_AT],
    words: &'a mut [u8],
    flavor: thread_state_flavor_t,
    /// Number of words: at most those that fit in `words`, and at most [`THREAD_STATE_MAX`].
    count: usize,
}

impl<'a> NewState<'a> {
    /// Creates a state without words, for a reply in `to`.
    #[inline]
    pub(super) fn new(
        to: &'a mut [u8],
        flavor: thread_state_flavor_t,
    ) -> Result<Self, EncodeError> {
        let length = to.len();
        let (start, words) = to.split_first_chunk_mut().ok_or(EncodeError::Buffer {
            needed: STATE_AT,
            length,
        })?;
        Ok(Self {
            start,
            words,
            flavor,
            count: 0,
        })
    }

    /// Creates the state of a routine without state. Nothing reads `unused`.
    #[inline]
    pub(super) fn none(unused: &'a mut [u8; STATE_AT]) -> Self {
        Self {
            start: unused,
            words: &mut [],
            flavor: 0,
            count: 0,
        }
    }

    /// Writes the rest of a reply that was begun, and returns its size: with the state for `SUCCESS`, without it for another code.
    #[inline]
    pub(super) fn finish(self, code: KernReturn) -> usize {
        let size = match code {
            KernReturn::SUCCESS => {
                put(self.start, FLAVOR_AT, self.flavor as u32);
                put(self.start, COUNT_AT, self.count as u32);
                STATE_AT + 4 * self.count
            }
            _ => {
                put(self.start, RET_CODE_AT, code.raw() as u32);
                STATUS_REPLY_SIZE
            }
        };
        put_size(self.start, size)
    }

    /// Returns the largest number of words that can be set.
    #[inline]
    pub fn capacity(&self) -> usize {
        (self.words.len() / 4).min(THREAD_STATE_MAX)
    }

    /// Returns the flavor: that of the request, until another is set.
    #[inline]
    pub const fn flavor(&self) -> thread_state_flavor_t {
        self.flavor
    }

    /// Returns the number of words that are set.
    #[inline]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Returns `true` if no word is set.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets the state, with its flavor and its words.
    ///
    /// # Errors
    /// [`EncodeError::StateCount`]: the words do not fit in the reply's buffer.
    #[inline]
    pub fn set<S: ThreadState>(&mut self, state: &S) -> Result<(), EncodeError> {
        self.set_words(S::FLAVOR, state.as_words())
    }

    /// Sets a flavor and its words. Any flavor is accepted here; the kernel refuses unknown flavors.
    ///
    /// # Errors
    /// [`EncodeError::StateCount`]: more than [`THREAD_STATE_MAX`] words, or more than fit in the reply's buffer.
    #[inline]
    pub fn set_words(
        &mut self,
        flavor: thread_state_flavor_t,
        words: &[natural_t],
    ) -> Result<(), EncodeError> {
        self.set_bytes(flavor, pod::word_bytes(words), words.len())
    }

    /// Sets a flavor and copies its words from a message, usually from the request.
    ///
    /// # Errors
    /// [`EncodeError::StateCount`]: the words do not fit in the reply's buffer.
    #[inline]
    pub fn copy(
        &mut self,
        flavor: thread_state_flavor_t,
        words: Words<'_>,
    ) -> Result<(), EncodeError> {
        self.set_bytes(flavor, words.as_bytes(), words.len())
    }

    #[inline]
    fn set_bytes(
        &mut self,
        flavor: thread_state_flavor_t,
        words: &[u8],
        found: usize,
    ) -> Result<(), EncodeError> {
        let room = match self.words.get_mut(..words.len()) {
            Some(room) if found <= THREAD_STATE_MAX => room,
            _ => {
                return Err(EncodeError::StateCount {
                    found,
                    maximum: self.capacity(),
                });
            }
        };
        room.copy_from_slice(words);
        self.flavor = flavor;
        self.count = found;
        Ok(())
    }
}

/// A decoded reply that means "handled", borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Reply<'a> {
    /// The new state's flavor; `None` for a routine without state.
    pub flavor: Option<thread_state_flavor_t>,
    /// The new state's words.
    pub new_state: Words<'a>,
}

/// Checks a reply as the kernel does, in its order (A6.12).
///
/// `bytes` is the reply as received: its `msgh_remote_port` must be null, which the server wrote as `msgh_local_port`. `limit` is the
/// size of the receiver's buffer in bytes: [`Routine::reply_buffer_size`] up to macOS 15.
///
/// # Errors
/// In the kernel's order:
/// - [`ReplyError::TooLarge`]: the reply is larger than `limit`.
/// - [`ReplyError::ServerDied`]: the message is the notification that the reply right was destroyed.
/// - [`ReplyError::Id`]: the reply belongs to another request.
/// - [`ReplyError::Complex`], [`ReplyError::Size`], [`ReplyError::ReplyPort`], [`ReplyError::StateCount`]: the reply does not have the
///   form of the routine's replies.
/// - [`ReplyError::Refused`]: the reply is well-formed, and its return code is an error.
///
/// [`ReplyError::kern_return`] returns the result that the kernel derives from each.
pub fn check_reply(routine: Routine, bytes: &[u8], limit: usize) -> Result<Reply<'_>, ReplyError> {
    let header: Header = pod::read(bytes).ok_or(ReplyError::Size { found: bytes.len() })?;
    let found = header.msgh_size as usize;
    if found > limit {
        return Err(ReplyError::TooLarge { found, limit });
    }
    let (found_id, wanted) = (header.msgh_id, routine.reply_id());
    if found_id != wanted {
        return Err(match found_id {
            MACH_NOTIFY_SEND_ONCE => ReplyError::ServerDied,
            found => ReplyError::Id { found, wanted },
        });
    }
    if header.msgh_bits & MACH_MSGH_BITS_COMPLEX != 0 {
        return Err(ReplyError::Complex);
    }
    let message = bytes.get(..found).ok_or(ReplyError::Size { found })?;
    let code = KernReturn::new(word(message, RET_CODE_AT) as i32);
    let success_sizes = routine.reply_size(0)..=routine.reply_size(THREAD_STATE_MAX);
    let is_refusal = found == STATUS_REPLY_SIZE && !code.is_success();
    if !success_sizes.contains(&found) && !is_refusal {
        return Err(ReplyError::Size { found });
    }
    let port = header.msgh_remote_port;
    if port != MACH_PORT_NULL {
        return Err(ReplyError::ReplyPort { port });
    }
    code.ok().map_err(ReplyError::Refused)?;
    if !routine.has_state() {
        return Ok(Reply {
            flavor: None,
            new_state: Words::new(&[]),
        });
    }
    let count = word(message, COUNT_AT);
    if count as usize > THREAD_STATE_MAX {
        return Err(ReplyError::StateCount { found: count });
    }
    match message.get(STATE_AT..) {
        Some(words) if words.len() == 4 * count as usize => Ok(Reply {
            flavor: Some(word(message, FLAVOR_AT) as thread_state_flavor_t),
            new_state: Words::new(words),
        }),
        _ => Err(ReplyError::Size { found }),
    }
}
