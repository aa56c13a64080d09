//! All registers of x86_64: the tests load them, fault with `ud2`, and read them again.

use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mach_sys::kernel::{KERNEL, Kernel};
use mach_sys::pod;
use mach_sys::thread_state::{NativeState, x86_float_state64_t};

use crate::handlers::{Context, Float};
use crate::patterns::generator;

/// Bytes of the store instruction.
const STORE_LENGTH: u64 = 3;
pub(crate) const FAULT_LENGTH: u64 = 2;
/// DWARF's numbers of rbx, rbp, r12 to r15.
pub(crate) const DWARF_SAVED: [i32; 6] = [3, 6, 12, 13, 14, 15];
/// Signal and `si_code` of a store to unmapped memory, and to read-only memory (A12.6, A12.7).
pub(crate) const UNMAPPED: (i32, i32) = (11, 1);
pub(crate) const PROTECTED: (i32, i32) = (10, 2);
pub(crate) const ILL_CODE: i32 = 1;
/// Values of MXCSR: flush to zero and denormals are zero; every exception unmasked; round to zero; the default.
pub(crate) const CONTROL_WORDS: &[u32] = &[0x9fc0, 0x0000, 0x7f80, 0x1f80];

const AREA: usize = 8192;
const FCW: usize = 0;
const FSW: usize = 2;
const FTW: usize = 4;
const MXCSR: usize = 24;
const ST: usize = 32;
const XMM: usize = 160;
const XSTATE_BV: usize = 512;
const AVX: usize = 576;
/// The components that a redirect restores: not protection keys and tiles, which stay as the handler leaves them.
const COMPONENTS: u64 = 0xe7;
/// The components of AVX-512: mask registers, upper halves of the first 16 registers, the other 16 registers.
const AVX_512: u64 = 0xe0;
/// The flags that the tests vary: CF, PF, AF, ZF, SF, DF, OF. Bit 1 and IF are always set. Not AC: Linux would start a signal handler
/// with it. Not ID: Linux does not restore it from a signal frame.
const FLAGS: u64 = 0xcd5;

/// The registers. `general` has rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8 to r15, in the order of the instructions below.
#[repr(C, align(64))]
#[derive(Clone)]
pub(crate) struct Registers {
    general: [u64; 16],
    flags: u64,
    red_zone: [u64; 16],
    components: u64,
    reserved: [u64; 6],
    area: [u8; AREA],
}

static mut INPUT: Registers = Registers::ZERO;
static mut OUTPUT: Registers = Registers::ZERO;
static TRUE_SP: AtomicU64 = AtomicU64::new(0);

