//! Processes and threads for the tests.

use crate::isolated::{repeat_reports, report_skipped};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// A test in a process of its own: the closure runs there.
macro_rules! isolated {
    ($(#[$meta:meta])* fn $name:ident() $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            $crate::support::passes($crate::support::test_name!($name), || $body);
        }
    };
}
pub(crate) use isolated;

/// The name of a test as the harness knows it.
macro_rules! test_name {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name))
            .split_once("::")
            .expect("a path in a crate")
            .1
    };
}
pub(crate) use test_name;

const MARK: &str = "MACH_SYS_TEST_CHILD";

/// Runs `body` in a new process of this program. `None` there, when it is over; the outcome here.
fn run(name: &str, case: &str, body: impl FnOnce()) -> Option<Output> {
    run_under(&[], name, case, body)
}

/// Runs as [`run`] does, under another program, which gets this one and its arguments.
fn run_under(wrapper: &[&str], name: &str, case: &str, body: impl FnOnce()) -> Option<Output> {
    let mark = format!("{name}/{case}");
    if let Ok(present) = std::env::var(MARK) {
        if present == mark {
            // A thread that waits for ever fails the test.
            // SAFETY: the default action of the signal ends this process, which is the test's own.
            unsafe { libc::alarm(180) };
            body();
        }
        return None;
    }
    let program = std::env::current_exe().expect("the test's own program");
    // An emulated program cannot be executed by its name alone.
    let runner = test_support::emulator::runner().unwrap_or_default();
    let mut words = wrapper.iter().copied().chain(runner.split_whitespace());
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    let output = command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, mark)
        .output()
        .expect("a process");
    for text in [&output.stdout, &output.stderr] {
        repeat_reports(&String::from_utf8_lossy(text));
    }
    Some(output)
}

fn show(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Asserts that the body succeeds in a process of its own.
pub(crate) fn passes(name: &str, body: impl FnOnce()) {
    succeeds(name, "", body);
}

/// Runs as [`passes`] does, for one of several cases of a test.
pub(crate) fn succeeds(name: &str, case: &str, body: impl FnOnce()) {
    succeeds_under(&[], name, case, body);
}

/// Runs as [`succeeds`] does, under another program.
pub(crate) fn succeeds_under(wrapper: &[&str], name: &str, case: &str, body: impl FnOnce()) {
    if let Some(output) = run_under(wrapper, name, case, body) {
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && out.contains("1 passed"),
            "{case}: {}",
            show(&output)
        );
    }
}

/// Returns whether this process is the child that a test started, by [`succeeds`] for example.
pub(crate) fn is_child() -> bool {
    std::env::var(MARK).is_ok()
}

/// Asserts that the body succeeds as the first process of a PID namespace, where it can choose the identifiers of threads. Skipped, and said so,
/// where this user may not make one.
pub(crate) fn succeeds_in_own_namespace(name: &str, case: &str, body: impl FnOnce()) {
    const UNSHARE: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];
    let may = is_child()
        || Command::new(UNSHARE[0])
            .args(&UNSHARE[1..])
            .args(["test", "-w", "/proc/sys/kernel/ns_last_pid"])
            .output()
            .is_ok_and(|output| output.status.success());
    if !may {
        return report_skipped(name, "this user may not make a PID namespace");
    }
    succeeds_under(&UNSHARE, name, case, body);
}

/// Asserts that the body dies of a signal, in a process of its own.
pub(crate) fn dies(name: &str, case: &str, signal: i32, body: impl FnOnce()) {
    let body = || {
        no_core();
        body();
    };
    if let Some(output) = run(name, case, body) {
        assert_eq!(
            output.status.signal(),
            Some(signal),
            "{case}: {}",
            show(&output)
        );
    }
}

fn no_core() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is a local variable.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// A thread that neither Rust's runtime nor the emulation has ever seen: no alternate stack, no record.
pub(crate) struct RawThread {
    thread: libc::pthread_t,
}

type Body = Box<dyn FnOnce() + Send>;

extern "C" fn enter(body: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `RawThread::spawn` gave the box away to this thread.
    let body = unsafe { Box::from_raw(body.cast::<Body>()) };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(*body));
    usize::from(outcome.is_err()) as *mut libc::c_void
}

