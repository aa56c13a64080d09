//! The references that a name may hold, and the result of normalizing it.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use mach_sys::kern_return::KernError;
use mach_sys::port::PortRight;
use mach_sys::rights::{
    Name, PortSet, ReceiveRight, Right, SendRight, ThreadRight, modify_references, user_references,
};
use mach_sys::types::mach_port_delta_t;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use support::isolated;
use test_support::flag::SetWhenDropped;
use test_support::wait::wait_for_ok;
use thread_mgr::normalize::{normalize, survey};
use thread_mgr::{Audit, Normalization};

/// Returns a port with `references` user references on its send right, which has the same name as the receive right.
fn port_with(references: u32) -> (ReceiveRight, Name) {
    let port = ReceiveRight::new().expect("a port");
    for _ in 0..references {
        let _ = port.make_send().expect("a send right").into_name();
    }
    let name = port.name();
    (port, name)
}

fn references(name: Name) -> u32 {
    user_references(name, PortRight::SEND).expect("a name")
}

fn change(name: Name, right: PortRight, delta: mach_port_delta_t) -> Result<(), KernError> {
    // SAFETY: the tests' own references.
    unsafe { modify_references(name, right, delta) }
}

fn normalized(name: Name) -> Normalization {
    // SAFETY: no code counts on the references above one: the tests made and forgot them.
    unsafe { normalize(name) }
}

/// D2.6, C4.5: down to one, never to none.
#[test]
fn d2_6_e36_any_count_is_trimmed_to_one() {
    for count in [1, 2, 9, 500] {
        let (_port, name) = port_with(count);
        let expected = match count {
            1 => Normalization::AlreadyOne,
            more => Normalization::Dropped(more - 1),
        };
        assert_eq!(normalized(name), expected);
        assert_eq!(references(name), 1);
        assert_eq!(normalized(name), Normalization::AlreadyOne);
    }
    let (_port, name) = port_with(1);
    change(name, PortRight::SEND, 65_533).expect("below the limit");
    assert_eq!(normalized(name), Normalization::Dropped(65_533));
    assert_eq!(references(name), 1);
}

#[test]
fn a_survey_touches_nothing() {
    let (_port, name) = port_with(4);
    assert_eq!(survey(name), Normalization::Surplus(3));
    assert_eq!(survey(name), Normalization::Surplus(3));
    assert_eq!(survey(name).seen(), Some(4));
    assert_eq!(references(name), 4);
}

/// D2.7: what a trim cannot cure is left, and reported.
#[test]
fn a7_3_d2_7_e38_a_saturated_count_is_left_alone() {
    let (_port, name) = port_with(1);
    change(name, PortRight::SEND, 65_534).expect("up to the limit");
    assert_eq!(survey(name), Normalization::Saturated);
    assert_eq!(normalized(name), Normalization::Saturated);
    assert_eq!(survey(name).seen(), None);
    assert_eq!(references(name), 65_535);
}

#[test]
fn e51_a_dead_name_is_told_apart_and_keeps_its_references() {
    let port = ReceiveRight::new().expect("a port");
    let rights: Vec<SendRight> = (0..3)
        .map(|_| port.make_send().expect("a send right"))
        .collect();
    let name = port.name();
    drop(port);
    assert_eq!(survey(name), Normalization::Dead(3));
    assert_eq!(normalized(name), Normalization::Dead(3));
    let left = user_references(name, PortRight::DEAD_NAME);
    assert_eq!(left, Ok(3));
    drop(rights);
}

#[test]
fn c4_1_what_is_no_send_right_is_invalid_and_untouched() {
    let port = ReceiveRight::new().expect("a port");
    let set = PortSet::new().expect("a set");
    for name in [port.name(), set.name()] {
        let found = normalized(name);
        assert_eq!(found, Normalization::Invalid(KernError::INVALID_RIGHT));
        assert_eq!(found, survey(name));
    }
    // Names that this task does not have: one that was never allocated, and one that was freed.
    let (port, used) = port_with(0);
    drop(port);
    for name in [Name::new(0x00ff_ff03).expect("a name"), used] {
        let found = normalized(name);
        assert!(matches!(found, Normalization::Invalid(_)), "{name} {found}");
    }
}

/// F6.26, G5.1: never to none.
#[test]
fn e37_racing_counts_are_told_apart_and_a_pinned_name_never_reaches_none() {
    isolated(
        "e37_racing_counts_are_told_apart_and_a_pinned_name_never_reaches_none",
        || {
            let thread = ThreadRight::current().expect("the own thread");
            let name = thread.into_name();
            let over = AtomicBool::new(false);
            let mut seen = [0_u32; 3];
            std::thread::scope(|scope| {
                // Also where an assertion below fails: the scope waits for its threads.
                let ends = SetWhenDropped(&over);
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            // Takes references and releases them; the trim may have released them meanwhile.
                            let _ = change(name, PortRight::SEND, 3);
                            let _ = change(name, PortRight::SEND, -3);
                        }
                    });
                }
                let deadline = Instant::now() + Duration::from_secs(2);
                while Instant::now() < deadline {
                    let at = match normalized(name) {
                        Normalization::AlreadyOne => 0,
                        Normalization::Dropped(dropped) => {
                            // Three of each thread, and at first that of `thread`.
                            assert!((1..=7).contains(&dropped), "{dropped}");
                            1
                        }
                        Normalization::Raced { seen, .. } => {
                            assert!((2..=8).contains(&seen), "{seen}");
                            2
                        }
                        other => panic!("{other}"),
                    };
                    seen[at] += 1;
                    assert_ne!(references(name), 0, "the kernel's own reference");
                }
                drop(ends);
            });
            println!("already one, dropped, raced: {seen:?}");
            assert!(seen[1] > 0, "nothing was ever trimmed: {seen:?}");
            assert_ne!(
                normalized(name),
                Normalization::Invalid(KernError::INVALID_NAME)
            );
            assert_eq!(references(name), 1);
        },
    );
}

#[test]
fn d2_5_a_thread_that_ends_without_normalization_leaves_a_dead_name() {
    isolated(
        "d2_5_a_thread_that_ends_without_normalization_leaves_a_dead_name",
        || {
            let audit = Audit::start().expect("a census");
            let thread = std::thread::spawn(|| {
                for _ in 0..3 {
                    let _ = ThreadRight::current().expect("the own thread").into_name();
                }
            });
            thread.join().expect("a thread");
            wait_for_ok("one dead name", || {
                let left = audit.difference().expect("a census");
                let expected = (left.names, left.dead_names, left.dead_references) == (1, 1, 3);
                if expected {
                    Ok(())
                } else {
                    Err(Box::new(left))
                }
            });
        },
    );
}
