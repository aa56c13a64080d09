//! User memory is probed by the fault handler itself: a bad address is an error code, never a fault, and leaves no lock behind.

use crate::support::isolated;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG};
use mach_sys::rights::{ReceiveRight, Right};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use test_support::emulator::is_emulated;
use test_support::flag::SetWhenDropped;

const PAGE: usize = 64 * 1024;

/// Regions of pages side by side: none at 0, readable at 1, none at all at 2, writable at 3 and 4, unmapped at 5, writable at 6.
struct Pages {
    base: usize,
}

impl Pages {
    fn new() -> Self {
        let map = |protection| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping, whose parts are given their protection below.
            let base =
                unsafe { libc::mmap(core::ptr::null_mut(), 7 * PAGE, protection, flags, -1, 0) };
            assert_ne!(base, libc::MAP_FAILED);
            base as usize
        };
        let base = map(libc::PROT_READ | libc::PROT_WRITE);
        let pages = Self { base };
        // SAFETY: parts of the new mapping, which no other code uses.
        unsafe {
            core::ptr::write_bytes((base + 3 * PAGE) as *mut u8, 0x5a, 2 * PAGE);
            libc::mprotect(base as *mut _, PAGE, libc::PROT_NONE);
            libc::mprotect((base + PAGE) as *mut _, PAGE, libc::PROT_READ);
            libc::mprotect((base + 2 * PAGE) as *mut _, PAGE, libc::PROT_NONE);
            libc::munmap((base + 5 * PAGE) as *mut _, PAGE);
        }
        pages
    }

    fn at(&self, page: usize) -> u64 {
        (self.base + page * PAGE) as u64
    }
}

/// Addresses that can be neither read nor written, and why.
fn bad(pages: &Pages) -> Vec<(&'static str, u64, KernReturn)> {
    let unmapped = KernReturn::INVALID_ADDRESS;
    let protected = KernReturn::PROTECTION_FAILURE;
    vec![
        ("the first page", 0x18, unmapped),
        ("unmapped", pages.at(5), unmapped),
        ("PROT_NONE", pages.at(0), protected),
        ("straddling into unmapped", pages.at(5) - 5, unmapped),
        ("straddling into PROT_NONE", pages.at(2) - 5, protected),
        ("the kernel's half", 0xffff_8000_0000_0000, unmapped),
        ("no canonical address", 0x0001_8000_0000_0000, unmapped),
        ("the last bytes", u64::MAX - 7, unmapped),
        ("wrapping", u64::MAX - 3, unmapped),
    ]
}

const LENGTH: usize = 16;

fn read(address: u64, to: u64) -> (KernReturn, u64) {
    let mut copied = 0;
    // SAFETY: both addresses are probed; the count goes to a local variable.
    let outcome = unsafe {
        kernel::mach_vm_read_overwrite(system::task_self(), address, LENGTH as u64, to, &mut copied)
    };
    (KernReturn::new(outcome), copied)
}

fn write(address: u64, from: u64) -> KernReturn {
    // SAFETY: both addresses are probed, and what is written to is the test's.
    let outcome = unsafe {
        kernel::mach_vm_write(system::task_self(), address, from as usize, LENGTH as u32)
    };
    KernReturn::new(outcome)
}

/// Asserts that a kernel call by another thread returns: the lock is free.
fn assert_no_lock_held() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(ReceiveRight::new().is_ok()).expect("heard"));
    assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
}

