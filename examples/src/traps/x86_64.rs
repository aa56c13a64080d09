//! The routines on x86_64.

use super::Kind;
use core::arch::global_asm;
use core::ptr::{null, null_mut};
use mach_sys::thread_state::x86_thread_state64_t;

/// All registers but rsp and rip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 … r15.
    general: [u64; 15],
    /// Arithmetic flags after the instruction.
    flags: u64,
    /// ymm0 … ymm15; without AVX the upper halves are not used.
    vector: [[u8; 32]; 16],
}

const RAX: usize = 0;
const RBX: usize = 1;
const RCX: usize = 2;
const RDX: usize = 3;
/// r15 carries the pointer that the handler looks at.
const R15: usize = 14;

impl Registers {
    /// Registers full of bytes that tell them apart, and `note` where the handler finds it.
    #[must_use]
    pub fn pattern(seed: u64, note: u64) -> Self {
        let mut general = [0; 15];
        for (index, register) in general.iter_mut().enumerate() {
            *register = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (index as u64) << 56 | 1;
        }
        general[R15] = note;
        let mut vector = [[0; 32]; 16];
        for (index, register) in vector.iter_mut().enumerate() {
            for (at, byte) in register.iter_mut().enumerate() {
                *byte = seed as u8 ^ (index * 16 + at) as u8;
            }
        }
        Self {
            general,
            flags: 0,
            vector,
        }
    }

    /// Makes the instruction of a kind use this address, where it has one; a division gets a divisor of 0.
    #[must_use]
    pub fn aimed(mut self, kind: Kind, address: u64) -> Self {
        match kind {
            Kind::ReadUnmapped | Kind::WriteUnmapped | Kind::WriteGuarded => {
                self.general[RAX] = address;
            }
            Kind::Divide => {
                self.general[RCX] = 0;
                self.general[RDX] = 0;
                self.general[RAX] &= i64::MAX as u64;
            }
            Kind::Illegal | Kind::Breakpoint => {}
        }
        self
    }

    /// Returns the registers after the handler's edit.
    #[must_use]
    pub fn repaired(mut self, kind: Kind, value: u64) -> Self {
        match kind {
            Kind::ReadUnmapped => self.general[RBX] = value,
            Kind::WriteUnmapped => self.general[RAX] = value,
            Kind::Divide => self.general[RCX] = 1,
            Kind::WriteGuarded | Kind::Illegal | Kind::Breakpoint => {}
        }
        self
    }

    /// The value that a store stores.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.general[RBX]
    }

    /// Returns whether two sets are the same in all that the instruction leaves alone: flags are undefined after a division.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let used = if avx() { 32 } else { 16 };
        self.general == other.general
            && self
                .vector
                .iter()
                .zip(&other.vector)
                .all(|(a, b)| a[..used] == b[..used])
    }

    /// Returns whether a stopped thread's state has these general registers.
    #[must_use]
    pub fn are_in(&self, state: &x86_thread_state64_t) -> bool {
        let found = [
            state.rax, state.rbx, state.rcx, state.rdx, state.rsi, state.rdi, state.rbp, state.r8,
            state.r9, state.r10, state.r11, state.r12, state.r13, state.r14, state.r15,
        ];
        found == self.general
    }

    /// Puts the repair of [`repaired`](Self::repaired) into a stopped thread's state.
    pub fn repair(kind: Kind, value: u64, state: &mut x86_thread_state64_t) {
        match kind {
            Kind::ReadUnmapped => {
                state.rbx = value;
                state.rip += 3;
            }
            Kind::WriteUnmapped => state.rax = value,
            Kind::Divide => state.rcx = 1,
            Kind::Illegal => state.rip += 2,
            // The guarded page is opened by a system call; after `int3` the program counter is past it already.
            Kind::WriteGuarded | Kind::Breakpoint => {}
        }
    }

    /// The pointer that [`pattern`](Self::pattern) put there, of a stopped thread.
    #[must_use]
    pub fn note_in(state: &x86_thread_state64_t) -> u64 {
        state.r15
    }
}

fn avx() -> bool {
    std::arch::is_x86_feature_detected!("avx")
}

