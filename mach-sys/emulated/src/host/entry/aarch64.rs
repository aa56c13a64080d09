//! The entry on arm64.
//!
//! The kernel calls it with (x0 signal, x1 siginfo, x2 context), sp at the frame, x30 the restorer. Callee-saved registers need no
//! saving: `rt_sigreturn` restores them all. They keep x19 the frame, x20 signal, x21 siginfo, x22 context, x23 restorer, x24 slot,
//! x25 how we came here: whether we moved, and whether a handler called us.

use super::frame::Extent;
use super::{CHAINED, MOVED, chained, entered};
use crate::host::slot::{BASE, HEADER, KEY_MASK, KEYS, LENGTH, LENT, PRIVATE};
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(
    ".p2align 4",
    ".globl mach_sys_fault_entry",
    ".hidden mach_sys_fault_entry",
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
    // Called by a handler that was installed over us. Where the frame is on an alternate stack and the interrupted code is not,
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
    // The frame is on the interrupted stack, and so is everything since: it is served as if the kernel had called us, and the
    // handler in between is left behind. Not if he made a frame up.
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
    // On a slot?
    "adrp x3, {base}",
    "ldr x3, [x3, :lo12:{base}]",
    "mov x7, sp",
    "sub x4, x7, x3",
    "adrp x5, {length}",
    "ldr x5, [x5, :lo12:{length}]",
    "cmp x4, x5",
    "b.hs 4f",
    "and x24, x7, #~0xffff",
    "and x5, x7, #0xffff",
    "mov x6, {lent}",
    "cmp x5, x6",
    "b.lo 9f", // 1: nested
    "ldr x6, [x22, {uc_sp}]",
    "and x6, x6, #~0xffff",
    "cmp x6, x24",
    "b.ne 9f", // 2: lent
    "b 8f", // 3: an application's handler on the lent part
    // 4: find or claim the thread's slot.
    "4:",
    "mov x8, {gettid}",
    "svc 0",
    "mov w9, w0", // tid
    "5:",
    "adrp x10, {keys}",
    "ldr x10, [x10, :lo12:{keys}]",
    "cbz x10, 7f",
    "adrp x11, {key_mask}",
    "ldr x11, [x11, :lo12:{key_mask}]",
    "add x12, x11, #1", // keys left to look at
    "mov x13, #-1", // first tombstone seen
    "and x14, x9, x11",
    "6:",
    "ldr w15, [x10, x14, lsl #2]",
    "cmp w15, w9",
    "b.eq 3f",
    "cbz w15, 2f",
    "cmn w15, #1",
    "b.ne 10f",
    "cmn x13, #1",
    "csel x13, x14, x13, eq",
    "10:",
    "add x14, x14, #1",
    "and x14, x14, x11",
    "subs x12, x12, #1",
    "b.ne 6b",
    // Every key was looked at: a tombstone, or nothing.
    "cmn x13, #1",
    "b.eq 7f",
    "mov x14, x13",
    "mov w16, #-1",
    "b 11f",
    // An empty key ends the probe: take the first tombstone, else this one.
    "2:",
    "mov w16, wzr",
    "cmn x13, #1",
    "b.eq 11f",
    "mov x14, x13",
    "mov w16, #-1",
    "11:",
    "add x17, x10, x14, lsl #2",
    "12:",
    "ldaxr w15, [x17]",
    "cmp w15, w16",
    "b.ne 13f",
    "stlxr w15, w9, [x17]",
    "cbnz w15, 12b",
    "b 3f",
    "13:",
    "clrex",
    "b 5b",
    "3:",
    "adrp x3, {base}",
    "ldr x3, [x3, :lo12:{base}]",
    "add x24, x3, x14, lsl #16",
    "8:",
    // Move, and register where we are at once: whatever arrives before would start over the live frame.
    "mov x6, {lent} - 32",
    "add x0, x24, x6",
    "mov x6, {private}",
    "add x6, x24, x6",
    "stp x6, xzr, [x0]",
    "mov x6, {lent} - {private}",
    "str x6, [x0, #16]",
    "mov x1, xzr",
    "orr x25, x25, {has_moved}",
    "mov x8, {sigaltstack}",
    "mov sp, x0",
    "svc 0",
    "b 9f",
    // All slots taken: stay where we are, without one.
    "7:",
    "mov x24, xzr",
    "9:",
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
    // As if we had never been there: the frame where the kernel would have put it for the handler before us, the thread's own
    // alternate stack and mask, then that handler.
    "14:",
    "ldp x21, x22, [sp, #16]",
    "mov sp, x19",
    "mov x16, x0",
    "tst x25, {has_moved}",
    "b.eq 15f",
    "mov x6, {header}",
    "add x0, x24, x6",
    "mov x1, xzr",
    "mov x8, {sigaltstack}",
    "svc 0",
    "mov x0, #2",
    "mov x6, {header_mask}",
    "add x1, x24, x6",
    "mov x2, xzr",
    "mov x3, #8",
    "mov x8, {rt_sigprocmask}",
    "svc 0",
    "15:",
    "mov w0, w20",
    "mov x1, x21",
    "mov x2, x22",
    "mov x30, x23",
    "br x16", // x16: the only register through which a landing pad of a function may be reached
    ".cfi_endproc",
    ".size mach_sys_fault_entry, . - mach_sys_fault_entry",
    // The restorer where a handler called us, and the kernel's is not known.
    "mach_sys_sigreturn:",
    "mov x8, {rt_sigreturn}",
    "svc 0",
    // An ordinary call with three arguments, which may end in the handler before us.
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
    base = sym BASE,
    length = sym LENGTH,
    keys = sym KEYS,
    key_mask = sym KEY_MASK,
    entered = sym entered,
    chained = sym chained,
    has_moved = const MOVED,
    was_chained = const CHAINED,
    lent = const LENT,
    private = const PRIVATE,
    header = const HEADER,
    header_mask = const HEADER + offset_of!(crate::host::slot::Header, restore_mask),
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
    gettid = const libc::SYS_gettid,
    sigaltstack = const libc::SYS_sigaltstack,
    rt_sigprocmask = const libc::SYS_rt_sigprocmask,
);

const _: () = assert!(offset_of!(crate::host::slot::Header, restore_stack) == 0);

/// The siginfo is at the frame's base, the context behind it, its records from 464 on.
const CONTEXT: usize = 128;
const RECORDS: usize = CONTEXT + 464;
/// A record that says where more of them are: address at 8, size at 16.
const EXTRA: u32 = 0x4558_5401;
const EXTRA_ADDRESS: usize = 8;
const EXTRA_SIZE: usize = 16;
/// qemu-user checks that the whole of the kernel's structure is readable, whatever is used of it.
pub(super) const SMALLEST: usize = 4688;

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
