//! The frame of a handler that has returned: read and checked, then ended.

use mach_sys::pod;

use crate::error::ReturnError;
use crate::frame::{CONTEXT_AT, FrameId, Header, flag, sealed, word};
use crate::key::Key;
use crate::machine::{CONTEXT_STATE, Rewriter};
use crate::memory::Memory;

/// Reads a frame's header. Fails if the seal is not one of this key, or if the frame is used.
pub(crate) fn header(key: Key, frame: u64, memory: &impl Memory) -> Result<Header, ReturnError> {
    let mut header: Header = pod::zeroed();
    memory.read(frame, pod::bytes_of_mut(&mut header))?;
    if header[word::SEAL] == key.used(frame) {
        return Err(ReturnError::Stale(frame));
    }
    if header[word::SEAL] != key.seal(frame, sealed(&header)) {
        return Err(ReturnError::Forged(frame));
    }
    Ok(header)
}

/// The frame of a handler that may return: its header, whose seal is valid, and the registers to resume with.
pub(crate) struct Opened<M: Rewriter> {
    frame: u64,
    pub(crate) header: Header,
    pub(crate) state: M::State,
}

impl<M: Rewriter> Opened<M> {
    /// Reads the registers of the frame with this header. Nothing is written.
    pub(crate) fn read(
        frame: u64,
        header: Header,
        memory: &impl Memory,
    ) -> Result<Self, ReturnError> {
        if header[word::FLAGS] & flag::NEVER != 0 {
            return Err(ReturnError::NeverReturns(frame));
        }
        let mut state: M::State = pod::zeroed();
        // The seal is valid, so a redirect wrote the header with the context after it: no overflow.
        memory.read(
            frame + CONTEXT_AT + CONTEXT_STATE,
            pod::bytes_of_mut(&mut state),
        )?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| header[word::KEPT + at]);
        M::restore_kept(&mut state, [a, b, c, d]);
        M::check_resumable(&state)?;
        Ok(Self {
            frame,
            header,
            state,
        })
    }

    /// Restores the interrupted code's `errno`, and marks the frame as used.
    pub(crate) fn close(&self, key: Key, memory: &mut impl Memory) -> Result<(), ReturnError> {
        let header = &self.header;
        if header[word::ERRNO_AT] != 0 {
            let errno = header[word::ERRNO] as u32;
            memory.write(header[word::ERRNO_AT], &errno.to_ne_bytes())?;
        }
        memory.write(self.frame, &key.used(self.frame).to_ne_bytes())?;
        Ok(())
    }

    /// Returns the frame's identity.
    pub(crate) fn id(&self) -> FrameId {
        FrameId::new(self.frame, depth_of(&self.header))
    }

    /// Returns the frame that this one is nested in.
    pub(crate) fn outer(&self) -> Option<FrameId> {
        outer_of(&self.header)
    }
}

fn depth_of(header: &Header) -> u32 {
    u32::try_from(header[word::DEPTH]).unwrap_or(u32::MAX)
}

/// Returns the frame that the one with this header is nested in.
pub(crate) fn outer_of(header: &Header) -> Option<FrameId> {
    let depth = depth_of(header).saturating_sub(1);
    Some(FrameId::new(header[word::OUTER], depth)).filter(|outer| outer.address != 0)
}
