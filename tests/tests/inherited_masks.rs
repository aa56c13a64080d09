//! S9: threads and processes that user code starts have the signal mask of ordinary code, wherever that user code runs: on a server's
//! thread, or in a handler that a fault was redirected to.
#![allow(unsafe_code)]

use core::ffi::c_int;
use exc_server::{Answered, Delivery, Exception, Routing, Server, Target};
use mach_sys::darwin::{DarwinSignal, siginfo_t, ucontext_t};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::ThreadRight;
use mach_sys::thread_state::NativeState;
use signal_redirect::{Entry, restore_signal_mask};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tests::faults::{registers, skip, store_to, undefined};
use tests::isolated::{isolated, report_skipped};
use tests::watchdog::abort_after;
use thread_mgr::Manager;

/// The lines of `/proc/…/status` that tell of signals.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Masks {
    blocked: u64,
    ignored: u64,
}

impl Masks {
    fn of(status: &str) -> Self {
        let find = |name| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("a number")
        };
        Self {
            blocked: find("SigBlk:"),
            ignored: find("SigIgn:"),
        }
    }

    fn of_this_thread() -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status");
        Self::of(&status.expect("a status"))
    }
}

/// A way to start something, and what that finds.
type Way = (&'static str, fn() -> Masks);

/// The masks that each way found.
type Found = Vec<(&'static str, Masks)>;

const WAYS: [Way; 5] = [
    ("a thread of std's", || {
        let thread = std::thread::spawn(Masks::of_this_thread);
        thread.join().expect("masks")
    }),
    ("a pthread", || {
        extern "C" fn run(found: *mut libc::c_void) -> *mut libc::c_void {
            // SAFETY: the starter waits, and uses it only after this thread's end.
            unsafe { *found.cast() = Some(Masks::of_this_thread()) };
            core::ptr::null_mut()
        }
        let mut found: Option<Masks> = None;
        let mut thread = core::mem::MaybeUninit::uninit();
        // SAFETY: the thread is joined before what it writes to is used again.
        unsafe {
            let found = (&raw mut found).cast();
            assert_eq!(
                libc::pthread_create(thread.as_mut_ptr(), core::ptr::null(), run, found),
                0
            );
            assert_eq!(
                libc::pthread_join(thread.assume_init(), core::ptr::null_mut()),
                0
            );
        }
        found.expect("masks")
    }),
    ("a process by std", || {
        let mut command = std::process::Command::new("/bin/cat");
        let output = command.arg("/proc/self/status").output();
        Masks::of(&String::from_utf8(output.expect("a process").stdout).expect("text"))
    }),
    ("a process by posix_spawn", || {
        through_a_pipe(|to| {
            let mut child = 0;
            // SAFETY: the actions are initialised and destroyed; the strings end with zeroes, the lists with null.
            unsafe {
                let mut actions = core::mem::zeroed();
                libc::posix_spawn_file_actions_init(&mut actions);
                libc::posix_spawn_file_actions_adddup2(&mut actions, to, 1);
                let environment = [core::ptr::null_mut()];
                let program = CAT[0].as_ptr();
                let error = libc::posix_spawn(
                    &mut child,
                    program,
                    &actions,
                    core::ptr::null(),
                    arguments().as_ptr(),
                    environment.as_ptr(),
                );
                assert_eq!(error, 0);
                libc::posix_spawn_file_actions_destroy(&mut actions);
            }
            child
        })
    }),
    ("a process by fork and exec", || {
        through_a_pipe(|to| {
            let arguments = arguments();
            // SAFETY: the child makes nothing but system calls.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::dup2(to, 1);
                    libc::execv(CAT[0].as_ptr(), arguments.as_ptr().cast());
                    libc::_exit(1);
                }
                child
            }
        })
    }),
];

const CAT: [&core::ffi::CStr; 2] = [c"/bin/cat", c"/proc/self/status"];

fn arguments() -> [*mut libc::c_char; 3] {
    let [program, file] = CAT.map(|word| word.as_ptr().cast_mut());
    [program, file, core::ptr::null_mut()]
}

/// Returns the masks that a process writes to a pipe, which it is started with.
fn through_a_pipe(start: impl FnOnce(c_int) -> libc::pid_t) -> Masks {
    let mut ends = [0; 2];
    // SAFETY: the files are the pipe's, and each has one owner from here on.
    let (mut from, to) = unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        for end in ends {
            assert_eq!(libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC), 0);
        }
        (
            std::fs::File::from_raw_fd(ends[0]),
            std::fs::File::from_raw_fd(ends[1]),
        )
    };
    let child = start(to.as_raw_fd());
    assert!(child > 0);
    drop(to);
    let mut status = String::new();
    from.read_to_string(&mut status).expect("a status");
    // SAFETY: a child of this process.
    unsafe { libc::waitpid(child, core::ptr::null_mut(), 0) };
    Masks::of(&status)
}