// rdi: registers to load; rsi: where to store, or null to be told the instruction's address. Both spellings of each name: Mach-O puts
// an underscore before C names. No global label is within a routine: Mach-O's linker cuts there, and drops what no code names.
global_asm!(
    ".macro examples_begin name, wide",
    ".p2align 4",
    ".globl examples_\\name\\()_\\wide, _examples_\\name\\()_\\wide",
    "examples_\\name\\()_\\wide:",
    "_examples_\\name\\()_\\wide:",
    "lea rax, [rip + 7f]",
    "test rsi, rsi",
    "jz 8f",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rsi",
    ".irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    ".if \\wide",
    "vmovdqu ymm\\number, [rdi + 128 + 32 * \\number]",
    ".else",
    "movdqu xmm\\number, [rdi + 128 + 32 * \\number]",
    ".endif",
    ".endr",
    "mov rax, [rdi]",
    "mov rbx, [rdi + 8]",
    "mov rcx, [rdi + 16]",
    "mov rdx, [rdi + 24]",
    "mov rsi, [rdi + 32]",
    "mov rbp, [rdi + 48]",
    "mov r8, [rdi + 56]",
    "mov r9, [rdi + 64]",
    "mov r10, [rdi + 72]",
    "mov r11, [rdi + 80]",
    "mov r12, [rdi + 88]",
    "mov r13, [rdi + 96]",
    "mov r14, [rdi + 104]",
    "mov r15, [rdi + 112]",
    "mov rdi, [rdi + 40]",
    "7:",
    ".endm",
    ".macro examples_end wide",
    "pushfq",
    "xchg rax, [rsp + 8]",
    "mov [rax + 8], rbx",
    "mov [rax + 16], rcx",
    "mov [rax + 24], rdx",
    "mov [rax + 32], rsi",
    "mov [rax + 40], rdi",
    "mov [rax + 48], rbp",
    "mov [rax + 56], r8",
    "mov [rax + 64], r9",
    "mov [rax + 72], r10",
    "mov [rax + 80], r11",
    "mov [rax + 88], r12",
    "mov [rax + 96], r13",
    "mov [rax + 104], r14",
    "mov [rax + 112], r15",
    "pop qword ptr [rax + 120]",
    "pop qword ptr [rax]",
    ".irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    ".if \\wide",
    "vmovdqu [rax + 128 + 32 * \\number], ymm\\number",
    ".else",
    "movdqu [rax + 128 + 32 * \\number], xmm\\number",
    ".endif",
    ".endr",
    ".if \\wide",
    "vzeroupper",
    ".endif",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "8:",
    "ret",
    ".endm",
    ".macro examples_routines wide",
    "examples_begin load, \\wide",
    "mov rbx, [rax]",
    "examples_end \\wide",
    "examples_begin store, \\wide",
    "mov [rax], rbx",
    "examples_end \\wide",
    "examples_begin divide, \\wide",
    "idiv rcx",
    "examples_end \\wide",
    "examples_begin illegal, \\wide",
    "ud2",
    "examples_end \\wide",
    "examples_begin breakpoint, \\wide",
    "int3",
    "examples_end \\wide",
    ".endm",
    "examples_routines 0",
    "examples_routines 1",
);

type Routine = unsafe extern "C" fn(load: *const Registers, store: *mut Registers) -> u64;

macro_rules! routines {
    ($($name:ident)*) => {
        unsafe extern "C" {
            $(fn $name(load: *const Registers, store: *mut Registers) -> u64;)*
        }
    };
}

routines! {
    examples_load_0 examples_load_1
    examples_store_0 examples_store_1
    examples_divide_0 examples_divide_1
    examples_illegal_0 examples_illegal_1
    examples_breakpoint_0 examples_breakpoint_1
}

fn routine(kind: Kind) -> Routine {
    match (kind, avx()) {
        (Kind::ReadUnmapped, false) => examples_load_0,
        (Kind::ReadUnmapped, true) => examples_load_1,
        (Kind::WriteUnmapped | Kind::WriteGuarded, false) => examples_store_0,
        (Kind::WriteUnmapped | Kind::WriteGuarded, true) => examples_store_1,
        (Kind::Divide, false) => examples_divide_0,
        (Kind::Divide, true) => examples_divide_1,
        (Kind::Illegal, false) => examples_illegal_0,
        (Kind::Illegal, true) => examples_illegal_1,
        (Kind::Breakpoint, false) => examples_breakpoint_0,
        (Kind::Breakpoint, true) => examples_breakpoint_1,
    }
}

pub(super) unsafe fn run(kind: Kind, registers: &Registers) -> Registers {
    let mut after = *registers;
    // SAFETY: the routine loads from one value and stores to the other; the rest is the caller's promise.
    unsafe { routine(kind)(registers, &mut after) };
    after
}

pub(super) fn pc(kind: Kind) -> u64 {
    // SAFETY: with nowhere to store, the routine only tells where its instruction is.
    let at = unsafe { routine(kind)(null(), null_mut()) };
    // A breakpoint is reported behind its one byte.
    at + u64::from(matches!(kind, Kind::Breakpoint))
}
