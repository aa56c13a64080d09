//! The end of threads (G4.1, D2.2, D4): the one deallocation, then the death of the port, once the system thread is gone.

use crate::registers;
use crate::support::{RawThread, install, isolated};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::port::{
    MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_SEND, PortRight,
};
use mach_sys::rights::{
    Census, Change, Name, ReceiveRight, Right, Source, ThreadRight, modify_references,
    user_references,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use test_support::wait::{wait_for, wait_for_ok};

/// Returns the type bits of a name; 0 for none.
fn type_of(name: u32) -> u32 {
    let mut kind = 0;
    // SAFETY: the result goes to a local variable.
    match KernReturn::new(unsafe { kernel::mach_port_type(system::task_self(), name, &mut kind) }) {
        KernReturn::SUCCESS => kind,
        KernReturn::INVALID_NAME => 0,
        other => panic!("{other}"),
    }
}

/// Waits until the name has that type, with a bound.
pub(crate) fn wait_for_type(name: u32, expected: u32) {
    wait_for_ok("the type of a name", || match type_of(name) {
        found if found == expected => Ok(()),
        found => Err(format!("{found:#x}, not {expected:#x}")),
    });
}

fn known(name: u32) -> Name {
    Name::new(name).expect("a name")
}

/// Returns the own name, with `extra` references more than a thread starts with.
fn own_name(extra: usize) -> u32 {
    let name = ThreadRight::current().expect("the own thread").name().raw();
    for _ in 0..extra {
        core::mem::forget(ThreadRight::current().expect("the own thread"));
    }
    assert_eq!(type_of(name), MACH_PORT_TYPE_SEND);
    assert_eq!(
        user_references(known(name), PortRight::SEND),
        Ok(1 + extra as u32)
    );
    name
}

isolated! {
    /// G4.1: once the thread itself is gone.
    fn d2_2_the_name_of_an_ended_thread_is_gone() {
        mach_sys::emulated::start().expect("started");
        let before = Census::take().expect("a census");
        for detached in [false, true] {
            let (tell, told) = mpsc::channel();
            let thread = RawThread::spawn(move || tell.send(own_name(0)).expect("heard"));
            let name = told.recv().expect("a name");
            if detached {
                thread.detach();
            } else {
                thread.join();
            }
            wait_for_type(name, 0);
        }
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(own_name(0)).expect("heard"))
            .join()
            .expect("ended");
        wait_for_type(told.recv().expect("a name"), 0);
        assert_eq!(Census::take().expect("a census"), before);
    }
}

isolated! {
    fn d4_references_that_outlive_a_thread_become_a_dead_name() {
        mach_sys::emulated::start().expect("started");
        let before = Census::take().expect("a census");
        let (tell, told) = mpsc::channel();
        RawThread::spawn(move || tell.send(own_name(3)).expect("heard")).join();
        let name = told.recv().expect("a name");
        wait_for_type(name, MACH_PORT_TYPE_DEAD_NAME);
        // Exactly one of the four was the thread's.
        assert_eq!(user_references(known(name), PortRight::DEAD_NAME), Ok(3));
        // SAFETY: the three are this test's.
        unsafe { modify_references(known(name), PortRight::DEAD_NAME, -3) }.expect("released");
        assert_eq!(type_of(name), 0);
        assert_eq!(Census::take().expect("a census"), before);
    }
}

isolated! {
    /// It is not announced: the watcher finds out.
    fn a_thread_that_was_only_seen_in_a_fault_ends_too() {
        let server = registers::server();
        server.route_task();
        let before = Census::take().expect("a census");
        for _ in 0..10 {
            RawThread::spawn(|| registers::assert_kept(1)).join();
        }
        wait_for("the census of before", || Census::take().expect("a census") == before);
        assert_eq!(server.stop(), 10);
    }
}

