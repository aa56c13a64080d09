//! One fault, taken by an ordinary Rust function, so that a backtrace names its callers.
//!
//! Before each instruction that faults, the first argument register holds the address that it accesses, and the second the address at
//! which the function goes on without it. A handler skips the instruction with [`go_on`], whatever its length.
#![allow(unsafe_code)]

use core::arch::asm;
use mach_sys::thread_state::{NativeState, Registers};

/// A fault to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// A store to an address near 0, as through a null pointer
    NullStore,
    /// A load from an address that nothing is mapped at
    UnmappedLoad,
    /// An instruction that the processor does not have
    UndefinedInstruction,
    /// An integer division by zero; arm64 has no such trap
    DivideByZero,
    /// A breakpoint instruction
    Breakpoint,
    /// An access to an address that is not a multiple of its size, where the processor insists on that
    Misaligned,
    /// Recursion without end
    StackOverflow,
}

impl Fault {
    /// Every fault that this machine traps, but the stack overflow, after which nothing can go on where it was.
    #[must_use]
    pub fn skippable() -> Vec<Self> {
        let all = [
            Self::NullStore,
            Self::UnmappedLoad,
            Self::UndefinedInstruction,
            Self::DivideByZero,
            Self::Breakpoint,
            Self::Misaligned,
        ];
        all.into_iter().filter(|fault| fault.traps()).collect()
    }

    /// Returns whether this machine traps there.
    #[must_use]
    pub const fn traps(self) -> bool {
        !(cfg!(target_arch = "aarch64") && matches!(self, Self::DivideByZero))
    }

    /// Takes the fault.
    ///
    /// # Safety
    /// A handler continues the thread with [`go_on`], or, after a stack overflow, somewhere else; or the process ends.
    #[inline(never)]
    pub unsafe fn take(self) {
        // SAFETY: the caller's promise. The instructions change only registers that the compiler knows to be changed.
        unsafe {
            match self {
                Self::NullStore => store(0x10),
                Self::UnmappedLoad => load(0x1234_5678_9000),
                Self::UndefinedInstruction => undefined(),
                Self::DivideByZero => divide(),
                Self::Breakpoint => breakpoint(),
                Self::Misaligned => misaligned(),
                Self::StackOverflow => {
                    std::hint::black_box(endless(1));
                }
            }
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::NullStore => "store to address 0x10",
            Self::UnmappedLoad => "load from 0x123456789000",
            Self::UndefinedInstruction => "undefined instruction",
            Self::DivideByZero => "integer division by zero",
            Self::Breakpoint => "breakpoint",
            Self::Misaligned => "misaligned access",
            Self::StackOverflow => "stack overflow",
        })
    }
}

/// Moves a thread that stopped in [`Fault::take`] behind the instruction that faulted. Not after a stack overflow.
pub fn go_on(state: &mut NativeState) {
    if let Some(next) = state.argument(1) {
        state.set_pc(next);
    }
}

/// Assembles a function that faults. `2:` is where it goes on.
macro_rules! faulting {
    ($name:ident($($address:ident)?), $x86_64:literal, $aarch64:literal) => {
        #[inline(never)]
        unsafe fn $name($($address: u64)?) {
            let address = 0_u64 $(+ $address)?;
            // SAFETY: the caller's promise: a handler goes on at the label. No stack is used.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                asm!(
                    "lea rsi, [rip + 2f]",
                    $x86_64,
                    "2:",
                    inout("rdi") address => _, out("rsi") _, out("rax") _, out("rcx") _, out("rdx") _,
                );
                #[cfg(target_arch = "aarch64")]
                asm!(
                    "adr x1, 2f",
                    $aarch64,
                    "2:",
                    inout("x0") address => _, out("x1") _, out("x2") _,
                );
            }
        }
    };
}

faulting!(store(address), "mov byte ptr [rdi], 1", "strb wzr, [x0]");
faulting!(load(address), "mov rax, [rdi]", "ldr x2, [x0]");
faulting!(undefined(), "ud2", "udf #0");
faulting!(
    divide(),
    "xor edx, edx\nmov eax, 1\nxor ecx, ecx\ndiv ecx",
    "nop"
);
faulting!(breakpoint(), "int3", "brk #1");

/// Loads from the middle of a word. x86_64 insists on alignment for this instruction alone; arm64 for exclusive loads.
#[inline(never)]
unsafe fn misaligned() {
    let words = [0_u64; 8];
    let address = (words.as_ptr() as u64 + 15) & !15;
    // SAFETY: the bytes accessed are within the array, should the processor not insist.
    unsafe { load_misaligned(address + 12) };
}

faulting!(
    load_misaligned(address),
    "movaps xmm0, [rdi]",
    "ldaxr x2, [x0]"
);

/// Recurses until the stack ends. Each call keeps a few words on it.
#[inline(never)]
fn endless(depth: u64) -> u64 {
    let words = std::hint::black_box([depth; 8]);
    if depth == 0 {
        return 0;
    }
    endless(depth + 1) + words[(depth % 8) as usize]
}
