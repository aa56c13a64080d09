//! The time of a managed thread's life, spawn, route, exit and join, over plain threads.
#![allow(unsafe_code)]

use crate::Error;
use crate::effort::Effort;
use crate::line::{Line, Way};
use crate::redirect::entry;
use crate::rounds::{batch, medians};
use core::ffi::c_void;
use thread_mgr::{Manager, SurplusPromise};

/// The most that a life may take over `std::thread::spawn` and join.
const TARGET: f64 = 1.2;

extern "C" fn nothing(_: *mut c_void) -> *mut c_void {
    core::ptr::null_mut()
}

/// Maps a stack as large as a C library gives, touches one page of it, and unmaps it: what a fresh mapping alone costs.
extern "C" fn touch(_: *mut c_void) -> *mut c_void {
    const BYTES: usize = 128 * 1024;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new private mapping, written to inside its bounds, and unmapped by its only user.
    unsafe {
        let memory = libc::mmap(core::ptr::null_mut(), BYTES, access, flags, -1, 0);
        if memory != libc::MAP_FAILED {
            memory.cast::<u8>().write_volatile(1);
            libc::munmap(memory, BYTES);
        }
    }
    core::ptr::null_mut()
}

fn plain(routine: extern "C" fn(*mut c_void) -> *mut c_void) {
    let mut thread = core::mem::MaybeUninit::uninit();
    let argument = core::ptr::null_mut();
    // SAFETY: the routine takes no argument, and the thread is joined at once.
    unsafe {
        let error = libc::pthread_create(thread.as_mut_ptr(), core::ptr::null(), routine, argument);
        assert_eq!(error, 0, "pthread_create");
        libc::pthread_join(thread.assume_init(), core::ptr::null_mut());
    }
}

/// Measures a managed thread's life.
///
/// # Errors
/// No manager could be built.
///
/// # Panics
/// If a thread to compare with cannot be started.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    // SAFETY: nothing here takes a reference on a thread's name.
    let promise = unsafe { SurplusPromise::new() };
    let manager = Manager::builder(entry()).trim_surplus(promise).build()?;
    let lives = effort.lives;
    let [pthread, std, touching, managed] = medians(effort.rounds.div_ceil(2), || {
        Ok::<_, Error>([
            batch(lives, || plain(nothing)),
            batch(lives, || {
                let joined = std::thread::spawn(|| ()).join();
                assert!(joined.is_ok(), "a thread of std panicked");
            }),
            batch(lives, || plain(touch)),
            batch(lives, || {
                let ended = manager.spawn(|| ()).map(thread_mgr::Handle::join);
                assert!(matches!(ended, Ok(Ok(_))), "{ended:?}");
            }),
        ])
    })?
    .map(|nanoseconds| nanoseconds / 1e3);
    let floor = Way::new("std::thread", std);
    let line = Line::over_floor("spawn, route, exit, join", "µs", managed, floor, TARGET)
        .or("pthread_create", pthread)
        .or("pthread that maps and touches a page", touching);
    Ok(vec![line])
}