isolated! {
    /// No destructor runs: the system thread simply is no more.
    fn a_thread_that_leaves_by_system_call_ends_too() {
        mach_sys::emulated::start().expect("started");
        let (tell, told) = mpsc::channel();
        RawThread::spawn(move || {
            tell.send(own_name(0)).expect("heard");
            // SAFETY: ends this thread alone; nothing on its stack needs dropping, and no `JoinHandle` refers to it.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        })
        .detach();
        wait_for_type(told.recv().expect("a name"), 0);
    }
}

isolated! {
    /// G6.1: the reply port goes with the thread's record, destructors or none, and the slot's next thread makes one of its own. A name that
    /// the application destroyed, and that is another port's meanwhile, is left alone.
    fn g6_1_the_reply_port_of_a_thread_that_leaves_by_system_call_is_gone() {
        mach_sys::emulated::start().expect("started");
        let before = Census::take().expect("a census");
        for destroyed in [false, true, false] {
            let (tell, told) = mpsc::channel();
            RawThread::spawn(move || {
                // SAFETY: no arguments.
                let reply_port = unsafe { kernel::mig_get_reply_port() };
                let other = destroyed.then(|| {
                    // SAFETY: nothing waits on the port.
                    unsafe { modify_references(known(reply_port), PortRight::RECEIVE, -1) }
                        .expect("destroyed");
                    ReceiveRight::new().expect("a port")
                });
                tell.send((own_name(0), reply_port, other)).expect("heard");
                // SAFETY: as above.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            })
            .detach();
            let (name, reply_port, other) = told.recv().expect("names");
            wait_for_type(name, 0);
            wait_for_type(reply_port, 0);
            if let Some(other) = other {
                assert_eq!(type_of(other.name().raw()), MACH_PORT_TYPE_RECEIVE);
            }
        }
        assert_eq!(Census::take().expect("a census"), before);
    }
}

isolated! {
    /// Between a fault and its answer nothing of the kind is made: the fault handler is the kernel.
    fn g6_1_a_fault_makes_its_thread_no_reply_port() {
        let server = registers::server();
        server.route_task();
        // The server's own thread makes one with its first request.
        RawThread::spawn(|| registers::assert_kept(1)).join();
        let before = Census::take().expect("a census");
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let thread = RawThread::spawn(move || {
            registers::assert_kept(1);
            tell.send(()).expect("heard");
            let _ = wait.recv();
        });
        told.recv().expect("it faulted");
        let left = Census::take().expect("a census").since(&before);
        assert_eq!(left.of(Source::Receive), Change::default(), "{left}");
        drop(go);
        thread.join();
        assert_eq!(server.stop(), 2);
    }
}

static MAIN: AtomicU32 = AtomicU32::new(0);

extern "C" fn leave(_: i32) {
    MAIN.store(own_name_of_main(), Ordering::Release);
    // SAFETY: ends the main thread alone; others go on.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Returns the main thread's name, which starts with two references (D1.3). One goes at its end; the other stays as a dead name.
fn own_name_of_main() -> u32 {
    let name = ThreadRight::current().expect("the own thread").name().raw();
    assert_eq!(user_references(known(name), PortRight::SEND), Ok(2));
    name
}

#[test]
fn d1_3_the_main_thread_ends_before_the_process() {
    let name = crate::support::test_name!(d1_3_the_main_thread_ends_before_the_process);
    crate::support::succeeds(name, "", || {
        mach_sys::emulated::start().expect("started");
        install(libc::SIGUSR1, leave as *const (), 0, &[]);
        let observer = RawThread::spawn(|| {
            // SAFETY: the handler is installed; the process's identifier is its main thread's.
            unsafe {
                let process = libc::getpid();
                libc::syscall(libc::SYS_tgkill, process, process, libc::SIGUSR1);
            }
            wait_for("the main thread leaves", || {
                MAIN.load(Ordering::Acquire) != 0
            });
            let main = MAIN.load(Ordering::Acquire);
            wait_for_type(main, MACH_PORT_TYPE_DEAD_NAME);
            assert_eq!(user_references(known(main), PortRight::DEAD_NAME), Ok(1));
            // The harness may have been on the main thread: its last word is said here.
            println!("1 passed");
            // SAFETY: ends the process; nothing is left to be done.
            unsafe { libc::_exit(0) };
        });
        observer.join();
    });
}
