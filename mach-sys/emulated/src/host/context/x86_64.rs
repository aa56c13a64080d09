//! The context on x86_64.
#![allow(unsafe_code)]

use super::Context;
use super::classify::{self, Delivered, Hardware, Raised, Trust};
use crate::host::sys::copy;
use core::arch::x86_64::__cpuid_count;
use core::mem::offset_of;
use mach_wire::pod;
use mach_wire::thread_state::{
    x86_avx_state64_t, x86_avx512_state64_t, x86_exception_state64_t, x86_float_state64_t,
    x86_thread_state64_t,
};

/// Offsets of the general registers in the kernel's `ucontext`.
mod at {
    pub(super) const R8: usize = 40;
    pub(super) const RDI: usize = 104;
    pub(super) const RSI: usize = 112;
    pub(super) const RBP: usize = 120;
    pub(super) const RBX: usize = 128;
    pub(super) const RDX: usize = 136;
    pub(super) const RAX: usize = 144;
    pub(super) const RCX: usize = 152;
    pub(super) const RSP: usize = 160;
    pub(super) const RIP: usize = 168;
    pub(super) const RFLAGS: usize = 176;
    pub(super) const CS: usize = 184;
    pub(super) const GS: usize = 186;
    pub(super) const FS: usize = 188;
    pub(super) const ERROR: usize = 192;
    pub(super) const TRAP: usize = 200;
    pub(super) const CR2: usize = 216;
    pub(super) const FPSTATE: usize = 224;
}

/// Linux's selector of 64-bit user code, and XNU's (A4.8).
const USER_CODE: u16 = 0x33;
const XNU_USER_CODE: u64 = 0x2b;

/// The AC flag.
const ALIGNMENT_CHECK: u64 = 0x4_0000;

/// The FXSAVE image, and the bits of an XSAVE header that say that it counts.
const FXSAVE: usize = 512;
const XSTATE_BV: usize = 512;
const FP_MAGIC: usize = 464;
const FP_MAGIC1: u32 = 0x4650_5853;
const XFEATURES: usize = 472;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
/// The component of AVX's upper halves: its bit, where it always lies behind the image, and its size.
const AVX: u64 = 1 << 2;
const UPPER_HALVES: usize = 576;
const UPPER_HALVES_SIZE: usize = 256;
/// MXCSR bits of a processor that does not say which it has.
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

const _: () =
    assert!(size_of::<x86_float_state64_t>() == offset_of!(x86_avx_state64_t, avx_reserved1));
/// Registers of the image, before the words that are not: all that XNU's float states have, too.
const REGISTERS: usize = FP_MAGIC - 48;
/// Offsets of the FXSAVE image in XNU's float states, and of the upper halves in the AVX state, in bytes.
const IMAGE: usize = offset_of!(x86_avx_state64_t, fpu_fcw);
const YMMH: usize = offset_of!(x86_avx_state64_t, fpu_ymmh);
const _: () = assert!(IMAGE == offset_of!(x86_float_state64_t, fpu_fcw));
const _: () = assert!(YMMH + UPPER_HALVES_SIZE == size_of::<x86_avx_state64_t>());

/// Offset of the kernel's word for the size of the image that it wrote, in bytes. It follows the components' bits.
const XSTATE_SIZE: usize = 480;
/// The components of AVX-512: bit, place in XNU's state, bytes.
const AVX512: [(u32, usize, usize); 3] = [
    (5, offset_of!(x86_avx512_state64_t, fpu_k), 64),
    (6, offset_of!(x86_avx512_state64_t, fpu_zmmh), 512),
    (7, offset_of!(x86_avx512_state64_t, fpu_zmm), 1024),
];
const _: () = assert!(AVX512[0].1 == size_of::<x86_avx_state64_t>());
const _: () = assert!(AVX512[2].1 + AVX512[2].2 == size_of::<x86_avx512_state64_t>());

/// Returns where a component lies in an image of the processor's standard format; `None` if it is not as large as expected.
fn component_offset(bit: u32, size: usize) -> Option<usize> {
    const XSAVE_LEAF: u32 = 0xd;
    // Newer compilers know that this is safe.
    #[allow(unused_unsafe)]
    // SAFETY: every 64-bit processor has the instruction.
    let leaf = unsafe { __cpuid_count(XSAVE_LEAF, bit) };
    (leaf.eax as usize == size).then_some(leaf.ebx as usize)
}

