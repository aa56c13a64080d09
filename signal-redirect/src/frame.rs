//! The frame on the thread's stack.
//!
//! Its parts from low to high addresses, with their sizes in bytes. The header is aligned to 64 bytes.
//!
//! | | x86_64 | arm64 |
//! |---|---|---|
//! | stack for the handler (`Redirect::room`) | | |
//! | vector registers beyond those of the machine context, saved by the trampoline | by processor | by processor |
//! | header | 144 | 144 |
//! | `siginfo_t` | 104 | 104 |
//! | `ucontext_t` | 56 | 56 |
//! | machine context | 712, with AVX 1032 | 816 |
//!
//! The server writes all up to the machine context's vector registers, as one piece. Those are the trampoline's to write, on the thread's own
//! processor; the server writes them only if the redirect sets them.
//!
//! SSE and NEON registers have no part of their own: the trampoline saves them in the machine context, where the handler reads and
//! edits them, and restores them from there. AVX's upper halves are copied there and back.

use core::mem::{offset_of, size_of};

use mach_sys::darwin::{
    SS_DISABLE, SS_ONSTACK, arm_mcontext64_t, siginfo_t, stack_t, ucontext_t, x86_mcontext_avx64_t,
    x86_mcontext64_t,
};
use mach_sys::pod::{self, bytes_of};

use crate::machine::{CONTEXT_STATE, Rewriter};

/// The header: 64-bit words that the trampolines read at fixed offsets.
pub(crate) type Header = [u64; HEADER_WORDS];
pub(crate) const HEADER_WORDS: usize = 18;
pub(crate) const HEADER_SIZE: u64 = size_of::<Header>() as u64;
pub(crate) const HEADER_ALIGN: u64 = 64;
/// Offset of the machine context from the header, in bytes.
pub(crate) const CONTEXT_AT: u64 =
    HEADER_SIZE + (size_of::<siginfo_t>() + size_of::<ucontext_t>()) as u64;

/// Indices of the header's words.
pub(crate) mod word {
    pub(crate) const SEAL: usize = 0;
    pub(crate) const ENTRY: usize = 1;
    pub(crate) const FLAGS: usize = 2;
    /// x86_64: the components for XSAVE in the low half, the bits of MXCSR that exist in the high half. arm64: the registers beyond
    /// NEON, as bits of [`scalable`](crate::vector_save::scalable).
    pub(crate) const SAVE_MASK: usize = 3;
    pub(crate) const SAVE_SIZE: usize = 4;
    pub(crate) const TAG: usize = 5;
    pub(crate) const OUTER: usize = 6;
    pub(crate) const DEPTH: usize = 7;
    pub(crate) const KEPT: usize = 8;
    /// Bounds of the alternate stack that holds the frame; both 0 if it is not on one.
    pub(crate) const STACK_START: usize = 12;
    pub(crate) const STACK_END: usize = 13;
    /// Address of the thread's `errno`; 0 if it is not known.
    pub(crate) const ERRNO_AT: usize = 14;
    /// Address of the handler if [`ENTRY`] is the function that blocks signals around it; 0 otherwise.
    pub(crate) const BLOCKING_HANDLER: usize = 15;
    /// The signals to block, in Darwin's bits.
    pub(crate) const BLOCKED: usize = 16;
    /// The interrupted code's `errno`. The seal does not cover it: a thread that returns directly stores it itself.
    pub(crate) const ERRNO: usize = 17;
}

/// The words that the seal covers.
pub(crate) fn sealed(header: &Header) -> &[u64] {
    &header[word::SEAL + 1..word::ERRNO]
}

/// Bits of the header's flags.
pub(crate) mod flag {
    /// Returning from the handler is an error.
    pub(crate) const NEVER: u64 = 1;
    /// The machine context already holds the vector registers.
    pub(crate) const FLOAT_GIVEN: u64 = 2;
}

/// Bytes of the largest frame.
pub(crate) const LARGEST: usize = CONTEXT_AT as usize + size_of::<x86_mcontext_avx64_t>();
// On both machines every part is aligned as its type requires. On x86_64 the FXSAVE image, 8 bytes into `fs`, is aligned to 16.
static_assertions::const_assert!(size_of::<Header>() % 8 == 0);
static_assertions::const_assert!(size_of::<siginfo_t>() % 8 == 0);
static_assertions::const_assert!(CONTEXT_AT % 16 == 0);
static_assertions::const_assert!(
    (CONTEXT_AT as usize + offset_of!(x86_mcontext64_t, fs) + 8) % 16 == 0
);
// `Redirect::apply` proves each of its pages writable by eight bytes.
static_assertions::const_assert!(size_of::<x86_mcontext64_t>() % 8 == 0);
static_assertions::const_assert!(size_of::<arm_mcontext64_t>() % 16 == 0);
static_assertions::const_assert!(size_of::<x86_mcontext_avx64_t>() % 8 == 0);
static_assertions::const_assert!(size_of::<x86_mcontext_avx64_t>() > size_of::<arm_mcontext64_t>());

