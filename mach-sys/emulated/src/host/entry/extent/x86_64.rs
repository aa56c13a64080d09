//! The kernel's signal frame on x86_64.

use super::Extent;

/// Offsets in the kernel's frame, from its base: the restorer's address, the context, the siginfo.
pub(in super::super) const CONTEXT: usize = 8;
pub(in super::super) const INFO: usize = 312;
const FPSTATE: usize = CONTEXT + 224;
const END_WITHOUT_FPSTATE: usize = 440;
/// Offsets in the floating-point state: a magic number, and the size with everything behind it.
const FP_MAGIC: usize = 464;
const FP_SIZE: usize = 468;
const FP_MAGIC1: u32 = 0x4650_5853;
const FXSAVE: usize = 512;

/// Offset of the alternate stack that was registered when the frame was written.
pub(in super::super) const REGISTERED: usize = CONTEXT + 16;

/// Offset of the stack pointer of the interrupted code.
pub(in super::super) const INTERRUPTED: usize = CONTEXT + 160;

/// Offset of the signal mask of the interrupted code.
pub(in super::super) const MASK: usize = CONTEXT + 296;

/// Alignment of a frame's copy, in bytes: the distance to it is a multiple of this, so that the floating-point state stays aligned.
pub(in super::super) const ALIGNMENT: usize = 64;
/// Size of the smallest frame, in bytes.
pub(in super::super) const SMALLEST: usize = END_WITHOUT_FPSTATE;

/// Returns the length of a frame in bytes, and the place of its pointer into itself, if it has one.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote.
pub(in super::super) unsafe fn measure(frame: usize) -> Option<Extent> {
    // SAFETY: the frame is live; these words lie in it.
    let state = unsafe { *((frame + FPSTATE) as *const usize) };
    if state == 0 {
        return Some(Extent {
            length: END_WITHOUT_FPSTATE,
            pointer: None,
        });
    }
    // SAFETY: the kernel put the floating-point state into the frame.
    let (magic, size) = unsafe {
        (
            *((state + FP_MAGIC) as *const u32),
            *((state + FP_SIZE) as *const u32),
        )
    };
    let size = match magic {
        FP_MAGIC1 => size as usize,
        _ => FXSAVE,
    };
    Some(Extent {
        length: state.checked_sub(frame)?.checked_add(size)?,
        pointer: Some(FPSTATE),
    })
}
