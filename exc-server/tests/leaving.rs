//! Installations over each other leave in every order: the handler registered before the first is registered after the last.
#![allow(unsafe_code)]

mod support;

use exc_server::{Delivery, InstallError, Installation, Restored, Routing, Server, Target};
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kernel;
use mach_sys::rights::{ReceiveRight, Right, SendRight, ThreadRight};
use mach_sys::types::{MACH_PORT_DEAD, MACH_PORT_NULL, mach_port_name_t};
use std::sync::atomic::{AtomicBool, Ordering};
use support::{census, isolated, on_a_thread, registered, wait_for_census};
use test_support::emulator::is_emulated;
use test_support::wait::wait_for;

const KINDS: [ExceptionType; 2] = [ExceptionType::BAD_INSTRUCTION, ExceptionType::ARITHMETIC];

/// Registers a port without this crate, as other code does.
fn set(thread: &ThreadRight, mask: ExceptionMask, port: mach_port_name_t) {
    let delivery = Delivery::THREAD;
    let flavor = delivery.flavor().map_or(0, |flavor| flavor.raw);
    // SAFETY: no pointers.
    let code = unsafe {
        kernel::thread_set_exception_ports(
            thread.name().raw(),
            mask.bits(),
            port,
            delivery.behavior().raw(),
            flavor,
        )
    };
    assert_eq!(code, 0);
}

fn both() -> ExceptionMask {
    KINDS[0].mask() | KINDS[1].mask()
}

/// The way that an installation ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Its installation is uninstalled.
    Leaves,
    /// Its port is destroyed when the next is not installed yet, and its installation uninstalled in its turn.
    DiesAtOnce,
    /// Its port is destroyed when all are installed, and its installation uninstalled in its turn.
    DiesEarly,
    /// Its port is destroyed in its turn, and its installation uninstalled at once.
    DiesLate,
    /// Its installation is forgotten in its turn; it stays.
    Forgotten,
    /// Its port is destroyed when all are installed, and its installation forgotten: it is never uninstalled.
    DeadForgotten,
}

const FATES: [Fate; 6] = [
    Fate::Leaves,
    Fate::DiesAtOnce,
    Fate::DiesEarly,
    Fate::DiesLate,
    Fate::Forgotten,
    Fate::DeadForgotten,
];

/// A registered port, with its installation. The lowest has no installation.
struct Party {
    port: Option<ReceiveRight>,
    send: SendRight,
    installation: Option<Installation>,
    mask: ExceptionMask,
    /// `true` once it has left, for the model.
    left: bool,
}

impl Party {
    fn new(mask: ExceptionMask) -> Self {
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        Self {
            port: Some(port),
            send,
            installation: None,
            mask,
            left: false,
        }
    }

    fn serves(&self, kind: ExceptionType) -> bool {
        self.port.is_some() && !self.left && self.mask.has(kind)
    }
}

/// The expected registration of each exception type: an index, counted from the lowest.
type Model = [Option<usize>; 2];

/// Returns the next one below that serves.
fn below(parties: &[Party], index: usize, kind: ExceptionType) -> Option<usize> {
    (0..index).rev().find(|lower| parties[*lower].serves(kind))
}

fn check_registered(thread: &ThreadRight, parties: &[Party], model: Model, what: &str) {
    for (kind, expected) in KINDS.into_iter().zip(model) {
        let found = registered(thread, kind);
        let expected = expected.map_or(MACH_PORT_NULL, |index| {
            match parties[index].port.is_some() {
                true => parties[index].send.name().raw(),
                false => MACH_PORT_DEAD,
            }
        });
        assert_eq!(found, expected, "{kind} {what}");
    }
}

/// Uninstalls one in the model, and returns the expected result.
fn leave(parties: &mut [Party], index: usize, model: &mut Model) -> Restored {
    let (mut died, mut displaced) = (ExceptionMask::empty(), ExceptionMask::empty());
    let foreign_died = parties[0].port.is_none();
    let mask = parties[index].mask;
    for (kind, now) in KINDS.into_iter().zip(model) {
        if !mask.has(kind) {
            continue;
        }
        let own = *now == Some(index);
        let dead = now.is_some_and(|now| parties[now].port.is_none());
        // A dead registration is replaced by the highest one that serves, above or below.
        let next = match *now {
            Some(now) if dead && !own => (0..now)
                .rev()
                .find(|lower| *lower != index && parties[*lower].serves(kind)),
            _ => below(parties, index, kind),
        };
        let back = *now == next;
        if own || dead {
            *now = next;
        }
        if !own && !back {
            displaced |= kind.mask();
        }
        if *now == next && next.is_none() && foreign_died {
            died |= kind.mask();
        }
    }
    parties[index].left = true;
    match (died.is_empty(), displaced.is_empty()) {
        (true, true) => Restored::Clean,
        (true, false) => Restored::Displaced(displaced),
        (false, _) => Restored::PreviousDied { died, displaced },
    }
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for at in 0..=shorter.len() {
            let mut order = shorter.clone();
            order.insert(at, count);
            all.push(order);
        }
    }
    all
}