fn everything_started() -> Found {
    WAYS.map(|(way, start)| (way, start())).into()
}

/// Returns the masks in a place where user code runs.
fn found_in(place: &str) -> Found {
    let (send, found) = mpsc::channel();
    match place {
        "a server's handler" => {
            let server = Server::start(move |exception: Exception<'_>| {
                send.send(everything_started()).expect("the test listens");
                skipped(exception)
            });
            let server = server.expect("a server");
            let this = ThreadRight::current().expect("the own thread");
            let routing = Routing::new(ExceptionMask::BAD_INSTRUCTION, Delivery::THREAD);
            let route = server.route(Target::Thread(&this), &routing);
            undefined();
            drop(route.expect("a route"));
            server.shutdown();
        }
        "a server's handler's destructor" => {
            let last = OnDrop(send);
            let server = Server::start(move |exception: Exception<'_>| {
                let _captured = &last;
                exception.decline()
            });
            server.expect("a server").shutdown();
        }
        "a manager's filter" => {
            let manager = Manager::builder(skipping()).only_if(move |_| {
                send.send(everything_started()).expect("the test listens");
                true
            });
            fault_under(manager);
        }
        "a manager's other answers" => {
            let manager =
                Manager::builder(skipping())
                    .only_if(|_| false)
                    .otherwise(move |exception| {
                        send.send(everything_started()).expect("the test listens");
                        skipped(exception)
                    });
            fault_under(manager);
        }
        "a redirected handler" | "a redirected handler that restored the mask" => {
            let blocks = place != "a redirected handler";
            RESTORES.store(blocks, Ordering::Relaxed);
            *FOUND.lock().expect("not poisoned") = Some(send);
            // SAFETY: the faults are at stores of this program, which hold nothing.
            let mut manager = Manager::builder(unsafe { Entry::new(starting) });
            if blocks {
                manager = manager.block_signals(DarwinSignal::TERM.mask());
            }
            fault_under(manager);
            *FOUND.lock().expect("not poisoned") = None;
        }
        _ => unreachable!("{place}"),
    }
    found.recv().expect("the place was reached")
}

struct OnDrop(mpsc::Sender<Found>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.send(everything_started()).expect("the test listens");
    }
}

static FOUND: std::sync::Mutex<Option<mpsc::Sender<Found>>> = std::sync::Mutex::new(None);
static RESTORES: AtomicBool = AtomicBool::new(false);

unsafe extern "C" fn starting(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    let blocked = DarwinSignal::TERM.mask();
    if RESTORES.load(Ordering::Relaxed) {
        assert_eq!(system::block_signals(0).signals() & blocked, blocked);
        // SAFETY: the trampoline's own context.
        unsafe { restore_signal_mask(context) };
    }
    let found = FOUND.lock().expect("not poisoned");
    let found = found.as_ref().expect("the test listens");
    found.send(everything_started()).expect("the test listens");
    // SAFETY: the trampoline's own structures.
    unsafe { skip(registers(context)) };
}

unsafe extern "C" fn skipping_handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline's own structures.
    unsafe { skip(registers(context)) };
}

fn skipping() -> Entry {
    // SAFETY: it changes nothing but the program counter.
    unsafe { Entry::new(skipping_handler) }
}

fn skipped(exception: Exception<'_>) -> Answered {
    let mut state: NativeState = exception.state().expect("the native state");
    skip(&mut state);
    // SAFETY: the next instruction expects nothing of the one that is skipped.
    unsafe { exception.resume_with(&state) }
}

fn fault_under(manager: thread_mgr::ManagerBuilder) {
    let manager = manager.build().expect("a manager");
    let attached = manager.attach().expect("attached");
    store_to(0x10);
    drop(attached);
}

#[test]
fn s9_what_user_code_starts_inherits_no_mask_of_a_servers() {
    const NAME: &str = "s9_what_user_code_starts_inherits_no_mask_of_a_servers";
    const PLACES: [&str; 6] = [
        "a server's handler",
        "a server's handler's destructor",
        "a manager's filter",
        "a manager's other answers",
        "a redirected handler",
        "a redirected handler that restored the mask",
    ];
    if !std::path::Path::new("/proc/thread-self/status").exists() {
        return report_skipped(NAME, "no /proc");
    }
    isolated(NAME, || {
        abort_after(Duration::from_secs(240));
        // The starter's own mask is handed on: it is not only that everything was unblocked.
        let own = DarwinSignal::USR2.mask();
        let before = system::block_signals(own);
        assert_eq!(before.signals(), 0);
        // The kernel's start unblocks signals of faults.
        drop(Server::start(|exception| exception.decline()));
        let expected = everything_started();
        let usr2 = 1 << (libc::SIGUSR2 - 1);
        assert!(expected.iter().all(|(_, masks)| masks.blocked == usr2));
        for place in PLACES {
            assert_eq!(found_in(place), expected, "{place}");
        }
    });
}
