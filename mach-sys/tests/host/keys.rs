//! The table by which a thread on a foreign stack finds its record: an end of one thread does not hide another.

use crate::registers::{self, assert_kept};
use crate::support::{OwnStack, RawThread, isolated};
use mach_sys::emulated::{self, Config};
use mach_sys::rights::{Census, Source};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use test_support::wait::wait_for;

const PLACES: u32 = 64;
const FIRST: usize = 40;
const SECOND: usize = 20;

static READY: AtomicUsize = AtomicUsize::new(0);

/// Names of threads.
fn names() -> usize {
    let census = Census::take().expect("a census");
    census.of(Source::Thread).names as usize
}

isolated! {
    /// The second threads' identifiers would belong where the first ones' are, so that they are found behind them; then the first
    /// threads end.
    fn a_thread_is_found_behind_those_that_ended() {
        let mut config = Config::default();
        config.threads = PLACES;
        emulated::start_with(config).expect("started");
        let server = Arc::new(registers::server());
        let before = names();
        let hold: Arc<[Barrier; 2]> = Arc::new([Barrier::new(FIRST + 1), Barrier::new(SECOND + 1)]);
        let spawn = |generation: usize| {
            let (hold, route) = (Arc::clone(&hold), Arc::clone(&server));
            RawThread::spawn(move || {
                let _own = OwnStack::register(0);
                // At the thread's level only: with another record its faults would reach no server.
                route.route_thread();
                assert_kept(1);
                READY.fetch_add(1, Ordering::SeqCst);
                hold[generation].wait();
                assert_kept(5 * generation);
            })
        };
        let first: Vec<_> = (0..FIRST).map(|_| spawn(0)).collect();
        wait_for("the threads are ready", || READY.load(Ordering::SeqCst) == FIRST);
        // Identifiers grow; these use up those that are left of a round.
        for _ in FIRST as u32..PLACES + 4 {
            RawThread::spawn(|| ()).join();
        }
        let second: Vec<_> = (0..SECOND).map(|_| spawn(1)).collect();
        wait_for("the threads are ready", || READY.load(Ordering::SeqCst) == FIRST + SECOND);
        hold[0].wait();
        first.into_iter().for_each(RawThread::join);
        wait_for("the names of live threads only", || names() == before + SECOND);
        hold[1].wait();
        second.into_iter().for_each(RawThread::join);
        wait_for("the names of live threads only", || names() == before);
        let server = Arc::into_inner(server).expect("the last");
        assert_eq!(server.stop(), FIRST + 6 * SECOND);
        assert_eq!(emulated::refused_threads(), 0);
    }
}
