//! The context on arm64.
#![allow(unsafe_code)]

use super::Context;
use super::classify::{self, Delivered, Hardware, Raised, Trust};
use crate::host::sys::copy;
use mach_wire::thread_state::{arm_exception_state64_t, arm_neon_state64_t, arm_thread_state64_t};

/// Offsets in the kernel's `ucontext`.
mod at {
    pub(super) const FAULT_ADDRESS: usize = 176;
    pub(super) const X: usize = 184;
    pub(super) const SP: usize = 432;
    pub(super) const PC: usize = 440;
    pub(super) const PSTATE: usize = 448;
    pub(super) const RECORDS: usize = 464;
}

/// Records behind the registers: {magic, size}, then their content.
const FPSIMD: u32 = 0x4650_8001;
const ESR: u32 = 0x4553_5201;
/// The whole registers of SVE: after {magic, size} the vectors' length in bytes, 16 bits; at 16 the z registers, if the size has room for
/// them.
const SVE: u32 = 0x5356_4501;
const SVE_REGISTERS: usize = 16;
/// The record that leads to more records: their address at 8, their size at 16.
const EXTRA: u32 = 0x4558_5401;
const LARGEST_RECORD_AREA: usize = 4096;

/// Bytes of a siginfo.
const SIGINFO: usize = 128;

/// Mode bits of a 64-bit user thread are all 0.
const MODE: u64 = 0x1f;
/// The condition bits: all of PSTATE that a user may change (A4.9).
const CONDITIONS: u64 = 0xf000_0000;

impl Context {
    pub(super) const MASK: usize = 40;

    /// Returns whether the interrupted code is 64-bit user code. Everything else is declined untouched (R20).
    pub(in crate::host) fn is_native_code(&self) -> bool {
        self.read::<u64>(at::PSTATE) & MODE == 0
    }

    /// Returns the interrupted program counter.
    pub(in crate::host) fn program_counter(&self) -> usize {
        self.read(at::PC)
    }

    /// Returns the interrupted stack pointer.
    pub(in crate::host) fn stack_pointer(&self) -> usize {
        self.read(at::SP)
    }

    /// Does nothing and returns false: this machine has no such flag.
    pub(in crate::host) fn clear_alignment_check(&mut self, _signal: i32, _si_code: i32) -> bool {
        false
    }

    /// Returns whether a siginfo may belong to this context.
    pub(in crate::host) fn may_come_with(
        &self,
        _signal: i32,
        _si_code: i32,
        _si_addr: u64,
    ) -> bool {
        true
    }

    /// Returns the code and the address that the siginfo of a signal would have, as far as the hardware's words tell.
    pub(in crate::host) fn described(&self, signal: i32, _trust: Trust) -> Option<(i32, u64)> {
        /// Mask of the fault status in a syndrome: a translation fault, a permission fault, or an alignment fault.
        const STATUS: u64 = 0x3f;
        let (pc, address) = (
            self.read::<u64>(at::PC),
            self.read::<u64>(at::FAULT_ADDRESS),
        );
        let status = self.syndrome() & STATUS;
        Some(match signal {
            libc::SIGSEGV if matches!(status, 0x08..=0x0f) => (2, address),
            libc::SIGSEGV => (1, address),
            libc::SIGBUS if status == 0x21 => (1, address),
            libc::SIGBUS => (2, address),
            _ => (1, pc),
        })
    }

    /// Ends a probed copy, whose fault the entry did not recognise, with its result.
    pub(in crate::host) fn end_copy(&mut self, end: usize, outcome: usize) {
        self.write(at::PC, end);
        self.write(at::X, outcome | 1 << 16);
    }

    pub(in crate::host) fn classify(
        &self,
        signal: i32,
        si_code: i32,
        si_addr: u64,
        trust: Trust,
    ) -> Option<Raised> {
        let pc: u64 = self.read(at::PC);
        let mut instruction = [0; 4];
        if matches!(signal, libc::SIGILL | libc::SIGFPE) {
            // Unreadable: 0 (A12.11).
            let _ = copy::read(pc, &mut instruction);
        }
        let delivered = Delivered {
            signal,
            si_code,
            si_addr,
            pc,
            hardware: Hardware {
                trap: self.read(at::FAULT_ADDRESS),
                error: self.syndrome(),
                detail: u64::from(u32::from_le_bytes(instruction)),
                sp: self.read(at::SP),
            },
        };
        Self::as_reserved(classify::arm64(delivered, trust))
    }