/// The fate of the lowest registration, which no installation made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Foreign {
    Lives,
    Dies,
}

/// Installs one for each fate over a foreign registration, ends them in this order, and checks the registrations.
fn check(thread: &ThreadRight, foreign: Foreign, fates: &[Fate], order: &[usize], masks: usize) {
    let what = format!("{foreign:?} {fates:?} {order:?} {masks}");
    let mut parties = vec![Party::new(both())];
    set(thread, both(), parties[0].send.name().raw());
    let mut model: Model = [Some(0); 2];
    for (index, fate) in (1..).zip(fates) {
        // Some are registered for one exception type only.
        let mask = match (masks + index) % 3 {
            _ if masks == 0 => both(),
            0 => KINDS[0].mask(),
            1 => both(),
            _ => KINDS[1].mask(),
        };
        let mut party = Party::new(mask);
        let target = Target::Thread(thread);
        let installed = Installation::install(target, mask, &party.send, Delivery::THREAD);
        party.installation = Some(installed.expect("a live thread"));
        if *fate == Fate::DiesAtOnce {
            party.port = None;
        }
        parties.push(party);
        for (kind, now) in KINDS.into_iter().zip(&mut model) {
            if mask.has(kind) {
                *now = Some(index);
            }
        }
    }
    for (index, fate) in (1..).zip(fates) {
        if matches!(fate, Fate::DiesEarly | Fate::DeadForgotten) {
            parties[index].port = None;
        }
    }
    if foreign == Foreign::Dies {
        parties[0].port = None;
    }
    check_registered(thread, &parties, model, &what);
    let mut kept = Vec::new();
    for &index in order {
        let installation = parties[index].installation.take().expect("once");
        match fates[index - 1] {
            Fate::Forgotten | Fate::DeadForgotten => kept.push(installation),
            fate => {
                if fate == Fate::DiesLate {
                    parties[index].port = None;
                }
                let expected = leave(&mut parties, index, &mut model);
                assert_eq!(installation.uninstall(), Ok(expected), "{index} of {what}");
                if expected == Restored::Clean {
                    for kind in KINDS {
                        let clean = !parties[index].mask.has(kind)
                            || registered(thread, kind) != MACH_PORT_DEAD;
                        assert!(clean, "{what}");
                    }
                }
            }
        }
        check_registered(thread, &parties, model, &what);
    }
    let stays = fates
        .iter()
        .any(|fate| matches!(fate, Fate::Forgotten | Fate::DeadForgotten));
    if !stays && foreign == Foreign::Lives {
        assert_eq!(model, [Some(0); 2], "the lowest is lost: {what}");
    }
    // Drops those that were kept for the run, so that the test leaks nothing.
    drop(kept);
    set(thread, both(), MACH_PORT_NULL);
}

/// Returns every sequence of `count` fates.
fn sequences(count: usize) -> Vec<Vec<Fate>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = sequences(count - 1);
    let longer = |fates: &Vec<Fate>| {
        let fates = fates.clone();
        FATES.map(|fate| [fates.clone(), vec![fate]].concat())
    };
    shorter.iter().flat_map(longer).collect()
}

#[test]
fn installations_leave_in_every_order_and_the_lowest_is_not_lost() {
    isolated(
        "installations_leave_in_every_order_and_the_lowest_is_not_lost",
        || {
            let before = census();
            let mut checked = 0;
            on_a_thread(|thread| {
                for count in [1, 2, 3, 4] {
                    let all = sequences(count);
                    for (number, fates) in all.iter().enumerate() {
                        for (nth, order) in orders(count).iter().enumerate() {
                            // Of four, a part of all combinations: each sequence, and each order, many times. Where an emulator runs
                            // the program, a smaller part, and a part of three.
                            let every = match (count, is_emulated()) {
                                (4, false) => 13,
                                (4, true) => 241,
                                (3, true) => 11,
                                _ => 1,
                            };
                            if (number + nth) % every != 0 {
                                continue;
                            }
                            for foreign in [Foreign::Lives, Foreign::Dies] {
                                for masks in [0, 1, 2] {
                                    check(thread, foreign, fates, order, masks);
                                    checked += 1;
                                }
                            }
                        }
                    }
                }
            });
            let least = if is_emulated() { 1_000 } else { 15_000 };
            assert!(checked > least, "{checked}");
            wait_for_census(before);
        },
    );
}