global_asm!(
    ".globl redirect_test_run, _redirect_test_run",
    "redirect_test_run:", "_redirect_test_run:",
    ".cfi_startproc",
    "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
    ".cfi_adjust_cfa_offset 48",
    ".cfi_offset rbx, -16", ".cfi_offset rbp, -24", ".cfi_offset r12, -32",
    ".cfi_offset r13, -40", ".cfi_offset r14, -48", ".cfi_offset r15, -56",
    "mov [rip + {true_sp}], rsp",
    "lea r15, [rip + {input}]",
    "mov eax, [r15 + {components}]",
    "xor edx, edx",
    "xrstor64 [r15 + {area}]",
    // The words of the red zone, the first one next to the stack pointer.
    "xor ecx, ecx",
    "mov r14, rsp",
    "2: sub r14, 8",
    "mov rax, [r15 + rcx * 8 + {red_zone}]",
    "mov [r14], rax",
    "inc ecx",
    "cmp ecx, 16",
    "jne 2b",
    "lea rsp, [rsp - 256]",
    "push qword ptr [r15 + {flags}]",
    "popfq",
    "lea rsp, [rsp + 256]",
    // A stack pointer of the test's own, if the word is not all ones. These leave the flags alone.
    "mov rcx, [r15 + 56]",
    "not rcx",
    "jrcxz 3f",
    "mov rsp, [r15 + 56]",
    "3:",
    "mov rax, [r15]", "mov rbx, [r15 + 8]", "mov rcx, [r15 + 16]", "mov rdx, [r15 + 24]",
    "mov rsi, [r15 + 32]", "mov rdi, [r15 + 40]", "mov rbp, [r15 + 48]",
    "mov r8, [r15 + 64]", "mov r9, [r15 + 72]", "mov r10, [r15 + 80]", "mov r11, [r15 + 88]",
    "mov r12, [r15 + 96]", "mov r13, [r15 + 104]", "mov r14, [r15 + 112]", "mov r15, [r15 + 120]",
    "6:",
    "ud2",
    "mov [rip + {output}], rax", "mov [rip + {output} + 8], rbx", "mov [rip + {output} + 16], rcx",
    "mov [rip + {output} + 24], rdx", "mov [rip + {output} + 32], rsi", "mov [rip + {output} + 40], rdi",
    "mov [rip + {output} + 48], rbp", "mov [rip + {output} + 56], rsp", "mov [rip + {output} + 64], r8",
    "mov [rip + {output} + 72], r9", "mov [rip + {output} + 80], r10", "mov [rip + {output} + 88], r11",
    "mov [rip + {output} + 96], r12", "mov [rip + {output} + 104], r13",
    "mov [rip + {output} + 112], r14", "mov [rip + {output} + 120], r15",
    "lea rsp, [rsp - 256]",
    "pushfq",
    "pop qword ptr [rip + {output} + {flags}]",
    "push 0x202",
    "popfq",
    "lea rsp, [rsp + 256]",
    "lea r15, [rip + {output}]",
    "xor ecx, ecx",
    "mov r14, rsp",
    "4: sub r14, 8",
    "mov rax, [r14]",
    "mov [r15 + rcx * 8 + {red_zone}], rax",
    "inc ecx",
    "cmp ecx, 16",
    "jne 4b",
    "mov eax, [r15 + {components}]",
    "xor edx, edx",
    "xsave64 [r15 + {area}]",
    "fninit",
    "push 0x1f80",
    "ldmxcsr [rsp]",
    "lea rsp, [rsp + 8]",
    "vzeroupper",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
    ".cfi_adjust_cfa_offset -48",
    "ret",
    ".cfi_endproc",
    "8:",
    // Offsets of the fault and of the end in the function. In Mach-O a symbol there would start another function (G5.11).
    ".data",
    ".globl redirect_test_offsets, _redirect_test_offsets",
    ".p2align 2",
    "redirect_test_offsets:", "_redirect_test_offsets:",
    ".long 6b - _redirect_test_run",
    ".long 8b - _redirect_test_run",
    ".text",
    // A function that never returns, with a large frame, right before one whose first instruction faults.
    ".globl redirect_test_before, _redirect_test_before",
    "redirect_test_before:", "_redirect_test_before:",
    ".cfi_startproc",
    ".cfi_def_cfa_offset 65536",
    "jmp redirect_test_run",
    ".cfi_endproc",
    ".globl redirect_test_first, _redirect_test_first",
    "redirect_test_first:", "_redirect_test_first:",
    ".cfi_startproc",
    "ud2",
    "ret",
    ".cfi_endproc",
    // Calls its argument.
    ".globl redirect_test_call, _redirect_test_call",
    "redirect_test_call:", "_redirect_test_call:",
    ".cfi_startproc",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "call rdi",
    "add rsp, 8",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",
    // Stores to its argument.
    ".globl redirect_test_store, _redirect_test_store",
    "redirect_test_store:", "_redirect_test_store:",
    ".cfi_startproc",
    "mov byte ptr [rdi], 1",
    "ret",
    ".cfi_endproc",
    input = sym INPUT,
    output = sym OUTPUT,
    true_sp = sym TRUE_SP,
    components = const offset_of!(Registers, components),
    area = const offset_of!(Registers, area),
    red_zone = const offset_of!(Registers, red_zone),
    flags = const offset_of!(Registers, flags),
);

