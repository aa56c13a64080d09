//! User references that rights own: counted exactly, whatever is made, dropped, forgotten or released meanwhile.
#![allow(unsafe_code)]

use test_support::flag::SetWhenDropped;
use test_support::isolated;

use core::time::Duration;
use isolated::isolated;
use mach_sys::port::PortRight;
use mach_sys::rights::{
    Borrowed, Census, Name, ReceiveRight, Right, SendRight, ThreadRight, modify_references,
    owned_references, send_references,
};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

fn port() -> ReceiveRight {
    ReceiveRight::new().expect("a port")
}

/// Returns all references on a name, and those that are owned.
fn counts(name: Name) -> (u32, u32) {
    let references = send_references(name).expect("a name");
    assert_eq!(owned_references(name), references.owned);
    (references.total, references.owned)
}

#[test]
fn each_way_to_get_and_to_lose_a_reference_counts() {
    let port = port();
    let name = port.name();
    assert_eq!(counts(name), (0, 0));
    let first = port.make_send().expect("a right");
    assert_eq!(counts(name), (1, 1), "made");
    let second = first.try_clone().expect("a right");
    assert_eq!(counts(name), (2, 2), "cloned");
    let second = second.into_queue();
    assert_eq!(counts(name), (2, 2), "converted");
    let raw = second.into_name();
    assert_eq!(counts(name), (2, 1), "taken out");
    // SAFETY: the reference that was just taken out.
    let second: SendRight = unsafe { SendRight::from_name(raw) };
    assert_eq!(counts(name), (2, 2), "put back");
    {
        // SAFETY: `first` holds a reference for longer.
        let lent = unsafe { Borrowed::<SendRight>::from_name(name) };
        assert_eq!(counts(name), (2, 2), "lent");
        let third = lent.try_clone().expect("a right");
        assert_eq!(counts(name), (3, 3), "cloned from a loan");
        core::mem::forget(third);
    }
    assert_eq!(
        counts(name),
        (3, 3),
        "forgotten: its reference stays, and its count"
    );
    drop((first, second));
    assert_eq!(counts(name), (1, 1), "dropped");
}

#[test]
fn the_own_threads_right_counts_and_the_kernels_reference_does_not() {
    std::thread::spawn(|| {
        let first = ThreadRight::current().expect("the own thread");
        let name = first.name();
        assert_eq!(counts(name), (2, 1));
        let second = ThreadRight::current().expect("the own thread");
        assert_eq!(counts(name), (3, 2));
        let _ = second.into_name();
        assert_eq!(counts(name), (3, 1));
        assert_eq!(send_references(name).map(|found| found.others()), Ok(2));
        drop(first);
        assert_eq!(counts(name), (2, 0));
    })
    .join()
    .expect("a thread");
}

#[test]
fn c1_1_rights_of_a_dead_name_count_until_they_are_dropped() {
    let port = port();
    let name = port.name();
    let rights: Vec<_> = (0..3).map(|_| port.make_send().expect("a right")).collect();
    drop(port);
    assert!(rights[0].is_dead());
    assert!(rights[0].try_clone().is_err());
    assert_eq!(
        owned_references(name),
        3,
        "a clone that failed counts nothing"
    );
    drop(rights);
    assert_eq!(owned_references(name), 0);
}

#[test]
fn e37_what_was_taken_from_a_right_does_not_count_for_the_next_name() {
    isolated(
        "e37_what_was_taken_from_a_right_does_not_count_for_the_next_name",
        || {
            let old = port();
            let name = old.name();
            let right = old.make_send().expect("a right");
            // SAFETY: not this code's: that is the point. `right` does nothing but drop.
            unsafe { modify_references(name, PortRight::SEND, -1) }.expect("released");
            let left = send_references(name).expect("a name");
            assert_eq!(
                (left.total, left.owned),
                (0, 0),
                "never more than there are"
            );
            drop(old);
            // The index goes to the next name (C0.7).
            let index = |name: Name| name.raw() >> 8;
            let mut others = Vec::new();
            let next = loop {
                let next = port();
                if index(next.name()) == index(name) {
                    break next;
                }
                others.push(next);
                assert!(others.len() < 1000, "the index does not come back");
            };
            let fresh = next.make_send().expect("a right");
            assert_eq!(counts(next.name()), (1, 1));
            drop(right);
            assert_eq!(counts(next.name()), (1, 1));
            drop(fresh);
            assert_eq!(counts(next.name()), (0, 0));
        },
    );
}

