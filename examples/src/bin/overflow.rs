//! Stack overflow as a condition: the computation is given up, and the thread goes on.
//!
//! ```console
//! $ cargo run --release --bin overflow
//! $ cargo run --release --bin overflow -- --rounds 1000 --fiber 32
//! ```
//!
//! What to look at: the recursion ends in the guard page below its stack, once on the thread's own stack and once on a fiber's, a stack
//! that the program made. There is no room for a handler there: it runs on the thread's emergency stack. It makes the thread leave the
//! computation, as `longjmp` would, and the same stack overflows again in the next round.
//!
//! The manager's filter looks at the address: only a fault in the guard page of a stack in use is an overflow. Any other fault of the
//! thread is left to the next level.
#![allow(unsafe_code)]

use clap::Parser;
use core::ffi::c_int;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use examples::escape::{self, Point};
use examples::pages::{Access, Pages, page_of};
use examples::program::exit_code;
use examples::say;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::system;
use serde_json::json;
use signal_redirect::Entry;
use std::error::Error;
use std::process::ExitCode;
use thread_mgr::Manager;

/// Overflows stacks, and goes on.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// Overflows of each stack.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Pages of the fiber's stack.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..))]
    fiber: u16,
    /// Prints the depths as JSON.
    #[arg(long)]
    json: bool,
}

/// The guard page of the stack in use: its first byte, and the end.
static GUARD: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// Place at which the thread goes on after an overflow.
static BOTTOM: Point = Point::new();
/// Calls that the recursion has made.
static DEPTH: AtomicU64 = AtomicU64::new(0);

/// Returned by [`recurse_guarded`] instead of a result.
#[derive(Clone, Copy, Debug)]
struct StackOverflow {
    depth: u64,
}

fn main() -> ExitCode {
    exit_code("overflow", run(Options::parse()))
}

fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    // SAFETY: the handler changes registers, and does not unwind.
    let entry = unsafe { Entry::new(handle) };
    let manager = Manager::builder(entry)
        .only_if(|exception| {
            let address = exception.meaning().address();
            address.is_some_and(|address| guard().contains(&address))
        })
        .build()?;
    let rounds = options.rounds;
    let thread = manager.spawn(move || on_its_stack(rounds))?;
    let thread = thread.join()?.exit.returned().ok_or("no result")??;
    let fiber = manager.spawn(move || on_a_fiber(options.fiber.into(), rounds))?;
    let fiber = fiber.join()?.exit.returned().ok_or("no result")??;
    let stats = manager.redirect_stats();
    if options.json {
        say!(
            "{:#}",
            json!({ "thread": thread, "fiber": fiber, "handled": stats.returned })
        );
    } else {
        say!("calls before the stack's end, each time:");
        say!("  on the thread's own stack  {thread:?}");
        say!("  on a fiber's stack         {fiber:?}");
        say!(
            "{} overflows handled; the threads ended as any other",
            stats.returned
        );
    }
    Ok(stats.returned == 2 * u64::from(rounds))
}

/// Overflows the calling thread's own stack.
fn on_its_stack(rounds: u32) -> Result<Vec<u64>, &'static str> {
    let stack = system::stack_bounds().ok_or("a stack without known bounds")?;
    let page = system::page_size() as u64;
    let low = stack.start as u64;
    // The host's guard is the page below. Some hosts count it as the stack's.
    overflow(rounds, None, low - page..low + page)
}

/// Overflows a stack of its own, whose lowest page is a guard.
fn on_a_fiber(pages: usize, rounds: u32) -> Result<Vec<u64>, &'static str> {
    let stack = Pages::new(pages + 1, Access::ReadWrite).map_err(|_| "no memory for a fiber")?;
    let guard = page_of(stack.address());
    let protected = stack.protect_part(guard.clone(), Access::None);
    protected.map_err(|_| "no guard page")?;
    overflow(rounds, Some(stack.range().end), guard)
}

fn overflow(
    rounds: u32,
    stack_top: Option<u64>,
    guard: Range<u64>,
) -> Result<Vec<u64>, &'static str> {
    let once = |_| match recurse_guarded(stack_top, guard.clone()) {
        Err(StackOverflow { depth }) => Ok(depth),
        Ok(()) => Err("the recursion ended"),
    };
    (0..rounds).map(once).collect()
}

/// Runs the recursion on a stack whose overflow is a condition.
fn recurse_guarded(stack_top: Option<u64>, guard: Range<u64>) -> Result<(), StackOverflow> {
    GUARD[0].store(guard.start, Ordering::Relaxed);
    GUARD[1].store(guard.end, Ordering::Relaxed);
    // SAFETY: the recursion needs no destructor and holds no lock; the stack is the fiber's alone.
    let left = unsafe {
        escape::call(&BOTTOM, stack_top, || {
            core::hint::black_box(recurse(1));
        })
    };
    GUARD[1].store(0, Ordering::Relaxed);
    match left {
        0 => Ok(()),
        _ => Err(StackOverflow {
            depth: DEPTH.load(Ordering::Relaxed),
        }),
    }
}

fn guard() -> Range<u64> {
    let [start, end] = [0, 1].map(|index: usize| GUARD[index].load(Ordering::Relaxed));
    start..end
}

/// Calls itself until the stack ends.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    DEPTH.store(depth, Ordering::Relaxed);
    let kept = core::hint::black_box([depth; 8]);
    if depth == u64::MAX {
        return 0;
    }
    recurse(depth + 1).wrapping_add(kept[(depth % 8) as usize])
}

/// Leaves the computation.
///
/// # Safety
/// For overflows in [`recurse_guarded`].
unsafe extern "C" fn handle(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over its own structure, and nothing else refers to it.
    let state = unsafe { (*context).registers_mut() };
    let _ = BOTTOM.leave(state, 1);
}
