//! Allocation by guard page: a cons is two stores, without a test for the end of the heap. The fault tells.
//!
//! ```console
//! $ cargo run --release --bin cons
//! $ cargo run --release --bin cons -- --conses 20000000 --young 64
//! ```
//!
//! What to look at:
//!
//! - Behind the young generation is a page without access. The store that reaches it faults, and the handler collects: it copies what is
//!   alive into the old generation. The two values that the interrupted instruction stores are in registers, and roots; the handler
//!   changes the registers, and the same instruction makes its cons at the front of the empty young generation.
//! - The old generation may be read only. A store there faults, the handler notes the page and opens it, and the same instruction stores:
//!   the write barrier. A minor collection looks only at the old pages that were noted.
//!
//! The program keeps a table of lists, replaces them in turn, and at the end adds up what is in them. The exit code is not 0 if a number
//! is missing.
#![allow(unsafe_code)]

#[path = "cons/collect.rs"]
mod collect;
#[path = "cons/heap.rs"]
mod heap;
#[path = "cons/value.rs"]
mod value;

use clap::Parser;
use core::arch::asm;
use core::ffi::c_int;
use examples::program::exit_code;
use examples::say;
use heap::{Heap, in_handler, with};
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::thread_state::Registers;
use serde_json::json;
use signal_redirect::Entry;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;
use thread_mgr::Manager;
use value::{CONS, Value};

/// Allocates by guard page, collects by fault, and notes writes by fault.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// Conses to make.
    #[arg(long, default_value_t = 2_000_000)]
    conses: u64,
    /// Pages of the young generation.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    young: u16,
    /// Pages of the old generation.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    old: u16,
    /// Lists that are kept.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    lists: u64,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// The length of a list.
const LENGTH: u64 = 50;

fn main() -> ExitCode {
    exit_code("cons", run(Options::parse()))
}

fn run(options: Options) -> Result<bool, Box<dyn Error>> {
    // SAFETY: the handler touches the heap of the one thread that faults there, which is stopped at a store of its own. It allocates
    // nothing outside of it, and does not unwind.
    let entry = unsafe { Entry::new(handle) };
    let manager = Manager::builder(entry).build()?;
    Heap::create(options.young.into(), options.old.into())?;
    let start = Instant::now();
    let ended = manager.spawn(move || mutate(options))?.join()?;
    let took = start.elapsed();
    let right = ended.exit.returned() == Some(true);
    let counts = with(|heap| heap.counts).unwrap_or_default();
    if options.json {
        let figures = json!({
            "conses": options.conses,
            "minor_collections": counts.minor,
            "major_collections": counts.major,
            "copied": counts.copied,
            "writes_noted": counts.noted,
            "milliseconds": took.as_millis() as u64,
            "sums_are_right": right,
        });
        say!("{figures:#}");
    } else {
        say!("{:>12} conses in {took:.1?}", options.conses);
        say!(
            "{:>12} collections by a fault in the guard page",
            counts.minor + counts.major
        );
        say!("{:>12} of them of both generations", counts.major);
        say!("{:>12} conses copied", counts.copied);
        say!("{:>12} writes to old pages noted by a fault", counts.noted);
        say!(
            "{}",
            if right {
                "every list is whole"
            } else {
                "A LIST IS WRONG"
            }
        );
    }
    Ok(right)
}

/// The mutator: a list of lists, of which one after the other is replaced. Root 0 is the table, root 1 the list in the making.
fn mutate(options: Options) -> bool {
    for _ in 0..options.lists {
        set_root(0, cons(Value::NIL, root(0)));
    }
    let lists = options.conses / LENGTH;
    for list in 0..lists {
        set_root(1, Value::NIL);
        for number in 0..LENGTH {
            set_root(1, cons(Value::integer(list + number), root(1)));
        }
        // The table's conses become old: this store is the one that the barrier notes.
        nth(root(0), list % options.lists).set_car(root(1));
    }
    (0..options.lists).all(|entry| {
        // The last list that replaced this entry, if any did.
        let last = (entry..lists).step_by(options.lists as usize).last();
        let expected = last.map_or(0, |list| (list..list + LENGTH).sum());
        let [list, _] = nth(root(0), entry).load();
        sum(list) == expected
    })
}

fn root(number: usize) -> Value {
    with(|heap| heap.roots[number]).unwrap_or(Value::NIL)
}

fn set_root(number: usize, value: Value) {
    with(|heap| heap.roots[number] = value);
}

fn nth(list: Value, number: u64) -> Value {
    (0..number).fold(list, |list, _| list.load()[1])
}

fn sum(list: Value) -> u64 {
    let [car, cdr] = list.load();
    if list.is_cons() {
        car.number() + sum(cdr)
    } else {
        0
    }
}

/// Makes a cons. The address is in the first argument register, the values are in the next two: the handler changes all three, and what
/// refers to conses besides is in the roots.
#[inline(never)]
fn cons(car: Value, cdr: Value) -> Value {
    let Some(mut at) = with(|heap| heap.free) else {
        return Value::NIL;
    };
    let [car, cdr] = [car, cdr].map(Value::word);
    // SAFETY: the address is in the young generation, or in the guard page: then the handler makes room, and changes the address.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov [rdi], rsi",
            "mov [rdi + 8], rdx",
            inout("rdi") at, inout("rsi") car => _, inout("rdx") cdr => _,
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "stp x1, x2, [x0]",
            inout("x0") at, inout("x1") car => _, inout("x2") cdr => _,
        );
    }
    with(|heap| heap.free = at + CONS);
    // SAFETY: the two words of the heap that were stored to.
    unsafe { Value::from_word(at) }
}

/// Collects, or notes a write.
///
/// # Safety
/// For faults of this program's one mutator.
unsafe extern "C" fn handle(_: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline hands over structures on this thread's stack, which nothing else uses until the handler returns.
    let (info, state) = unsafe { (&*info, (*context).registers_mut()) };
    let done = in_handler(|heap| {
        if !heap.guard().contains(&info.si_addr) {
            return heap.note_write(info.si_addr);
        }
        // SAFETY: only `cons` stores to the guard page, and these registers have its two values.
        let value = |number| unsafe { Value::from_word(state.argument(number).unwrap_or(0)) };
        let [mut car, mut cdr] = [1, 2].map(value);
        if !heap.collect([&mut car, &mut cdr]) {
            give_up("cons: what is alive does not fit; give the old generation more pages\n");
        }
        let registers = [heap.free, car.word(), cdr.word()];
        (0..3).all(|number| state.set_argument(number, registers[number]))
    });
    if done != Some(true) {
        give_up("cons: a fault that is not the heap's\n");
    }
}

/// Ends the process, by calls that a signal handler may make.
fn give_up(message: &str) -> ! {
    // SAFETY: the string's own bytes, and no pointers.
    unsafe {
        libc::write(2, message.as_ptr().cast(), message.len());
        libc::_exit(1)
    }
}
