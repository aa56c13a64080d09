//! The vector registers that the trampoline saves on the stack.

use mach_sys::processor::Arm64Vectors;

/// The vector registers that the trampoline saves on the stack because the machine context has no place for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorSave {
    components: u32,
    pub(crate) mxcsr_mask: u32,
    size: u64,
}

impl VectorSave {
    /// No registers: arm64 with NEON only, and x86_64 without AVX.
    pub const NONE: Self = Self {
        components: 0,
        // Intel's default for processors that report no mask.
        mxcsr_mask: 0xffbf,
        size: 0,
    };

    /// Selects state components of x86_64, which the trampoline saves with XSAVE. Their standard form takes `size` bytes, with legacy area
    /// and header. `mxcsr_mask` has the bits of MXCSR that the processor implements.
    ///
    /// x87 and SSE are left out, because the machine context has them; so are bounds (MPX), protection keys and tiles (AMX). Without AVX
    /// nothing is saved.
    #[must_use]
    pub const fn xsave(components: u64, size: u64, mxcsr_mask: u32) -> Self {
        /// XSAVE's alignment in bytes. The size is a multiple of it.
        const LINE: u64 = 64;
        let components = match (components & Self::XSAVE_COMPONENTS) as u32 {
            // AVX-512 needs AVX.
            with_avx if with_avx & 1 << Self::AVX != 0 => with_avx,
            _ => 0,
        };
        Self {
            components,
            mxcsr_mask,
            size: match size.checked_next_multiple_of(LINE) {
                _ if components == 0 => 0,
                Some(size) => size,
                // More than any stack has.
                None => !(LINE - 1),
            },
        }
    }

    /// Selects the registers of arm64 beyond NEON: those of SVE, of streaming mode and ZA (SME), ZT0 (SME2), TPIDR2_EL0, FPMR.
    ///
    /// `length` and `streaming_length` are the bytes of a vector outside and in streaming mode, 16 to 256 each. The trampoline saves the
    /// registers that the thread has in use, in the thread's own vector length, and refuses a thread whose registers do not fit in
    /// [`size`](Self::size) bytes ([`ReturnError::VectorLength`](crate::ReturnError::VectorLength)).
    ///
    /// Streaming mode takes 6528 bytes with vectors of 64 bytes, which an M4 has, and 74 880 with the longest vectors.
    ///
    /// ```
    /// use mach_sys::processor::Arm64Vectors;
    /// use signal_redirect::VectorSave;
    ///
    /// let mut vectors = Arm64Vectors::default();
    /// assert_eq!(VectorSave::scalable(vectors, 16, 16), VectorSave::NONE);
    /// vectors.sme = true;
    /// assert_eq!(VectorSave::scalable(vectors, 16, 64).size(), 6528);
    /// assert_eq!(VectorSave::scalable(vectors, 16, 256).size(), 74_880);
    /// ```
    #[must_use]
    #[doc(alias("SVE", "SME"))]
    pub const fn scalable(vectors: Arm64Vectors, length: u64, streaming_length: u64) -> Self {
        const LONGEST: u64 = 256;
        let mut components = 0;
        let mut longest = 0;
        let mut za = 0;
        if vectors.sve {
            components |= scalable::SVE;
            longest = length;
        }
        if vectors.sme {
            components |= scalable::SME;
            if streaming_length > longest {
                longest = streaming_length;
            }
            za = if streaming_length < LONGEST {
                streaming_length
            } else {
                LONGEST
            };
        }
        if vectors.sme && vectors.sme2 {
            components |= scalable::SME2;
        }
        if vectors.sme && vectors.sme_fa64 {
            components |= scalable::FA64;
        }
        if vectors.fpmr {
            components |= scalable::FPMR;
        }
        if components == 0 {
            return Self::NONE;
        }
        if longest > LONGEST {
            longest = LONGEST;
        }
        let size = scalable::VECTORS + scalable::PER_BYTE * longest + za * za;
        Self {
            components,
            size: size.next_multiple_of(64),
            ..Self::NONE
        }
    }