/// The identity of a frame. A server stores the identity of each thread's innermost frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FrameId {
    /// Address of the frame's header.
    pub address: u64,
    /// Number of frames that the frame is nested in.
    pub depth: u32,
}

impl FrameId {
    /// Creates an identifier from its parts, which a server has stored.
    #[must_use]
    pub const fn new(address: u64, depth: u32) -> Self {
        Self { address, depth }
    }
}

/// The addresses of a frame's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Address of the header, aligned to 64 bytes, and the stack pointer at the trampoline's entry.
    pub address: u64,
    /// Address of the `siginfo_t`.
    pub siginfo: u64,
    /// Address of the `ucontext_t`.
    pub ucontext: u64,
    /// Address of the machine context.
    pub mcontext: u64,
    /// Lowest address that [`Redirect::apply`](crate::Redirect::apply) has proven to be writable.
    pub low: u64,
    /// End of the frame. Nothing at this address or above is written.
    pub high: u64,
    /// Number of frames that this one is nested in.
    pub depth: u32,
}

impl Frame {
    /// Returns the frame's identifier.
    #[must_use]
    pub const fn id(&self) -> FrameId {
        FrameId {
            address: self.address,
            depth: self.depth,
        }
    }

    /// Returns the bytes from the header to the end, with a machine context of `context` bytes.
    pub(crate) const fn size(context: u64) -> u64 {
        CONTEXT_AT + context
    }

    /// Returns the frame with its header at `address`. The caller has checked that it fits.
    pub(crate) const fn at(address: u64, context: u64, low: u64, depth: u32) -> Self {
        let siginfo = address + HEADER_SIZE;
        Self {
            address,
            siginfo,
            ucontext: siginfo + size_of::<siginfo_t>() as u64,
            mcontext: address + CONTEXT_AT,
            low,
            high: address + Self::size(context),
            depth,
        }
    }
}

/// The parts of a frame that a server writes.
pub(crate) struct Parts<'p, M: Rewriter> {
    pub(crate) header: Header,
    pub(crate) siginfo: siginfo_t,
    pub(crate) ucontext: ucontext_t,
    pub(crate) exception: M::ExceptionState,
    pub(crate) state: &'p M::State,
    /// The vector registers; `None` if they are the trampoline's to write, with all that follows them.
    pub(crate) float: Option<&'p M::FloatState>,
}

impl<M: Rewriter> Parts<'_, M> {
    /// Writes the parts of `frame` into `bytes`, which are zero, from the header on, and returns the bytes that they take. Without vector
    /// registers these end before them.
    pub(crate) fn write<'b>(&self, frame: &Frame, bytes: &'b mut [u8; LARGEST]) -> &'b [u8] {
        let float_at = CONTEXT_AT + M::FLOAT_AT;
        let mut put = |offset: u64, part: &[u8]| {
            let place = offset as usize..offset as usize + part.len();
            // `LARGEST` is the sum of the largest parts, so there is always a place.
            if let Some(place) = bytes.get_mut(place) {
                place.copy_from_slice(part);
            }
        };
        put(0, bytes_of(&self.header));
        put(frame.siginfo - frame.address, bytes_of(&self.siginfo));
        put(frame.ucontext - frame.address, bytes_of(&self.ucontext));
        put(CONTEXT_AT, bytes_of(&self.exception));
        put(CONTEXT_AT + CONTEXT_STATE, bytes_of(self.state));
        let end = match self.float {
            Some(float) => {
                put(float_at, bytes_of(float));
                frame.high - frame.address
            }
            None => float_at,
        };
        &bytes[..end as usize]
    }
}

/// Returns the description of the alternate stack for a handler's `ucontext_t`.
pub(crate) fn stack_of(alternate: Option<&core::ops::Range<u64>>, was_on_it: bool) -> stack_t {
    match alternate {
        Some(range) => stack_t {
            ss_sp: range.start,
            ss_size: range.end.saturating_sub(range.start),
            ss_flags: if was_on_it { SS_ONSTACK } else { 0 },
            reserved: 0,
        },
        None => stack_t {
            ss_flags: SS_DISABLE,
            ..pod::zeroed()
        },
    }
}
