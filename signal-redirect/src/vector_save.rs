//! The vector registers that the trampoline saves on the stack.

/// Selects the vector registers that the trampoline saves on the stack: those that the machine context has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorSave {
    components: u32,
    pub(crate) mxcsr_mask: u32,
    size: u64,
}

impl VectorSave {
    /// Saves nothing on the stack: arm64, and x86_64 without AVX.
    pub const NONE: Self = Self {
        components: 0,
        // The default that Intel gives for processors that say nothing.
        mxcsr_mask: 0xffbf,
        size: 0,
    };

    /// Saves these state components of x86_64 with XSAVE, whose standard form takes `size` bytes with legacy area and header.
    /// `mxcsr_mask` has the bits of MXCSR that the processor implements.
    ///
    /// x87 and SSE are left out, since the machine context has them; so are bounds (MPX), protection keys and tiles (AMX). Without AVX
    /// nothing is saved.
    #[must_use]
    pub const fn xsave(components: u64, size: u64, mxcsr_mask: u32) -> Self {
        let components = match (components & Self::XSAVE_COMPONENTS) as u32 {
            // AVX-512 is nothing without AVX.
            with_avx if with_avx & 1 << Self::AVX != 0 => with_avx,
            _ => 0,
        };
        Self {
            components,
            mxcsr_mask,
            size: if components == 0 {
                0
            } else {
                size.next_multiple_of(64)
            },
        }
    }

    /// The components that can be saved, as bits of XCR0: AVX, and the three of AVX-512.
    pub const XSAVE_COMPONENTS: u64 = 1 << Self::AVX | 0xe0;
    /// The number of AVX's component.
    const AVX: u32 = 2;

    /// Whether there are upper halves of the sixteen ymm registers.
    pub(crate) const fn has_avx(self) -> bool {
        self.components & 1 << Self::AVX != 0
    }

    /// Returns the bytes that are needed on the stack.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The word that the trampoline reads.
    pub(crate) const fn word(self) -> u64 {
        self.components as u64 | (self.mxcsr_mask as u64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_machine_context_lacks_is_saved_in_whole_lines() {
        let save = VectorSave::xsave(u64::MAX, 2696, 0xffff);
        assert_eq!(save.size(), 2752);
        assert_eq!(save.word(), 0xffff_0000_00e4);
        assert_eq!(VectorSave::xsave(0xe4, 2752, 0xffff), save);
    }

    #[test]
    fn without_avx_nothing_is_saved_below_the_frame() {
        let save = VectorSave::xsave(0x3 | 0xe0 | 1 << 9 | 1 << 18, 4096, 0xffbf);
        assert_eq!(save, VectorSave::NONE);
    }
}