    /// The components that can be saved, as bits of XCR0: AVX, and the three of AVX-512.
    pub const XSAVE_COMPONENTS: u64 = 1 << Self::AVX | 0xe0;
    /// The number of AVX's component.
    const AVX: u32 = 2;

    /// Selects the components that CPUID reports for this x86_64 processor. `cpuid` takes a leaf and a subleaf and returns eax, ebx, ecx
    /// and edx.
    ///
    /// It uses the components that the processor supports, not those that are switched on. The latter differ from thread to thread,
    /// because Darwin switches a thread's AVX-512 on at its first use (G5.10). XSAVE and XRSTOR skip the components that the calling
    /// thread does not have; their place in the area stays unused.
    ///
    /// The size is that of the standard form, in which each component has a fixed place. The total sizes in leaf 0xD do not help: one
    /// covers only what this thread has switched on, the other includes tiles (AMX), and those of subleaf 1 are for the compacted form.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) fn of_x86_64(cpuid: impl Fn(u32, u32) -> [u32; 4], mxcsr_mask: u32) -> Self {
        const OSXSAVE: u32 = 1 << 27;
        const XSAVE_LEAF: u32 = 0xd;
        /// Offset and size of AVX's component on every processor, in bytes. The trampoline copies from there.
        const AVX_PLACE: (u32, u32) = (VectorSave::AVX_OFFSET as u32, VectorSave::AVX_SIZE as u32);
        let nothing = Self {
            mxcsr_mask,
            ..Self::NONE
        };
        let [highest, ..] = cpuid(0, 0);
        let [_, _, features, _] = cpuid(1, 0);
        if highest < XSAVE_LEAF || features & OSXSAVE == 0 {
            return nothing;
        }
        let components = u64::from(cpuid(XSAVE_LEAF, 0)[0]) & Self::XSAVE_COMPONENTS;
        let [avx_size, avx_offset, ..] = cpuid(XSAVE_LEAF, Self::AVX);
        if (avx_offset, avx_size) != AVX_PLACE {
            return nothing;
        }
        let size = (0..8)
            .filter(|component| components & 1 << component != 0)
            .map(|component| {
                let [size, offset, ..] = cpuid(XSAVE_LEAF, component);
                u64::from(size) + u64::from(offset)
            })
            .fold(0, u64::max);
        Self::xsave(components, size, mxcsr_mask)
    }

    /// Offset of AVX's component in XSAVE's standard form: after the legacy area and the header.
    pub(crate) const AVX_OFFSET: usize = 576;
    /// Bytes of AVX's component: the upper halves of sixteen registers.
    pub(crate) const AVX_SIZE: usize = 256;

    /// Returns `true` if the upper halves of the sixteen ymm registers are saved.
    pub(crate) const fn has_avx(self) -> bool {
        self.components & 1 << Self::AVX != 0
    }

    /// Returns the number of bytes needed on the stack.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Returns the word of the header that the trampoline reads.
    pub(crate) const fn word(self) -> u64 {
        self.components as u64 | (self.mxcsr_mask as u64) << 32
    }
}

/// The layout of [`VectorSave::scalable`]'s area, which the trampoline fills: SVCR, the vector lengths, TPIDR2_EL0, FPMR, ZT0; from
/// [`VECTORS`](scalable::VECTORS) on, those of z0–z31, p0–p15, ffr and ZA that the thread has in use.
pub(crate) mod scalable {
    // Bits of the header's word.
    pub(crate) const SVE: u32 = 1;
    pub(crate) const SME: u32 = 1 << 1;
    pub(crate) const SME2: u32 = 1 << 2;
    pub(crate) const FA64: u32 = 1 << 3;
    pub(crate) const FPMR: u32 = 1 << 4;

    /// Offset of z0.
    pub(crate) const VECTORS: u64 = 128;
    /// Bytes of z0–z31, p0–p15 and ffr for each byte of a vector: 32, 2 and an eighth, rounded up so that ZA is aligned.
    pub(crate) const PER_BYTE: u64 = 36;
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
    fn an_impossible_size_stays_impossible_after_rounding() {
        for size in [u64::MAX, u64::MAX - 62, u64::MAX - 63] {
            assert_eq!(VectorSave::xsave(4, size, 0).size(), u64::MAX - 63);
        }
    }