#[test]
fn the_same_port_installed_twice_leaves_in_either_order() {
    on_a_thread(|thread| {
        for upper_first in [true, false] {
            let lowest = Party::new(both());
            set(thread, both(), lowest.send.name().raw());
            let twice = Party::new(both());
            let install = || {
                let target = Target::Thread(thread);
                Installation::install(target, both(), &twice.send, Delivery::THREAD)
                    .expect("a live thread")
            };
            let (lower, upper) = (install(), install());
            let (first, last) = if upper_first {
                (upper, lower)
            } else {
                (lower, upper)
            };
            let expected = if upper_first {
                Restored::Clean
            } else {
                Restored::Displaced(both())
            };
            assert_eq!(first.uninstall(), Ok(expected));
            assert_eq!(registered(thread, KINDS[0]), twice.send.name().raw());
            assert_eq!(last.uninstall(), Ok(Restored::Clean));
            assert_eq!(registered(thread, KINDS[0]), lowest.send.name().raw());
            set(thread, both(), MACH_PORT_NULL);
        }
    });
}

#[test]
fn an_installation_left_in_place_is_put_back_and_skipped_once_dead() {
    on_a_thread(|thread| {
        for dies in [false, true] {
            let lowest = Party::new(both());
            set(thread, both(), lowest.send.name().raw());
            let (mut stays, upper) = (Party::new(both()), Party::new(both()));
            let install = |party: &Party| {
                let target = Target::Thread(thread);
                Installation::install(target, both(), &party.send, Delivery::THREAD)
                    .expect("a live thread")
            };
            let lower = install(&stays);
            let over = install(&upper);
            lower.leave_installed();
            if dies {
                stays.port = None;
            }
            assert_eq!(over.uninstall(), Ok(Restored::Clean));
            let back = if dies { &lowest } else { &stays };
            assert_eq!(registered(thread, KINDS[1]), back.send.name().raw());
            set(thread, both(), MACH_PORT_NULL);
        }
    });
}

#[test]
fn a_thread_that_has_exited_is_gone_for_those_that_install_and_those_that_leave() {
    let party = Party::new(both());
    let install = |thread: &ThreadRight| {
        let target = Target::Thread(thread);
        Installation::install(target, both(), &party.send, Delivery::THREAD)
    };
    let (thread, installed) = on_a_thread(|thread| {
        let installed = [install(thread), install(thread)].map(Result::unwrap);
        (thread.try_clone().expect("it lives"), installed)
    });
    wait_for("the thread has exited", || thread.is_dead());
    assert!(matches!(install(&thread), Err(InstallError::TargetGone(_))));
    for installation in installed {
        let left = installation.uninstall();
        assert!(matches!(left, Err(InstallError::TargetGone(_))), "{left:?}");
    }
}

/// Repeated installing and uninstalling does not make the list or the references grow.
#[test]
fn two_that_take_turns_for_long_lose_nothing_and_leave_nothing() {
    isolated(
        "two_that_take_turns_for_long_lose_nothing_and_leave_nothing",
        || {
            let before = census();
            on_a_thread(|thread| {
                let lowest = Party::new(both());
                set(thread, both(), lowest.send.name().raw());
                let install = |party: &Party| {
                    let target = Target::Thread(thread);
                    Installation::install(target, both(), &party.send, Delivery::THREAD)
                        .expect("a live thread")
                };
                let first = Party::new(both());
                let mut last = (install(&first), first);
                let mut names = None;
                for round in 0..500 {
                    let mut next = Party::new(both());
                    let over = install(&next);
                    if round % 3 == 0 {
                        last.1.port = None;
                    }
                    let displaced = Restored::Displaced(both());
                    assert_eq!(last.0.uninstall(), Ok(displaced));
                    if round % 3 == 1 {
                        next.port = None;
                    }
                    last = (over, next);
                    let now = mach_sys::rights::Census::take().expect("a census");
                    let grown = names.get_or_insert(now);
                    if round % 3 == 0 {
                        assert!(
                            now.since(grown).is_leak_free(),
                            "{round}: {}",
                            now.since(grown)
                        );
                    }
                }
                assert_eq!(last.0.uninstall(), Ok(Restored::Clean));
                assert_eq!(registered(thread, KINDS[0]), lowest.send.name().raw());
                set(thread, both(), MACH_PORT_NULL);
            });
            wait_for_census(before);
        },
    );
}

