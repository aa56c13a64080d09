//! The entry on x86_64.
//!
//! The kernel calls it with (rdi signal, rsi siginfo, rdx context), rsp at the restorer's address, which belongs to the frame.
//! Callee-saved registers need no saving: `rt_sigreturn` restores them all. They keep rbx the frame, r12 signal, r13 siginfo,
//! r14 context, r15 slot, rbp how the entry got here: whether it moved, and whether a handler called it.

use super::entered::{CHAINED, Entered, MOVED, chained, entered};
use super::extent::Extent;
use super::locate::{GUARDED, locate};
use crate::host::slot::header::Restore;
use crate::host::sys::altstack::Stack;
use crate::host::sys::mask::SYNCHRONOUS_MASK;
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(
    ".p2align 4",
    ".globl mach_sys_fault_entry",
    ".hidden mach_sys_fault_entry",
    ".globl mach_sys_fault_between",
    ".hidden mach_sys_fault_between",
    ".type mach_sys_fault_entry, @function",
    "mach_sys_fault_entry:",
    ".cfi_startproc",
    "endbr64",
    // The kernel leaves AC as the interrupted code had it; with AC set the first unaligned access would fault.
    "pushfq",
    "and dword ptr [rsp], ~0x40000",
    "popfq",
    // A fault of the probed copy: it goes on at its end, with what happened as its result.
    "mov rax, [rdx + {uc_rip}]",
    "lea rcx, [rip + mach_sys_probed_copy_begin]",
    "cmp rax, rcx",
    "jb 1f",
    "lea rcx, [rip + mach_sys_probed_copy_end]",
    "cmp rax, rcx",
    "jae 1f",
    // A sent signal, a single step: not the copy's fault.
    "cmp dword ptr [rsi + 8], 0",
    "jle 1f",
    "cmp edi, {sigsegv}",
    "je 16f",
    "cmp edi, {sigbus}",
    "jne 1f",
    "16:",
    "movzx eax, byte ptr [rsi + 8]",
    "shl edi, 8",
    "or eax, edi",
    "movzx edi, byte ptr [rdx + {uc_trap}]",
    "shl edi, 16",
    "or eax, edi",
    "mov [rdx + {uc_rax}], rax",
    "mov [rdx + {uc_rip}], rcx",
    "ret",
    "1:",
    // Called by the kernel, or jumped to from such a handler: the frame is where the stack pointer is.
    "xor eax, eax",
    "lea rcx, [rdx - {context}]",
    "cmp rcx, rsp",
    "je 15f",
    // Called by a handler that was installed over this one. Where the frame is on an alternate stack and the interrupted code is not,
    // this is an ordinary call.
    "test dword ptr [rdx + {uc_stack_flags}], {ss_disable}",
    "jnz 14f",
    "mov rax, rdx",
    "sub rax, [rdx + {uc_stack}]",
    "cmp rax, [rdx + {uc_stack_size}]",
    "jae 14f",
    "mov rax, [rdx + {uc_rsp}]",
    "sub rax, [rdx + {uc_stack}]",
    "cmp rax, [rdx + {uc_stack_size}]",
    "jae mach_sys_chained_entry",
    // The frame is on the interrupted stack, and so is everything since: it is served as if the kernel had called, and the
    // handler in between is left behind. Not if it made a frame up.
    "14:",
    "lea rax, [rdx + {info_after_context}]",
    "cmp rax, rsi",
    "jne mach_sys_chained_entry",
    "mov eax, {was_chained}",
    "15:",
    "mov rbx, rcx",
    ".cfi_def_cfa_register rbx",
    "mov ebp, eax",
    "mov r12d, edi",
    "mov r13, rsi",
    "mov r14, rdx",
    // Where does it run, and where to? Below the frame the stack is free.
    "mov rdi, rsp",
    "mov rsi, [rdx + {uc_rsp}]",
    "mov rdx, rbx",
    "and rsp, -16",
    "call {locate}",
    "mov r15, rax",
    "test rdx, rdx",
    "jz 9f",
    // Move, then register the new stack. A signal of the five that is sent between the two starts over the frame, which has a copy.
    "or ebp, {has_moved}",
    "test dl, {guarded}",
    "jnz 19f",
    "mov rdi, rdx",
    "xor esi, esi",
    "mov eax, {sigaltstack}",
    "mov rsp, rdi",
    "mach_sys_fault_between:",
    "syscall",
    "9:",
    "push 0",
    "push 0",
    "push rbp",
    "push r15",
    "push r14",
    "push r13",
    "push r12",
    "push rbx",
    "mov rdi, rsp",
    "call {entered}",
    "mov rbx, [rsp]",
    "test rax, rax",
    "jnz 12f",
    "mov rsp, rbx",
    "ret", // into the restorer, which returns from the frame
    // As if the kernel had called the handler before this one: the frame where it would have put it, the thread's own
    // alternate stack and mask, then that handler.
    "12:",
    "mov r13, [rsp + 16]",
    "mov r14, [rsp + 24]",
    "mov r15, [rsp + 48]",
    "mov rsp, rbx",
    "test r15, r15",
    "jz 13f",
    "mov rbp, rax",
    "push qword ptr [r15 + {restore_mask}]", // the record may be used again as soon as a signal can arrive
    "mov rdi, r15",
    "xor esi, esi",
    "mov eax, {sigaltstack}",
    "syscall",
    "mov edi, 2",
    "mov rsi, rsp",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, {rt_sigprocmask}",
    "syscall",
    "mov rsp, rbx",
    "mov rax, rbp",
    "13:",
    "mov edi, r12d",
    "mov rsi, r13",
    "mov rdx, r14",
    "jmp rax",
    // Move where such a signal would start over what has no copy: the five are blocked meanwhile.
    "19:",
    "lea r8, [rdx - {guarded}]",
    "xor edi, edi",
    "lea rsi, [rip + 20f]",
    "lea rdx, [r8 + {mask_before}]",
    "mov r10d, 8",
    "mov eax, {rt_sigprocmask}",
    "syscall",
    "mov rdi, r8",
    "xor esi, esi",
    "mov eax, {sigaltstack}",
    "mov rsp, r8",
    "syscall",
    "mov edi, 2",
    "lea rsi, [r8 + {mask_before}]",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, {rt_sigprocmask}",
    "syscall",
    "jmp 9b",
    ".cfi_endproc",
    ".size mach_sys_fault_entry, . - mach_sys_fault_entry",
    ".p2align 3",
    "20:",
    ".quad {synchronous}",
    // An ordinary call with three arguments, which may end in the handler before this one.
    ".p2align 4",
    ".type mach_sys_chained_entry, @function",
    "mach_sys_chained_entry:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rdi",
    "push rsi",
    "push rdx",
    "and rsp, -16",
    "call {chained}",
    "mov rdi, [rbp - 8]",
    "mov rsi, [rbp - 16]",
    "mov rdx, [rbp - 24]",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbp",
    "test rax, rax",
    "jz 17f",
    "jmp rax",
    "17:",
    "ret",
    ".cfi_endproc",
    ".size mach_sys_chained_entry, . - mach_sys_chained_entry",
    locate = sym locate,
    entered = sym entered,
    chained = sym chained,
    has_moved = const MOVED,
    guarded = const GUARDED,
    was_chained = const CHAINED,
    restore_mask = const offset_of!(Restore, mask),
    sigsegv = const libc::SIGSEGV,
    sigbus = const libc::SIGBUS,
    context = const CONTEXT,
    info_after_context = const INFO - CONTEXT,
    uc_stack = const 16,
    uc_stack_flags = const 24,
    uc_stack_size = const 32,
    ss_disable = const libc::SS_DISABLE,
    uc_rip = const 168,
    uc_rax = const 144,
    uc_rsp = const 160,
    uc_trap = const 200,
    sigaltstack = const libc::SYS_sigaltstack,
    rt_sigprocmask = const libc::SYS_rt_sigprocmask,
    mask_before = const size_of::<Stack>(),
    synchronous = const SYNCHRONOUS_MASK,
);

