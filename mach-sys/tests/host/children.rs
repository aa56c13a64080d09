//! G4.3: a process that is not the one that the emulation was started in, however it was made. Its faults are its own affair, its kernel
//! calls fail, and its parent notices nothing, also where both share memory.

use crate::context;
use crate::faults::Kind;
use crate::isolated::{report_partly, report_skipped};
use crate::registers::{self, assert_kept};
use crate::support::{
    OwnStack, install, isolated, on_raw_thread, succeeds, succeeds_in_own_namespace, test_name,
};
use mach_sys::emulated::{self, StartError};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::kernel::mach_vm_remap;
use mach_sys::kernel::system::{Origin, task_self};
use mach_sys::rights::{Census, ReceiveRight, ThreadRight};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use test_support::emulator::is_emulated;
use test_support::wait::wait_for_ok;

/// A way to make a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// `fork`, which runs the hooks of `pthread_atfork`.
    Fork,
    /// The system call, as `_Fork` makes it: no hook runs.
    Raw,
    /// `vfork`, on its parent's stack, with its alternate stack.
    #[cfg(target_arch = "x86_64")]
    Vfork,
    /// `clone` on a stack of its own, with flags.
    Clone(i32),
}

const MADE: &[Made] = &[
    Made::Fork,
    Made::Raw,
    #[cfg(target_arch = "x86_64")]
    Made::Vfork,
    Made::Clone(0),
    Made::Clone(libc::CLONE_VM | libc::CLONE_VFORK),
    Made::Clone(libc::CLONE_VM),
    Made::Clone(libc::CLONE_VM | libc::CLONE_SIGHAND),
];

impl Made {
    fn shares_dispositions(self) -> bool {
        matches!(self, Self::Clone(flags) if flags & libc::CLONE_SIGHAND != 0)
    }

    /// Runs `body` in a child, which then ends with the status that it returns. Returns how it ended; `None` where the system makes no
    /// such children, as qemu-user.
    fn run(self, body: fn() -> i32) -> Option<ExitStatus> {
        const STACK: usize = 256 * 1024;
        // SAFETY: the child does nothing but `body`, which does not unwind, and ends; a stack for `clone` is a new mapping, which
        // stays until the child is gone.
        unsafe {
            let stack = libc::mmap(
                core::ptr::null_mut(),
                STACK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(stack, libc::MAP_FAILED);
            let process = match self {
                Self::Fork => match libc::fork() {
                    0 => libc::_exit(body()),
                    process => process,
                },
                Self::Raw => match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
                    0 => libc::_exit(body()),
                    process => process as i32,
                },
                #[cfg(target_arch = "x86_64")]
                Self::Vfork => vfork(body),
                Self::Clone(flags) => {
                    extern "C" fn enter(body: *mut libc::c_void) -> i32 {
                        // SAFETY: the function that is passed below.
                        let body: fn() -> i32 = unsafe { core::mem::transmute(body) };
                        // SAFETY: ends the child.
                        unsafe { libc::syscall(libc::SYS_exit_group, body()) };
                        0
                    }
                    let top = stack.byte_add(STACK - 64);
                    libc::clone(enter, top, flags | libc::SIGCHLD, body as *mut _)
                }
            };
            let status = match process {
                1.. => Some(wait(process)),
                _ => {
                    let error = std::io::Error::last_os_error().raw_os_error();
                    assert_eq!(error, Some(libc::EINVAL), "{self:?}");
                    None
                }
            };
            libc::munmap(stack, STACK);
            status
        }
    }
}

/// Calls `vfork`, and `body` in the child. In assembly, since the child must not return.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn vfork(body: fn() -> i32) -> i32 {
    let process: i64;
    // SAFETY: the child calls `body` below the parent's frame, which waits, and ends.
    unsafe {
        core::arch::asm!(
            "mov eax, 58",
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov r13, rsp",
            "sub rsp, 4096",
            "and rsp, -16",
            "call r12",
            "mov edi, eax",
            "mov eax, 231",
            "syscall",
            "ud2",
            "2:",
            in("r12") body,
            out("r13") _,
            lateout("rax") process,
            clobber_abi("C"),
        );
    }
    process as i32
}