impl Context {
    pub(super) const MASK: usize = 296;

    /// Returns whether the interrupted code is 64-bit user code. Everything else is declined untouched (R20).
    pub(in crate::host) fn is_native_code(&self) -> bool {
        self.read::<u16>(at::CS) == USER_CODE
    }

    /// Returns the interrupted program counter.
    pub(in crate::host) fn program_counter(&self) -> usize {
        self.read(at::RIP)
    }

    /// Returns the interrupted stack pointer.
    pub(in crate::host) fn stack_pointer(&self) -> usize {
        self.read(at::RSP)
    }

    /// XNU never lets the processor check alignment: such a fault ends with the check switched off, and the access succeeds
    /// (G1.9). Whether it was one.
    pub(in crate::host) fn clear_alignment_check(&mut self, signal: i32, si_code: i32) -> bool {
        const BUS_ADRALN: i32 = 1;
        let flags: u64 = self.read(at::RFLAGS);
        let checked =
            signal == libc::SIGBUS && si_code == BUS_ADRALN && flags & ALIGNMENT_CHECK != 0;
        if checked {
            self.write(at::RFLAGS, flags & !ALIGNMENT_CHECK);
        }
        checked
    }

    /// Returns whether a siginfo may belong to this context.
    pub(in crate::host) fn may_come_with(&self, signal: i32, si_code: i32, si_addr: u64) -> bool {
        const PAGE_FAULT: u64 = 14;
        // SEGV_MAPERR, SEGV_ACCERR, SEGV_PKUERR: a page fault's.
        let is_page_fault = signal == libc::SIGSEGV && matches!(si_code, 1 | 2 | 4);
        !is_page_fault
            || self.read::<u64>(at::TRAP) != PAGE_FAULT
            || self.read::<u64>(at::CR2) == si_addr
    }

    /// Returns the code and the address that the siginfo of a signal would have, as far as the hardware's words tell. `None` if no trap
    /// of the signal's was the last one: it was sent.
    pub(in crate::host) fn described(&self, signal: i32, trust: Trust) -> Option<(i32, u64)> {
        const SI_KERNEL: i32 = 0x80;
        const PROTECTION: u64 = 1;
        let (pc, address) = (self.read::<u64>(at::RIP), self.read::<u64>(at::CR2));
        if trust == Trust::SignalOnly {
            return Some((1, address));
        }
        let protection = self.read::<u64>(at::ERROR) & PROTECTION != 0;
        Some(match (signal, self.read::<u64>(at::TRAP)) {
            (libc::SIGSEGV, 14) => (if protection { 2 } else { 1 }, address),
            (libc::SIGBUS, 14) => (2, address),
            (libc::SIGBUS, 17) => (1, 0),
            (libc::SIGSEGV, 4 | 13) | (libc::SIGBUS, 12) | (libc::SIGTRAP, 3) => (SI_KERNEL, 0),
            (libc::SIGILL, 6) => (2, pc),
            (libc::SIGFPE, 0) => (1, pc),
            (libc::SIGFPE, 16 | 19) => (7, pc),
            (libc::SIGTRAP, 1) => (2, pc),
            _ => return None,
        })
    }

    /// Ends a probed copy, whose fault the entry did not recognise, with its result.
    pub(in crate::host) fn end_copy(&mut self, end: usize, outcome: usize) {
        self.write(at::RIP, end);
        self.write(
            at::RAX,
            outcome | usize::from(self.read::<u8>(at::TRAP)) << 16,
        );
    }