    #[test]
    fn without_avx_nothing_is_saved_below_the_frame() {
        let save = VectorSave::xsave(0x3 | 0xe0 | 1 << 9 | 1 << 18, 4096, 0xffbf);
        assert_eq!(save, VectorSave::NONE);
    }

    fn vectors(sve: bool, sme: bool) -> Arm64Vectors {
        let mut vectors = Arm64Vectors::default();
        (vectors.sve, vectors.sme) = (sve, sme);
        vectors
    }

    #[test]
    fn arm64s_area_has_room_for_the_longest_vectors() {
        let size = |sve, sme, length, streaming| {
            VectorSave::scalable(vectors(sve, sme), length, streaming).size()
        };
        assert_eq!(size(false, false, 64, 64), 0);
        assert_eq!(size(true, false, 32, 256), 128 + 36 * 32);
        assert_eq!(size(false, true, 256, 64), 128 + 36 * 64 + 64 * 64);
        assert_eq!(
            size(true, true, 64, 16),
            (128u64 + 36 * 64 + 256).next_multiple_of(64)
        );
        assert_eq!(size(true, true, 16, 256), 128 + 36 * 256 + 65536);
        // The architecture has none longer than 256 bytes: a wrong length is capped, so that the size does not overflow.
        assert_eq!(
            size(true, true, u64::MAX, u64::MAX),
            size(true, true, 256, 256)
        );
    }

    #[test]
    fn arm64s_word_has_a_bit_for_each_feature() {
        let mut all = vectors(true, true);
        (all.sme2, all.sme_fa64, all.fpmr) = (true, true, true);
        assert_eq!(VectorSave::scalable(all, 16, 16).word() as u32, 0x1f);
        // SME's extensions do not count without SME.
        all.sme = false;
        assert_eq!(VectorSave::scalable(all, 16, 16).word() as u32, 0x11);
    }

    /// CPUID results of a processor: ecx of leaf 1, and eax, ebx, ecx, edx of each subleaf of leaf 0xD. Subleaves not listed are 0.
    struct Processor {
        leaf_1_ecx: u32,
        leaf_d: &'static [(u32, [u32; 4])],
    }

    impl Processor {
        fn save(&self) -> VectorSave {
            let answer = |leaf, subleaf| match (leaf, subleaf) {
                (0, 0) => [0xd, 0, 0, 0],
                (1, 0) => [0, 0, self.leaf_1_ecx, 0],
                (0xd, _) => self
                    .leaf_d
                    .iter()
                    .find(|(number, _)| *number == subleaf)
                    .map_or([0; 4], |(_, answer)| *answer),
                _ => panic!("unexpected leaf {leaf:#x}"),
            };
            VectorSave::of_x86_64(answer, 0xffff)
        }
    }

    const XSAVE: u32 = 1 << 26;
    const OSXSAVE: u32 = 1 << 27;
    /// XSAVEOPT, XSAVEC, XGETBV with ecx = 1, XSAVES.
    const COMPACTING: u32 = 0xf;
    const AVX_PLACE: (u32, [u32; 4]) = (2, [256, 576, 0, 0]);

    /// Returns the components that XSAVE saves, and the size of their area in bytes.
    fn layout(save: VectorSave) -> (u64, u64) {
        (save.word() & 0xffff_ffff, save.size())
    }

    #[test]
    fn a_processor_with_sse_only_has_nothing_beyond_the_machine_context() {
        let nothing = VectorSave {
            mxcsr_mask: 0xffff,
            ..VectorSave::NONE
        };
        let old = Processor {
            leaf_1_ecx: 0,
            leaf_d: &[],
        };
        assert_eq!(old.save(), nothing);
        // XSAVE supports x87 and SSE only.
        let sse = Processor {
            leaf_1_ecx: XSAVE | OSXSAVE,
            leaf_d: &[(0, [3, 576, 576, 0])],
        };
        assert_eq!(sse.save(), nothing);
        // The system does not enable XSAVE.
        let unused = Processor {
            leaf_1_ecx: XSAVE,
            leaf_d: &[(0, [7, 576, 832, 0]), AVX_PLACE],
        };
        assert_eq!(unused.save(), nothing);
    }