unsafe extern "C" {
    fn redirect_test_run();
    fn redirect_test_before();
    fn redirect_test_first();
    fn redirect_test_call(target: u64) -> u64;
    fn redirect_test_store(target: u64);
    static redirect_test_offsets: [u32; 2];
}

/// Returns an address in the function that faults, by the index of its offset.
fn in_run(number: usize) -> u64 {
    // SAFETY: reads a constant that the assembly above defines.
    let offset = unsafe { redirect_test_offsets[number] };
    redirect_test_run as *const () as u64 + u64::from(offset)
}

pub(crate) fn fault_site() -> u64 {
    in_run(0)
}

pub(crate) fn is_in_run(pc: u64) -> bool {
    (redirect_test_run as *const () as u64..in_run(1)).contains(&pc)
}

pub(crate) fn true_stack_pointer() -> u64 {
    TRUE_SP.load(Relaxed)
}

pub(crate) fn set_true_stack_pointer(sp: u64) {
    TRUE_SP.store(sp, Relaxed);
}

/// Calls an address and returns the call's result.
pub(crate) fn call(target: u64) -> u64 {
    // SAFETY: the call faults at once, and the handler returns from it.
    unsafe { redirect_test_call(target) }
}

/// Stores to an address.
pub(crate) fn store(target: u64) {
    // SAFETY: the store faults, and the handler steps over it.
    unsafe { redirect_test_store(target) }
}

/// Returns the address of the store instruction, and its length in bytes.
pub(crate) fn store_site() -> (u64, u64) {
    (redirect_test_store as *const () as u64, STORE_LENGTH)
}

/// Overwrites the stack below the caller with ones, so that memory that the trampoline must clear is not zero by chance.
#[inline(never)]
fn dirty_stack() {
    core::hint::black_box(&mut [0xffu8; 16 * 1024]);
}

/// Faults at the first instruction of a function. Returns the address of that instruction, and one in the caller.
#[inline(never)]
pub(crate) fn fault_at_first_instruction() -> (u64, u64) {
    // A reference, so that the linker keeps the function before it.
    core::hint::black_box(redirect_test_before as *const ());
    // SAFETY: the function does nothing but fault and return; the handler steps over the fault.
    unsafe { redirect_test_first() };
    (
        redirect_test_first as *const () as u64,
        fault_at_first_instruction as *const () as u64,
    )
}

/// Loads the registers, faults, and returns the registers after the fault.
#[inline(never)]
pub(crate) fn run(given: &Registers) -> Registers {
    run_with_stack_pointer(given, u64::MAX)
}

/// Does the same as [`run`], with the stack pointer `sp` at the fault, unless `sp` is all ones.
#[inline(never)]
pub(crate) fn run_with_stack_pointer(given: &Registers, sp: u64) -> Registers {
    // SAFETY: only the child's test thread uses the two variables, and a nested run finishes with them before the outer one reads
    // them again; the assembly follows the calling convention.
    unsafe {
        let input = &raw mut INPUT;
        let output = &raw mut OUTPUT;
        input.write(given.clone());
        (*input).general[7] = sp;
        output.write(Registers::ZERO);
        (*output).components = given.components;
        dirty_stack();
        redirect_test_run();
        let mut found = (*output).clone();
        assert_eq!(found.general[7], TRUE_SP.load(Relaxed), "rsp");
        found.general[7] = u64::MAX;
        found
    }
}

impl Registers {
    const ZERO: Self = Self {
        general: [0; 16],
        flags: 0x202,
        red_zone: [0; 16],
        components: 0,
        reserved: [0; 6],
        area: [0; AREA],
    };

    /// Returns the registers of a new thread, with this MXCSR.
    pub(crate) fn initial(mxcsr: u32) -> Self {
        let mut registers = Self {
            components: enabled() & COMPONENTS,
            ..Self::ZERO
        };
        registers.general[7] = u64::MAX;
        registers.put(FCW, &0x37fu16.to_le_bytes());
        registers.put(MXCSR, &mxcsr.to_le_bytes());
        registers
    }

