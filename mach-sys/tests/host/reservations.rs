//! Address space that is reserved takes no memory until it is used, also where a process locks its memory; and an error says which
//! reservation the system refused (`ulimit -v 150000`).

use crate::isolated::report_skipped;
use crate::registers;
use crate::support::{on_raw_thread, succeeds, test_name};
use mach_sys::emulated::{self, Config};
use mach_sys::rights::ReceiveRight;

/// Returns a line of `/proc/self/status`, in KiB.
fn status(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with(field));
    let words = line.expect("the field").split_whitespace().nth(1);
    words.expect("a number").parse().expect("a number")
}

/// Bounds the process's address space to what it has and so many KiB more.
#[cfg(target_arch = "x86_64")]
fn limit_address_space(more: usize) {
    let bytes = ((status("VmSize:") + more) * 1024) as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the limit is a local variable, and the process the test's own.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// Checks each reservation with address space for those before it and not for itself.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_refused_reservation_is_named_in_the_error() {
    let name = test_name!(a_refused_reservation_is_named_in_the_error);
    let cases = [
        (0, "the table of threads of"),
        (150_000, " of the emulated kernel"),
        (300_000, "the threads' slots of"),
    ];
    for (more, expected) in cases {
        succeeds(name, &format!("{more}"), move || {
            limit_address_space(more);
            let error = emulated::start().expect_err("there is not so much address space");
            let text = error.to_string();
            assert!(text.contains(expected), "{text}");
            assert!(
                text.contains(" bytes of address space could not be reserved for "),
                "{text}"
            );
            let source = std::error::Error::source(error).expect("the host's error");
            let host = source
                .downcast_ref::<std::io::Error>()
                .expect("the host's error");
            assert_eq!(host.raw_os_error(), Some(libc::ENOMEM));
            // A second call returns the same error.
            assert_eq!(
                emulated::start().expect_err("it stays so").to_string(),
                text
            );
        });
    }
}

/// The calls that lock the process's memory, and the numbers of threads and ports configured.
const LOCKS: [(&str, Option<(u32, u32)>); 2] = [
    // A kernel of the usual size: what comes is not taken until it is used.
    ("before the start", None),
    // What is there is taken: a process that locks its memory asks for less.
    ("after the start", Some((64, 4096))),
];

/// Uses the emulation: makes ports, and faults on threads.
fn use_it() {
    let ports: Vec<ReceiveRight> = (0..1000)
        .map(|_| ReceiveRight::new().expect("a port"))
        .collect();
    let server = registers::server();
    server.route_task();
    for _ in 0..16 {
        on_raw_thread(|| registers::assert_kept(2));
    }
    assert_eq!(server.stop(), 32);
    drop(ports);
}

/// Locks the process's memory. Whether that is allowed.
fn lock(flags: libc::c_int) -> bool {
    // SAFETY: the process is the test's own.
    unsafe { libc::mlockall(flags) == 0 }
}

#[test]
fn reserved_memory_is_not_taken_when_the_process_locks_its_memory() {
    const MOST: usize = 48 << 10;
    let name = test_name!(reserved_memory_is_not_taken_when_the_process_locks_its_memory);
    for (when, asked) in LOCKS {
        succeeds(name, when, move || {
            // With what was there before locked, all that is taken from here on is the emulation's.
            if !lock(libc::MCL_CURRENT | libc::MCL_FUTURE) {
                return report_skipped(name, "this user may not lock memory");
            }
            let before = status("VmRSS:");
            let mut config = Config::default();
            if let Some((threads, ports)) = asked {
                (config.threads, config.ports) = (threads, ports);
            }
            emulated::start_with(config).expect("started");
            let started = status("VmRSS:") - before;
            assert!(started < MOST, "{started} KiB for the start");
            if asked.is_some() {
                assert!(lock(libc::MCL_CURRENT));
            }
            let locked = status("VmRSS:") - before;
            assert!(locked < MOST, "{locked} KiB, locked {when}");
            use_it();
        });
    }
}

#[test]
fn a_kernel_with_fewer_ports_has_room_for_so_many_and_goes_on_when_they_are_used_up() {
    let name = test_name!(
        a_kernel_with_fewer_ports_has_room_for_so_many_and_goes_on_when_they_are_used_up
    );
    succeeds(name, "", || {
        let mut config = Config::default();
        config.ports = 1;
        emulated::start_with(config).expect("started");
        assert_eq!(config.port_slots(), 4096);
        for _ in 0..3 {
            let ports: Vec<ReceiveRight> = core::iter::from_fn(|| ReceiveRight::new().ok())
                .take(10_000)
                .collect();
            assert!((2000..4096).contains(&ports.len()), "{}", ports.len());
        }
        use_it();
    });
}
