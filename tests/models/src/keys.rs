//! The table of keys: a living thread has one place, its own, whatever the watching thread frees meanwhile.

use crate::host::sync::{AtomicU32, Ordering};
use crate::host::table::Table;
use crate::run::Model;
use loom::sync::Arc;
use loom::thread;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "keys: a place is freed between a thread's own and where it looks from",
        preemptions: 4,
        body: freed_in_front,
    },
    Model {
        name: "keys: two threads claim while a place is freed",
        preemptions: 2,
        body: two_claim,
    },
    Model {
        name: "keys: a thread gets the identifier of one that is gone",
        preemptions: 5,
        body: identifier_comes_back,
    },
    Model {
        name: "keys: two threads claim near places while one is freed",
        preemptions: 2,
        body: two_claim_near,
    },
    Model {
        name: "keys: a place in a full table is freed and claimed",
        preemptions: 4,
        body: full_table,
    },
];

/// All of these look from the place 1 of a table of four.
const GONE: u32 = 5;
const FIRST: u32 = 9;
const SECOND: u32 = 13;

/// A thread finds the same place each time.
fn lives(table: &Table, tid: u32) -> usize {
    let place = table.find_or_claim(tid).expect("a place");
    assert_eq!(table.find_or_claim(tid), Some(place), "its own, again");
    assert_eq!(table.owner(place) as u32, tid);
    place
}

fn freed_in_front() {
    let table = Arc::new(Table::new(4));
    table.find_or_claim(GONE).expect("a place");
    let place = table.find_or_claim(FIRST).expect("a place");
    let watching = {
        let table = Arc::clone(&table);
        thread::spawn(move || table.free_those_gone(|tid| tid == GONE))
    };
    assert_eq!(table.find_or_claim(FIRST), Some(place));
    assert_eq!(lives(&table, FIRST), place);
    assert_eq!(watching.join().expect("it ends"), 1);
    assert_eq!(table.find_or_claim(FIRST), Some(place));
}

fn two_claim() {
    two_claim_in(Table::new(4));
}

/// One place that is not near is left, beside those that all threads look at first.
fn two_claim_near() {
    let table = Table::with_near(5, 4);
    for tid in [101, 102] {
        table.find_or_claim(tid).expect("a place");
    }
    two_claim_in(table);
}

fn two_claim_in(table: Table) {
    let table = Arc::new(table);
    table.find_or_claim(GONE).expect("a place");
    let watching = {
        let table = Arc::clone(&table);
        thread::spawn(move || table.free_those_gone(|tid| tid == GONE))
    };
    let other = {
        let table = Arc::clone(&table);
        thread::spawn(move || lives(&table, SECOND))
    };
    let first = lives(&table, FIRST);
    let second = other.join().expect("it ends");
    assert_eq!(watching.join().expect("it ends"), 1);
    assert_ne!(first, second, "two living threads in one place");
    assert_eq!(table.find_or_claim(FIRST), Some(first));
    assert_eq!(table.find_or_claim(SECOND), Some(second));
}

fn identifier_comes_back() {
    let table = Arc::new(Table::new(4));
    table.find_or_claim(GONE).expect("a place");
    let lives = Arc::new(AtomicU32::new(0));
    let watching = {
        let (table, lives) = (Arc::clone(&table), Arc::clone(&lives));
        thread::spawn(move || {
            table.free_those_gone(|_| {
                // The question to the system.
                lives.load(Ordering::SeqCst) == 0
            })
        })
    };
    // The system knows of a thread before the thread does anything.
    lives.store(1, Ordering::SeqCst);
    let own = 77 << 32 | u64::from(GONE);
    let place = table.adopt(GONE, own).expect("a place");
    assert_eq!(table.owner(place), own);
    watching.join().expect("it ends");
    assert_eq!(table.owner(place), own, "freed under a living thread");
    assert_eq!(table.find_or_claim(GONE), Some(place));
}

fn full_table() {
    let table = Arc::new(Table::new(2));
    table.find_or_claim(GONE).expect("a place");
    let second = table.find_or_claim(SECOND).expect("a place");
    let watching = {
        let table = Arc::clone(&table);
        thread::spawn(move || table.free_those_gone(|tid| tid == GONE))
    };
    let early = table.find_or_claim(FIRST);
    assert_eq!(table.find_or_claim(SECOND), Some(second));
    assert_eq!(watching.join().expect("it ends"), 1);
    let late = lives(&table, FIRST);
    assert!(early.is_none_or(|early| early == late));
    assert_ne!(late, second);
}