    /// Returns registers with a different value in each.
    pub(crate) fn patterned(seed: u64) -> Self {
        let mut registers = Self::initial(0x1f80 | 0x6000 | 0x15);
        let mut next = generator(seed);
        registers.general = core::array::from_fn(|_| next());
        registers.general[7] = u64::MAX;
        registers.red_zone = core::array::from_fn(|_| next());
        registers.flags = next() & FLAGS | 0x202;
        // Double precision, round up; a stack top of 3; four registers in use.
        registers.put(FCW, &0x0a7fu16.to_le_bytes());
        registers.put(FSW, &(3u16 << 11 | 0x4100).to_le_bytes());
        registers.put(FTW, &[0x78]);
        for st in 0..8 {
            let value = next().to_le_bytes();
            registers.put(ST + 16 * st, &value);
            registers.put(ST + 16 * st + 8, &value[..2]);
        }
        for at in (XMM..XMM + 256).step_by(8) {
            registers.put(at, &next().to_le_bytes());
        }
        for component in 2..8 {
            if let Some((offset, size)) = registers.place(component) {
                for at in (offset..offset + size).step_by(8) {
                    registers.put(at, &next().to_le_bytes());
                }
            }
        }
        let components = registers.components;
        registers.put(XSTATE_BV, &components.to_le_bytes());
        registers
    }

    /// Returns registers with unmasked exceptions, unusual rounding, flushing, and a pending x87 exception (R18).
    pub(crate) fn hostile_environment(seed: u64) -> Self {
        let mut registers = Self::patterned(seed);
        let mxcsr: u32 = [0x0000, 0x6000, 0xe040, 0x803f][seed as usize % 4];
        registers.put(MXCSR, &mxcsr.to_le_bytes());
        if seed % 3 == 0 {
            // Everything unmasked, division by zero happened: the next waiting instruction would fault. ES, B, ZE.
            registers.put(FCW, &0x0f40u16.to_le_bytes());
            registers.put(FSW, &0x8084u16.to_le_bytes());
        }
        registers
    }

    /// Returns the values of the registers in [`DWARF_SAVED`].
    pub(crate) fn saved_by_callees(&self) -> Vec<u64> {
        [1, 6, 12, 13, 14, 15].map(|at| self.general[at]).to_vec()
    }

    /// Returns the registers with the edits of [`edit`].
    pub(crate) fn with_edits(&self) -> Self {
        let mut edited = self.clone();
        edited.general[2] = 0xed17;
        edited.flags ^= 1;
        edited.put(MXCSR, &0x1fa0u32.to_le_bytes());
        edited.put(FCW, &0x037fu16.to_le_bytes());
        edited.put(XMM + 16 * 3, &[0xed; 16]);
        edited.put(ST + 16, &[0x17; 10]);
        edited
    }

    pub(crate) fn upper_halves(&self) -> &[u8] {
        &self.area[AVX..AVX + 256]
    }

    /// Returns the registers with one upper half overwritten; 16: with none; 17: with all of them 0.
    pub(crate) fn with_upper_half(&self, number: usize) -> Self {
        let mut edited = self.clone();
        if number < 16 {
            edited.put(AVX + 16 * number, &[0xed; 16]);
            edited.area[XSTATE_BV] |= 4;
        }
        if number == 17 {
            edited.area[AVX..AVX + 256].fill(0);
        }
        edited
    }

    /// Returns `true` if AVX's registers are not in their initial state.
    pub(crate) fn uses_avx(&self) -> bool {
        self.area[XSTATE_BV] & 4 != 0
    }

    pub(crate) fn with_float_of(&self, other: &Self) -> Self {
        let mut registers = self.clone();
        registers.put(0, &other.area[..XMM + 256]);
        registers
    }

