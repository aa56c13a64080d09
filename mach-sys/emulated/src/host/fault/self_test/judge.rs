//! Compares what a probe saw with what Linux does.

use super::machine::{FLAG, FLAGS, NAMES};
use super::probe::Registers;
use crate::error::SignalFrameError;
use crate::host::sys::mask::Mask;

/// A frame, as the handler sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) registers: Registers,
    pub(super) pc: usize,
    /// `si_addr`.
    pub(super) address: usize,
    pub(super) mask: Mask,
    /// Bytes between the end of the frame and the top of the stack that the system put it on; `None` where it did not begin at the top.
    pub(super) behind: Option<usize>,
}

/// The expected frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) registers: Registers,
    pub(super) pc: usize,
    pub(super) address: usize,
    pub(super) mask: Mask,
}

/// Linux loses a few bytes for alignment at the top of a stack: up to 63 on x86_64; 32 on arm64, for a frame record.
const ALIGNMENT_LOSS: usize = 128;

/// Judges a frame as it came.
pub(super) fn frame(seen: &Seen, expected: &Expected) -> Result<(), SignalFrameError> {
    if seen.pc != expected.pc || seen.address != expected.address {
        return Err(SignalFrameError::Location);
    }
    if let Some(register) = differing(&seen.registers, &expected.registers) {
        return Err(SignalFrameError::Shown { register });
    }
    if seen.mask != expected.mask {
        return Err(SignalFrameError::Mask);
    }
    match seen.behind {
        Some(bytes @ ALIGNMENT_LOSS..) => Err(SignalFrameError::Behind { bytes }),
        _ => Ok(()),
    }
}

/// Judges the registers that the thread had after the handler.
pub(super) fn effect(
    found: &Registers,
    answered: &Registers,
    copied: bool,
) -> Result<(), SignalFrameError> {
    match differing(found, answered) {
        Some(register) => Err(SignalFrameError::Ignored { register, copied }),
        None => Ok(()),
    }
}

/// Returns the first register that differs.
fn differing(some: &Registers, other: &Registers) -> Option<&'static str> {
    let differs = |index: usize| {
        let mask = if index == FLAGS { FLAG } else { u64::MAX };
        (some[index] ^ other[index]) & mask != 0
    };
    (0..NAMES.len())
        .find(|index| differs(*index))
        .map(|index| NAMES[index])
}