/// A loss that cannot be repaired is reported.
#[test]
fn registrations_of_other_code_in_between_are_left_alone_and_reported() {
    on_a_thread(|thread| {
        let [lowest, lower, upper] = [(); 3].map(|()| Party::new(both()));
        let mut between = Party::new(both());
        set(thread, both(), lowest.send.name().raw());
        let install = |party: &Party| {
            let target = Target::Thread(thread);
            Installation::install(target, both(), &party.send, Delivery::THREAD)
                .expect("a live thread")
        };
        let below = install(&lower);
        set(thread, both(), between.send.name().raw());
        let over = install(&upper);
        assert_eq!(below.uninstall(), Ok(Restored::Displaced(both())));
        between.port = None;
        let (died, displaced) = (both(), ExceptionMask::empty());
        let told = Restored::PreviousDied { died, displaced };
        assert_eq!(over.uninstall(), Ok(told));
        assert_eq!(registered(thread, KINDS[0]), MACH_PORT_NULL);
    });
}

#[test]
fn servers_that_end_before_their_routes_and_in_every_order_lose_nothing() {
    isolated(
        "servers_that_end_before_their_routes_and_in_every_order_lose_nothing",
        || {
            let before = census();
            on_a_thread(|thread| {
                let routing = Routing::new(both(), Delivery::THREAD);
                for order in orders(4) {
                    for by_server in [0, 1, 5, 10, 15] {
                        let lowest = Party::new(both());
                        set(thread, both(), lowest.send.name().raw());
                        let mut routed = Vec::new();
                        for _ in 0..4 {
                            let server = Server::start(|exception| exception.decline());
                            let server = server.expect("a server");
                            let route = server.route(Target::Thread(thread), &routing);
                            routed.push((Some(server), Some(route.expect("a route"))));
                        }
                        for index in &order {
                            let (server, route) = &mut routed[index - 1];
                            if by_server >> (index - 1) & 1 == 1 {
                                drop(server.take());
                            }
                            let restored = route.take().expect("once").close();
                            assert!(restored.is_ok());
                            assert_ne!(registered(thread, KINDS[0]), MACH_PORT_DEAD);
                        }
                        assert_eq!(registered(thread, KINDS[0]), lowest.send.name().raw());
                        set(thread, both(), MACH_PORT_NULL);
                    }
                }
            });
            wait_for_census(before);
        },
    );
}

#[test]
fn threads_that_install_and_uninstall_at_the_same_time_lose_nothing() {
    isolated(
        "threads_that_install_and_uninstall_at_the_same_time_lose_nothing",
        || {
            let before = census();
            on_a_thread(|thread| {
                let lowest = Party::new(both());
                set(thread, both(), lowest.send.name().raw());
                std::thread::scope(|scope| {
                    for _ in 0..4 {
                        scope.spawn(|| {
                            for round in 0..300 {
                                let [mut one, two] = [(); 2].map(|()| Party::new(both()));
                                let install = |party: &Party| {
                                    let target = Target::Thread(thread);
                                    Installation::install(
                                        target,
                                        both(),
                                        &party.send,
                                        Delivery::THREAD,
                                    )
                                    .expect("a live thread")
                                };
                                let (first, second) = (install(&one), install(&two));
                                if round % 2 == 0 {
                                    one.port = None;
                                }
                                for installation in [first, second] {
                                    let _ = installation.uninstall().expect("a live thread");
                                }
                            }
                        });
                    }
                });
                assert_eq!(registered(thread, KINDS[0]), lowest.send.name().raw());
                set(thread, both(), MACH_PORT_NULL);
            });
            wait_for_census(before);
        },
    );
}

/// The child does not wait for the list's lock, which a thread of the parent holds at the fork.
#[test]
fn the_child_of_a_fork_waits_for_no_thread_that_installs() {
    isolated(
        "the_child_of_a_fork_waits_for_no_thread_that_installs",
        || {
            let goes_on = AtomicBool::new(true);
            on_a_thread(|thread| {
                let (kept, port) = (Party::new(both()), Party::new(both()));
                let install = |party: &Party| {
                    let target = Target::Thread(thread);
                    Installation::install(target, both(), &party.send, Delivery::THREAD)
                };
                let mut installed = Some(install(&kept).expect("a live thread"));
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        while goes_on.load(Ordering::SeqCst) {
                            drop(install(&port));
                        }
                    });
                    for _ in 0..200 {
                        // SAFETY: the child calls this crate and exits.
                        let child = unsafe { libc::fork() };
                        assert!(child >= 0);
                        if child == 0 {
                            // SAFETY: no preconditions.
                            unsafe { libc::alarm(20) };
                            let restored = installed.take().map(Installation::uninstall);
                            let inert = restored == Some(Ok(Restored::Clean));
                            // The result does not matter: the call must return.
                            drop(install(&kept));
                            // SAFETY: `_exit` runs none of the parent's destructors.
                            unsafe { libc::_exit(i32::from(!inert)) };
                        }
                        let mut status = 0;
                        // SAFETY: the status goes to a local variable.
                        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                        assert_eq!(status, 0);
                    }
                    goes_on.store(false, Ordering::SeqCst);
                });
                assert!(installed.is_some());
                drop(installed);
            });
        },
    );
}
