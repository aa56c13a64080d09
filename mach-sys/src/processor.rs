//! The registers of this processor that the system lets code use.
#![allow(unsafe_code)]

/// The vector registers of arm64 beyond NEON's that exist. All `false` on x86_64, and on a system that does not report them.
///
/// ```
/// use mach_sys::processor::Arm64Vectors;
///
/// let native = Arm64Vectors::native();
/// assert_eq!(native, Arm64Vectors::native());
/// assert!(native.sme || !native.sme2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Arm64Vectors {
    /// SVE: z0–z31 beyond the 128 bits of v0–v31, p0–p15, ffr. A processor with SME and without SVE has z and p only in streaming mode.
    pub sve: bool,
    /// SME: streaming mode, ZA and TPIDR2_EL0.
    pub sme: bool,
    /// SME2: ZT0.
    pub sme2: bool,
    /// FA64: the whole instruction set in streaming mode, and with it ffr.
    pub sme_fa64: bool,
    /// FPMR: the register for modes of 8-bit floating point.
    pub fpmr: bool,
}

impl Arm64Vectors {
    /// Returns the registers of this processor. Each call queries the system: call it at a program's start, not after a fault.
    #[must_use]
    #[doc(alias("getauxval", "sysctlbyname"))]
    pub fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            host::arm64_vectors()
        } else {
            Self::default()
        }
    }
}

#[cfg(target_vendor = "apple")]
mod host {
    use super::Arm64Vectors;
    use core::ffi::{CStr, c_int};

    /// Returns `true` if the system has this value and it is 1.
    fn is_set(name: &CStr) -> bool {
        let mut value: c_int = 0;
        let mut size = size_of::<c_int>();
        // SAFETY: the name ends with a zero; `value` has `size` bytes; no new value is passed.
        let error = unsafe {
            libc::sysctlbyname(
                name.as_ptr(),
                (&raw mut value).cast(),
                &mut size,
                core::ptr::null_mut(),
                0,
            )
        };
        error == 0 && value == 1
    }

    pub(super) fn arm64_vectors() -> Arm64Vectors {
        let sme = is_set(c"hw.optional.arm.FEAT_SME");
        Arm64Vectors {
            // No Mac has SVE. A value that does not exist counts as 0.
            sve: is_set(c"hw.optional.arm.FEAT_SVE"),
            sme,
            sme2: sme && is_set(c"hw.optional.arm.FEAT_SME2"),
            sme_fa64: sme && is_set(c"hw.optional.arm.FEAT_SME_FA64"),
            fpmr: is_set(c"hw.optional.arm.FEAT_FPMR"),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod host {
    use super::Arm64Vectors;

    // Bits of Linux's `asm/hwcap.h` for arm64.
    const SVE: u64 = 1 << 22;
    const SME: u64 = 1 << 23;
    const SME_FA64: u64 = 1 << 30;
    const SME2: u64 = 1 << 37;
    const FPMR: u64 = 1 << 48;

    pub(super) fn arm64_vectors() -> Arm64Vectors {
        // SAFETY: getauxval has no preconditions, and returns 0 for a value that does not exist.
        let (first, second) = unsafe {
            (
                libc::getauxval(libc::AT_HWCAP),
                libc::getauxval(libc::AT_HWCAP2),
            )
        };
        of_hwcap(first, second)
    }

    /// Returns the registers for Linux's `AT_HWCAP`, with the bit of SVE, and `AT_HWCAP2`, with the others.
    pub(super) fn of_hwcap(first: u64, second: u64) -> Arm64Vectors {
        let sme = second & SME != 0;
        Arm64Vectors {
            sve: first & SVE != 0,
            sme,
            sme2: sme && second & SME2 != 0,
            sme_fa64: sme && second & SME_FA64 != 0,
            fpmr: second & FPMR != 0,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// The bits of qemu-user 7.2 with everything on, and with SVE and SME off.
        #[test]
        fn each_of_linuxs_bits_sets_its_own_field() {
            let all = Arm64Vectors {
                sve: true,
                sme: true,
                sme_fa64: true,
                ..Default::default()
            };
            assert_eq!(of_hwcap(0xecff_fffb, 0x7f87_7fff), all);
            let none = Arm64Vectors::default();
            assert_eq!(of_hwcap(0xecbf_fffb, 0x7_6181), none);
            let newer = of_hwcap(0, 1 << 23 | 1 << 37 | 1 << 48);
            assert!(newer.sme && newer.sme2 && newer.fpmr && !newer.sve && !newer.sme_fa64);
        }
    }
}

#[cfg(not(any(target_vendor = "apple", target_os = "linux", target_os = "android")))]
mod host {
    pub(super) fn arm64_vectors() -> super::Arm64Vectors {
        super::Arm64Vectors::default()
    }
}
