//! The entry on x86_64.
//!
//! The kernel calls it with (rdi signal, rsi siginfo, rdx context), rsp at the restorer's address, which belongs to the frame.
//! Callee-saved registers need no saving: `rt_sigreturn` restores them all. They keep rbx entry rsp, r12 signal, r13 siginfo,
//! r14 context, r15 slot, rbp whether we moved.

use super::entered;
use crate::emulated::host::slot::{BASE, COPY, HEADER, KEY_MASK, KEYS, LENGTH, LENT};
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(
    ".p2align 4",
    ".globl mach_sys_fault_entry",
    ".hidden mach_sys_fault_entry",
    ".type mach_sys_fault_entry, @function",
    "mach_sys_fault_entry:",
    ".cfi_startproc",
    "endbr64",
    // The kernel leaves AC as the interrupted code had it; with AC set our first unaligned access would fault.
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
    "mov rbx, rsp",
    ".cfi_def_cfa_register rbx",
    "mov r12d, edi",
    "mov r13, rsi",
    "mov r14, rdx",
    "xor ebp, ebp",
    // On a slot?
    "mov rax, rsp",
    "sub rax, [rip + {base}]",
    "cmp rax, [rip + {length}]",
    "jae 4f",
    "mov r15, rsp",
    "and r15, -65536",
    "mov eax, esp",
    "and eax, 0xffff",
    "cmp eax, {lent}",
    "jb 9f", // 1: nested
    "mov rax, [r14 + {uc_rsp}]",
    "and rax, -65536",
    "cmp rax, r15",
    "jne 9f", // 2: lent
    "jmp 8f", // 3: an application's handler on the lent part
    // 4: find or claim the thread's slot.
    "4:",
    "mov eax, {gettid}",
    "syscall",
    "mov r11d, eax",
    "5:",
    "mov r8, [rip + {keys}]",
    "mov r9, [rip + {key_mask}]",
    "mov edi, -1", // first tombstone seen
    "lea r10, [r9 + 1]",
    "test r8, r8",
    "jz 7f",
    "mov ecx, r11d",
    "and rcx, r9",
    "6:",
    "mov esi, [r8 + rcx*4]",
    "cmp esi, r11d",
    "je 3f",
    "test esi, esi",
    "jz 2f",
    "cmp esi, -1",
    "jne 10f",
    "cmp edi, -1",
    "cmove edi, ecx",
    "10:",
    "inc rcx",
    "and rcx, r9",
    "dec r10",
    "jnz 6b",
    // Every key was looked at: a tombstone, or nothing.
    "cmp edi, -1",
    "je 7f",
    "mov ecx, edi",
    "mov eax, -1",
    "lock cmpxchg [r8 + rcx*4], r11d",
    "jne 5b",
    "jmp 3f",
    // An empty key ends the probe: take the first tombstone, else this one.
    "2:",
    "xor eax, eax",
    "cmp edi, -1",
    "je 11f",
    "mov ecx, edi",
    "mov eax, -1",
    "11:",
    "lock cmpxchg [r8 + rcx*4], r11d",
    "jne 5b",
    "3:",
    "shl rcx, 16",
    "add rcx, [rip + {base}]",
    "mov r15, rcx",
    "8:",
    "lea rsp, [r15 + {lent}]",
    "mov ebp, 1",
    "jmp 9f",
    // All slots taken: stay where we are, without one.
    "7:",
    "xor r15d, r15d",
    "9:",
    "and rsp, -16",
    "push rbp",
    "push r15",
    "push r14",
    "push r13",
    "push r12",
    "push rbx",
    "mov rdi, rsp",
    "call {entered}",
    "test rdx, rdx",
    "jnz 12f",
    "mov rsp, rax",
    "ret", // into the restorer, which returns from the frame
    // As if we had never been there: the original frame, alternate stack and mask, then the handler before us.
    "12:",
    "mov rsp, rbx",
    "test ebp, ebp",
    "jz 13f",
    "mov rbp, rdx",
    "lea rdi, [r15 + {header}]",
    "xor esi, esi",
    "mov eax, {sigaltstack}",
    "syscall",
    "mov edi, 2",
    "lea rsi, [r15 + {header_mask}]",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, {rt_sigprocmask}",
    "syscall",
    "mov rdx, rbp",
    "13:",
    "mov rax, rdx",
    "mov edi, r12d",
    "mov rsi, r13",
    "mov rdx, r14",
    "jmp rax",
    ".cfi_endproc",
    ".size mach_sys_fault_entry, . - mach_sys_fault_entry",
    base = sym BASE,
    length = sym LENGTH,
    keys = sym KEYS,
    key_mask = sym KEY_MASK,
    entered = sym entered,
    lent = const LENT,
    header = const HEADER,
    header_mask = const HEADER + offset_of!(crate::emulated::host::slot::Header, restore_mask),
    uc_rip = const 168,
    uc_rax = const 144,
    uc_rsp = const 160,
    uc_trap = const 200,
    gettid = const libc::SYS_gettid,
    sigaltstack = const libc::SYS_sigaltstack,
    rt_sigprocmask = const libc::SYS_rt_sigprocmask,
);

const _: () = assert!(offset_of!(crate::emulated::host::slot::Header, restore_stack) == 0);

/// Offsets in the kernel's frame, from its base: the restorer's address, the context, the siginfo.
const CONTEXT: usize = 8;
const FPSTATE: usize = CONTEXT + 224;
const END_WITHOUT_FPSTATE: usize = 440;
/// In the floating-point state: a magic number, and the size with everything behind it.
const FP_MAGIC: usize = 464;
const FP_SIZE: usize = 468;
const FP_MAGIC1: u32 = 0x4650_5853;
const FXSAVE: usize = 512;

/// Moves the kernel's frame into the copy area of a slot: as one block, by a multiple of 64, its one pointer into itself adjusted.
/// Returns how far, or `None` if the area cannot hold it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote; `slot` is the address of the calling thread's slot.
pub(in crate::emulated::host) unsafe fn copy_frame(frame: usize, slot: usize) -> Option<usize> {
    // SAFETY: the frame is live; these words lie in it.
    let fpstate = unsafe { *((frame + FPSTATE) as *const usize) };
    let end = if fpstate == 0 {
        frame + END_WITHOUT_FPSTATE
    } else {
        // SAFETY: the kernel put the floating-point state into the frame.
        let (magic, size) = unsafe {
            (
                *((fpstate + FP_MAGIC) as *const u32),
                *((fpstate + FP_SIZE) as *const u32),
            )
        };
        fpstate
            + if magic == FP_MAGIC1 {
                size as usize
            } else {
                FXSAVE
            }
    };
    let area = slot + COPY;
    let to = area + (frame.wrapping_sub(area) & 63);
    let length = end.checked_sub(frame)?;
    if to + length > slot + HEADER {
        return None;
    }
    let delta = to.wrapping_sub(frame);
    // SAFETY: the block is the frame, read as a whole; the copy area is big enough, was checked, and belongs to this thread.
    unsafe {
        core::ptr::copy_nonoverlapping(frame as *const u8, to as *mut u8, length);
        if fpstate != 0 {
            *((to + FPSTATE) as *mut usize) = fpstate.wrapping_add(delta);
        }
    }
    Some(delta)
}
