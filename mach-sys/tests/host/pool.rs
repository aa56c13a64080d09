//! S8: the pool of threads is finite. A fault of a thread that does not fit goes to the host level, counted, and never gets another's record.

use crate::context;
use crate::faults::Kind;
use crate::isolated::report_skipped;
use crate::registers::{self, assert_kept};
use crate::support::{RawThread, install, isolated, on_raw_thread, test_name};
use mach_sys::emulated::{self, Config};
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::rights::ThreadRight;
use port_server::Server;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use test_support::flag::SetWhenDropped;
use test_support::wait::wait_for;

fn start(threads: u32) {
    let mut config = Config::default();
    config.threads = threads;
    emulated::start_with(config).expect("started");
}

thread_local! {
    static HOST_LEVEL: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

extern "C" fn previous(_: i32, _: *const libc::siginfo_t, uc: *mut libc::ucontext_t) {
    HOST_LEVEL.set(HOST_LEVEL.get() + 1);
    // SAFETY: the kernel's context.
    unsafe { context::add_to_pc(uc, Kind::Undefined.skip()) };
}

/// Returns a server on the task that counts and skips.
fn server() -> Server<usize> {
    let server = Server::start(0, |served, fault, state| {
        crate::faults::skip(fault.exception, state);
        *served += 1;
        true
    });
    server.route_task();
    server
}

isolated! {
    fn s8_more_unknown_threads_than_places_fault_at_once() {
        const PLACES: usize = 32;
        const THREADS: usize = PLACES + 100;
        install(libc::SIGILL, previous as *const (), libc::SA_SIGINFO, &[]);
        start(PLACES as u32);
        let server = server();
        let barrier = Arc::new(Barrier::new(THREADS));
        let at_host_level = Arc::new(AtomicUsize::new(0));
        let threads: Vec<RawThread> = (0..THREADS)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                let at_host_level = Arc::clone(&at_host_level);
                RawThread::spawn(move || {
                    barrier.wait();
                    // All registers stay, whichever handler replies.
                    assert_kept(1);
                    // No thread leaves, and frees its place for another, before all have faulted.
                    barrier.wait();
                    let calls = HOST_LEVEL.get();
                    assert!(calls <= 1, "once at most");
                    at_host_level.fetch_add(calls, Ordering::Relaxed);
                    if calls == 1 {
                        let refused = ThreadRight::current().map(drop);
                        assert_eq!(refused, Err(KernError::RESOURCE_SHORTAGE));
                    }
                    barrier.wait();
                })
            })
            .collect();
        for thread in threads {
            thread.join();
        }
        let host_level = at_host_level.load(Ordering::Relaxed);
        assert!(host_level >= 100, "{host_level}");
        assert!(emulated::refused_threads() as usize >= host_level);
        // Places come back, once the threads are really gone.
        let served = Arc::new(AtomicBool::new(false));
        wait_for("a place that comes back", || {
            let this = Arc::clone(&served);
            on_raw_thread(move || {
                if ThreadRight::current().map(drop).is_ok() {
                    assert_kept(1);
                    assert_eq!(HOST_LEVEL.get(), 0);
                    this.store(true, Ordering::Relaxed);
                }
            });
            served.load(Ordering::Relaxed)
        });
        assert_eq!(server.stop() - 1, THREADS - host_level, "each served, or at the host level");
    }
}

/// Enough to use every place several times; less where each thread is slow.
const MANY: usize = if cfg!(target_arch = "x86_64") {
    4000
} else {
    2500
};

/// Tombstones are used again; threads that never made a kernel call are noticed in time.
fn unknown_threads(places: u32) {
    start(places);
    let server = server();
    for _ in 0..MANY / 4 {
        let threads: [RawThread; 4] =
            core::array::from_fn(|_| RawThread::spawn(|| Kind::Undefined.raise()));
        for thread in threads {
            thread.join();
        }
    }
    assert_eq!(server.stop(), MANY / 4 * 4);
    assert_eq!(emulated::refused_threads(), 0);
}

isolated! {
    fn thousands_of_unknown_threads_share_a_thousand_places() {
        unknown_threads(1024);
    }
}

isolated! {
    fn thousands_of_unknown_threads_share_a_hundred_places() {
        unknown_threads(128);
    }
}

/// Makes the watching thread wait for its turn longer than any other thread.
fn make_watching_thread_late() {
    let mut tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    let watching = tasks.find_map(|task| {
        let task = task.expect("a thread").path();
        let name = std::fs::read_to_string(task.join("comm"));
        let tid = task.file_name()?.to_str()?.parse().ok()?;
        name.is_ok_and(|name| name == "mach-sys\n").then_some(tid)
    });
    let watching = watching.expect("the watching thread");
    // SAFETY: a thread of this process, which may always be nicer.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, watching, 19) };
    assert_eq!(refused, 0);
}

isolated! {
    /// On a loaded machine a fault finds all places taken by threads that are gone. It waits until the watching thread has looked.
    fn s8_a_late_watching_thread_costs_no_fault() {
        const PLACES: u32 = 64;
        start(PLACES);
        let server = server();
        make_watching_thread_late();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _ending = SetWhenDropped(&stop);
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| while !stop.load(Ordering::Relaxed) { core::hint::spin_loop() });
            }
            for _ in 0..PLACES * 4 {
                RawThread::spawn(|| Kind::Undefined.raise()).join();
            }
        });
        assert_eq!(server.stop(), PLACES as usize * 4);
        assert_eq!(emulated::refused_threads(), 0);
    }
}

