//! Moves of a slot's word.

use super::*;

fn filed(tag: u64) -> Filed {
    Filed {
        route: 0,
        tag,
        since: 0,
        deadline: u64::MAX,
    }
}

fn waiting(slot: &Slot, tag: u64) -> u64 {
    let filling = slot.claim().expect("it is free");
    filling.publish(ExceptionType::BAD_ACCESS, filed(tag))
}

#[test]
fn one_that_is_doomed_while_it_is_looked_at_is_declined_by_its_reader() {
    let slot = Slot::new();
    let generation = waiting(&slot, 1);
    let looking = slot.hold(generation).expect("it waits");
    assert!(slot.doom(generation).is_none(), "nothing is waited for");
    assert!(slot.summary().is_some(), "it is not declined yet");
    drop(looking);
    assert!(slot.summary().is_none());
    assert!(slot.hold(generation).is_none());
    assert_eq!(waiting(&slot, 2), generation + 1);
}

#[test]
fn one_that_is_doomed_while_it_is_answered_is_answered() {
    let slot = Slot::new();
    let generation = waiting(&slot, 1);
    let answering = slot.hold(generation).expect("it waits");
    assert!(slot.doom(generation).is_none());
    answering.free();
    assert!(slot.doom(generation).is_none());
    assert!(slot.claim().is_some());
}

#[test]
fn one_that_is_only_looked_at_waits_on() {
    let slot = Slot::new();
    let generation = waiting(&slot, 1);
    drop(slot.hold(generation));
    assert_eq!(slot.summary().map(|summary| summary.tag), Some(1));
    let doomed = slot.doom(generation).expect("nothing holds it");
    doomed.free();
    assert!(slot.summary().is_none());
}

#[test]
fn a_claim_that_is_given_up_leaves_it_free() {
    let slot = Slot::new();
    let filling = slot.claim().expect("it is free");
    assert!(slot.claim().is_none());
    drop(filling);
    assert!(slot.summary().is_none());
    assert!(slot.claim().is_some());
}

#[test]
fn keys_of_other_generations_reach_nothing() {
    let slot = Slot::new();
    let old = waiting(&slot, 1);
    slot.hold(old).expect("it waits").free();
    let new = waiting(&slot, 2);
    for generation in [old, new + 1, u64::MAX >> STATE_BITS] {
        assert!(slot.hold(generation).is_none() && slot.doom(generation).is_none());
    }
    assert_eq!(slot.summary().map(|summary| summary.generation), Some(new));
}

#[test]
fn a_list_waits_for_one_that_is_being_put_in() {
    let slot = Slot::new();
    let filling = slot.claim().expect("it is free");
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| slot.summary().map(|summary| summary.tag));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!listing.is_finished());
        filling.publish(ExceptionType::BAD_ACCESS, filed(7));
        assert_eq!(listing.join().expect("it ends"), Some(7));
    });
}
