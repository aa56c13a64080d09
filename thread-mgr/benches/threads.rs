//! Measures the life of a managed thread (spawn, route, exit and join) against `pthread_create` and `pthread_join`, side by side in one
//! run. A report, not a gate.
//!
//! `cargo bench -p thread-mgr --bench threads`. Batches of 200 lives alternate between the ways; the medians of 21 batches are compared.
#![allow(unsafe_code)]

use mach_sys::darwin::{siginfo_t, ucontext_t};
use signal_redirect::Entry;
use std::ffi::{c_int, c_void};
use std::time::Instant;
use thread_mgr::{Manager, SurplusPromise};

const BATCH: u32 = 200;
const BATCHES: usize = 21;

unsafe extern "C" fn never(_: c_int, _: *mut siginfo_t, _: *mut ucontext_t) {
    std::process::abort();
}

extern "C" fn nothing(_: *mut c_void) -> *mut c_void {
    core::ptr::null_mut()
}

/// Maps a stack as large as the C library's, touches one page of it, and unmaps it: the cost of a new mapping alone.
extern "C" fn touch(_: *mut c_void) -> *mut c_void {
    const BYTES: usize = 128 * 1024;
    // SAFETY: a new private mapping, written to inside its bounds, and unmapped by its only user.
    unsafe {
        let memory = libc::mmap(
            core::ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        );
        if memory != libc::MAP_FAILED {
            memory.cast::<u8>().write_volatile(1);
            libc::munmap(memory, BYTES);
        }
    }
    core::ptr::null_mut()
}

fn plain(routine: extern "C" fn(*mut c_void) -> *mut c_void) {
    let mut thread = core::mem::MaybeUninit::uninit();
    // SAFETY: the routine takes no argument, and the thread is joined at once.
    unsafe {
        let error = libc::pthread_create(
            thread.as_mut_ptr(),
            core::ptr::null(),
            routine,
            core::ptr::null_mut(),
        );
        assert_eq!(error, 0, "pthread_create");
        libc::pthread_join(thread.assume_init(), core::ptr::null_mut());
    }
}

/// Returns the microseconds for one life, averaged over a batch.
fn batch(mut life: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        life();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    // SAFETY: the handler is never entered: no thread faults here.
    let entry = unsafe { Entry::new(never) };
    // SAFETY: nothing here takes a reference on a thread's name.
    let promise = unsafe { SurplusPromise::new() };
    let manager = Manager::builder(entry)
        .trim_surplus(promise)
        .build()
        .expect("a manager");
    let managed = || {
        let ended = manager.spawn(|| ()).expect("a thread").join();
        assert!(ended.is_ok(), "{ended:?}");
    };
    let mut samples = [const { Vec::new() }; 4];
    for round in 0..=BATCHES {
        let once = [
            batch(|| plain(nothing)),
            batch(|| {
                std::thread::spawn(|| ()).join().expect("a thread");
            }),
            batch(|| plain(touch)),
            batch(managed),
        ];
        // The first round warms up.
        if round > 0 {
            for (samples, time) in samples.iter_mut().zip(once) {
                samples.push(time);
            }
        }
    }
    let [floor, std, touching, managed] = samples.map(median);
    println!(
        "one thread's life, microseconds (medians of {BATCHES} batches of {BATCH}), and over pthread_create/join"
    );
    for (what, time) in [
        ("pthread_create, pthread_join", floor),
        ("std::thread::spawn, join", std),
        ("pthread that maps, touches, unmaps a page", touching),
        ("Manager::spawn, route, exit, join", managed),
    ] {
        println!("{what:<44} {time:8.1} {:6.2}", time / floor);
    }
}
