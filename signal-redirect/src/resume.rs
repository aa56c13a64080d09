//! The way back.

use mach_sys::pod;
use mach_sys::thread_state::Registers;

use crate::arch::{Arch, CONTEXT_STATE, Native};
use crate::error::ReturnError;
use crate::frame::{HEADER_ALIGN, HEADER_SIZE, Header, flag, word};
use crate::memory::Memory;
use crate::trampoline::Trampoline;

/// A thread that has come out of its handler.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Resumed<A: Arch = Native> {
    /// The registers to go back to: the interrupted ones with the handler's edits. System flags and selectors are the
    /// interrupted ones; vector registers the thread has restored itself.
    pub state: A::State,
    /// The redirect's tag.
    pub tag: u64,
    /// The frame that is now at an end.
    pub frame: u64,
    /// The frame that the thread is inside of now, if its redirect was said to be inside one.
    pub outer: Option<u64>,
    /// How many frames the ended one was inside of.
    pub depth: u32,
}

impl<A: Arch> Trampoline<A> {
    /// What to do with a thread that trapped: `None` if it does not sit on the return trap, else the registers to go back to.
    ///
    /// The frame is marked as used, so that a second return from it is refused.
    pub fn return_from(
        &self,
        state: &A::State,
        memory: &mut impl Memory,
    ) -> Result<Option<Resumed<A>>, ReturnError> {
        if state.pc() != self.trap() {
            return Ok(None);
        }
        let frame = A::frame(state);
        if state.sp() != frame || frame % HEADER_ALIGN != 0 {
            return Err(ReturnError::Forged(frame));
        }
        let mut header: Header = pod::zeroed();
        memory.read(frame, pod::bytes_of_mut(&mut header))?;
        let key = self.key();
        if header[word::SEAL] == key.used(frame) {
            return Err(ReturnError::Stale(frame));
        }
        if header[word::SEAL] != key.seal(frame, &header[word::SEAL + 1..]) {
            return Err(ReturnError::Forged(frame));
        }
        if header[word::FLAGS] & flag::NEVER != 0 {
            return Err(ReturnError::NeverReturns(frame));
        }
        let mut resumed: A::State = pod::zeroed();
        // The seal vouches for the header, which says that the context follows it: no overflow.
        memory.read(
            frame + HEADER_SIZE + CONTEXT_STATE,
            pod::bytes_of_mut(&mut resumed),
        )?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| header[word::KEPT + at]);
        A::restore_kept(&mut resumed, [a, b, c, d]);
        A::check_resumable(&resumed)?;
        memory.write(frame, &key.used(frame).to_ne_bytes())?;
        Ok(Some(Resumed {
            state: resumed,
            tag: header[word::TAG],
            frame,
            outer: Some(header[word::OUTER]).filter(|outer| *outer != 0),
            depth: u32::try_from(header[word::DEPTH]).unwrap_or(u32::MAX),
        }))
    }
}