/// Waits for a child. One that hangs is killed, and the test fails.
fn wait(process: i32) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut status = 0;
        // SAFETY: a child of this process; the status is a local variable.
        match unsafe { libc::waitpid(process, &mut status, libc::WNOHANG) } {
            0 => {}
            _ => return ExitStatus::from_raw(status),
        }
        if Instant::now() > deadline {
            // SAFETY: as above.
            unsafe { libc::kill(process, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// State of a thread when it makes a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// Known by its kernel calls, with the lent stack.
    Registered,
    /// The same with a stack of its own.
    OwnStack,
    /// A value that no child reports.
    Unknown,
}

const PARENTS: [Parent; 3] = [Parent::Registered, Parent::OwnStack, Parent::Unknown];

/// Runs `body` on threads of each kind in children of each kind; `check` gets its exit status. Parents are served before and after.
fn in_all_children(name: &'static str, body: fn() -> i32, check: fn(Made, ExitStatus)) {
    let server = Arc::new(registers::server());
    server.route_task();
    let before = Census::take().expect("a census");
    for parent in PARENTS {
        for made in MADE {
            let route = Arc::clone(&server);
            on_raw_thread(move || {
                let _own = (parent == Parent::OwnStack).then(|| OwnStack::register(0));
                if parent != Parent::Unknown {
                    route.route_thread();
                    assert_kept(1);
                }
                for round in 0..3 {
                    match made.run(body) {
                        Some(status) => check(*made, status),
                        None => report_partly(name, "a way to make a child is refused here"),
                    }
                    if parent != Parent::Unknown || round == 2 {
                        assert_kept(1);
                    }
                }
            });
        }
    }
    wait_for_ok("the census of before", || {
        match Census::take().expect("a census") {
            census if census == before => Ok(()),
            census => Err(format!("{census:?}")),
        }
    });
    let served = Arc::into_inner(server).expect("the last").stop();
    assert_eq!(served, MADE.len() * (4 + 4 + 1), "the parents' only");
    assert_eq!(emulated::refused_threads(), 0);
}

#[test]
fn g4_3_a_childs_fault_has_the_default_action() {
    let name = test_name!(g4_3_a_childs_fault_has_the_default_action);
    succeeds(name, "", || {
        install(libc::SIGILL, libc::SIG_DFL as *const (), 0, &[]);
        let body = || {
            Kind::Undefined.raise();
            42
        };
        in_all_children(name, body, |made, status| {
            // Where the default can only be had by setting it for the parent, too, the child is killed.
            let expected = match made.shares_dispositions() {
                true => libc::SIGKILL,
                false => libc::SIGILL,
            };
            assert_eq!(status.signal(), Some(expected), "{made:?}: {status}");
        });
    });
}

/// Calls of the handler, in whatever memory.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn previous(_: i32, info: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's siginfo and context.
    unsafe {
        ADDRESS.store((*info).si_addr() as usize, Ordering::SeqCst);
        context::add_to_pc(uc, Kind::Access.skip());
    }
}

fn faults_are_handled() -> i32 {
    let before = CALLS.load(Ordering::SeqCst);
    for _ in 0..5 {
        Kind::Access.raise();
    }
    let own = ADDRESS.load(Ordering::SeqCst) == crate::faults::ADDRESS;
    match CALLS.load(Ordering::SeqCst) - before {
        5 if own => 42,
        calls => calls as i32,
    }
}

#[test]
fn g4_3_a_childs_fault_reaches_the_handler_of_before() {
    let name = test_name!(g4_3_a_childs_fault_reaches_the_handler_of_before);
    for flags in [libc::SA_SIGINFO, libc::SA_SIGINFO | libc::SA_ONSTACK] {
        succeeds(name, &format!("{flags:#x}"), || {
            install(libc::SIGSEGV, previous as *const (), flags, &[]);
            in_all_children(name, faults_are_handled, |made, status| {
                assert_eq!(status.code(), Some(42), "{made:?}: {status}");
            });
        });
    }
}

fn calls_fail() -> i32 {
    let refused = Err(KernError::RESOURCE_SHORTAGE);
    let good = matches!(emulated::start(), Err(StartError::Forked))
        && ReceiveRight::new().map(drop) == refused
        && ThreadRight::current().map(drop) == refused;
    if good { 42 } else { 1 }
}

#[test]
fn g4_3_a_childs_kernel_calls_fail() {
    let name = test_name!(g4_3_a_childs_kernel_calls_fail);
    succeeds(name, "", || {
        in_all_children(name, calls_fail, |made, status| {
            assert_eq!(status.code(), Some(42), "{made:?}: {status}");
        });
    });
}

/// A sent signal of the five, as a fault.
fn trap_is_sent() -> i32 {
    // SAFETY: a signal to itself.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::getpid(),
            libc::gettid(),
            libc::SIGTRAP,
        )
    };
    42
}

#[test]
fn g4_3_a_signal_sent_in_a_child_has_the_default_action() {
    let name = test_name!(g4_3_a_signal_sent_in_a_child_has_the_default_action);
    succeeds(name, "", || {
        install(libc::SIGTRAP, libc::SIG_DFL as *const (), 0, &[]);
        in_all_children(name, trap_is_sent, |made, status| {
            let expected = match made.shares_dispositions() {
                true => libc::SIGKILL,
                false => libc::SIGTRAP,
            };
            assert_eq!(status.signal(), Some(expected), "{made:?}: {status}");
        });
    });
}

