//! A sandbox that refuses a question says nothing about its answer.

use crate::own_process::report_skipped;
use crate::registers::{self, assert_kept};
use crate::support::{isolated, on_raw_thread, test_name};
use mach_sys::rights::{Right, ThreadRight};
use std::sync::Arc;
use std::time::Duration;

/// Lets `tgkill` fail with `EPERM` on all threads, as service managers do. Whether that worked.
fn refuse_tgkill() -> bool {
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        statement(0x20, 0, 0, 0),
        statement(0x15, 1, 0, libc::SYS_tgkill as u32),
        statement(0x06, 0, 0, 0x7fff_0000),
        statement(0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: a filter that refuses one system call, for this process, which is the test's own.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_seccomp, 1, 1, &program) == 0
    }
}

isolated! {
    /// The watching thread looks at all threads every 250 ms.
    fn a_living_thread_is_not_taken_for_gone() {
        let server = Arc::new(registers::server());
        if !refuse_tgkill() {
            return report_skipped(test_name!(a_living_thread_is_not_taken_for_gone), "this host has no filters of system calls");
        }
        let route = Arc::clone(&server);
        on_raw_thread(move || {
            route.route_thread();
            let name = ThreadRight::current().expect("the own thread").name().raw();
            for _ in 0..8 {
                assert_kept(1);
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(ThreadRight::current().expect("the own thread").name().raw(), name);
        });
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), 8);
    }
}