    #[test]
    fn avx_takes_its_upper_halves_and_the_header() {
        let processor = Processor {
            leaf_1_ecx: XSAVE | OSXSAVE,
            leaf_d: &[(0, [7, 832, 832, 0]), AVX_PLACE],
        };
        assert_eq!(layout(processor.save()), (0x4, 832));
    }

    /// G5.10: ebx of subleaf 0 is the size of what this thread has switched on: SSE and AVX, on a thread that never used AVX-512.
    #[test]
    fn g5_10_avx_512_is_counted_on_a_thread_that_has_it_switched_off() {
        for switched_on in [832, 2432, 2688] {
            // A Skylake's: bounds at 960, AVX-512 at 1088, protection keys at 2688.
            let answers: &'static [(u32, [u32; 4])] = Box::leak(Box::new([
                (0, [0x2ff, switched_on, 2696, 0]),
                AVX_PLACE,
                (3, [64, 960, 0, 0]),
                (4, [64, 1024, 0, 0]),
                (5, [64, 1088, 0, 0]),
                (6, [512, 1152, 0, 0]),
                (7, [1024, 1664, 0, 0]),
                (9, [8, 2688, 0, 0]),
            ]));
            let processor = Processor {
                leaf_1_ecx: XSAVE | OSXSAVE,
                leaf_d: answers,
            };
            assert_eq!(layout(processor.save()), (0xe4, 2688));
        }
    }

    /// AMD has no bounds, and AVX-512 right after AVX.
    #[test]
    fn components_have_the_offsets_that_the_processor_reports() {
        let processor = Processor {
            leaf_1_ecx: XSAVE | OSXSAVE,
            leaf_d: &[
                (0, [0x2e7, 2440, 2440, 0]),
                (1, [COMPACTING, 2440, 0, 0]),
                AVX_PLACE,
                (5, [64, 832, 0, 0]),
                (6, [512, 896, 0, 0]),
                (7, [1024, 1408, 0, 0]),
                (9, [8, 2432, 0, 0]),
            ],
        };
        assert_eq!(layout(processor.save()), (0xe4, 2432));
    }

    /// A Sapphire Rapids: tiles raise the total to 11 008 bytes, and each component is aligned in the compacted form.
    #[test]
    fn tiles_and_the_compacted_form_change_nothing() {
        const ALIGNED: u32 = 2;
        for compacting in [0, COMPACTING, COMPACTING | 1 << 4] {
            let answers: &'static [(u32, [u32; 4])] = Box::leak(Box::new([
                (0, [0x602e7, 2696, 11008, 0]),
                (1, [compacting, 9920, 0x1900, 0]),
                (2, [256, 576, 0, 0]),
                (5, [64, 1088, ALIGNED, 0]),
                (6, [512, 1152, 0, 0]),
                (7, [1024, 1664, 0, 0]),
                (9, [8, 2688, 0, 0]),
                (17, [64, 2752, ALIGNED, 0]),
                (18, [8192, 2816, ALIGNED | 4, 0]),
            ]));
            let processor = Processor {
                leaf_1_ecx: XSAVE | OSXSAVE,
                leaf_d: answers,
            };
            assert_eq!(layout(processor.save()), (0xe4, 2688));
        }
    }

    #[test]
    fn avx_at_another_offset_is_not_saved() {
        let processor = Processor {
            leaf_1_ecx: XSAVE | OSXSAVE,
            leaf_d: &[(0, [7, 832, 1024, 0]), (2, [256, 640, 0, 0])],
        };
        assert_eq!(processor.save().size(), 0);
    }

    #[test]
    fn a_leaf_that_the_processor_lacks_is_not_used() {
        let answer = |leaf, _| match leaf {
            0 => [0xb, 0, 0, 0],
            1 => [0, 0, XSAVE | OSXSAVE, 0],
            // Intel's processors return the data of their highest leaf.
            _ => [7, 7, 7, 7],
        };
        assert_eq!(VectorSave::of_x86_64(answer, 0xffff).size(), 0);
    }
}
