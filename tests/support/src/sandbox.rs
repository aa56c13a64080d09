//! A sandbox that refuses system calls.
#![allow(unsafe_code)]

/// Lets system calls fail with `EPERM` on all threads, as service managers do. Returns whether this host has filters of system calls.
pub fn refuse(calls: &[libc::c_long]) -> bool {
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = vec![statement(0x20, 0, 0, 0)];
    for call in calls {
        filter.push(statement(0x15, 0, 1, *call as u32));
        filter.push(statement(0x06, 0, 0, 0x0005_0000 | libc::EPERM as u32));
    }
    filter.push(statement(0x06, 0, 0, 0x7fff_0000));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: a filter that refuses system calls, for this process, which is the test's own.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_seccomp, 1, 1, &program) == 0
    }
}
