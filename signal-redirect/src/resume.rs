//! The way back.

use mach_sys::pod;
use mach_sys::thread_state::Registers;

use crate::error::ReturnError;
use crate::frame::{FrameId, HEADER_SIZE, Header, flag, word};
use crate::machine::{CONTEXT_STATE, Machine, Native};
use crate::memory::Memory;
use crate::trampoline::TrampolinePlan;

/// A thread that has come out of its handler.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Resumed<M: Machine = Native> {
    /// The registers to go back to: the interrupted ones with the handler's edits. System flags and selectors are the
    /// interrupted ones; vector registers the thread has restored itself.
    pub state: M::State,
    /// The redirect's tag.
    pub tag: u64,
    /// The frame that is now at an end.
    pub frame: FrameId,
    /// The frame that the thread is inside of now, if its redirect was said to be inside one.
    pub outer: Option<FrameId>,
}

impl<M: Machine> TrampolinePlan<M> {
    /// What to do with a thread that trapped: `None` if it does not sit on the return trap, else the registers to go back to.
    ///
    /// The frame is marked as used, so that a second return from it is refused.
    pub fn return_from(
        &self,
        state: &M::State,
        memory: &mut impl Memory,
    ) -> Result<Option<Resumed<M>>, ReturnError> {
        if state.pc() != self.trap() {
            return Ok(None);
        }
        let frame = M::frame(state);
        if state.sp() != frame {
            return Err(ReturnError::Forged(frame));
        }
        let header = self.header(frame, memory)?;
        if header[word::FLAGS] & flag::NEVER != 0 {
            return Err(ReturnError::NeverReturns(frame));
        }
        let mut resumed: M::State = pod::zeroed();
        // The seal vouches for the header, which says that the context follows it: no overflow.
        memory.read(
            frame + HEADER_SIZE + CONTEXT_STATE,
            pod::bytes_of_mut(&mut resumed),
        )?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| header[word::KEPT + at]);
        M::restore_kept(&mut resumed, [a, b, c, d]);
        M::check_resumable(&resumed)?;
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

    /// The innermost frame that a thread is still inside of after it has jumped to a stack pointer of its own choice: a throw out
    /// of handlers ends all those that it leaves (R27). Asked with the innermost frame that was known; nothing is changed, and a
    /// frame left behind needs no clearing up.
    ///
    /// A frame is left when the thread goes on above it, or, of a frame on an alternate or emergency stack, elsewhere. Stacks that
    /// a thread switches to by itself are not known here.
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
            // Outer frames have a smaller depth, so that the walk ends even if a frame was written over the one it is inside of.
            next = outer_of(&header).filter(|outer| outer.depth < frame.depth);
        }
        Ok(None)
    }

    /// A frame's header, if it is one of this process's and not used up.
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
