//! Darwin's signal numbers (`sys/signal.h`), on every system.

use crate::names::{display_by_name, open_set, raw_constants};

open_set! {
    /// A signal, as Darwin's number. Some numbers differ from Linux's: `SIGEMT` 7, `SIGBUS` 10, `SIGSYS` 12, `SIGUSR1` 30, and others.
    pub struct DarwinSignal(i32);
    HUP = SIGHUP = 1;
    INT = SIGINT = 2;
    QUIT = SIGQUIT = 3;
    ILL = SIGILL = 4;
    TRAP = SIGTRAP = 5;
    ABRT = SIGABRT = 6;
    EMT = SIGEMT = 7;
    FPE = SIGFPE = 8;
    KILL = SIGKILL = 9;
    BUS = SIGBUS = 10;
    SEGV = SIGSEGV = 11;
    SYS = SIGSYS = 12;
    PIPE = SIGPIPE = 13;
    ALRM = SIGALRM = 14;
    TERM = SIGTERM = 15;
    URG = SIGURG = 16;
    STOP = SIGSTOP = 17;
    TSTP = SIGTSTP = 18;
    CONT = SIGCONT = 19;
    CHLD = SIGCHLD = 20;
    TTIN = SIGTTIN = 21;
    TTOU = SIGTTOU = 22;
    IO = SIGIO = 23;
    XCPU = SIGXCPU = 24;
    XFSZ = SIGXFSZ = 25;
    VTALRM = SIGVTALRM = 26;
    PROF = SIGPROF = 27;
    WINCH = SIGWINCH = 28;
    INFO = SIGINFO = 29;
    USR1 = SIGUSR1 = 30;
    USR2 = SIGUSR2 = 31;
}
display_by_name!(DarwinSignal);

impl DarwinSignal {
    /// Returns the bit of this signal in a `sigset_t` (`uc_sigmask`); 0 if the number is not a signal.
    #[doc(alias("sigmask", "sigset_t"))]
    pub const fn mask(self) -> u32 {
        match self.raw() {
            raw @ 1..=32 => 1 << (raw - 1),
            _ => 0,
        }
    }
}

raw_constants! {
    i32; SI_CODES;
    SI_USER = 0x10001;
    SI_QUEUE = 0x10002;
    SI_TIMER = 0x10003;
    SI_ASYNCIO = 0x10004;
    SI_MESGQ = 0x10005;
    ILL_NOOP = 0;
    ILL_ILLOPC = 1;
    ILL_ILLTRP = 2;
    ILL_PRVOPC = 3;
    ILL_ILLOPN = 4;
    ILL_ILLADR = 5;
    ILL_PRVREG = 6;
    ILL_COPROC = 7;
    ILL_BADSTK = 8;
    FPE_NOOP = 0;
        /// Floating-point division by zero; 3 on Linux.
        ///
    FPE_FLTDIV = 1;
    FPE_FLTOVF = 2;
    FPE_FLTUND = 3;
    FPE_FLTRES = 4;
    FPE_FLTINV = 5;
    FPE_FLTSUB = 6;
        /// Integer division by zero; 1 on Linux.
        ///
    FPE_INTDIV = 7;
    FPE_INTOVF = 8;
    SEGV_NOOP = 0;
    SEGV_MAPERR = 1;
    SEGV_ACCERR = 2;
    BUS_NOOP = 0;
    BUS_ADRALN = 1;
    BUS_ADRERR = 2;
    BUS_OBJERR = 3;
    TRAP_BRKPT = 1;
    TRAP_TRACE = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_darwins_not_the_hosts() {
        assert_eq!("SIGBUS".parse(), Ok(DarwinSignal::BUS));
        assert_eq!(DarwinSignal::new(10).to_string(), "SIGBUS");
        assert_eq!(DarwinSignal::new(99).to_string(), "99");
        assert_eq!(DarwinSignal::SEGV.mask(), 1 << 10);
        assert_eq!(DarwinSignal::new(0).mask(), 0);
    }
}
