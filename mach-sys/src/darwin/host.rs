//! Darwin's signals as the host numbers them.

use core::ffi::c_int;

use super::signal::DarwinSignal;

/// Whether the host's numbers are Darwin's: told by those that differ elsewhere.
const SAME: bool = libc::SIGBUS == DarwinSignal::BUS.raw()
    && libc::SIGUSR1 == DarwinSignal::USR1.raw()
    && libc::SIGSYS == DarwinSignal::SYS.raw();

/// The signals that every Unix has, beside Darwin's number for them.
const COMMON: [(DarwinSignal, c_int); 29] = [
    (DarwinSignal::HUP, libc::SIGHUP),
    (DarwinSignal::INT, libc::SIGINT),
    (DarwinSignal::QUIT, libc::SIGQUIT),
    (DarwinSignal::ILL, libc::SIGILL),
    (DarwinSignal::TRAP, libc::SIGTRAP),
    (DarwinSignal::ABRT, libc::SIGABRT),
    (DarwinSignal::FPE, libc::SIGFPE),
    (DarwinSignal::KILL, libc::SIGKILL),
    (DarwinSignal::BUS, libc::SIGBUS),
    (DarwinSignal::SEGV, libc::SIGSEGV),
    (DarwinSignal::SYS, libc::SIGSYS),
    (DarwinSignal::PIPE, libc::SIGPIPE),
    (DarwinSignal::ALRM, libc::SIGALRM),
    (DarwinSignal::TERM, libc::SIGTERM),
    (DarwinSignal::URG, libc::SIGURG),
    (DarwinSignal::STOP, libc::SIGSTOP),
    (DarwinSignal::TSTP, libc::SIGTSTP),
    (DarwinSignal::CONT, libc::SIGCONT),
    (DarwinSignal::CHLD, libc::SIGCHLD),
    (DarwinSignal::TTIN, libc::SIGTTIN),
    (DarwinSignal::TTOU, libc::SIGTTOU),
    (DarwinSignal::IO, libc::SIGIO),
    (DarwinSignal::XCPU, libc::SIGXCPU),
    (DarwinSignal::XFSZ, libc::SIGXFSZ),
    (DarwinSignal::VTALRM, libc::SIGVTALRM),
    (DarwinSignal::PROF, libc::SIGPROF),
    (DarwinSignal::WINCH, libc::SIGWINCH),
    (DarwinSignal::USR1, libc::SIGUSR1),
    (DarwinSignal::USR2, libc::SIGUSR2),
];

impl DarwinSignal {
    /// The host's number for this signal; `None` where the host has no such signal (Linux: `SIGEMT`, `SIGINFO`), or Darwin has
    /// none.
    pub fn to_host(self) -> Option<c_int> {
        if SAME {
            return (1..=31).contains(&self.raw()).then_some(self.raw());
        }
        let mut known = COMMON.iter();
        known
            .find(|(darwin, _)| *darwin == self)
            .map(|(_, host)| *host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_the_hosts_own_of_that_name() {
        for (signal, host) in COMMON {
            assert_eq!(signal.to_host(), Some(host), "{signal}");
        }
        let numbers: std::collections::BTreeSet<_> = COMMON.iter().map(|row| row.1).collect();
        assert_eq!(numbers.len(), COMMON.len(), "no two are one");
    }

    #[test]
    fn what_is_no_signal_has_no_number() {
        for raw in [i32::MIN, -1, 0, 32, 99] {
            assert_eq!(DarwinSignal::new(raw).to_host(), None);
        }
        // Darwin has 31, and whoever numbers otherwise lacks two of them.
        let named = DarwinSignal::NAMES.iter();
        let there = named.filter(|(_, raw)| DarwinSignal::new(*raw).to_host().is_some());
        assert_eq!(there.count(), if SAME { 31 } else { 29 });
    }
}