const _: () = assert!(offset_of!(Restore, stack) == 0 && offset_of!(Entered, restore) == 48);

/// Offsets in the kernel's frame, from its base: the restorer's address, the context, the siginfo.
const CONTEXT: usize = 8;
const INFO: usize = 312;
const FPSTATE: usize = CONTEXT + 224;
const END_WITHOUT_FPSTATE: usize = 440;
/// In the floating-point state: a magic number, and the size with everything behind it.
const FP_MAGIC: usize = 464;
const FP_SIZE: usize = 468;
const FP_MAGIC1: u32 = 0x4650_5853;
const FXSAVE: usize = 512;

/// Offset of the alternate stack that was registered when the frame was written.
pub(super) const REGISTERED: usize = CONTEXT + 16;

/// By multiples of what a frame may be moved: its floating-point state must stay aligned.
pub(super) const ALIGNMENT: usize = 64;
/// No frame is smaller.
pub(super) const SMALLEST: usize = END_WITHOUT_FPSTATE;

/// How long a frame is, and where the one pointer into itself stands, if it has it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote.
pub(super) unsafe fn measure(frame: usize) -> Option<Extent> {
    // SAFETY: the frame is live; these words lie in it.
    let state = unsafe { *((frame + FPSTATE) as *const usize) };
    if state == 0 {
        return Some(Extent {
            length: END_WITHOUT_FPSTATE,
            pointer: None,
        });
    }
    // SAFETY: the kernel put the floating-point state into the frame.
    let (magic, size) = unsafe {
        (
            *((state + FP_MAGIC) as *const u32),
            *((state + FP_SIZE) as *const u32),
        )
    };
    let size = match magic {
        FP_MAGIC1 => size as usize,
        _ => FXSAVE,
    };
    Some(Extent {
        length: state.checked_sub(frame)?.checked_add(size)?,
        pointer: Some(FPSTATE),
    })
}
