//! `ucontext_t` and `stack_t` (`sys/_types/_ucontext.h`, `sys/signal.h`), in 64-bit layout. Pointers are addresses.

use crate::pod::plain_struct;

/// Flag: the thread runs on its alternate signal stack (`SS_ONSTACK`).
pub const SS_ONSTACK: i32 = 1;
/// Flag: the thread has no alternate signal stack (`SS_DISABLE`).
pub const SS_DISABLE: i32 = 4;

plain_struct! {
    /// An alternate signal stack. Darwin's order of fields is not Linux's.
    pub struct stack_t: 24, align 8 {
        0 ss_sp: u64,
        8 ss_size: u64,
        16 ss_flags: i32,
        20 reserved: u32,
    }
}

plain_struct! {
    /// The state of the interrupted thread that a signal handler gets. Its methods return the registers, for reading and writing.
    pub struct ucontext_t: 56, align 8 {
        /// 1 if the thread was on the alternate signal stack, otherwise 0.
        ///
        0 uc_onstack: i32,
        /// The signal mask to restore: bit *n* - 1 for signal *n*.
        ///
        4 uc_sigmask: u32,
        8 uc_stack: stack_t,
        32 uc_link: u64,
        /// Size of the machine context in bytes.
        ///
        40 uc_mcsize: u64,
        /// Address of the machine context.
        ///
        48 uc_mcontext: u64,
    }
}