isolated! {
    fn thousands_of_registered_threads_share_a_few_places() {
        start(64);
        let server = Arc::new(registers::server());
        for _ in 0..MANY / 4 {
            let threads: [RawThread; 4] = core::array::from_fn(|_| {
                let server = Arc::clone(&server);
                RawThread::spawn(move || {
                    server.route_thread();
                    assert_kept(1);
                })
            });
            for thread in threads {
                thread.join();
            }
        }
        assert_eq!(Arc::into_inner(server).expect("the last").stop(), MANY / 4 * 4);
    }
}

/// File that sets the identifier of the next thread.
const LAST_IDENTIFIER: &str = "/proc/sys/kernel/ns_last_pid";

isolated! {
    /// A thread that gets the identifier of one that has ended does not get its handlers.
    fn a_reused_thread_identifier_is_a_new_thread() {
        let server = Arc::new(registers::server());
        let mut reused = 0;
        for _ in 0..50 {
            let route = Arc::clone(&server);
            let (tell, told) = std::sync::mpsc::channel();
            RawThread::spawn(move || {
                route.route_thread();
                // SAFETY: no arguments.
                tell.send(unsafe { libc::gettid() }).expect("heard");
            })
            .join();
            let before = told.recv().expect("an identifier");
            if std::fs::write(LAST_IDENTIFIER, (before - 1).to_string()).is_err() {
                return report_skipped(test_name!(a_reused_thread_identifier_is_a_new_thread), "this system does not let identifiers be chosen");
            }
            let (tell, told) = std::sync::mpsc::channel();
            RawThread::spawn(move || {
                // SAFETY: no arguments.
                let this = unsafe { libc::gettid() };
                // The first kernel call registers the thread, under whatever is there of the one before.
                let thread = ThreadRight::current().expect("a place");
                tell.send((this, handlers_of(&thread))).expect("heard");
            })
            .join();
            let (this, handlers) = told.recv().expect("an identifier");
            reused += usize::from(this == before);
            assert_eq!(handlers, 0, "{this} after {before}");
        }
        println!("{reused} identifiers of 50 were used again");
    }
}

/// Returns the number of exception actions of a thread.
fn handlers_of(thread: &ThreadRight) -> usize {
    use mach_sys::rights::Right;
    let mut count = 14;
    let (mut masks, mut ports) = ([0; 14], [0; 14]);
    let (mut behaviors, mut flavors) = ([0; 14], [0; 14]);
    // SAFETY: arrays with room for 14 entries.
    let outcome = unsafe {
        mach_sys::kernel::thread_get_exception_ports(
            thread.name().raw(),
            port_server::HARDWARE.bits(),
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    ports[..count as usize]
        .iter()
        .filter(|port| **port != 0)
        .count()
}

isolated! {
    /// R22: where the system says nothing but signal, code and address, those decide.
    fn r22_faults_are_told_apart_without_the_hardwares_words() {
        use crate::faults::{ADDRESS, KINDS};
        let mut config = Config::default();
        config.hardware_words = Some(false);
        emulated::start_with(config).expect("started");
        let server = Server::start(Vec::new(), |seen, fault, state| {
            crate::faults::skip(fault.exception, state);
            seen.push(fault);
            true
        });
        server.route_task();
        on_raw_thread(|| KINDS.iter().for_each(|kind| kind.raise()));
        let seen = server.stop();
        let exceptions: Vec<i32> = seen.iter().map(|fault| fault.exception).collect();
        let expected: Vec<i32> = KINDS.iter().map(|kind| kind.exception()).collect();
        assert_eq!(exceptions, expected);
        assert_eq!(seen[0].codes, [1, ADDRESS as i64]);
        assert_eq!(seen[1].codes[0], 10, "the file ends before the page");
    }
}

/// Uses up the memory mappings that the system allows a process. `None` where that is not possible.
fn use_up_mappings() -> Option<()> {
    const MOST: usize = 200_000;
    // An emulator needs some of them for itself.
    if test_support::emulator::is_emulated() {
        return None;
    }
    let page = mach_sys::kernel::system::page_size();
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    let allowed: usize = allowed.trim().parse().ok()?;
    if allowed > MOST {
        return None;
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, of which every other page gets another protection; nothing is kept in it.
    unsafe {
        let size = (allowed + 2) * page;
        let base = libc::mmap(core::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(base, libc::MAP_FAILED);
        for index in (1..allowed).step_by(2) {
            if libc::mprotect(base.byte_add(index * page), page, libc::PROT_READ) != 0 {
                return Some(());
            }
        }
    }
    None
}

isolated! {
    fn threads_are_known_and_served_though_the_host_allows_no_more_mappings() {
        const THREADS: usize = 8;
        start(16);
        let server = server();
        let barrier = Arc::new(Barrier::new(THREADS + 1));
        let used_up = Arc::new(AtomicUsize::new(0));
        let threads: Vec<RawThread> = (0..THREADS)
            .map(|_| {
                let (barrier, used_up) = (Arc::clone(&barrier), Arc::clone(&used_up));
                RawThread::spawn(move || {
                    barrier.wait();
                    barrier.wait();
                    if used_up.load(Ordering::SeqCst) == 1 {
                        let _thread = ThreadRight::current().expect("a place");
                        Kind::Undefined.raise();
                    }
                })
            })
            .collect();
        // Each has begun, and needs no new memory.
        barrier.wait();
        let is_used_up = use_up_mappings().is_some();
        used_up.store(usize::from(is_used_up), Ordering::SeqCst);
        barrier.wait();
        threads.into_iter().for_each(RawThread::join);
        match is_used_up {
            true => assert_eq!(server.stop(), THREADS),
            false => report_skipped(test_name!(threads_are_known_and_served_though_the_host_allows_no_more_mappings), "the mappings cannot be used up here"),
        }
    }
}
