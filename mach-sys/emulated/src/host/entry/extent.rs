//! The extent of a signal frame.

#[cfg(target_arch = "aarch64")]
pub(super) mod aarch64;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64 as machine;

/// A frame's extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Length in bytes, from the frame's base.
    pub(super) length: usize,
    /// Offset of the one pointer into itself.
    pub(super) pointer: Option<usize>,
}

impl Extent {
    /// Returns the frame's pointer, moved along: where it stands, and its value.
    ///
    /// # Safety
    /// `frame` is the base of the live frame that this is the extent of.
    #[allow(unsafe_code)]
    pub(super) unsafe fn moved_pointer(
        &self,
        frame: usize,
        delta: usize,
    ) -> Option<(usize, usize)> {
        self.pointer.map(|at| {
            // SAFETY: the extent was measured on this frame: a pointer stands there.
            let pointer = unsafe { *((frame + at) as *const usize) };
            (at, pointer.wrapping_add(delta))
        })
    }
}
