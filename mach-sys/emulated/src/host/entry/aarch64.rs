//! The entry on arm64.
//!
//! The kernel calls it with (x0 signal, x1 siginfo, x2 context), sp at the frame, x30 the restorer. Callee-saved registers need no
//! saving: `rt_sigreturn` restores them all. They keep x19 the frame, x20 signal, x21 siginfo, x22 context, x23 restorer, x24 slot,
//! x25 how the entry got here: whether it moved, and whether a handler called it.

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
    ".type mach_sys_fault_entry, %function",
    "mach_sys_fault_entry:",
    ".cfi_startproc",
    "hint #34",
    // FPCR is the interrupted code's; the frame brings it back.
    "msr fpcr, xzr",
    // A fault of the probed copy: it goes on at its end, with what happened as its result.
    "ldr x3, [x2, {uc_pc}]",
    "adrp x4, mach_sys_probed_copy_begin",
    "add x4, x4, :lo12:mach_sys_probed_copy_begin",
    "cmp x3, x4",
    "b.lo 1f",
    "adrp x4, mach_sys_probed_copy_end",
    "add x4, x4, :lo12:mach_sys_probed_copy_end",
    "cmp x3, x4",
    "b.hs 1f",
    // A sent signal, a single step: not the copy's fault.
    "ldr w3, [x1, #8]",
    "cmp w3, #0",
    "b.le 1f",
    "cmp w0, {sigsegv}",
    "b.eq 16f",
    "cmp w0, {sigbus}",
    "b.ne 1f",
    "16:",
    "and w3, w3, #0xff",
    "orr w3, w3, w0, lsl #8",
    // Bit 16: the context has the fault's address, too.
    "ldr x5, [x2, {uc_fault_address}]",
    "ldr x6, [x1, #16]",
    "eor x5, x5, x6",
    "tst x5, #0x00ffffffffffffff",
    "cset w5, eq",
    "orr w3, w3, w5, lsl #16",
    "str x3, [x2, {uc_x0}]",
    "str x4, [x2, {uc_pc}]",
    "ret", // into the restorer
    "1:",
    // Called by the kernel, or jumped to from such a handler: the frame is where the stack pointer is.
    "mov x7, xzr",
    "mov x6, x30",
    "sub x5, x2, {context}",
    "mov x3, sp",
    "cmp x5, x3",
    "b.eq 18f",
    // Called by a handler that was installed over this one. Where the frame is on an alternate stack and the interrupted code is not,
    // this is an ordinary call.
    "ldr w3, [x2, {uc_stack_flags}]",
    "tst w3, {ss_disable}",
    "b.ne 17f",
    "ldr x3, [x2, {uc_stack}]",
    "ldr x4, [x2, {uc_stack_size}]",
    "sub x8, x2, x3",
    "cmp x8, x4",
    "b.hs 17f",
    "ldr x8, [x2, {uc_sp}]",
    "sub x8, x8, x3",
    "cmp x8, x4",
    "b.hs mach_sys_chained_entry",
    // The frame is on the interrupted stack, and so is everything since: it is served as if the kernel had called, and the
    // handler in between is left behind. Not if it made a frame up.
    "17:",
    "cmp x5, x1",
    "b.ne mach_sys_chained_entry",
    "mov x7, {was_chained}",
    "adr x6, mach_sys_sigreturn",
    "18:",
    "mov x19, x5",
    ".cfi_def_cfa x19, 0",
    "mov w20, w0",
    "mov x21, x1",
    "mov x22, x2",
    "mov x23, x6",
    ".cfi_register x30, x23",
    "mov x25, x7",
    // Where does it run, and where to? Below the frame the stack is free.
    "mov x0, sp",
    "ldr x1, [x2, {uc_sp}]",
    "mov x2, x19",
    "bl {locate}",
    "mov x24, x0",
    "cbz x1, 9f",
    // Move, then register the new stack. A signal of the five that is sent between the two starts over the frame, which has a copy.
    "orr x25, x25, {has_moved}",
    "tbnz x1, #0, 19f",
    "mov x0, x1",
    "mov x1, xzr",
    "mov x8, {sigaltstack}",
    "mov sp, x0",
    "mach_sys_fault_between:",
    "svc 0",
    "9:",
    "stp xzr, xzr, [sp, #-16]!",
    "stp x24, x25, [sp, #-16]!",
    "stp x21, x22, [sp, #-16]!",
    "stp x19, x20, [sp, #-16]!",
    "mov x0, sp",
    "bl {entered}",
    "ldr x19, [sp]",
    "cbnz x0, 14f",
    "mov sp, x19",
    "mov x30, x23",
    "ret", // into the restorer, which returns from the frame
    // As if the kernel had called the handler before this one: the frame where it would have put it, the thread's own
    // alternate stack and mask, then that handler.
    "14:",
    "ldp x21, x22, [sp, #16]",
    "ldr x24, [sp, #48]",
    "mov sp, x19",
    "mov x16, x0",
    "cbz x24, 15f",
    "ldr x6, [x24, {restore_mask}]", // the record may be used again as soon as a signal can arrive
    "str x6, [sp, #-16]!",
    "mov x0, x24",
    "mov x1, xzr",
    "mov x8, {sigaltstack}",
    "svc 0",
    "mov x0, #2",
    "mov x1, sp",
    "mov x2, xzr",
    "mov x3, #8",
    "mov x8, {rt_sigprocmask}",
    "svc 0",
    "mov sp, x19",
    "15:",
    "mov w0, w20",
    "mov x1, x21",
    "mov x2, x22",
    "mov x30, x23",
    "br x16", // x16: the only register through which a landing pad of a function may be reached
    // Move where such a signal would start over what has no copy: the five are blocked meanwhile.
    "19:",
    "sub x5, x1, {guarded}",
    "mov x0, xzr",
    "adr x1, 20f",
    "add x2, x5, {mask_before}",
    "mov x3, #8",
    "mov x8, {rt_sigprocmask}",
    "svc 0",
    "mov sp, x5",
    "mov x0, x5",
    "mov x1, xzr",
    "mov x8, {sigaltstack}",
    "svc 0",
    "mov x0, #2",
    "add x1, x5, {mask_before}",
    "mov x2, xzr",
    "mov x3, #8",
    "mov x8, {rt_sigprocmask}",
    "svc 0",
    "b 9b",
    ".cfi_endproc",
    ".size mach_sys_fault_entry, . - mach_sys_fault_entry",
    // The restorer where a handler called the entry, and the kernel's is not known.
    "mach_sys_sigreturn:",
    "mov x8, {rt_sigreturn}",
    "svc 0",
    ".p2align 3",
    "20:",
    ".quad {synchronous}",
    // An ordinary call with three arguments, which may end in the handler before this one.
    ".p2align 4",
    ".type mach_sys_chained_entry, %function",
    "mach_sys_chained_entry:",
    ".cfi_startproc",
    "stp x29, x30, [sp, #-48]!",
    ".cfi_def_cfa_offset 48",
    ".cfi_offset x29, -48",
    ".cfi_offset x30, -40",
    "mov x29, sp",
    "stp x0, x1, [sp, #16]",
    "str x2, [sp, #32]",
    "bl {chained}",
    "mov x16, x0",
    "ldp x0, x1, [sp, #16]",
    "ldr x2, [sp, #32]",
    "ldp x29, x30, [sp], #48",
    ".cfi_def_cfa_offset 0",
    ".cfi_restore x29",
    ".cfi_restore x30",
    "cbz x16, 19f",
    "br x16",
    "19:",
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
    uc_stack = const 16,
    uc_stack_flags = const 24,
    uc_stack_size = const 32,
    ss_disable = const libc::SS_DISABLE,
    rt_sigreturn = const libc::SYS_rt_sigreturn,
    uc_fault_address = const 176,
    uc_pc = const 440,
    uc_x0 = const 184,
    uc_sp = const 432,
    sigaltstack = const libc::SYS_sigaltstack,
    rt_sigprocmask = const libc::SYS_rt_sigprocmask,
    mask_before = const size_of::<Stack>(),
    synchronous = const SYNCHRONOUS_MASK,
);

