//! Measures a fault that a manager redirects to its handler and returns from, against a fault that a bare exception server skips, side by
//! side in one run. Also measures the reads of the stopped thread that a redirect makes besides writing the frame. A report, not a gate.
//!
//! `cargo bench -p thread-mgr --bench redirects`. Batches of 1 000 faults alternate between the ways; the medians of 41 batches are
//! compared.
#![allow(unsafe_code)]

#[path = "../tests/support/mod.rs"]
#[allow(unused_imports)] // what only tests use
mod support;

use exc_server::{Delivery, Exception, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use signal_redirect::{Machine, Memory, Native, OwnMemory};
use std::hint::black_box;
use std::sync::mpsc;
use std::time::Instant;

const BATCH: u32 = 1000;
const BATCHES: usize = 41;

/// Returns the nanoseconds for one fault, averaged over a batch.
fn batch(mut one: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        one();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Starts a thread that waits until the sender is dropped, and returns its right and the sender.
fn waiting() -> (ThreadRight, mpsc::Sender<()>) {
    let (send, receive) = mpsc::channel();
    let (end, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let own = ThreadRight::current().expect("the own thread");
        send.send(own).expect("a receiver");
        let _ = wait.recv();
    });
    (receive.recv().expect("a thread"), end)
}

fn main() {
    type Trap = <Native as Machine>::ExceptionState;
    let manager = support::builder().build().expect("a manager");
    let server = Server::start(|exception: Exception<'_>| {
        let mut state = exception.registers().expect("the registers");
        state.set_pc(state.pc() + support::LENGTH);
        // SAFETY: the instruction has no effect.
        unsafe { exception.resume_with(&state) }
    });
    let server = server.expect("a server");
    let own = ThreadRight::current().expect("the own thread");
    let routing = Routing::new(
        ExceptionMask::BAD_INSTRUCTION,
        Delivery::state::<NativeState>(),
    );
    let (other, end) = waiting();
    let name = other.name().raw();
    // SAFETY: the own errno is read, and nothing written.
    let memory = unsafe { OwnMemory::new() };
    let errno = system::errno_address() as u64;
    let mut samples = [const { Vec::new() }; 5];
    for round in 0..=BATCHES {
        let skipped = {
            let route = server.route(Target::Thread(&own), &routing);
            let _route = route.expect("a route");
            batch(support::undefined_instruction)
        };
        let redirected = {
            let _attached = manager.attach().expect("attached");
            batch(support::undefined_instruction)
        };
        let once = [
            skipped,
            redirected,
            batch(|| {
                let mut state = NativeState::default();
                let read =
                    system::read_thread_state(name, NativeState::FLAVOR, state.as_words_mut());
                black_box(read.is_ok());
            }),
            batch(|| {
                let mut state = Trap::default();
                let read = system::read_thread_state(name, Trap::FLAVOR, state.as_words_mut());
                black_box(read.is_ok());
            }),
            batch(|| {
                let mut bytes = [0; 4];
                black_box(memory.read(errno, &mut bytes).is_ok());
            }),
        ];
        // The first round warms up.
        if round > 0 {
            for (samples, time) in samples.iter_mut().zip(once) {
                samples.push(time);
            }
        }
    }
    drop(end);
    let [skipped, redirected, registers, trap, errno] = samples.map(median);
    println!("one fault, nanoseconds (medians of {BATCHES} batches of {BATCH}), and over a server");
    for (what, time) in [
        ("skipped by a server", skipped),
        ("redirected to a handler, and back", redirected),
        ("of that: a look at the registers (two)", registers),
        ("of that: a look at the exception state", trap),
        ("of that: errno read, or written", errno),
    ] {
        println!("{what:<44} {time:9.0} {:7.3}", time / skipped);
    }
}