    pub(in crate::host) fn classify(
        &self,
        signal: i32,
        si_code: i32,
        si_addr: u64,
        trust: Trust,
    ) -> Option<Raised> {
        let detail = match self.fxsave() {
            Some(image) => {
                // SAFETY: the image has 512 bytes; the status word is at offset 2, MXCSR at 24.
                let (status, mxcsr) = unsafe {
                    (
                        ((image + 2) as *const u16).read_unaligned(),
                        ((image + MXCSR) as *const u32).read_unaligned(),
                    )
                };
                u64::from(mxcsr) << 32 | u64::from(status)
            }
            None => 0,
        };
        let delivered = Delivered {
            signal,
            si_code,
            si_addr,
            pc: self.read(at::RIP),
            hardware: Hardware {
                trap: self.read(at::TRAP),
                error: self.read(at::ERROR),
                detail,
                sp: self.read(at::RSP),
            },
        };
        const SI_KERNEL: i32 = 0x80;
        let interrupt = match (signal, si_code) {
            (libc::SIGSEGV, SI_KERNEL) => self.software_interrupt(),
            _ => None,
        };
        interrupt.or_else(|| Self::as_reserved(classify::x86_64(delivered, trust)))
    }

    /// Returns what an `int` instruction raises that XNU lets user code do (G1.12).
    fn software_interrupt(&self) -> Option<Raised> {
        const GENERAL_PROTECTION: u64 = 13;
        let error = self.read(at::ERROR);
        if self.read::<u64>(at::TRAP) != GENERAL_PROTECTION
            || !matches!(error, classify::INT_5 | classify::INT_7F)
        {
            return None;
        }
        let mut instruction = [0; 2];
        copy::read(self.read(at::RIP), &mut instruction).ok()?;
        classify::software_interrupt(error, instruction)
    }

    /// Moves the program counter behind an `int` instruction that was [classified](Self::classify) as XNU's. Returns where it was.
    pub(in crate::host) fn pass_interrupt(&mut self) -> Option<usize> {
        self.software_interrupt()?;
        let pc = self.program_counter();
        self.write(at::RIP, pc + 2);
        Some(pc)
    }

    /// Moves the program counter back to such an instruction, unless it was changed since.
    pub(in crate::host) fn return_to_interrupt(&mut self, pc: usize) {
        if self.program_counter() == pc + 2 {
            self.write(at::RIP, pc);
        }
    }

    /// Returns false: the instruction is one of arm64 (F6.7).
    pub(in crate::host) fn is_at_fatal_breakpoint(&self) -> bool {
        false
    }

    /// Returns the floating-point image of the frame, if the kernel wrote one.
    fn fxsave(&self) -> Option<usize> {
        match self.read::<usize>(at::FPSTATE) {
            0 => None,
            image => Some(image),
        }
    }

    /// Returns the general registers, with the code selector as XNU shows it.
    pub(crate) fn general(&self) -> x86_thread_state64_t {
        let mut state = x86_thread_state64_t {
            rax: self.read(at::RAX),
            rbx: self.read(at::RBX),
            rcx: self.read(at::RCX),
            rdx: self.read(at::RDX),
            rdi: self.read(at::RDI),
            rsi: self.read(at::RSI),
            rbp: self.read(at::RBP),
            rsp: self.read(at::RSP),
            rip: self.read(at::RIP),
            rflags: self.read(at::RFLAGS),
            cs: XNU_USER_CODE,
            fs: u64::from(self.read::<u16>(at::FS)),
            gs: u64::from(self.read::<u16>(at::GS)),
            ..x86_thread_state64_t::default()
        };
        let high: [u64; 8] = self.read(at::R8);
        [
            state.r8, state.r9, state.r10, state.r11, state.r12, state.r13, state.r14, state.r15,
        ] = high;
        state
    }

    /// Takes the general registers; selectors stay the system's.
    pub(crate) fn set_general(&mut self, state: &x86_thread_state64_t) {
        for (offset, value) in [
            (at::RAX, state.rax),
            (at::RBX, state.rbx),
            (at::RCX, state.rcx),
            (at::RDX, state.rdx),
            (at::RDI, state.rdi),
            (at::RSI, state.rsi),
            (at::RBP, state.rbp),
            (at::RSP, state.rsp),
            (at::RIP, state.rip),
            (at::RFLAGS, state.rflags),
        ] {
            self.write(offset, value);
        }
        let high = [
            state.r8, state.r9, state.r10, state.r11, state.r12, state.r13, state.r14, state.r15,
        ];
        self.write(at::R8, high);
    }

