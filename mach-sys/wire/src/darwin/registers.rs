//! Typed access to the registers in the machine context of a signal handler's `ucontext_t`.
//!
//! `uc_mcontext` is an address. The structure there depends on the machine and, on x86_64, on `uc_mcsize`. The methods here return
//! each part, so that no caller computes an offset.
#![allow(unsafe_code)]

use super::mcontext::{
    arm_mcontext64_t, x86_mcontext_avx64_t, x86_mcontext_avx512_64_t, x86_mcontext64_t,
};
use super::ucontext::ucontext_t;
use crate::thread_state::{
    NativeState, arm_exception_state64_t, arm_neon_state64_t, arm_thread_state64_t,
    x86_avx_state64_t, x86_avx512_state64_t, x86_exception_state64_t, x86_float_state64_t,
    x86_thread_state64_t,
};
use core::mem::offset_of;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Offset of this machine's general registers in its machine context, in bytes.
const NATIVE_AT: usize = if cfg!(target_arch = "aarch64") {
    offset_of!(arm_mcontext64_t, ss)
} else {
    offset_of!(x86_mcontext64_t, ss)
};

/// Declares the methods for a part that every machine context of a machine has: one for reading, one for reading and writing.
macro_rules! parts {
    ($($(#[$meta:meta])* $get:ident $get_mut:ident: $state:ty = $at:expr;)*) => {$(
        $(#[$meta])*
        ///
        /// # Safety
        /// The contract of [`registers`](Self::registers), with a machine context of the machine in this method's name.
        #[must_use]
        pub unsafe fn $get(&self) -> &$state {
            // SAFETY: by the caller's contract a live machine context starts at `uc_mcontext` and has this part at this offset, aligned as
            // the context is, and no exclusive reference to it lives.
            unsafe { &*with_exposed_provenance(self.part_at($at)) }
        }

        #[doc = concat!("Returns the part that [`", stringify!($get), "`](Self::", stringify!($get), ") returns, for reading and writing.")]
        ///
        /// # Safety
        /// The contract of [`registers_mut`](Self::registers_mut), with a machine context of the machine in this method's name.
        #[must_use]
        pub unsafe fn $get_mut(&mut self) -> &mut $state {
            // SAFETY: as in the method above; by the caller's contract no other reference to the part lives.
            unsafe { &mut *with_exposed_provenance_mut(self.part_at($at)) }
        }
    )*};
}

/// Declares the methods for a part that only machine contexts of a certain size have.
macro_rules! sized_parts {
    ($($(#[$meta:meta])* $get:ident $get_mut:ident: $state:ty, $context:ty;)*) => {$(
        $(#[$meta])*
        ///
        /// # Safety
        /// The contract of [`registers`](Self::registers), with a machine context of x86_64 of `uc_mcsize` bytes.
        #[must_use]
        pub unsafe fn $get(&self) -> Option<&$state> {
            if self.uc_mcsize < size_of::<$context>() as u64 {
                return None;
            }
            let at = self.part_at(offset_of!($context, fs));
            // SAFETY: by the caller's contract a live machine context of `uc_mcsize` bytes starts at `uc_mcontext`. The part is within
            // it, aligned as the context is, and no exclusive reference to it lives.
            Some(unsafe { &*with_exposed_provenance(at) })
        }

        #[doc = concat!("Returns the part that [`", stringify!($get), "`](Self::", stringify!($get), ") returns, for reading and writing.")]
        ///
        /// # Safety
        /// The contract of [`registers_mut`](Self::registers_mut), with a machine context of x86_64 of `uc_mcsize` bytes.
        #[must_use]
        pub unsafe fn $get_mut(&mut self) -> Option<&mut $state> {
            if self.uc_mcsize < size_of::<$context>() as u64 {
                return None;
            }
            let at = self.part_at(offset_of!($context, fs));
            // SAFETY: as in the method above; by the caller's contract no other reference to the part lives.
            Some(unsafe { &mut *with_exposed_provenance_mut(at) })
        }
    )*};
}

/// Registers of the interrupted thread. A signal handler may read and edit them; the thread resumes with its edits.
///
/// ```
/// use core::ffi::c_int;
/// use mach_wire::darwin::{siginfo_t, ucontext_t};
/// use mach_wire::thread_state::Registers;
///
/// /// Steps over the instruction that faulted.
/// unsafe extern "C" fn skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
///     // SAFETY: a redirect passes its own structures, which live until this handler returns; no other reference to them exists.
///     let registers = unsafe { (*context).registers_mut() };
///     let length = if cfg!(target_arch = "x86_64") { 2 } else { 4 };
///     registers.set_pc(registers.pc() + length);
/// }
/// # let mut machine = mach_wire::thread_state::NativeState::default();
/// # machine.set_pc(0x1000);
/// # let (mut x86, mut arm) = (mach_wire::darwin::x86_mcontext64_t::default(), mach_wire::darwin::arm_mcontext64_t::default());
/// # let at = if cfg!(target_arch = "x86_64") { (&raw mut x86).expose_provenance() } else { (&raw mut arm).expose_provenance() };
/// # let mut context = ucontext_t { uc_mcontext: at as u64, ..Default::default() };
/// # let length = if cfg!(target_arch = "x86_64") { 2 } else { 4 };
/// # unsafe { skip(11, &mut siginfo_t::default(), &mut context) };
/// # assert_eq!(unsafe { context.registers() }.pc(), length);
/// ```
impl ucontext_t {
    /// Returns the address of a part of the machine context.
    const fn part_at(&self, offset: usize) -> usize {
        (self.uc_mcontext as usize).wrapping_add(offset)
    }

    /// Returns the general registers of the machine that this crate is compiled for.
    ///
    /// # Safety
    /// - `uc_mcontext` is the address of a machine context of this machine in Darwin's layout, in this process's memory, as in the
    ///   `ucontext_t` that a redirect or Darwin's kernel passes to a signal handler. Linux's own `ucontext_t` is another structure.
    /// - The context lives as long as the returned reference: at most until the handler returns or leaves by a jump.
    /// - While the reference lives, nothing writes to that part of the context.
    #[must_use]
    #[doc(alias("uc_mcontext", "__ss", "mcontext_t"))]
    pub unsafe fn registers(&self) -> &NativeState {
        // SAFETY: by the caller's contract a live machine context of this machine starts at `uc_mcontext`.
        unsafe { &*with_exposed_provenance(self.part_at(NATIVE_AT)) }
    }

    /// Returns the general registers of the machine that this crate is compiled for, for reading and writing. The thread resumes with
    /// them when the handler returns.
    ///
    /// # Safety
    /// The contract of [`registers`](Self::registers); and while the reference lives, nothing else reads or writes that part of the
    /// context.
    #[must_use]
    pub unsafe fn registers_mut(&mut self) -> &mut NativeState {
        // SAFETY: as in `registers`; by the caller's contract no other reference to the part lives.
        unsafe { &mut *with_exposed_provenance_mut(self.part_at(NATIVE_AT)) }
    }

    parts! {
        /// Returns the general registers of x86_64.
        x86_registers x86_registers_mut: x86_thread_state64_t = offset_of!(x86_mcontext64_t, ss);
        /// Returns the trap number, the error code and the fault address of x86_64. Edits have no effect on the thread.
        #[doc(alias = "__es")]
        x86_exception_state x86_exception_state_mut: x86_exception_state64_t = offset_of!(x86_mcontext64_t, es);
        /// Returns the x87 and SSE registers of x86_64, the start of the vector part of every machine context.
        #[doc(alias = "__fs")]
        x86_float_state x86_float_state_mut: x86_float_state64_t = offset_of!(x86_mcontext64_t, fs);
        /// Returns the general registers of arm64. On arm64e its pointers may be signed ([`arm_thread_state64_t::is_signed`]).
        arm_registers arm_registers_mut: arm_thread_state64_t = offset_of!(arm_mcontext64_t, ss);
        /// Returns the fault address and the syndrome of arm64. Edits have no effect on the thread.
        arm_exception_state arm_exception_state_mut: arm_exception_state64_t = offset_of!(arm_mcontext64_t, es);
        /// Returns the vector registers of arm64 with `fpsr` and `fpcr`.
        #[doc(alias = "__ns")]
        arm_neon_state arm_neon_state_mut: arm_neon_state64_t = offset_of!(arm_mcontext64_t, ns);
    }

    sized_parts! {
        /// Returns the x87, SSE and AVX registers of x86_64. `None` if `uc_mcsize` is too small for them.
        x86_avx_state x86_avx_state_mut: x86_avx_state64_t, x86_mcontext_avx64_t;
        /// Returns the x87, SSE, AVX and AVX-512 registers of x86_64. `None` if `uc_mcsize` is too small for them.
        x86_avx512_state x86_avx512_state_mut: x86_avx512_state64_t, x86_mcontext_avx512_64_t;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a `ucontext_t` for the machine context `machine`.
    fn context_of<T>(machine: &mut T) -> ucontext_t {
        ucontext_t {
            uc_mcsize: size_of::<T>() as u64,
            uc_mcontext: (&raw mut *machine).expose_provenance() as u64,
            ..Default::default()
        }
    }

    #[test]
    fn each_part_of_an_x86_context_is_where_darwin_puts_it() {
        let mut machine = x86_mcontext_avx512_64_t::default();
        let mut context = context_of(&mut machine);
        // SAFETY: the context points to `machine`, which nothing else uses while the references live.
        unsafe {
            context.x86_registers_mut().rip = 1;
            context.x86_exception_state_mut().faultvaddr = 2;
            context.x86_float_state_mut().fpu_mxcsr = 3;
            context.x86_avx_state_mut().expect("AVX").fpu_ymmh[15].xmm_reg = [4; 16];
            let wide = context.x86_avx512_state_mut().expect("AVX-512");
            wide.fpu_zmm[15].zmm_reg = [5; 64];
            assert_eq!(context.x86_registers().rip, 1);
            assert_eq!(context.x86_exception_state().faultvaddr, 2);
            assert_eq!(context.x86_float_state().fpu_mxcsr, 3);
            assert!(context.x86_avx_state().is_some());
            assert!(context.x86_avx512_state().is_some());
        }
        assert_eq!((machine.ss.rip, machine.es.faultvaddr), (1, 2));
        assert_eq!(machine.fs.fpu_mxcsr, 3);
        assert_eq!(machine.fs.fpu_ymmh[15].xmm_reg, [4; 16]);
        assert_eq!(machine.fs.fpu_zmm[15].zmm_reg, [5; 64]);
    }

    #[test]
    fn a_smaller_x86_context_has_no_wider_registers() {
        let mut machine = x86_mcontext64_t::default();
        let mut context = context_of(&mut machine);
        // SAFETY: as above.
        unsafe {
            assert!(context.x86_avx_state().is_none());
            assert!(context.x86_avx_state_mut().is_none());
        }
        let mut machine = x86_mcontext_avx64_t::default();
        let mut context = context_of(&mut machine);
        // SAFETY: as above.
        unsafe {
            assert!(context.x86_avx_state().is_some());
            assert!(context.x86_avx512_state().is_none());
            assert!(context.x86_avx512_state_mut().is_none());
        }
    }

    #[test]
    fn each_part_of_an_arm_context_is_where_darwin_puts_it() {
        let mut machine = arm_mcontext64_t::default();
        let mut context = context_of(&mut machine);
        // SAFETY: as above.
        unsafe {
            context.arm_registers_mut().pc = 1;
            context.arm_exception_state_mut().far = 2;
            context.arm_neon_state_mut().fpcr = 3;
            assert_eq!(context.arm_registers().pc, 1);
            assert_eq!(context.arm_exception_state().far, 2);
            assert_eq!(context.arm_neon_state().fpcr, 3);
        }
        assert_eq!((machine.ss.pc, machine.es.far, machine.ns.fpcr), (1, 2, 3));
    }
}
