//! Threads that `thread_create` makes (D1.5). The C library makes the system's thread, so that thread-local memory is there; it runs none of the
//! library's code afterwards, and ends without the library.
#![allow(unsafe_code)]

use super::slot::inside::InKernel;
use super::sys::futex;
use super::sys::mask::{self, ASYNCHRONOUS_MASK, AllBlocked, How};
use super::sys::pthread::{self, Start, Thread};
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Bytes of the stack on which such a thread waits to be suspended for the first time, with the C library's thread-local memory.
const STACK: usize = 256 * 1024;

/// The threads that were made, until they have ended.
static MADE: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// The answer of the thread that is being made; 0 before it.
static ANSWER: AtomicU32 = AtomicU32::new(0);

/// Starts a thread that runs `run`, which [answers](answer), and returns the answer. All its signals are blocked at its start, but the
/// synchronous ones. A maker that is suspended or ended stops when it has made it: it would hold up all others, and hold locks of the C
/// library.
pub(crate) fn make(run: fn()) -> io::Result<u32> {
    InKernel::during(|| {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        join_ended(&mut made);
        ANSWER.store(0, Ordering::SeqCst);
        made.push({
            // A server's thread and a group of calls have the suspension signal unblocked: its handler would register the thread first.
            let _blocked = AllBlocked::begin();
            pthread::start(&Start {
                name: c"thread_create",
                stack_size: Some(STACK),
                run,
            })?
        });
        loop {
            match ANSWER.load(Ordering::SeqCst) {
                0 => futex::wait(&ANSWER, 0, None),
                answer => return Ok(answer),
            };
        }
    })
}

/// Frees what is left of threads that have ended.
fn join_ended(made: &mut Vec<Thread>) {
    let all = core::mem::take(made);
    made.extend(all.into_iter().filter_map(|thread| thread.try_join().err()));
}

/// Frees what is left of all such threads that have ended, at a stop.
pub(in crate::host) fn forget_ended() {
    join_ended(&mut MADE.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Answers the maker of the calling thread, not with 0.
pub(crate) fn answer(answer: u32) {
    ANSWER.store(answer, Ordering::SeqCst);
    futex::wake(&ANSWER, u32::MAX);
}

/// Waits for the suspension of the calling thread, which gives it other registers.
pub(crate) fn wait_to_be_suspended() -> ! {
    mask::change(How::Set, ASYNCHRONOUS_MASK & !mask::suspension_mask());
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}
