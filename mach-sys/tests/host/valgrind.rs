//! Under valgrind: its signal frames are not Linux's, and the emulation says so instead of starting.

use crate::isolated::report_skipped;
use crate::support::{install, is_child, registered_stack, succeeds_under, test_name};
use mach_sys::emulated;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Each with what it makes of the registers in a frame, which tells what the self-test sees.
const OPTIONS: [[&str; 2]; 3] = [
    [
        "--tool=none",
        "--vex-iropt-register-updates=unwindregs-at-mem-access",
    ],
    [
        "--tool=none",
        "--vex-iropt-register-updates=allregs-at-each-insn",
    ],
    [
        "--tool=none",
        "--vex-iropt-register-updates=allregs-at-mem-access",
    ],
];

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Opens the page that was read.
extern "C" fn previous(_: i32, info: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the siginfo is the system's; the page is the test's own.
    unsafe {
        let page = (*info).si_addr();
        libc::mprotect(page, 4096, libc::PROT_READ);
    }
}

/// Starts the emulation, which fails, and faults: the handler from before has it.
fn start_and_fault() {
    install(libc::SIGSEGV, previous as *const (), libc::SA_SIGINFO, &[]);
    let stack = registered_stack();
    let error = emulated::start().expect_err("it cannot be served");
    assert_eq!(error.code(), 0x2007, "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("the emulated kernel does not run on a system whose signal frames are not Linux's, such as valgrind: "),
        "{text}"
    );
    assert!(text.contains("shows another value than"), "{text}");
    assert_eq!(registered_stack().ss_sp, stack.ss_sp);
    assert_eq!(registered_stack().ss_flags, stack.ss_flags);
    // SAFETY: a page of the test's own, which its handler opens.
    unsafe {
        let page = libc::mmap(
            core::ptr::null_mut(),
            4096,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_eq!(page.cast::<u8>().read_volatile(), 0);
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    // Kernel calls fail, each, and harm nothing.
    assert!(mach_sys::rights::ReceiveRight::new().is_err());
    assert!(mach_sys::rights::ThreadRight::current().is_err());
}

#[test]
fn valgrind_is_refused_and_the_previous_handlers_are_there_again() {
    let name = test_name!(valgrind_is_refused_and_the_previous_handlers_are_there_again);
    let is_there = || Command::new("valgrind").arg("--version").output().is_ok();
    if !is_child() && (cfg!(target_arch = "aarch64") || !is_there()) {
        return report_skipped(name, "valgrind is not installed");
    }
    for [tool, registers] in OPTIONS {
        let wrapper = ["valgrind", "-q", tool, registers];
        succeeds_under(
            &wrapper,
            name,
            &format!("{tool} {registers}"),
            start_and_fault,
        );
    }
}