    /// Returns `None`: this machine has no such instruction (G1.12).
    pub(in crate::host) fn pass_interrupt(&mut self) -> Option<usize> {
        None
    }

    /// Does nothing, as there is no such instruction.
    pub(in crate::host) fn return_to_interrupt(&mut self, _pc: usize) {}

    /// Returns whether the instruction is a `brk` that ends a process which is not debugged, since macOS 26 (F6.7).
    pub(in crate::host) fn is_at_fatal_breakpoint(&self) -> bool {
        let mut instruction = [0; 4];
        copy::read(self.read(at::PC), &mut instruction).is_ok()
            && classify::is_fatal_breakpoint(u32::from_le_bytes(instruction))
    }

    /// Returns the offset of a record's content, if the frame has that record.
    fn record(&self, wanted: u32) -> Option<usize> {
        self.record_among(at::RECORDS, LARGEST_RECORD_AREA, wanted)
    }

    fn record_among(&self, begin: usize, length: usize, wanted: u32) -> Option<usize> {
        let mut offset = begin;
        while offset < begin + length {
            let [magic, size]: [u32; 2] = self.read(offset);
            if magic == wanted {
                return Some(offset + 8);
            }
            if magic == 0 || size < 8 {
                return None;
            }
            offset += size as usize;
        }
        None
    }

    /// Offset of the z registers and the length of each in bytes, if the frame has them: its record is among the first ones, or behind them
    /// where it finds no room.
    fn z_registers(&self) -> Option<(usize, usize)> {
        let at = self.record(SVE).or_else(|| {
            let extra = self.record(EXTRA)?;
            let begin = self.read::<usize>(extra).checked_sub(self.at)?;
            // The kernel puts them right behind the others: what is elsewhere is not its own.
            let is_behind = (at::RECORDS..at::RECORDS + 2 * LARGEST_RECORD_AREA).contains(&begin);
            let length = self.read::<u32>(extra + 8) as usize;
            is_behind.then(|| self.record_among(begin, length, SVE))?
        })?;
        let size = self.read::<u32>(at - 4) as usize;
        let length = usize::from(self.read::<u16>(at));
        let has_registers = length >= 16 && size >= SVE_REGISTERS + 32 * length;
        has_registers.then_some((at - 8 + SVE_REGISTERS, length))
    }

    fn syndrome(&self) -> u64 {
        self.record(ESR).map_or(0, |at| self.read(at))
    }

    /// Returns the general registers.
    pub(crate) fn general(&self) -> arm_thread_state64_t {
        let registers: [u64; 31] = self.read(at::X);
        let mut x = [0; 29];
        x.copy_from_slice(&registers[..29]);
        arm_thread_state64_t {
            x,
            fp: registers[29],
            lr: registers[30],
            sp: self.read(at::SP),
            pc: self.read(at::PC),
            cpsr: self.read::<u64>(at::PSTATE) as u32,
            // A10.3: no pointer of a plain arm64 thread is signed.
            flags: arm_thread_state64_t::NO_PTRAUTH,
        }
    }

    /// Takes the general registers; of PSTATE the condition bits only.
    pub(crate) fn set_general(&mut self, state: &arm_thread_state64_t) {
        let mut registers = [0; 31];
        registers[..29].copy_from_slice(&state.x);
        registers[29] = state.fp;
        registers[30] = state.lr;
        self.write(at::X, registers);
        self.write(at::SP, state.sp);
        self.write(at::PC, state.pc);
        let kept = self.read::<u64>(at::PSTATE) & !CONDITIONS;
        self.write(at::PSTATE, kept | u64::from(state.cpsr) & CONDITIONS);
    }

    /// Returns the vector registers; `None` if the frame has none.
    pub(crate) fn float(&self) -> Option<arm_neon_state64_t> {
        let at = self.record(FPSIMD)?;
        let [fpsr, fpcr]: [u32; 2] = self.read(at);
        Some(arm_neon_state64_t {
            v: self.read(at + 8),
            fpsr,
            fpcr,
            reserved: [0; 2],
        })
    }

    /// Takes the vector registers. `false` if the frame has no place for them.
    pub(crate) fn set_float(&mut self, state: &arm_neon_state64_t) -> bool {
        let Some(at) = self.record(FPSIMD) else {
            return false;
        };
        self.write(at, [state.fpsr, state.fpcr]);
        self.write(at + 8, state.v);
        // Linux takes these over the low parts of the z registers. qemu-user takes the z registers as they are (G2.17).
        if let Some((at, length)) = self.z_registers() {
            for (index, v) in state.v.iter().enumerate() {
                self.write(at + index * length, *v);
            }
        }
        true
    }