    /// Returns the x87 and SSE registers; `None` if the frame has none.
    pub(crate) fn float(&self) -> Option<x86_float_state64_t> {
        let image = self.fxsave()?;
        let mut state = x86_float_state64_t::default();
        let bytes = &mut pod::bytes_of_mut(&mut state)[8..8 + FXSAVE];
        // SAFETY: the image has 512 bytes in the frame, and the state as many after its first two words.
        unsafe {
            core::ptr::copy_nonoverlapping(image as *const u8, bytes.as_mut_ptr(), FXSAVE);
        }
        // The last 48 bytes are the kernel's own words, not registers.
        state.fpu_rsrv4[48..].fill(0);
        Some(state)
    }

    /// Takes the x87 and SSE registers. `false` if the frame has no place for them.
    pub(crate) fn set_float(&mut self, state: &x86_float_state64_t) -> bool {
        let Some(image) = self.fxsave() else {
            return false;
        };
        self.write_image(image, &pod::bytes_of(state)[IMAGE..IMAGE + REGISTERS]);
        true
    }

    /// Writes the registers of an image; MXCSR bits that the processor does not have are dropped, since returning with them set is
    /// a bad frame.
    fn write_image(&mut self, image: usize, registers: &[u8]) {
        // SAFETY: the image has 512 bytes in the frame, and the registers are not more; those behind them are the kernel's and stay.
        // In a frame with the magic number an XSAVE header follows.
        unsafe {
            let mask = ((image + MXCSR_MASK) as *const u32).read_unaligned();
            let to = image as *mut u8;
            core::ptr::copy_nonoverlapping(registers.as_ptr(), to, registers.len().min(REGISTERS));
            let usable = if mask == 0 { DEFAULT_MXCSR_MASK } else { mask };
            let mxcsr = (image + MXCSR) as *mut u32;
            mxcsr.write_unaligned(mxcsr.read_unaligned() & usable);
            ((image + MXCSR_MASK) as *mut u32).write_unaligned(mask);
            if ((image + FP_MAGIC) as *const u32).read_unaligned() == FP_MAGIC1 {
                let used = (image + XSTATE_BV) as *mut u64;
                used.write_unaligned(used.read_unaligned() | 3);
            }
        }
    }

    /// Returns the floating-point image, if AVX's upper halves are behind it.
    fn avx_image(&self) -> Option<usize> {
        let image = self.fxsave()?;
        // SAFETY: both words lie in the image's last 48 bytes, which are the kernel's.
        let has = unsafe {
            ((image + FP_MAGIC) as *const u32).read_unaligned() == FP_MAGIC1
                && ((image + XFEATURES) as *const u64).read_unaligned() & AVX != 0
        };
        has.then_some(image)
    }

