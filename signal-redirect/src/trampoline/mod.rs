//! The code that a redirected thread runs around its handler.
//!
//! A trampoline is entered by setting registers: the stack pointer and one callee-saved register (rbx, x19) hold the frame's
//! address. It saves the vector registers, sets the floating-point environment in which C code expects to start (x87 control
//! word 0x37f and empty stack, MXCSR 0x1f80; FPCR and FPSR 0), *calls* the handler — a forged return address would fault where
//! shadow stacks are on — restores the vector registers, and traps. Its unwind information describes the interrupted registers
//! in the frame, as a signal frame, so that debuggers and backtraces cross it.

#[cfg(target_arch = "aarch64")]
mod arm64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::ffi::c_int;
use core::marker::PhantomData;

use mach_sys::darwin::{siginfo_t, ucontext_t};

use crate::arch::{Arch, Native};
use crate::key::Key;

/// A three-argument signal handler, with Darwin's signal number and structures.
pub type Handler = unsafe extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t);

/// A handler that a thread can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<A: Arch = Native> {
    address: u64,
    arch: PhantomData<A>,
}

impl<A: Arch> Entry<A> {
    /// The handler at an address, for plans that are computed and not run.
    pub const fn at(address: u64) -> Self {
        Self {
            address,
            arch: PhantomData,
        }
    }

    /// The handler's address.
    pub const fn address(self) -> u64 {
        self.address
    }
}

/// Distance from the return trap to the entry: the trap comes first, so that one symbol names both.
const ENTRY: u64 = 16;

/// The code around handlers, and what it was told about the processor and the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trampoline<A: Arch = Native> {
    trap: u64,
    save: VectorSave,
    key: Key,
    arch: PhantomData<A>,
}

impl<A: Arch> Trampoline<A> {
    /// A trampoline that would lie at `address`, for plans that are computed and not run.
    pub const fn planned(address: u64, key: Key) -> Self {
        Self {
            trap: address,
            save: VectorSave::NONE,
            key,
            arch: PhantomData,
        }
    }

    /// The same with another way of saving vector registers, for plans that are computed and not run.
    pub const fn vector_save(mut self, save: VectorSave) -> Self {
        self.save = save;
        self
    }

    /// The same with another key, as for another thread.
    pub const fn with_key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Where a thread is sent.
    pub const fn entry(&self) -> u64 {
        self.trap + ENTRY
    }

    /// Where it traps when its handler has returned.
    pub const fn trap(&self) -> u64 {
        self.trap
    }

    /// How vector registers are saved.
    pub const fn save(&self) -> VectorSave {
        self.save
    }

    pub(crate) const fn key(&self) -> Key {
        self.key
    }
}

/// How the trampoline saves the registers that the machine context has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorSave {
    components: u32,
    mxcsr_mask: u32,
    size: u64,
}

impl VectorSave {
    /// Nothing beyond the machine context: arm64, and x86_64 without AVX.
    pub const NONE: Self = Self {
        components: 0,
        // The default that Intel gives for processors that say nothing.
        mxcsr_mask: 0xffbf,
        size: 0,
    };

    /// x86_64: XSAVE of these state components, which take `size` bytes in its standard form with legacy area and header.
    ///
    /// x87 and SSE are left out: they are in the machine context. Without AVX there is nothing more. Left out are too bounds (MPX), protection keys and tiles (AMX).
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

    /// AVX, and AVX-512's three.
    pub const XSAVE_COMPONENTS: u64 = 1 << Self::AVX | 0xe0;
    /// The number of AVX's component.
    const AVX: u32 = 2;

    /// Whether there are upper halves of the sixteen ymm registers.
    pub(crate) const fn has_avx(self) -> bool {
        self.components & 1 << Self::AVX != 0
    }

    /// Bytes on the stack.
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_processors_own_save_is_asked_for_once_and_holds_what_it_says() {
        let key = Key::new(1);
        let native = Trampoline::<Native>::native(key);
        assert_eq!(native, Trampoline::native(key));
        if std::is_x86_feature_detected!("avx") {
            // Legacy area, header, sixteen upper halves.
            assert!(native.save().size() >= 576 + 256);
            assert_ne!(native.save().word() & 4, 0);
        }
    }
}
