//! Returns from handlers.

use mach_sys::pod;
use mach_sys::thread_state::Registers;

use crate::error::ReturnError;
use crate::frame::{FrameId, HEADER_SIZE, Header, flag, word};
use crate::machine::{CONTEXT_STATE, Native, Rewriter};
use crate::memory::Memory;
use crate::trampoline::TrampolinePlan;

/// The registers and frames of a thread after its handler has returned.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Resumed<M: Rewriter = Native> {
    /// The registers to resume with: the interrupted ones with the handler's edits. System flags and selectors are the
    /// interrupted ones. The trampoline has already restored the vector registers.
    pub state: M::State,
    /// The redirect's tag.
    pub tag: u64,
    /// The frame of the handler that returned.
    pub frame: FrameId,
    /// The frame that the thread is inside of now, as given to [`Redirect::inside`](crate::Redirect::inside).
    pub outer: Option<FrameId>,
}

impl<M: Rewriter> TrampolinePlan<M> {
    /// Returns the registers to resume a thread with that stopped at the return trap; `None` if it stopped anywhere else.
    ///
    /// The interrupted code's `errno` is restored, if its redirect had the address ([`Redirect::errno_at`](crate::Redirect::errno_at)).
    /// The frame is marked as used, so that a second return from it fails.
    ///
    /// # Errors
    /// The thread is at the return trap, and:
    /// - [`ReturnError::Forged`]: its frame was not written by a redirect with this key, or has changed since;
    /// - [`ReturnError::Stale`]: the handler of its frame has already returned;
    /// - [`ReturnError::NeverReturns`]: the redirect was planned with [`Return::Never`](crate::Return::Never);
    /// - [`ReturnError::Unresumable`]: the handler left registers that the kernel refuses;
    /// - [`ReturnError::VectorLength`]: the frame has no room for the thread's vector registers, or the handler changed their length;
    /// - [`ReturnError::Memory`]: the frame cannot be read or marked as used, or `errno` cannot be written.
    #[doc(alias = "sigreturn")]
    pub fn return_from(
        &self,
        state: &M::State,
        memory: &mut impl Memory,
    ) -> Result<Option<Resumed<M>>, ReturnError> {
        if state.pc() != self.trap() {
            return Ok(None);
        }
        let frame = M::frame(state);
        let is_too_long = M::is_too_long(state);
        if state.sp() != frame && !is_too_long {
            return Err(ReturnError::Forged(frame));
        }
        let header = self.header(frame, memory)?;
        if is_too_long {
            return Err(ReturnError::VectorLength(frame));
        }
        if header[word::FLAGS] & flag::NEVER != 0 {
            return Err(ReturnError::NeverReturns(frame));
        }
        let mut resumed: M::State = pod::zeroed();
        // The seal is valid, so a redirect wrote the header with the context after it: no overflow.
        memory.read(
            frame + HEADER_SIZE + CONTEXT_STATE,
            pod::bytes_of_mut(&mut resumed),
        )?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| header[word::KEPT + at]);
        M::restore_kept(&mut resumed, [a, b, c, d]);
        M::check_resumable(&resumed)?;
        if header[word::ERRNO_AT] != 0 {
            let errno = header[word::ERRNO] as u32;
            memory.write(header[word::ERRNO_AT], &errno.to_ne_bytes())?;
        }
        memory.write(frame, &self.key().used(frame).to_ne_bytes())?;
        Ok(Some(Resumed {
            state: resumed,
            tag: header[word::TAG],
            frame: FrameId {
                address: frame,
                depth: depth_of(&header),
            },
            outer: outer_of(&header),
        }))
    }

    /// Returns the innermost frame that a thread is still inside of after a jump out of handlers to the stack pointer `sp` (R27).
    /// `innermost` is the thread's innermost frame before the jump. Nothing is written: a frame that the jump left needs no cleanup.
    ///
    /// The jump left a frame if the stack pointer is above it, or, for a frame on an alternate or emergency stack, outside that stack.
    /// Stacks that the thread switches to by itself are not taken into account.
    ///
    /// # Errors
    /// - [`ReturnError::Forged`]: one of the frames was not written by a redirect with this key, or has changed since.
    /// - [`ReturnError::Stale`]: the handler of one of the frames has already returned.
    /// - [`ReturnError::Memory`]: one of the frames cannot be read.
    #[doc(alias("longjmp", "siglongjmp"))]
    pub fn still_inside(
        &self,
        innermost: FrameId,
        sp: u64,
        memory: &impl Memory,
    ) -> Result<Option<FrameId>, ReturnError> {
        let mut next = Some(innermost);
        while let Some(frame) = next {
            let header = self.header(frame.address, memory)?;
            let stack = header[word::STACK_START]..header[word::STACK_END];
            let is_left = sp > frame.address || !(stack.is_empty() || stack.contains(&sp));
            if !is_left {
                return Ok(next);
            }
            // An outer frame must have a smaller depth: the walk ends even if a frame overwrote the one that it is inside of.
            next = outer_of(&header).filter(|outer| outer.depth < frame.depth);
        }
        Ok(None)
    }

    /// Reads a frame's header. Fails if the seal is not one of this key, or if the frame is used.
    fn header(&self, frame: u64, memory: &impl Memory) -> Result<Header, ReturnError> {
        let mut header: Header = pod::zeroed();
        memory.read(frame, pod::bytes_of_mut(&mut header))?;
        let key = self.key();
        if header[word::SEAL] == key.used(frame) {
            return Err(ReturnError::Stale(frame));
        }
        if header[word::SEAL] != key.seal(frame, &header[word::SEAL + 1..]) {
            return Err(ReturnError::Forged(frame));
        }
        Ok(header)
    }
}

fn depth_of(header: &Header) -> u32 {
    u32::try_from(header[word::DEPTH]).unwrap_or(u32::MAX)
}

fn outer_of(header: &Header) -> Option<FrameId> {
    Some(FrameId {
        address: header[word::OUTER],
        depth: depth_of(header).saturating_sub(1),
    })
    .filter(|outer| outer.address != 0)
}