/// The parent's origin.
static ORIGIN: OnceLock<Origin> = OnceLock::new();

fn is_another_process() -> i32 {
    let same_identifier = std::process::id() == 1;
    let told_apart = ORIGIN.get().is_some_and(|origin| !origin.is_current());
    match calls_fail() {
        42 if same_identifier && told_apart => 42,
        _ => 1,
    }
}

#[test]
fn g4_3_a_child_with_its_parents_identifier_is_another_process() {
    let name = test_name!(g4_3_a_child_with_its_parents_identifier_is_another_process);
    // Both are the first in their namespaces, as in a container that makes another.
    succeeds_in_own_namespace(name, "", || {
        assert_eq!(std::process::id(), 1);
        let port = ReceiveRight::new().expect("a port");
        ORIGIN.set(Origin::current()).expect("once");
        match Made::Clone(libc::CLONE_NEWPID).run(is_another_process) {
            Some(status) => assert_eq!(status.code(), Some(42)),
            None => report_skipped(name, "this system makes no such children"),
        }
        assert!(ORIGIN.get().is_some_and(|origin| origin.is_current()));
        drop(port);
    });
}

static AT_FALLBACK: AtomicUsize = AtomicUsize::new(0);

extern "C" fn skip_undefined(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    AT_FALLBACK.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

/// In a child that shares the memory.
fn faults_by_itself() -> i32 {
    let same_identifier = std::process::id() == 1;
    Kind::Undefined.raise();
    match calls_fail() {
        42 if same_identifier => 42,
        _ => 1,
    }
}

#[test]
fn g4_3_a_child_with_its_parents_identifier_and_memory_is_another_process() {
    let name = test_name!(g4_3_a_child_with_its_parents_identifier_and_memory_is_another_process);
    succeeds_in_own_namespace(name, "", || {
        install(
            libc::SIGILL,
            skip_undefined as *const (),
            libc::SA_SIGINFO,
            &[],
        );
        let server = registers::server();
        server.route_task();
        let before = Census::take().expect("a census");
        let flags = libc::CLONE_NEWPID | libc::CLONE_VM;
        match Made::Clone(flags).run(faults_by_itself) {
            Some(status) => {
                assert_eq!(status.code(), Some(42));
                assert_eq!(AT_FALLBACK.load(Ordering::SeqCst), 1);
            }
            None => report_skipped(name, "this system makes no such children"),
        }

        assert_eq!(Census::take().expect("a census"), before);
        server.stop();
    });
}

isolated! {
    /// A thread that the emulation does not know, and that takes no signal, as in `vfork`: a call that needs all others stopped gives up
    /// while they run.
    fn no_thread_stands_still_for_one_that_cannot_be_met() {
        const CHILD: Duration = Duration::from_secs(12);
        const WAITS: Made = Made::Clone(libc::CLONE_VM | libc::CLONE_VFORK);
        fn sleep() -> i32 {
            std::thread::sleep(CHILD);
            0
        }
        emulated::start().expect("started");
        if is_emulated() {
            let name = test_name!(no_thread_stands_still_for_one_that_cannot_be_met);
            report_skipped(name, "the parent of a vfork may take signals here");
            return;
        }
        let source = Box::new([7_u8; 1 << 16]);
        let waits = std::thread::spawn(|| WAITS.run(sleep));
        let longest = Arc::new(AtomicUsize::new(0));
        let gaps = Arc::clone(&longest);
        let over = Arc::new(AtomicUsize::new(0));
        let ends = Arc::clone(&over);
        let looks = std::thread::spawn(move || {
            // It is known.
            drop(ThreadRight::current());
            let mut last = Instant::now();
            while ends.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(1));
                gaps.fetch_max(last.elapsed().as_millis() as usize, Ordering::Relaxed);
                last = Instant::now();
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        let (task, begin) = (task_self(), Instant::now());
        let (mut to, mut current, mut most) = (0, 0, 0);
        // SAFETY: a new mapping, at an address of the kernel's choice; the results go to local variables.
        let code = unsafe {
            let from = source.as_ptr() as u64 & !0xfff;
            mach_vm_remap(task, &mut to, 1 << 16, 0, 1, task, from, 0, &mut current, &mut most, 1)
        };
        let took = begin.elapsed();
        over.store(1, Ordering::Relaxed);
        looks.join().expect("looked");
        assert_eq!(KernReturn::new(code), KernReturn::OPERATION_TIMED_OUT);
        assert!(took < CHILD - Duration::from_secs(1), "{took:?}");
        // On a busy machine a thread waits for its turn, too.
        assert!(longest.load(Ordering::Relaxed) < 2000, "{longest:?} ms");
        waits.join().expect("ended");
    }
}