isolated! {
    /// G2.19: a bad address is an error, never a fault.
    fn memory_reads_and_writes_probe_both_sides() {
        let pages = Pages::new();
        let mut local = [0_u8; LENGTH];
        let mine = local.as_mut_ptr() as u64;
        for (what, address, expected) in bad(&pages) {
            assert_eq!(read(address, mine), (expected, 0), "read from {what}");
            assert_eq!(read(mine, address).0, expected, "read to {what}");
            assert_eq!(write(address, mine), expected, "write to {what}");
            assert_eq!(write(mine, address), expected, "write from {what}");
        }
        let readable = pages.at(1);
        assert_eq!(read(readable, mine), (KernReturn::SUCCESS, LENGTH as u64));
        assert_eq!(write(readable, mine), KernReturn::PROTECTION_FAILURE);
        assert_eq!(read(mine, readable).0, KernReturn::PROTECTION_FAILURE);
        // A range that wraps is looked at before the other is read, of any size.
        for size in [LENGTH as u64, 640, 641, 4096] {
            let (unreadable, wrapping) = (pages.at(2) - 5, u64::MAX - 3);
            let mut copied = 0;
            // SAFETY: both addresses are probed; the count goes to a local variable.
            let outcome = unsafe {
                kernel::mach_vm_read_overwrite(system::task_self(), unreadable, size, wrapping, &mut copied)
            };
            assert_eq!(KernReturn::new(outcome), KernReturn::INVALID_ADDRESS, "{size} bytes");
        }
        // Across two good pages.
        let across = pages.at(4) - 7;
        assert_eq!(read(across, mine), (KernReturn::SUCCESS, LENGTH as u64));
        assert_eq!(local, [0x5a; LENGTH]);
        local = *b"sixteen of them!";
        assert_eq!(write(across, mine), KernReturn::SUCCESS);
        // SAFETY: the page is mapped and readable.
        assert_eq!(unsafe { *(across as *const [u8; LENGTH]) }, local);
        assert_no_lock_held();
    }
}

isolated! {
    /// All of both ranges is looked at before a byte is written.
    fn a_copy_that_runs_into_a_bad_page_changes_nothing() {
        let pages = Pages::new();
        let mut local = [0x77_u8; LENGTH];
        let (end, before) = (pages.at(5), local);
        let mine = local.as_mut_ptr() as u64;
        assert_eq!(write(end - 5, mine), KernReturn::INVALID_ADDRESS);
        assert_eq!(read(end - 5, mine), (KernReturn::INVALID_ADDRESS, 0));
        assert_eq!(local, before);
        // SAFETY: the page is mapped and readable.
        let there = unsafe { *((end - 8) as *const [u8; 8]) };
        assert_eq!(there, [0x5a; 8]);
    }
}

isolated! {
    /// A size that is wrong by far is an error at once, however much is mapped at the source.
    fn a_copy_into_too_little_room_does_not_walk_through_all_of_the_source() {
        const HUGE: usize = 1 << 40;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping.
        let map = |size, protection| unsafe {
            libc::mmap(core::ptr::null_mut(), size, protection, flags, -1, 0)
        };
        // Where a process gets less, less of it is walked through. An emulator keeps a record of each page.
        let largest = if is_emulated() { 34 } else { 40 };
        let sizes = (24..=largest).rev().map(|bits| 1_usize << bits);
        let found = sizes
            .map(|size| (size, map(size, libc::PROT_READ)))
            .find(|(_, base)| *base != libc::MAP_FAILED);
        let (size, source) = found.expect("some memory");
        let (mut local, mut copied) = ([0x77_u8; LENGTH], 0);
        for to in [local.as_mut_ptr() as u64, source as u64, 0x18, u64::MAX - HUGE as u64] {
            let begin = std::time::Instant::now();
            // SAFETY: all addresses are probed, and nothing is written where that fails.
            let outcome = unsafe {
                kernel::mach_vm_read_overwrite(
                    system::task_self(),
                    source as u64,
                    size as u64,
                    to,
                    &mut copied,
                )
            };
            let expected = [KernReturn::INVALID_ADDRESS, KernReturn::PROTECTION_FAILURE];
            assert!(expected.contains(&KernReturn::new(outcome)), "{to:#x}: {outcome:#x}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{to:#x}");
        }
        assert_eq!((local, copied), ([0x77; LENGTH], 0));
        // SAFETY: the mapping is the test's.
        unsafe { libc::munmap(source, size) };
    }
}

