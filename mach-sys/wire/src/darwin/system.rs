//! The numbers of Darwin's signals on the operating system that the code is compiled for.

use core::ffi::c_int;

use super::signal::DarwinSignal;

/// `true` if the system's signal numbers are Darwin's. Linux has other numbers.
const SAME: bool = !cfg!(any(target_os = "linux", target_os = "android"));

/// Linux's number of each signal on x86_64 and arm64, indexed by Darwin's; 0 if Linux has no such signal (`SIGEMT`, `SIGINFO`).
const LINUX: [c_int; 32] = {
    let mut numbers = [0; 32];
    let mut row = 0;
    while row < SAME_NUMBER.len() {
        let raw = SAME_NUMBER[row].raw();
        numbers[raw as usize] = raw;
        row += 1;
    }
    row = 0;
    while row < OTHER_NUMBER.len() {
        numbers[OTHER_NUMBER[row].0.raw() as usize] = OTHER_NUMBER[row].1;
        row += 1;
    }
    numbers
};

/// Signals with the same number on Darwin and Linux.
const SAME_NUMBER: [DarwinSignal; 19] = [
    DarwinSignal::HUP,
    DarwinSignal::INT,
    DarwinSignal::QUIT,
    DarwinSignal::ILL,
    DarwinSignal::TRAP,
    DarwinSignal::ABRT,
    DarwinSignal::FPE,
    DarwinSignal::KILL,
    DarwinSignal::SEGV,
    DarwinSignal::PIPE,
    DarwinSignal::ALRM,
    DarwinSignal::TERM,
    DarwinSignal::TTIN,
    DarwinSignal::TTOU,
    DarwinSignal::XCPU,
    DarwinSignal::XFSZ,
    DarwinSignal::VTALRM,
    DarwinSignal::PROF,
    DarwinSignal::WINCH,
];

/// Signals with another number on Linux, with that number.
const OTHER_NUMBER: [(DarwinSignal, c_int); 10] = [
    (DarwinSignal::BUS, 7),
    (DarwinSignal::USR1, 10),
    (DarwinSignal::USR2, 12),
    (DarwinSignal::CHLD, 17),
    (DarwinSignal::CONT, 18),
    (DarwinSignal::STOP, 19),
    (DarwinSignal::TSTP, 20),
    (DarwinSignal::URG, 23),
    (DarwinSignal::IO, 29),
    (DarwinSignal::SYS, 31),
];

impl DarwinSignal {
    /// The signals that a thread's own faults raise, on every system. The emulated kernel handles them, and a thread whose exceptions are
    /// served must not block them.
    pub const FAULTS: [Self; 5] = [Self::SEGV, Self::BUS, Self::ILL, Self::FPE, Self::TRAP];

    /// Returns the system's number of this signal; `None` if the system has no such signal (Linux: `SIGEMT`, `SIGINFO`), or Darwin has none.
    pub const fn to_system(self) -> Option<c_int> {
        let raw = self.raw();
        if raw < 1 || raw > 31 {
            return None;
        }
        if SAME {
            return Some(raw);
        }
        match LINUX[raw as usize] {
            0 => None,
            number => Some(number),
        }
    }

    /// The system's numbers of [`FAULTS`](Self::FAULTS).
    pub const SYSTEM_FAULTS: [c_int; 5] = {
        let mut numbers = [0; 5];
        let mut index = 0;
        while index < numbers.len() {
            if let Some(number) = Self::FAULTS[index].to_system() {
                numbers[index] = number;
            }
            index += 1;
        }
        numbers
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_the_systems_number_of_the_same_name() {
        let common = [
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
        for (signal, number) in common {
            assert_eq!(signal.to_system(), Some(number), "{signal}");
        }
        let there = (1..32).filter(|raw| DarwinSignal::new(*raw).to_system().is_some());
        assert_eq!(there.count(), if SAME { 31 } else { common.len() });
        let faults = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ];
        assert_eq!(DarwinSignal::SYSTEM_FAULTS, faults);
    }

    #[test]
    fn invalid_signal_numbers_have_no_number_of_the_system() {
        for raw in [i32::MIN, -1, 0, 32, 99] {
            assert_eq!(DarwinSignal::new(raw).to_system(), None);
        }
    }
}