#[test]
fn the_census_says_what_is_owned() {
    isolated("the_census_says_what_is_owned", || {
        let port = port();
        let before = Census::take().expect("a census");
        let owned = port.make_send().expect("a right");
        let _ = port.make_send().expect("a right").into_name();
        let after = Census::take().expect("a census");
        assert_eq!(after.send_references - before.send_references, 2);
        assert_eq!(after.owned_references - before.owned_references, 1);
        drop(owned);
    });
}

/// Threads make and drop rights on one name while another forgets references and trims what nothing owns. Were an owned one ever
/// trimmed, the last count would be too low; were a forgotten one missed for good, too high.
#[test]
fn a7_3_the_census_owns_no_more_than_there_is() {
    isolated("a7_3_the_census_owns_no_more_than_there_is", || {
        let port = port();
        let before = Census::take().expect("a census");
        let first = port.make_send().expect("a right");
        let rights: Vec<_> = (0..70_000)
            .map(|_| first.try_clone().expect("a right"))
            .collect();
        let after = Census::take().expect("a census");
        assert_eq!(after.send_references - before.send_references, 65_535);
        assert_eq!(after.owned_references - before.owned_references, 65_535);
        drop((first, rights));
        let after = Census::take().expect("a census");
        assert_eq!(after.owned_references, before.owned_references);
    });
}

#[test]
fn e37_e50_a_trim_beside_owners_takes_only_what_nothing_owns() {
    const OWNERS: u32 = 3;
    const KEPT: u32 = 5;
    let port = port();
    let name = port.name();
    // The kernel's own of a thread's name: one that no right owns and that no trim takes.
    let _ = port.make_send().expect("a right").into_name();
    let over = AtomicBool::new(false);
    let ready = AtomicU32::new(0);
    let mut trimmed = 0;
    std::thread::scope(|scope| {
        let _ending = SetWhenDropped(&over);
        for _ in 0..OWNERS {
            scope.spawn(|| {
                let first = port.make_send().expect("a right");
                ready.fetch_add(1, Ordering::Relaxed);
                let mut kept = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    kept.push(first.try_clone().expect("the port lives"));
                    drop(port.make_send().expect("the port lives"));
                    let raw = first.try_clone().expect("the port lives");
                    drop(raw.into_queue());
                    if kept.len() > KEPT as usize {
                        kept.clear();
                    }
                }
                kept.clear();
                for _ in 1..KEPT {
                    kept.push(first.try_clone().expect("the port lives"));
                }
                kept.push(first);
                core::mem::forget(kept);
            });
        }
        while ready.load(Ordering::Relaxed) < OWNERS {
            std::thread::yield_now();
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline || trimmed < 100 {
            assert!(
                Instant::now() < deadline + Duration::from_secs(60),
                "{trimmed}"
            );
            // SAFETY: takes references, which nothing relies on.
            unsafe { modify_references(name, PortRight::SEND, 3) }.expect("a port");
            let found = send_references(name).expect("a name");
            // Of those that nothing owns, what changes meanwhile may hide some.
            let surplus = found.others().saturating_sub(1);
            if surplus > 0 {
                // SAFETY: no right owns them.
                unsafe { modify_references(name, PortRight::SEND, -(surplus as i32)) }
                    .expect("as many as there are");
                trimmed += surplus;
            }
        }
    });
    let found = send_references(name).expect("a name");
    assert_eq!(found.owned, OWNERS * KEPT);
    let surplus = found.others() - 1;
    // SAFETY: as above.
    unsafe { modify_references(name, PortRight::SEND, -(surplus as i32)) }
        .expect("as many as there are");
    assert_eq!(counts(name), (1 + OWNERS * KEPT, OWNERS * KEPT));
}

#[test]
fn in_the_child_of_a_fork_nothing_is_owned_and_nothing_released() {
    isolated(
        "in_the_child_of_a_fork_nothing_is_owned_and_nothing_released",
        || {
            let port = port();
            let name = port.name();
            let right = port.make_send().expect("a right");
            let clone = right.try_clone().expect("a right");
            // SAFETY: the child calls what drops rights, which touches atomics only, and `_exit`.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let before = owned_references(name);
                drop((right, clone, port));
                let after = owned_references(name);
                // SAFETY: ends the child without the parent's exit handlers.
                unsafe { libc::_exit((before + after) as i32) };
            }
            let mut status = -1;
            // SAFETY: the status goes to a local variable.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "exited with nothing owned");
            assert_eq!(counts(name), (2, 2), "the parent's are as they were");
        },
    );
}