isolated! {
    fn releasing_more_memory_than_there_is_is_an_error() {
        let pages = Pages::new();
        let last = pages.at(3);
        for (address, size) in [(last, u64::MAX), (last, u64::MAX - last), (0, u64::MAX), (u64::MAX, 1)] {
            // SAFETY: no such memory is there to release.
            let outcome = unsafe { kernel::mach_vm_deallocate(system::task_self(), address, size) };
            assert_eq!(KernReturn::new(outcome), KernReturn::INVALID_ARGUMENT, "{address:#x}, {size:#x}");
        }
        // SAFETY: the page is mapped and readable.
        assert_eq!(unsafe { *(last as *const [u8; 4]) }, [0x5a; 4]);
    }
}

isolated! {
    /// Looking whether memory can be written loses nothing that other threads write there meanwhile.
    fn a_refused_copy_leaves_what_others_write() {
        let pages = Pages::new();
        let stop = AtomicBool::new(false);
        // SAFETY: the last word of the page before the unmapped one, which is used through atomics only.
        let word = unsafe { &*((pages.at(5) - 8) as *const AtomicUsize) };
        word.store(0, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let ending = SetWhenDropped(&stop);
            let counting = scope.spawn(|| {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    word.fetch_add(1, Ordering::Relaxed);
                    count += 1;
                }
                count
            });
            let local = [0x77_u8; LENGTH];
            for _ in 0..10_000 {
                let outcome = write(pages.at(5) - 8, local.as_ptr() as u64);
                assert_eq!(outcome, KernReturn::INVALID_ADDRESS);
            }
            drop(ending);
            let count = counting.join().expect("counted");
            assert_eq!(word.load(Ordering::Relaxed), count);
        });
    }
}

isolated! {
    /// The destination holds what the source held, however the two overlap.
    fn overlapping_copies_are_exact() {
        const COUNT: usize = 4096;
        let source: Vec<u8> = (0..3 * COUNT).map(|at| (at / 7 % 251) as u8).collect();
        let task = system::task_self();
        for shift in [1, 7, 512, 1023, 1024, 1025, 1500, 4095, 4096] {
            for (from, to) in [(COUNT - shift.min(COUNT), COUNT), (COUNT, COUNT - shift.min(COUNT)), (COUNT, COUNT)] {
                let expected = &source[from..from + COUNT];
                let (mut bytes, mut copied) = (source.clone(), 0);
                let base = bytes.as_mut_ptr() as u64;
                let (old, new) = (base + from as u64, base + to as u64);
                // SAFETY: both ranges are within the vector.
                let outcome = unsafe { kernel::mach_vm_read_overwrite(task, old, COUNT as u64, new, &mut copied) };
                assert_eq!((outcome, copied), (0, COUNT as u64));
                assert!(bytes[to..to + COUNT] == *expected, "read, {shift} bytes from {from} to {to}");
                bytes.copy_from_slice(&source);
                // SAFETY: both ranges are within the vector.
                let outcome = unsafe { kernel::mach_vm_write(task, new, old as usize, COUNT as u32) };
                assert_eq!(outcome, 0);
                assert!(bytes[to..to + COUNT] == *expected, "write, {shift} bytes from {from} to {to}");
            }
        }
    }
}

fn message(address: u64, option: i32, size: u32, name: u32) -> i32 {
    let (send, receive) = match option & MACH_SEND_MSG {
        0 => (0, size),
        _ => (size, 0),
    };
    // SAFETY: the address is probed.
    unsafe {
        kernel::mach_msg(
            address as usize as *mut _,
            option | MACH_RCV_TIMEOUT,
            send,
            receive,
            name,
            0,
            0,
        )
    }
}

const SEND_INVALID_DATA: i32 = 0x1000_0002;
const RCV_INVALID_DATA: i32 = 0x1000_4008;