const _: () = assert!(offset_of!(Restore, stack) == 0 && offset_of!(Entered, restore) == 48);

/// The siginfo is at the frame's base, the context behind it, its records from 464 on.
const CONTEXT: usize = 128;
const RECORDS: usize = CONTEXT + 464;
/// A record that says where more of them are: address at 8, size at 16.
const EXTRA: u32 = 0x4558_5401;
const EXTRA_ADDRESS: usize = 8;
const EXTRA_SIZE: usize = 16;
/// qemu-user checks that the whole of the kernel's structure is readable, whatever is used of it.
pub(super) const SMALLEST: usize = 4688;

/// Offset of the alternate stack that was registered when the frame was written.
pub(super) const REGISTERED: usize = CONTEXT + 16;

/// By multiples of what a frame may be moved.
pub(super) const ALIGNMENT: usize = 16;

/// How long a frame is, and where the one pointer into itself stands, if it has it.
///
/// # Safety
/// `frame` is the base of a live frame that the kernel wrote.
pub(super) unsafe fn measure(frame: usize) -> Option<Extent> {
    // SAFETY: offsets stay in the frame: each record says where the next one is, and the last has magic 0.
    let word = |offset: usize| unsafe { *((frame + offset) as *const u32) };
    let mut at = RECORDS;
    let mut extra = None;
    let mut length = loop {
        match (word(at), word(at + 4) as usize) {
            (0, _) => break at + 16,
            (magic, size) => {
                if magic == EXTRA {
                    extra = Some(at);
                }
                if size < 8 || at > SMALLEST {
                    return None;
                }
                at += size;
            }
        }
    };
    if let Some(at) = extra {
        // SAFETY: an extra record holds an address and a size.
        let address = unsafe { *((frame + at + EXTRA_ADDRESS) as *const usize) };
        let end = address.checked_add(word(at + EXTRA_SIZE) as usize)?;
        length = length.max(end.checked_sub(frame)?);
    }
    Some(Extent {
        length,
        pointer: extra.map(|at| at + EXTRA_ADDRESS),
    })
}
