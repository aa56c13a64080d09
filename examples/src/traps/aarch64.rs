//! The routines on arm64.

use super::Kind;
use core::arch::global_asm;
use core::ptr::{null, null_mut};
use mach_sys::thread_state::arm_thread_state64_t;

/// All registers but sp, pc and x18, which Apple's systems reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// x0 … x30; the place of x18 is not used.
    general: [u64; 31],
    unused: u64,
    /// v0 … v31.
    vector: [[u8; 16]; 32],
}

const VALUE: usize = 1;
const ADDRESS: usize = 2;
const RESERVED: usize = 18;
/// x28 carries the pointer that the handler looks at.
const NOTE: usize = 28;

impl Registers {
    /// Registers full of bytes that tell them apart, and `note` where the handler finds it.
    #[must_use]
    pub fn pattern(seed: u64, note: u64) -> Self {
        let mut general = [0; 31];
        for (index, register) in general.iter_mut().enumerate() {
            *register = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index as u64) << 56 | 1;
        }
        general[NOTE] = note;
        general[RESERVED] = 0;
        let mut vector = [[0; 16]; 32];
        for (index, register) in vector.iter_mut().enumerate() {
            for (at, byte) in register.iter_mut().enumerate() {
                *byte = seed as u8 ^ (index * 8 + at) as u8;
            }
        }
        Self {
            general,
            unused: 0,
            vector,
        }
    }

    /// Makes the instruction of a kind use this address, where it has one.
    #[must_use]
    pub fn aimed(mut self, kind: Kind, address: u64) -> Self {
        match kind {
            Kind::ReadUnmapped | Kind::WriteUnmapped | Kind::WriteGuarded => {
                self.general[ADDRESS] = address;
            }
            Kind::Divide | Kind::Illegal | Kind::Breakpoint => {}
        }
        self
    }

    /// Returns the registers after the handler's edit.
    #[must_use]
    pub fn repaired(mut self, kind: Kind, value: u64) -> Self {
        match kind {
            Kind::ReadUnmapped => self.general[VALUE] = value,
            Kind::WriteUnmapped => self.general[ADDRESS] = value,
            Kind::WriteGuarded | Kind::Divide | Kind::Illegal | Kind::Breakpoint => {}
        }
        self
    }

    /// The value that a store stores.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.general[VALUE]
    }

    /// Returns whether two sets are the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self == other
    }

    /// Returns whether a stopped thread's state has these general registers.
    #[must_use]
    pub fn are_in(&self, state: &arm_thread_state64_t) -> bool {
        let mut found = [0; 31];
        found[..29].copy_from_slice(&state.x);
        found[29] = state.fp;
        found[30] = state.lr;
        found[RESERVED] = 0;
        found == self.general
    }

    /// Puts the repair of [`repaired`](Self::repaired) into a stopped thread's state.
    pub fn repair(kind: Kind, value: u64, state: &mut arm_thread_state64_t) {
        match kind {
            Kind::ReadUnmapped => {
                state.x[VALUE] = value;
                state.pc += 4;
            }
            Kind::WriteUnmapped => state.x[ADDRESS] = value,
            Kind::Illegal | Kind::Breakpoint => state.pc += 4,
            Kind::WriteGuarded | Kind::Divide => {}
        }
    }

    /// The pointer that [`pattern`](Self::pattern) put there, of a stopped thread.
    #[must_use]
    pub fn note_in(state: &arm_thread_state64_t) -> u64 {
        state.x[NOTE]
    }
}

// x0: registers to load; x1: where to store, or null to be told the instruction's address. Both spellings of each name: Mach-O puts an
// underscore before C names. No global label is within a routine: Mach-O's linker cuts there, and drops what no code names.
global_asm!(
    ".macro examples_begin name",
    ".p2align 4",
    ".globl examples_\\name, _examples_\\name",
    "examples_\\name:",
    "_examples_\\name:",
    "cbz x1, 8f",
    "stp x29, x30, [sp, #-176]!",
    "stp x19, x20, [sp, #16]",
    "stp x21, x22, [sp, #32]",
    "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",
    "stp x27, x28, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "str x1, [sp, #160]",
    ".irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "ldr q\\number, [x0, #256 + 16 * \\number]",
    ".endr",
    ".irp number, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,19,20,21,22,23,24,25,26,27,28,29,30",
    "ldr x\\number, [x0, #8 * \\number]",
    ".endr",
    "ldr x0, [x0]",
    "7:",
    ".endm",
    ".macro examples_end",
    "str x0, [sp, #168]",
    "ldr x0, [sp, #160]",
    ".irp number, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,19,20,21,22,23,24,25,26,27,28,29,30",
    "str x\\number, [x0, #8 * \\number]",
    ".endr",
    "ldr x1, [sp, #168]",
    "str x1, [x0]",
    ".irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "str q\\number, [x0, #256 + 16 * \\number]",
    ".endr",
    "ldp x19, x20, [sp, #16]",
    "ldp x21, x22, [sp, #32]",
    "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",
    "ldp x27, x28, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "ldp x29, x30, [sp], #176",
    "ret",
    "8:",
    "adr x0, 7b",
    "ret",
    ".endm",
    "examples_begin load",
    "ldr x1, [x2]",
    "examples_end",
    "examples_begin store",
    "str x1, [x2]",
    "examples_end",
    "examples_begin illegal",
    "udf #0",
    "examples_end",
    "examples_begin breakpoint",
    "brk #1",
    "examples_end",
);

type Routine = unsafe extern "C" fn(load: *const Registers, store: *mut Registers) -> u64;

unsafe extern "C" {
    fn examples_load(load: *const Registers, store: *mut Registers) -> u64;
    fn examples_store(load: *const Registers, store: *mut Registers) -> u64;
    fn examples_illegal(load: *const Registers, store: *mut Registers) -> u64;
    fn examples_breakpoint(load: *const Registers, store: *mut Registers) -> u64;
}

/// The routine of a kind. There is none that divides: it would not trap.
fn routine(kind: Kind) -> Option<Routine> {
    Some(match kind {
        Kind::ReadUnmapped => examples_load,
        Kind::WriteUnmapped | Kind::WriteGuarded => examples_store,
        Kind::Illegal => examples_illegal,
        Kind::Breakpoint => examples_breakpoint,
        Kind::Divide => return None,
    })
}

pub(super) unsafe fn run(kind: Kind, registers: &Registers) -> Registers {
    let mut after = *registers;
    if let Some(routine) = routine(kind) {
        // SAFETY: the routine loads from one value and stores to the other; the rest is the caller's promise.
        unsafe { routine(registers, &mut after) };
    }
    after
}

pub(super) fn pc(kind: Kind) -> u64 {
    // SAFETY: with nowhere to store, the routine only tells where its instruction is.
    routine(kind).map_or(0, |routine| unsafe { routine(null(), null_mut()) })
}