    /// Writes the x87, SSE and AVX registers into the bytes of an `x86_avx_state64_t`, piece by piece: the state as a value would
    /// take much of the fault handler's stack. `false` if the frame does not have them, or the bytes are not as many.
    #[inline(never)]
    pub(crate) fn get_avx(&self, state: &mut [u8]) -> bool {
        let Some(image) = self
            .avx_image()
            .filter(|_| state.len() == size_of::<x86_avx_state64_t>())
        else {
            return false;
        };
        state.fill(0);
        // SAFETY: the image's registers, and, as there is a header with the component, what lies behind it: where the component's
        // bit is clear the registers are in their initial state, zero, whatever lies there (G2.15).
        unsafe {
            let copy = |from: usize, to: &mut [u8]| {
                core::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len());
            };
            copy(image, &mut state[IMAGE..IMAGE + REGISTERS]);
            if ((image + XSTATE_BV) as *const u64).read_unaligned() & AVX != 0 {
                copy(
                    image + UPPER_HALVES,
                    &mut state[YMMH..YMMH + UPPER_HALVES_SIZE],
                );
            }
        }
        true
    }

    /// Takes the x87, SSE and AVX registers from the bytes of an `x86_avx_state64_t`. `false` if the frame has no place for them, or
    /// the bytes are not as many; then nothing is changed.
    #[inline(never)]
    pub(crate) fn set_avx(&mut self, state: &[u8]) -> bool {
        let Some(image) = self
            .avx_image()
            .filter(|_| state.len() == size_of::<x86_avx_state64_t>())
        else {
            return false;
        };
        self.write_image(image, &state[IMAGE..IMAGE + REGISTERS]);
        // SAFETY: as for reading. The component's bit is set, or the kernel would take the registers for zero.
        unsafe {
            let halves = &state[YMMH..YMMH + UPPER_HALVES_SIZE];
            let to = (image + UPPER_HALVES) as *mut u8;
            core::ptr::copy_nonoverlapping(halves.as_ptr(), to, halves.len());
            let used = (image + XSTATE_BV) as *mut u64;
            used.write_unaligned(used.read_unaligned() | AVX);
        }
        true
    }

    /// Returns where the frame has the components of AVX-512; `None` if it does not have all of them.
    fn avx512_components(&self) -> Option<(usize, [usize; 3])> {
        let image = self.avx_image()?;
        // SAFETY: the kernel's words in the image's last 48 bytes, which are there as the image has AVX.
        let (components, written) = unsafe {
            (
                ((image + XFEATURES) as *const u64).read_unaligned(),
                ((image + XSTATE_SIZE) as *const u32).read_unaligned() as usize,
            )
        };
        let mut offsets = [0; 3];
        for (offset, (bit, _, size)) in offsets.iter_mut().zip(AVX512) {
            if components & 1 << bit == 0 {
                return None;
            }
            *offset = component_offset(bit, size).filter(|at| at + size <= written)?;
        }
        Some((image, offsets))
    }

    /// Writes the x87, SSE, AVX and AVX-512 registers into the bytes of an `x86_avx512_state64_t`. `false` if the frame does not have
    /// them, or the bytes are not as many.
    #[inline(never)]
    pub(crate) fn get_avx512(&self, state: &mut [u8]) -> bool {
        if state.len() != size_of::<x86_avx512_state64_t>() {
            return false;
        }
        let Some((image, offsets)) = self.avx512_components() else {
            return false;
        };
        let (avx, rest) = state.split_at_mut(size_of::<x86_avx_state64_t>());
        if !self.get_avx(avx) {
            return false;
        }
        // SAFETY: the header, and the components, which lie within what the kernel wrote. Where a component's bit is clear its registers
        // are zero, whatever lies there.
        unsafe {
            let used = ((image + XSTATE_BV) as *const u64).read_unaligned();
            for (offset, (bit, at, size)) in offsets.into_iter().zip(AVX512) {
                let to = &mut rest[at - AVX512[0].1..][..size];
                if used & 1 << bit == 0 {
                    to.fill(0);
                } else {
                    let from = (image + offset) as *const u8;
                    core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), size);
                }
            }
        }
        true
    }

    /// Takes the x87, SSE, AVX and AVX-512 registers from the bytes of an `x86_avx512_state64_t`. `false` if the frame has no place for
    /// them, or the bytes are not as many; then nothing is changed.
    #[inline(never)]
    pub(crate) fn set_avx512(&mut self, state: &[u8]) -> bool {
        if state.len() != size_of::<x86_avx512_state64_t>() {
            return false;
        }
        let Some((image, offsets)) = self.avx512_components() else {
            return false;
        };
        let (avx, rest) = state.split_at(size_of::<x86_avx_state64_t>());
        if !self.set_avx(avx) {
            return false;
        }
        // SAFETY: as for reading. The components' bits are set, or the kernel would take the registers for zero.
        unsafe {
            let used = (image + XSTATE_BV) as *mut u64;
            for (offset, (bit, at, size)) in offsets.into_iter().zip(AVX512) {
                let from = &rest[at - AVX512[0].1..][..size];
                core::ptr::copy_nonoverlapping(from.as_ptr(), (image + offset) as *mut u8, size);
                used.write_unaligned(used.read_unaligned() | 1 << bit);
            }
        }
        true
    }

    /// Returns the processor's report of the trap.
    pub(crate) fn exception(&self) -> x86_exception_state64_t {
        x86_exception_state64_t {
            trapno: self.read::<u64>(at::TRAP) as u16,
            cpu: 0,
            err: self.read::<u64>(at::ERROR) as u32,
            faultvaddr: self.read(at::CR2),
        }
    }
}
