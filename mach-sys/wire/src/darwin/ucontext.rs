//! `ucontext_t` and `stack_t` (`sys/_types/_ucontext.h`, `sys/signal.h`), in 64-bit layout. Pointers are addresses.

use crate::pod::plain_struct;

/// The thread runs on its alternate stack (`SS_ONSTACK`).
pub const SS_ONSTACK: i32 = 1;
/// The thread has no alternate stack (`SS_DISABLE`).
pub const SS_DISABLE: i32 = 4;

plain_struct! {
    /// An alternate stack. Darwin's order of fields is not Linux's.
    pub struct stack_t: 24, align 8 {
        0 ss_sp: u64,
        8 ss_size: u64,
        16 ss_flags: i32,
        20 reserved: u32,
    }
}

plain_struct! {
    /// The interrupted thread, as a signal handler sees it. Its methods return the registers, for reading and writing.
    pub struct ucontext_t: 56, align 8 {
        /// Whether the handler runs on the alternate stack.
        ///
        0 uc_onstack: i32,
        /// The signal mask to go back to, bit *n* - 1 for signal *n*.
        ///
        4 uc_sigmask: u32,
        8 uc_stack: stack_t,
        32 uc_link: u64,
        /// Size of the machine context.
        ///
        40 uc_mcsize: u64,
        /// Address of the machine context.
        ///
        48 uc_mcontext: u64,
    }
}
