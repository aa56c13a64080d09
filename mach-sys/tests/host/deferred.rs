//! A signal that is sent to a thread while it is in an exception waits for the end of that, as on XNU.

use crate::registers::assert_kept;
use crate::support::{OwnStack, RawThread, dies, install, isolated, succeeds, test_name};
use port_server::Server;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::wait::wait_for;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static VICTIM: AtomicI32 = AtomicI32::new(0);
static INSIDE: AtomicBool = AtomicBool::new(false);
static GO: AtomicBool = AtomicBool::new(false);

extern "C" fn previous(_: i32, info: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo.
    CODE.store(unsafe { (*info).si_code }, Ordering::SeqCst);
    CALLS.fetch_add(1, Ordering::SeqCst);
}

/// Returns a server that lets its first victim wait, and says whether a handler ran meanwhile.
fn slow_server() -> Server<usize> {
    let server = Server::start(0, |calls_inside: &mut usize, fault, state| {
        if !INSIDE.swap(true, Ordering::SeqCst) {
            wait_for("the word to go on", || GO.load(Ordering::SeqCst));
            *calls_inside = CALLS.load(Ordering::SeqCst);
        }
        crate::faults::skip(fault.exception, state);
        true
    });
    server.route_task();
    server
}

/// Sends a signal to a thread that waits in an exception, several times, before the answer comes.
fn send_meanwhile(signal: i32, own_stack: bool) {
    let server = slow_server();
    let victim = RawThread::spawn(move || {
        let _own = own_stack.then(|| OwnStack::register(0));
        // SAFETY: no preconditions.
        VICTIM.store(unsafe { libc::gettid() }, Ordering::SeqCst);
        assert_kept(3);
    });
    wait_for("the thread is inside", || INSIDE.load(Ordering::SeqCst));
    for _ in 0..3 {
        // SAFETY: a signal to a thread of this process, which lives.
        unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                libc::getpid(),
                VICTIM.load(Ordering::SeqCst),
                signal,
            )
        };
    }
    std::thread::sleep(Duration::from_millis(50));
    GO.store(true, Ordering::SeqCst);
    victim.join();
    let calls_inside = server.stop();
    assert_eq!(calls_inside, 0, "not while it waits");
    let calls = CALLS.load(Ordering::SeqCst);
    assert!((1..=3).contains(&calls), "afterwards, not {calls} times");
    assert_eq!(CODE.load(Ordering::SeqCst), libc::SI_TKILL);
}

#[test]
fn r24_a_signal_sent_to_a_thread_in_an_exception_waits_for_its_end() {
    let name = test_name!(r24_a_signal_sent_to_a_thread_in_an_exception_waits_for_its_end);
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGTRAP] {
        for own_stack in [false, true] {
            succeeds(name, &format!("{signal} {own_stack}"), || {
                let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                install(signal, previous as *const (), flags, &[]);
                send_meanwhile(signal, own_stack);
            });
        }
    }
}

#[test]
fn r24_by_default_it_ends_the_process_at_once() {
    let name = test_name!(r24_by_default_it_ends_the_process_at_once);
    dies(name, "", libc::SIGSEGV, || {
        install(libc::SIGSEGV, libc::SIG_DFL as *const (), 0, &[]);
        send_meanwhile(libc::SIGSEGV, false);
    });
}

/// Faults with a stack pointer that nothing can be written below.
fn fault_without_stack() {
    // SAFETY: the handler of the fault skips the instruction, and nothing is written below the stack pointer before it is back.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov {kept}, rsp", "mov esp, 4096", "ud2", "mov rsp, {kept}",
            kept = out(reg) _,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "mov {kept}, sp", "mov {bad}, #4096", "mov sp, {bad}", "udf #0", "mov sp, {kept}",
            kept = out(reg) _, bad = out(reg) _,
        );
    }
}

extern "C" fn skip_undefined(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    // SAFETY: the kernel's context.
    unsafe { crate::context::add_to_pc(uc, crate::faults::Kind::Undefined.skip()) };
}

isolated! {
    /// The copy is one to where the signal fallback would have its frame.
    fn r24_a_bad_copy_in_the_fault_handler_is_no_fault_though_the_same_signal_was_sent_meanwhile() {
        install(libc::SIGSEGV, previous as *const (), libc::SA_SIGINFO | libc::SA_ONSTACK, &[]);
        install(libc::SIGILL, skip_undefined as *const (), libc::SA_SIGINFO, &[]);
        let server = Server::start((), |(), _, _| {
            INSIDE.store(true, Ordering::SeqCst);
            wait_for("the word to go on", || GO.load(Ordering::SeqCst));
            false
        });
        server.route_task();
        let victim = RawThread::spawn(|| {
            let _own = OwnStack::register(0);
            // SAFETY: no preconditions.
            VICTIM.store(unsafe { libc::gettid() }, Ordering::SeqCst);
            fault_without_stack();
            assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        });
        wait_for("the thread is inside", || INSIDE.load(Ordering::SeqCst));
        let victim_tid = VICTIM.load(Ordering::SeqCst);
        // SAFETY: a signal to a thread of this process, which lives.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), victim_tid, libc::SIGSEGV) };
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(CALLS.load(Ordering::SeqCst), 0, "not while it waits");
        GO.store(true, Ordering::SeqCst);
        victim.join();
        server.stop();
        assert_eq!(CODE.load(Ordering::SeqCst), libc::SI_TKILL);
    }
}

static ARRIVED: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
const THREE: [i32; 3] = [libc::SIGTRAP, libc::SIGBUS, libc::SIGSEGV];

extern "C" fn count(signal: i32, _: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    let at = THREE.iter().position(|known| *known == signal);
    ARRIVED[at.expect("one of the three")].fetch_add(1, Ordering::SeqCst);
}

isolated! {
    /// Rust's own alternate stack has no room for three frames with AVX-512.
    fn r24_signals_of_several_kinds_that_were_sent_meanwhile_arrive_one_after_the_other() {
        for signal in THREE {
            install(signal, count as *const (), libc::SA_SIGINFO, &[]);
        }
        let server = Server::start((), |(), fault, state| {
            for signal in THREE {
                let victim = VICTIM.load(Ordering::SeqCst);
                // SAFETY: a signal to a thread of this process, which lives.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), victim, signal) };
            }
            std::thread::sleep(Duration::from_millis(50));
            crate::faults::skip(fault.exception, state);
            true
        });
        server.route_task();
        let victim = std::thread::spawn(|| {
            // SAFETY: no preconditions.
            VICTIM.store(unsafe { libc::gettid() }, Ordering::SeqCst);
            for round in 1..=3 {
                crate::faults::Kind::Access.raise();
                let arrived = ARRIVED.each_ref().map(|count| count.load(Ordering::SeqCst));
                assert_eq!(arrived, [round; 3]);
            }
        });
        victim.join().expect("a thread that lives");
        server.stop();
    }
}
