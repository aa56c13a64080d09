//! The kernel's signal frame on arm64.

use super::Extent;

/// The siginfo is at the frame's base, the context behind it, its records from 464 on.
pub(in super::super) const CONTEXT: usize = 128;
const RECORDS: usize = CONTEXT + 464;
/// A record that says where more of them are: address at 8, size at 16.
const EXTRA: u32 = 0x4558_5401;
const EXTRA_ADDRESS: usize = 8;
const EXTRA_SIZE: usize = 16;
/// qemu-user checks that the whole of the kernel's structure is readable, whatever is used of it.
pub(in super::super) const SMALLEST: usize = 4688;

/// Offset of the alternate stack that was registered when the frame was written.
pub(in super::super) const REGISTERED: usize = CONTEXT + 16;

/// Offset of the stack pointer of the interrupted code.
pub(in super::super) const INTERRUPTED: usize = CONTEXT + 432;

/// Offset of the signal mask of the interrupted code.
pub(in super::super) const MASK: usize = CONTEXT + 40;

/// Alignment of a frame's copy, in bytes: the distance to it is a multiple of this.
pub(in super::super) const ALIGNMENT: usize = 16;

/// Returns the length of a frame in bytes, and the place of its pointer into itself, if it has one.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote.
pub(in super::super) unsafe fn measure(frame: usize) -> Option<Extent> {
    // SAFETY: offsets stay in the frame: each record says where the next one is, and the last has magic 0.
    let word = |offset: usize| unsafe { *((frame + offset) as *const u32) };
    let mut at = RECORDS;
    let mut extra = None;
    let mut length = loop {
        match (word(at), word(at + 4) as usize) {
            (0, _) => break at + 16,
            (magic, size) => {
                if magic == EXTRA {
                    extra = Some(at);
                }
                if size < 8 || at > SMALLEST {
                    return None;
                }
                at += size;
            }
        }
    };
    if let Some(at) = extra {
        // SAFETY: an extra record holds an address and a size.
        let address = unsafe { *((frame + at + EXTRA_ADDRESS) as *const usize) };
        let end = address.checked_add(word(at + EXTRA_SIZE) as usize)?;
        length = length.max(end.checked_sub(frame)?);
    }
    Some(Extent {
        length,
        pointer: extra.map(|at| at + EXTRA_ADDRESS),
    })
}
