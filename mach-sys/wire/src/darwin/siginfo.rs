//! `siginfo_t` (`sys/signal.h`).

use crate::pod::plain_struct;

plain_struct! {
    /// The signal and its cause, the second argument of a signal handler.
    pub struct siginfo_t: 104, align 8 {
        /// Darwin's number of the signal.
        ///
        0 si_signo: i32,
        4 si_errno: i32,
        /// The cause, such as `SEGV_MAPERR`.
        ///
        8 si_code: i32,
        12 si_pid: i32,
        16 si_uid: u32,
        20 si_status: i32,
        /// The address of the fault; for SIGILL and SIGFPE the address of the instruction.
        ///
        24 si_addr: u64,
        /// A `union sigval`.
        ///
        32 si_value: u64,
        40 si_band: i64,
        48 pad: [u64; 7],
    }
}
