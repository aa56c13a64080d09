//! The signal that a fault becomes which no exception handler takes: the system's, or the one that XNU posts.

use crate::context;
use crate::faults::{ADDRESS, Kind, store_to};
use crate::isolated::report_partly;
use crate::support::{dies, install, isolated, on_raw_thread, test_name};
use mach_sys::emulated::{self, Config, FallbackSignals};
use port_server::Server;
use std::sync::Mutex;
use std::sync::OnceLock;

const SIGNALS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// A fault, and the signals that it becomes.
struct Case {
    what: &'static str,
    kind: Kind,
    /// Address of a bad access.
    address: Option<fn() -> usize>,
    system: i32,
    xnu: i32,
    /// `si_code` of XNU's signal where it is not the system's.
    code: Option<i32>,
}

/// `BUS_ADRALN` on arm64, `BUS_ADRERR` on x86_64 (A12.6, A12.7).
const BUS_CODE: i32 = if cfg!(target_arch = "aarch64") { 1 } else { 2 };

fn same(what: &'static str, kind: Kind) -> Case {
    Case {
        what,
        kind,
        address: None,
        system: kind.signal(),
        xnu: kind.signal(),
        code: None,
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case {
            address: Some(|| ADDRESS),
            ..same("a store to nothing", Kind::Access)
        },
        Case {
            address: Some(protected),
            xnu: libc::SIGBUS,
            code: Some(BUS_CODE),
            ..same("a store to memory that does not allow it", Kind::Access)
        },
        same("a load beyond a file's end", Kind::Bus),
        same("an undefined instruction", Kind::Undefined),
        same("a breakpoint", Kind::Break),
    ];
    if cfg!(target_arch = "x86_64") {
        cases.push(same("a division by zero", Kind::Divide));
    }
    cases
}

/// Returns the address of a page that allows no access.
fn protected() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    *PAGE.get_or_init(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let page =
            unsafe { libc::mmap(core::ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        page as usize
    })
}

impl Case {
    fn raise(&self) {
        match self.address {
            Some(address) => store_to(address()),
            None => self.kind.raise(),
        }
    }

    fn signal(&self, signals: FallbackSignals) -> i32 {
        match signals {
            FallbackSignals::Xnu => self.xnu,
            _ => self.system,
        }
    }
}

/// Arguments that a previous handler received: the signal, `si_signo`, `si_code`, `si_addr`.
static TOLD: Mutex<Vec<(i32, i32, i32, usize)>> = Mutex::new(Vec::new());
/// Bytes to skip.
static SKIP: Mutex<u64> = Mutex::new(0);

extern "C" fn previous(signal: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo.
    let told = unsafe {
        (
            signal,
            (*info).si_signo,
            (*info).si_code,
            (*info).si_addr() as usize,
        )
    };
    TOLD.lock().expect("unpoisoned").push(told);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, *SKIP.lock().expect("unpoisoned")) };
}

fn start(signals: FallbackSignals, threads: u32) {
    let mut config = Config::default();
    config.fallback_signals = signals;
    config.threads = threads;
    emulated::start_with(config).expect("started");
}

/// Raises each fault, and checks what the handler of before is told.
fn each_goes_to_its_handler(signals: FallbackSignals) {
    for case in cases() {
        *SKIP.lock().expect("unpoisoned") = case.kind.skip();
        case.raise();
        let told = std::mem::take(&mut *TOLD.lock().expect("unpoisoned"));
        let signal = case.signal(signals);
        assert_eq!(told.len(), 1, "{}: {told:?}", case.what);
        let (called, number, code, at) = told[0];
        assert_eq!((called, number), (signal, signal), "{}", case.what);
        if let (FallbackSignals::Xnu, Some(expected)) = (signals, case.code) {
            assert_eq!(code, expected, "{}", case.what);
        }
        if let Some(address) = case.address {
            assert_eq!(at, address(), "{}", case.what);
        }
    }
}

fn in_every_situation(signals: FallbackSignals) {
    for signal in SIGNALS {
        install(signal, previous as *const (), libc::SA_SIGINFO, &[]);
    }
    start(signals, 2048);
    each_goes_to_its_handler(signals);
    on_raw_thread(move || each_goes_to_its_handler(signals));
    // A server that declines.
    let server = Server::start(0, |asked, _, _| {
        *asked += 1;
        false
    });
    server.route_task();
    each_goes_to_its_handler(signals);
    on_raw_thread(move || each_goes_to_its_handler(signals));
    assert_eq!(server.stop(), 2 * cases().len());
}

isolated! {
    /// A handler that was installed over the emulation's for the signal that XNU posts runs, though the system has not called it.
    fn a12_3_a_newcomer_gets_the_signal_that_xnu_posts() {
        start(FallbackSignals::Xnu, 64);
        let case = &cases()[1];
        install(case.xnu, previous as *const (), libc::SA_SIGINFO | libc::SA_RESETHAND, &[]);
        *SKIP.lock().expect("unpoisoned") = case.kind.skip();
        case.raise();
        let told = TOLD.lock().expect("unpoisoned").pop();
        assert_eq!(told.map(|told| (told.0, told.3)), Some((case.xnu, protected())));
        let left = install(case.xnu, core::ptr::null(), 0, &[]);
        assert_eq!(left.sa_sigaction, libc::SIG_DFL, "SA_RESETHAND");
    }
}

isolated! {
    fn g3_3_a_handler_of_before_gets_the_systems_signal() {
        in_every_situation(FallbackSignals::System);
    }
}

isolated! {
    fn a12_3_a_handler_of_before_gets_the_signal_that_xnu_posts() {
        in_every_situation(FallbackSignals::Xnu);
    }
}

#[test]
fn a12_3_a_process_dies_of_the_signal_that_xnu_posts() {
    let name = test_name!(a12_3_a_process_dies_of_the_signal_that_xnu_posts);
    let emulated = test_support::emulator::is_emulated();
    if emulated {
        report_partly(name, "qemu-user takes a sent SIGBUS for its own fault");
    }
    for signals in [FallbackSignals::System, FallbackSignals::Xnu] {
        for case in cases() {
            if emulated && case.signal(signals) != case.system {
                continue;
            }
            let what = format!("{signals:?}, {}", case.what);
            dies(name, &what, case.signal(signals), || {
                start(signals, 64);
                case.raise();
            });
        }
    }
}