isolated! {
    fn c10_c11_messages_at_bad_addresses_are_refused() {
        let pages = Pages::new();
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        let good = || {
            let mut words = [19, 24, send.name().raw(), 0, 0, 7_u32];
            message(words.as_mut_ptr() as u64, MACH_SEND_MSG, 24, 0)
        };
        for (what, address, _) in bad(&pages) {
            assert_eq!(message(address, MACH_SEND_MSG, 24, 0), SEND_INVALID_DATA, "{what}");
            assert_eq!(good(), 0);
            let outcome = message(address, MACH_RCV_MSG, 256, port.name().raw());
            assert_eq!(outcome, RCV_INVALID_DATA, "{what}");
        }
        assert_eq!(good(), 0);
        let outcome = message(pages.at(1), MACH_RCV_MSG, 256, port.name().raw());
        assert_eq!(outcome, RCV_INVALID_DATA, "read-only");
        // And it goes on.
        assert_eq!(good(), 0);
        let mut words = [0_u32; 64];
        let outcome = message(words.as_mut_ptr() as u64, MACH_RCV_MSG, 256, port.name().raw());
        assert_eq!((outcome, words[5]), (0, 7));
        assert_no_lock_held();
    }
}

isolated! {
    /// Of each length, to and from each alignment.
    fn copies_end_with_the_last_byte_that_is_there() {
        const BEFORE: u64 = 16;
        let pages = Pages::new();
        let edge = pages.at(5);
        let source: Vec<u8> = (0..=250).collect();
        for length in 1..=80 {
            for from in 0..17 {
                let to = edge - length;
                // SAFETY: the end of a writable page.
                let there = unsafe {
                    core::slice::from_raw_parts_mut((to - BEFORE) as *mut u8, (BEFORE + length) as usize)
                };
                there.fill(0x5a);
                let bytes = &source[from..from + length as usize];
                // SAFETY: the bytes are a local vector's.
                let outcome = unsafe {
                    kernel::mach_vm_write(system::task_self(), to, bytes.as_ptr() as usize, length as u32)
                };
                let (before, copied) = there.split_at(BEFORE as usize);
                assert_eq!(outcome, 0, "{length} bytes from {from}");
                assert_eq!((before, copied), (&[0x5a; BEFORE as usize][..], bytes), "{length} bytes from {from}");
            }
        }
    }
}

isolated! {
    /// C10.1, C11.5: in the copy itself, without a look before it.
    fn c10_1_messages_of_each_size_are_copied_to_the_edge_and_refused_behind_it() {
        const TRAILER: u64 = 8;
        let pages = Pages::new();
        let (before, edge) = (pages.at(3), pages.at(5));
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        let name = port.name().raw();
        for size in (24..=120_u64).step_by(4) {
            let mut words = vec![19, size as u32, send.name().raw(), 0, 0, 7_u32];
            words.extend(6..size as u32 / 4);
            let put = |at: u64| {
                // SAFETY: the bytes are writable, and no other code uses them.
                unsafe { core::ptr::copy_nonoverlapping(words.as_ptr().cast(), at as *mut u8, size as usize) };
            };
            put(before);
            put(edge - size);
            for behind in [1, 3, 4, 7, 8, 15, 16, 17] {
                let outcome = message(edge - size + behind, MACH_SEND_MSG, size as u32, 0);
                assert_eq!(outcome, SEND_INVALID_DATA, "{size} bytes, {behind} behind the edge");
                assert_eq!(message(before, MACH_SEND_MSG, size as u32, 0), 0);
                let to = edge - size - TRAILER + behind;
                let outcome = message(to, MACH_RCV_MSG, 256, name);
                assert_eq!(outcome, RCV_INVALID_DATA, "{size} bytes, {behind} behind the edge");
            }
            put(edge - size);
            assert_eq!(message(edge - size, MACH_SEND_MSG, size as u32, 0), 0, "{size} bytes");
            let to = edge - size - TRAILER;
            assert_eq!(message(to, MACH_RCV_MSG, 256, name), 0, "{size} bytes");
            // SAFETY: the end of a writable page; `u32` reads need no alignment here.
            let received: Vec<u32> = (0..size / 4).map(|word| unsafe {
                ((to + 4 * word) as *const u32).read_unaligned()
            }).collect();
            assert_eq!(received[5..], words[5..], "{size} bytes");
        }
    }
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, Ordering::Release);
}

