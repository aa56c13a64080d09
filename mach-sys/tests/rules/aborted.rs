//! Requests of threads that no longer wait for the reply (A5).

use crate::support::*;
use mach_sys::exception::{EXCEPTION_DEFAULT, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use std::sync::atomic::{AtomicUsize, Ordering};

static PAGE: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

/// Opens the page that was stored to: the host level's handler.
extern "C" fn open_page(_: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    let open = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the page is the test's.
    unsafe {
        libc::mprotect(
            PAGE.load(Ordering::SeqCst) as *mut _,
            system::page_size(),
            open,
        )
    };
}

isolated! {
    fn a5_6_a_request_of_a_thread_that_was_aborted_has_a_dead_reply_right() {
        // The signal is one of two, depending on the system.
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: a handler of one argument; the process is the test's own. Zero is a valid sigaction.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                action.sa_sigaction = open_page as *const () as usize;
                assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
            }
        }
        let page = Page::new();
        let address = page.address();
        PAGE.store(address, Ordering::SeqCst);
        let victim = Victim::start();
        let handler = port();
        assert_eq!(victim.handled_by(handler, EXCEPTION_DEFAULT | MACH_EXCEPTION_CODES, 0), Ok(()));
        let before = [sends(victim.thread), sends(system::task_self())];
        victim.starts(move || Page::store(address));
        test_support::wait::wait_for("the request", || status(handler)[4] == 1);
        // SAFETY: no pointers.
        assert_eq!(answered(unsafe { kernel::thread_abort(victim.thread) }), Ok(()));
        victim.result();
        assert_eq!(SIGNALS.load(Ordering::SeqCst), 1, "no level handled it");
        let late = receive(handler);
        assert_eq!((late.remote(), late.bits() & 0x1f), (DEAD, 18));
        let refused = late.reply(KernReturn::SUCCESS).send();
        assert_eq!(refused, Err(KernReturn::SEND_INVALID_DEST));
        // Its rights cost references all the same.
        let after = [sends(victim.thread), sends(system::task_self())];
        assert_eq!(after, before.map(|count| count + 1));
        release_rights(&late);
    }
}
