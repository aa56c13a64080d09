//! G4.3: the child of a fork has none of the threads that would answer. Its kernel calls fail with an error, its faults go to
//! the signal fallback, and the parent notices nothing.

use crate::context;
use crate::faults::Kind;
use crate::registers::{self, assert_kept};
use crate::support::{OwnStack, install, isolated, on_raw_thread};
use mach_sys::emulated::{self, StartError};
use mach_sys::kern_return::KernError;
use mach_sys::rights::{Census, ReceiveRight, ThreadRight};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use test_support::flag::SetWhenDropped;
use test_support::wait::wait_for;

/// Status of a child in which all was as expected.
const WELL: i32 = 42;

/// Forks; the child runs `child` and ends, at the latest after ten seconds. Returns its wait status.
fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child does nothing but what the tests say, and ends without returning.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(10);
                let good = child();
                libc::_exit(if good { WELL } else { 1 })
            }
            process => {
                assert!(process > 0, "forked");
                let mut status = 0;
                assert_eq!(libc::waitpid(process, &mut status, 0), process);
                status
            }
        }
    }
}

fn ended_well(status: i32) -> bool {
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == WELL
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn previous(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

isolated! {
    fn g4_3_faults_of_a_child_reach_the_handler_of_before() {
        install(libc::SIGILL, previous as *const (), libc::SA_SIGINFO, &[]);
        let server = Arc::new(registers::server());
        server.route_task();
        for situation in 0..3 {
            let route = Arc::clone(&server);
            on_raw_thread(move || {
                let _own = (situation == 2).then(|| OwnStack::register(0));
                if situation == 1 {
                    route.route_thread();
                }
                let before = CALLS.load(Ordering::Relaxed);
                let status = in_child(|| {
                    assert_kept(5);
                    CALLS.load(Ordering::Relaxed) == before + 5
                });
                assert!(ended_well(status), "{situation}: {status:#x}");
                // The parent's are served as before.
                assert_kept(5);
                assert_eq!(CALLS.load(Ordering::Relaxed), before);
            });
        }
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 15);
    }
}

isolated! {
    fn g4_3_by_default_a_child_dies_of_its_fault() {
        install(libc::SIGSEGV, libc::SIG_DFL as *const (), 0, &[]);
        let server = registers::server();
        server.route_task();
        let status = in_child(|| {
            Kind::Access.raise();
            false
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV, "{status:#x}");
        assert_kept(1);
        assert_eq!(server.stop(), 1);
    }
}

/// Forks under load; fewer where each is slow.
const FORKS: usize = if cfg!(target_arch = "x86_64") { 50 } else { 4 };

isolated! {
    /// Also when another thread was in the middle of a kernel call.
    fn g4_3_kernel_calls_of_a_child_fail_and_do_not_hang() {
        let port = ReceiveRight::new().expect("a port");
        let before = Census::take().expect("a census");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let ending = SetWhenDropped(&stop);
            let busy = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(port.make_send().expect("a send right"));
                }
            });
            for _ in 0..FORKS {
                let status = in_child(|| {
                    let refused = Err(KernError::RESOURCE_SHORTAGE);
                    matches!(emulated::start(), Err(StartError::Forked))
                        && ReceiveRight::new().map(drop) == refused
                        && ThreadRight::current().map(drop) == refused
                        && port.make_send().map(drop).is_err()
                });
                assert!(ended_well(status), "{status:#x}");
            }
            drop(ending);
            busy.join().expect("went on");
        });
        // The busy thread's name goes with it.
        wait_for("the name is gone", || Census::take().expect("a census").names <= before.names);
    }
}