isolated! {
    /// A signal that is sent while a copy runs is the process's, not the copy's (R24).
    fn signals_sent_during_copies_do_not_end_them() {
        crate::support::install(libc::SIGSEGV, count as *const (), libc::SA_RESTART, &[]);
        let pages = Pages::new();
        let length = PAGE as u32;
        let stop = AtomicBool::new(false);
        // SAFETY: no arguments.
        let victim = unsafe { libc::pthread_self() };
        std::thread::scope(|scope| {
            let _ending = SetWhenDropped(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let before = HANDLED.load(Ordering::Acquire);
                    // SAFETY: the thread that made the scope outlives it.
                    unsafe { libc::pthread_kill(victim, libc::SIGSEGV) };
                    // One at a time: handlers on top of each other would use all of the alternate stack.
                    while HANDLED.load(Ordering::Acquire) == before && !stop.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    std::thread::sleep(Duration::from_micros(20));
                }
            });
            let arrived = || HANDLED.load(Ordering::Acquire) > 10;
            let late = Instant::now() + Duration::from_secs(20);
            let mut copies = 0;
            while copies < 2000 || !arrived() {
                // SAFETY: both pages are the test's alone.
                let outcome = unsafe {
                    let from = pages.at(3) as usize;
                    kernel::mach_vm_write(system::task_self(), pages.at(4), from, length)
                };
                assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
                copies += 1;
                assert!(Instant::now() < late, "the test's signals arrive");
            }
        });
    }
}

static ANSWER: AtomicUsize = AtomicUsize::new(0);

/// Acts as a crash reporter does. Its own signal is blocked in here.
extern "C" fn read_bad_memory(_: i32, _: *const libc::siginfo_t, _: *mut libc::ucontext_t) {
    let (mut word, mut copied) = (0_u64, 0);
    // SAFETY: the results go to local variables.
    let code = unsafe {
        let to = (&raw mut word) as u64;
        kernel::mach_vm_read_overwrite(system::task_self(), 0x18, 8, to, &mut copied)
    };
    ANSWER.store(code as usize, Ordering::Release);
    HANDLED.fetch_add(1, Ordering::Release);
}

isolated! {
    /// Checks the same error as on XNU, where a bad address raises no signal.
    fn a_bad_address_is_an_error_though_its_signal_is_blocked() {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            crate::support::install(signal, read_bad_memory as *const (), libc::SA_SIGINFO, &[libc::SIGSEGV]);
        }
        mach_sys::emulated::start().expect("started");
        for (before, signal) in [libc::SIGSEGV, libc::SIGBUS].into_iter().enumerate() {
            // SAFETY: a signal to the calling thread, which has a handler.
            unsafe { libc::raise(signal) };
            assert_eq!(HANDLED.load(Ordering::Acquire), before + 1);
            let answer = ANSWER.swap(0, Ordering::Acquire);
            assert_eq!(KernReturn::new(answer as i32), KernReturn::INVALID_ADDRESS);
        }
        // One that is pending stays what it is.
        // SAFETY: the set is a local variable; a signal to the calling thread, which has a handler.
        unsafe {
            let mut set: libc::sigset_t = core::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGSEGV);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
            libc::raise(libc::SIGSEGV);
            read_bad_memory(0, core::ptr::null(), core::ptr::null_mut());
            assert_eq!(HANDLED.load(Ordering::Acquire), 3);
            assert!(crate::support::is_blocked(libc::SIGSEGV));
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, core::ptr::null_mut());
        }
        assert_eq!(HANDLED.load(Ordering::Acquire), 4, "once");
    }
}
