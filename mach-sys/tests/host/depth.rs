//! The stack that kernel calls take: a server's thread has little.

use crate::support::{isolated, on_raw_thread};
use mach_sys::kernel::system;
use mach_sys::rights::{Census, ReceiveRight, ThreadRight};
use std::sync::Mutex;

/// Bytes below a call that are looked at.
const LOOKED_AT: usize = 48 * 1024;
const PATTERN: u64 = 0x5aa5_1234_dead_f00d;

/// Returns the bytes of stack that `body` took below this function's frame.
#[inline(never)]
fn depth(body: impl FnOnce()) -> usize {
    let here = core::ptr::from_ref(&body) as usize & !0xf;
    // What this function itself may use.
    let top = here - 1024;
    let words = LOOKED_AT / 8;
    for at in 0..words {
        // SAFETY: the calling thread's own stack, which is larger, below every frame in use.
        unsafe { ((top - 8 * (at + 1)) as *mut u64).write_volatile(PATTERN) };
    }
    body();
    let touched = (0..words).rev().find(|at| {
        // SAFETY: as above.
        unsafe { ((top - 8 * (at + 1)) as *const u64).read_volatile() != PATTERN }
    });
    touched.map_or(0, |at| 8 * (at + 1) + 1024)
}

const STARTS: &str = "the start";
static DEPTHS: Mutex<Vec<(&str, usize)>> = Mutex::new(Vec::new());

fn note(what: &'static str, body: impl FnOnce()) {
    let depth = depth(body);
    DEPTHS.lock().expect("unpoisoned").push((what, depth));
}

/// Bytes that a kernel call takes at most, also without optimization.
const CALL: usize = 12 * 1024;
/// Bytes that the call takes at most that starts the emulation: the C library's look for the object of the code takes a part of them.
const START: usize = 20 * 1024;

isolated! {
    fn a_kernel_call_takes_at_most_12_kib_of_stack() {
        on_raw_thread(|| note(STARTS, || assert_ne!(system::task_self(), 0)));
        on_raw_thread(|| {
            note("a thread's first call", || drop(ThreadRight::current()));
            note("a port", || drop(ReceiveRight::new().expect("a port")));
            note("a send right", || {
                let port = ReceiveRight::new().expect("a port");
                drop(port.make_send().expect("a send right"));
            });
            note("a census", || { Census::take().expect("a census"); });
        });
        let depths = DEPTHS.lock().expect("unpoisoned");
        for (what, depth) in depths.iter() {
            let most = if *what == STARTS { START } else { CALL };
            assert!(*depth <= most, "{what}: {depth} bytes; {depths:?}");
        }
    }
}