impl RawThread {
    pub(crate) fn spawn(body: impl FnOnce() + Send + 'static) -> Self {
        Self::spawn_with_stack(8 << 20, body)
    }

    /// Spawns a thread with `size` bytes of stack. The C library uses the stack of a dead thread again if it is large enough.
    pub(crate) fn spawn_with_stack(size: usize, body: impl FnOnce() + Send + 'static) -> Self {
        let body: Box<Body> = Box::new(Box::new(body));
        let mut thread = 0;
        // SAFETY: the thread takes the box over; everything else is local.
        let error = unsafe {
            let mut attributes = core::mem::zeroed();
            libc::pthread_attr_init(&mut attributes);
            libc::pthread_attr_setstacksize(&mut attributes, size);
            let error =
                libc::pthread_create(&mut thread, &attributes, enter, Box::into_raw(body).cast());
            libc::pthread_attr_destroy(&mut attributes);
            error
        };
        assert_eq!(error, 0, "a thread");
        Self { thread }
    }

    pub(crate) fn raw(&self) -> libc::pthread_t {
        self.thread
    }

    pub(crate) fn detach(self) {
        // SAFETY: the thread was neither joined nor detached.
        unsafe { libc::pthread_detach(self.thread) };
    }

    pub(crate) fn join(self) {
        let mut outcome = core::ptr::null_mut();
        // SAFETY: the thread was neither joined nor detached.
        let error = unsafe { libc::pthread_join(self.thread, &mut outcome) };
        assert_eq!(error, 0, "joined");
        assert!(outcome.is_null(), "the thread's body failed");
    }
}

/// Runs a body on a raw thread until it ends.
pub(crate) fn on_raw_thread(body: impl FnOnce() + Send + 'static) {
    RawThread::spawn(body).join();
}

/// Installs a signal handler.
pub(crate) fn install(
    signal: i32,
    handler: *const (),
    flags: i32,
    mask: &[i32],
) -> libc::sigaction {
    // SAFETY: zeroes are a valid action; all that matters is filled in; the handler is one of the test's.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        let mut old: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags;
        for signal in mask {
            libc::sigaddset(&mut action.sa_mask, *signal);
        }
        assert_eq!(libc::sigaction(signal, &action, &mut old), 0);
        old
    }
}

/// Returns whether a signal is blocked in the calling thread.
pub(crate) fn is_blocked(signal: i32) -> bool {
    // SAFETY: the set is a local variable.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

/// An alternate stack of an owner's own.
pub(crate) struct OwnStack {
    memory: Box<[u8]>,
}

impl OwnStack {
    /// Room for frames and handlers of several signals at once, without optimisation.
    pub(crate) const SIZE: usize = 256 * 1024;

    pub(crate) fn register(flags: i32) -> Self {
        let mut memory = vec![0_u8; Self::SIZE].into_boxed_slice();
        let stack = libc::stack_t {
            ss_sp: memory.as_mut_ptr().cast(),
            ss_flags: flags,
            ss_size: Self::SIZE,
        };
        // SAFETY: the memory lives until the value is dropped, which disables it.
        let outcome = unsafe { libc::sigaltstack(&stack, core::ptr::null_mut()) };
        assert_eq!(outcome, 0, "an alternate stack");
        Self { memory }
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.memory.as_ptr() as usize) < Self::SIZE
    }

    /// Asserts that the calling thread's alternate stack is still this one.
    pub(crate) fn assert_registered(&self) {
        let now = registered_stack();
        assert_eq!(now.ss_sp as usize, self.memory.as_ptr() as usize);
        assert_eq!(now.ss_size, Self::SIZE);
        assert_eq!(now.ss_flags & libc::SS_DISABLE, 0);
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: core::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: disables the calling thread's stack.
        unsafe { libc::sigaltstack(&none, core::ptr::null_mut()) };
    }
}

pub(crate) fn registered_stack() -> libc::stack_t {
    // SAFETY: the result goes to a local variable.
    unsafe {
        let mut now: libc::stack_t = core::mem::zeroed();
        libc::sigaltstack(core::ptr::null(), &mut now);
        now
    }
}