    /// Returns the processor's report: the syndrome, and the address where it is one of an abort (A12.15). In the context of another
    /// signal than those of bad accesses both words are those of an earlier trap, and read as 0 (G1.4).
    pub(crate) fn exception(&self) -> arm_exception_state64_t {
        if !matches!(self.signal(), libc::SIGSEGV | libc::SIGBUS) {
            return arm_exception_state64_t::default();
        }
        arm_exception_state64_t {
            far: self.read(at::FAULT_ADDRESS),
            esr: self.syndrome() as u32,
            exception: 0,
        }
    }

    /// Returns the signal of this context. The siginfo precedes it in the frame.
    fn signal(&self) -> i32 {
        // SAFETY: a frame has the siginfo at its base, and the context behind it; a copy has both.
        unsafe { ((self.at - SIGINFO) as *const i32).read_unaligned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a frame with the words of a data abort, as the context of another signal has them, too.
    fn frame(signal: i32) -> Vec<u64> {
        let mut frame = vec![0_u64; 5120 / 8];
        frame[0] = signal as u64;
        frame[(SIGINFO + at::FAULT_ADDRESS) / 8] = 0x18;
        let records = (SIGINFO + at::RECORDS) / 8;
        frame[records] = 16 << 32 | u64::from(ESR);
        frame[records + 1] = 0x9200_0044;
        frame
    }

    #[test]
    fn g1_4_the_words_of_an_earlier_abort_are_no_exception_state() {
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP] {
            let mut frame = frame(signal);
            let address = frame.as_mut_ptr() as usize + SIGINFO;
            // SAFETY: the vector has all words of a frame, and nothing else uses it.
            let context = unsafe { Context::from_raw(address as *mut _) };
            let state = context.exception();
            let expected = match signal {
                libc::SIGSEGV | libc::SIGBUS => (0x18, 0x9200_0044),
                _ => (0, 0),
            };
            assert_eq!((state.far, state.esr), expected, "{signal}");
        }
    }

    /// Writes a record's head, and returns the offset behind the record.
    fn head(frame: &mut [u64], offset: usize, magic: u32, size: usize) -> usize {
        frame[offset / 8] = (size as u64) << 32 | u64::from(magic);
        offset + size
    }

    #[test]
    fn g2_17_vector_registers_are_written_to_the_z_registers_wherever_those_are() {
        const LENGTH: usize = 64;
        const SIZE: usize = SVE_REGISTERS + 34 * LENGTH;
        for (size, is_extra) in [(SIZE, false), (SIZE, true), (SVE_REGISTERS, false)] {
            let mut frame = vec![!0_u64; 10_240 / 8];
            let mut offset = head(&mut frame, SIGINFO + at::RECORDS, FPSIMD, 528);
            if is_extra {
                let extra = offset;
                offset = head(&mut frame, extra, EXTRA, 32);
                offset = head(&mut frame, offset, 0, 0) + 16;
                frame[extra / 8 + 1] = frame.as_ptr() as u64 + offset as u64;
                frame[extra / 8 + 2] = size as u64 + 16;
            }
            let sve = offset;
            offset = head(&mut frame, sve, SVE, size);
            frame[sve / 8 + 1] = LENGTH as u64;
            head(&mut frame, offset, 0, 0);
            let before = frame.clone();
            let address = frame.as_mut_ptr() as usize + SIGINFO;
            // SAFETY: the vector has all words of a frame, and nothing else uses it.
            let mut context = unsafe { Context::from_raw(address as *mut _) };
            let mut state = context.float().expect("a record");
            state.v = core::array::from_fn(|index| index as u128 + 1);
            assert!(context.set_float(&state));
            assert_eq!(context.float().expect("a record").v, state.v);
            let mut expected = before;
            let v = (SIGINFO + at::RECORDS + 16) / 8;
            let z = (sve + SVE_REGISTERS) / 8;
            for index in 0..32 {
                let value = [index as u64 + 1, 0];
                expected[v + index * 2..][..2].copy_from_slice(&value);
                if size == SIZE {
                    expected[z + index * LENGTH / 8..][..2].copy_from_slice(&value);
                }
            }
            assert!(frame == expected, "{size} {is_extra}");
        }
    }
}
