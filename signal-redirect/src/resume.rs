//! Returns from handlers.

use mach_sys::thread_state::Registers;

use crate::error::ReturnError;
use crate::frame::{FrameId, word};
use crate::machine::{Native, Rewriter};
use crate::memory::Memory;
use crate::opened::{self, Opened};
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
        let header = opened::header(self.key(), frame, memory)?;
        if is_too_long {
            return Err(ReturnError::VectorLength(frame));
        }
        let opened = Opened::<M>::read(frame, header, memory)?;
        opened.close(self.key(), memory)?;
        Ok(Some(Resumed {
            state: opened.state,
            tag: opened.header[word::TAG],
            frame: opened.id(),
            outer: opened.outer(),
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
            let header = opened::header(self.key(), frame.address, memory)?;
            let stack = header[word::STACK_START]..header[word::STACK_END];
            let is_left = sp > frame.address || !(stack.is_empty() || stack.contains(&sp));
            if !is_left {
                return Ok(next);
            }
            // An outer frame must have a smaller depth: the walk ends even if a frame overwrote the one that it is inside of.
            next = opened::outer_of(&header).filter(|outer| outer.depth < frame.depth);
        }
        Ok(None)
    }
}