    pub(crate) fn float(&self) -> Float {
        let mut state = x86_float_state64_t::default();
        pod::bytes_of_mut(&mut state)[8..520].copy_from_slice(&self.area[..512]);
        state
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.area[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Returns the offset and the size of a component in the area, in bytes; `None` if it is not selected.
    fn place(&self, component: u32) -> Option<(usize, usize)> {
        (self.components & 1 << component != 0).then(|| {
            #[allow(unused_unsafe)]
            // SAFETY: the processor has XSAVE (`enabled` asserts it), and so this leaf.
            let leaf = unsafe { core::arch::x86_64::__cpuid_count(0xd, component) };
            (leaf.ebx as usize, leaf.eax as usize)
        })
    }

    /// Returns the area as if every component were stored, those in their initial state included.
    fn written_out(&self) -> Vec<u8> {
        let mut area = self.area.to_vec();
        let in_use = u64::from_le_bytes(area[XSTATE_BV..XSTATE_BV + 8].try_into().unwrap());
        if in_use & 1 == 0 {
            area[..MXCSR].fill(0);
            area[ST..XMM].fill(0);
            area[..2].copy_from_slice(&0x37fu16.to_le_bytes());
        }
        if in_use & 2 == 0 {
            area[XMM..XMM + 256].fill(0);
        }
        // MXCSR's mask depends on the processor. Instruction and operand pointers are only defined with an exception, and some
        // processors save them only then.
        area[6..24].fill(0);
        area[28..32].fill(0);
        area[416..576].fill(0);
        for component in 2..8 {
            if let (Some((offset, size)), 0) = (self.place(component), in_use & 1 << component) {
                area[offset..offset + size].fill(0);
            }
        }
        area
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, found: &Self) {
        assert_eq!(self.general, found.general, "general registers");
        assert_eq!(
            self.flags, found.flags,
            "{:#x}, {:#x}",
            self.flags, found.flags
        );
        assert_eq!(self.red_zone, found.red_zone, "red zone");
        let (expected, found) = (self.written_out(), found.written_out());
        let differs = (0..AREA).find(|at| expected[*at] != found[*at]);
        if let Some(at) = differs {
            let (a, b) = (&expected[at..at + 16], &found[at..at + 16]);
            panic!("vector registers differ at byte {at} of the XSAVE area: {a:x?}, {b:x?}");
        }
    }

    #[track_caller]
    pub(crate) fn assert_general(&self, state: &NativeState) {
        let s = state;
        let general = [
            s.rax,
            s.rbx,
            s.rcx,
            s.rdx,
            s.rsi,
            s.rdi,
            s.rbp,
            u64::MAX,
            s.r8,
            s.r9,
            s.r10,
            s.r11,
            s.r12,
            s.r13,
            s.r14,
            s.r15,
        ];
        assert_eq!(self.general, general);
        assert_eq!(s.rsp, true_stack_pointer());
        assert_eq!(s.rflags & 0xffff_ffff & !0x1_0000, self.flags);
    }

    #[track_caller]
    pub(crate) fn assert_float(&self, state: &Float) {
        let given = self.float();
        assert_eq!(given.fpu_mxcsr, state.fpu_mxcsr);
        assert_eq!(given.fpu_fcw, state.fpu_fcw);
        assert_eq!(given.fpu_fsw, state.fpu_fsw);
        assert_eq!(given.fpu_ftw, state.fpu_ftw);
        assert_eq!(given.fpu_stmm, state.fpu_stmm);
        assert_eq!(given.fpu_xmm, state.fpu_xmm);
    }
}

/// Returns `true` if this processor has the instructions that these tests use.
pub(crate) fn has_enough() -> bool {
    is_x86_feature_detected!("xsave") && is_x86_feature_detected!("avx")
}

/// Returns `true` if this thread has AVX-512's registers. On Apple's systems a thread gets them at their first use (G5.10), so this
/// uses one.
pub(crate) fn takes_avx_512() -> bool {
    const AVX512F: u32 = 1 << 16;
    #[allow(unused_unsafe)]
    // SAFETY: a processor with XSAVE (`has_enough`) has this leaf.
    let features = unsafe { core::arch::x86_64::__cpuid_count(7, 0) }.ebx;
    if KERNEL == Kernel::Xnu && features & AVX512F != 0 {
        // SAFETY: the processor has the instruction, and Apple's systems enable it on every such processor that they run on. It clears
        // a register, which is declared.
        unsafe { asm!("vpxord zmm1, zmm1, zmm1", out("xmm1") _) };
    }
    enabled() & AVX_512 == AVX_512
}

/// Returns the components that the system has switched on for this thread (XCR0).
fn enabled() -> u64 {
    assert!(has_enough());
    let (low, high): (u32, u32);
    // SAFETY: the processor has AVX and the system uses it (checked above), so the instruction exists.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high) };
    u64::from(low) | u64::from(high) << 32
}

/// Returns `true` if this processor reports AVX's registers as initial when they are. It may report them as in use.
pub(crate) fn tracks_initial_state() -> bool {
    let mut registers = Registers::initial(0x1f80);
    registers.area[XSTATE_BV] = 4;
    let area = &raw mut registers.area;
    // SAFETY: the area has room for the component, at the alignment of XSAVE; the registers that `vzeroall` changes are declared.
    unsafe {
        asm!(
            "vzeroall", "xsave64 [{area}]", area = in(reg) area, in("eax") 4, in("edx") 0,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
    !registers.uses_avx()
}

/// Overwrites every register that a C function may change, and the floating-point control words.
pub(crate) fn trash() {
    let mut other = Registers::patterned(0xdead);
    other.put(FTW, &[0]);
    other.put(FCW, &0x0c7fu16.to_le_bytes());
    let area = &raw const other.area;
    // SAFETY: the area is a valid image of the processor's own components. Every register that it loads is declared as changed, or is
    // one that the Rust code after this does not rely on: the handler returns at once.
    unsafe {
        asm!(
            "xrstor64 [{area}]",
            area = in(reg) area,
            in("eax") other.components as u32,
            in("edx") 0,
            out("rcx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _, out("st(4)") _, out("st(5)") _,
            out("st(6)") _, out("st(7)") _,
        );
    }
}

/// Returns the fourth argument register. It holds the tag only at the start of a handler.
#[inline(always)]
pub(crate) fn fourth_argument() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rcx", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Returns the offsets of the bytes in a machine context of that size in which no register is: around the FXSAVE image and the upper halves.
pub(crate) fn reserved(size: usize) -> Vec<usize> {
    let behind = if size == 712 { 608..712 } else { 608..772 };
    (184..192).chain(behind).chain(1028..size).collect()
}

pub(crate) fn float_of(context: &Context) -> Float {
    context.fs
}

/// Makes the edits that [`Registers::with_edits`] expects.
pub(crate) fn edit(context: &mut Context) {
    context.ss.rcx = 0xed17;
    context.ss.rflags ^= 1;
    // Undefined bits, which the trampoline clears before the processor loads MXCSR.
    context.fs.fpu_mxcsr = 0xdead_0000 | 0x1fa0;
    let float = pod::bytes_of_mut(&mut context.fs);
    float[8..10].copy_from_slice(&0x037fu16.to_le_bytes());
    float[168 + 48..168 + 64].fill(0xed);
    float[40 + 16..40 + 26].fill(0x17);
}

pub(crate) fn assert_default_environment() {
    let (mut mxcsr, mut fcw) = (0u32, 0u16);
    let mut environment = [0u16; 14];
    // SAFETY: each stores to the variable of its size; `fnstenv` masks exceptions, and the masks are loaded again.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack));
        asm!("fnstcw [{}]", in(reg) &mut fcw, options(nostack));
        asm!("fnstenv [{0}]", "fldenv [{0}]", in(reg) &mut environment, options(nostack));
    }
    assert_eq!(mxcsr & !0x3f, 0x1f80, "MXCSR");
    assert_eq!(fcw, 0x37f, "x87 control word");
    assert_eq!(environment[2] & 0xff, 0, "no x87 exception is pending");
    assert_eq!(environment[4], 0xffff, "the x87 stack is empty");
}
