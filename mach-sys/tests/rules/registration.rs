//! Set, swap and get of exception ports (A0.1, B1–B6).

use crate::support::*;
use mach_sys::exception::{
    EXC_MASK_ARITHMETIC, EXC_MASK_BAD_ACCESS, EXC_MASK_BAD_INSTRUCTION, EXC_MASK_BREAKPOINT,
    EXCEPTION_DEFAULT, EXCEPTION_STATE, MACH_EXCEPTION_CODES,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::kernel::system::{own_thread_port, task_self};
use mach_sys::message::MACH_MSG_TYPE_MAKE_SEND_ONCE;
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_SEND, MPO_EXCEPTION_PORT, MPO_INSERT_SEND_RIGHT,
    mach_port_options_t,
};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use test_support::emulator::is_emulated;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

const WIDE: i32 = MACH_EXCEPTION_CODES;
const FLAVOR: i32 = NativeState::FLAVOR;
/// The flavor that stands for none.
const NONE: i32 = if cfg!(target_arch = "x86_64") { 13 } else { 5 };

/// An entry of a list: mask, port, behavior, flavor.
type Entry = (u32, Port, i32, i32);

#[derive(Clone, Copy)]
struct Registered {
    mask: u32,
    port: Port,
    behavior: i32,
    flavor: i32,
}

fn wish(mask: u32, port: Port, behavior: i32, flavor: i32) -> Registered {
    Registered {
        mask,
        port,
        behavior,
        flavor,
    }
}

fn set(thread: Port, wish: Registered) -> Answer<()> {
    let Registered {
        mask,
        port,
        behavior,
        flavor,
    } = wish;
    // SAFETY: no pointers.
    answered(unsafe { kernel::thread_set_exception_ports(thread, mask, port, behavior, flavor) })
}

/// Runs a get (`new` is none) or a swap; `count` is what the caller says about its arrays.
fn list(thread: Port, mask: u32, new: Option<Registered>, mut count: u32) -> Answer<Vec<Entry>> {
    let (mut masks, mut ports) = ([0; 32], [0; 32]);
    let (mut behaviors, mut flavors) = ([0; 32], [0; 32]);
    // SAFETY: each array has room for the most entries that the kernel returns (B3.4).
    answered(unsafe {
        let (masks, ports) = (masks.as_mut_ptr(), ports.as_mut_ptr());
        let (behaviors, flavors) = (behaviors.as_mut_ptr(), flavors.as_mut_ptr());
        match new {
            None => kernel::thread_get_exception_ports(
                thread, mask, masks, &mut count, ports, behaviors, flavors,
            ),
            Some(new) => kernel::thread_swap_exception_ports(
                thread,
                mask,
                new.port,
                new.behavior,
                new.flavor,
                masks,
                &mut count,
                ports,
                behaviors,
                flavors,
            ),
        }
    })?;
    let entry = |at: usize| (masks[at], ports[at], behaviors[at], flavors[at]);
    Ok((0..count as usize).map(entry).collect())
}

/// Returns the entries, and releases the reference of each.
fn get(thread: Port, mask: u32) -> Vec<Entry> {
    let entries = list(thread, mask, None, 32).expect("a valid mask");
    for (_, port, _, _) in &entries {
        assert_eq!(deallocate(*port), Ok(()));
    }
    entries
}

const TWO: u32 = EXC_MASK_BAD_ACCESS | EXC_MASK_ARITHMETIC;
const THREE: u32 = TWO | EXC_MASK_BREAKPOINT;
const ALL: u32 = 0x3ffe;

/// A0.1: a thread has actions from its first set on; B1.5: an empty mask is one.
#[test]
fn a0_1_b4_2_b6_2_a_new_thread_has_no_actions_until_something_is_set() {
    let port = port();
    let first = Victim::start();
    assert_eq!(get(first.thread, ALL), []);
    assert_eq!(set(first.thread, wish(TWO, port, STATE, FLAVOR)), Ok(()));
    // A thread that this one makes inherits none of its actions.
    let thread = first.thread;
    first.starts(|| {
        let inner = std::thread::spawn(|| {
            // SAFETY: no arguments.
            let own = unsafe { kernel::mach_thread_self() };
            let entries = get(own, ALL).len();
            assert_eq!(deallocate(own), Ok(()));
            entries
        });
        inner.join().expect("it ended") as u64
    });
    assert_eq!(first.result(), 0);
    assert_eq!(
        get(thread, ALL & !TWO),
        [(ALL & !TWO, NULL, 0, 0)],
        "one entry for the unset ones"
    );
    let second = Victim::start();
    assert_eq!(set(second.thread, wish(0, NULL, 0, 0)), Ok(()));
    assert_eq!(get(second.thread, ALL), [(ALL, NULL, 0, 0)]);
    // The task's always exist, and slot 0 is none.
    for mask in [1, 1 << 14, ALL | 1] {
        assert_eq!(
            list(thread, mask, None, 32),
            Err(KernReturn::INVALID_ARGUMENT),
            "{mask:#x}"
        );
    }
}

#[test]
fn b1_1_the_port_is_a_send_right_of_the_callers() {
    let victim = Victim::start();
    let name = port();
    let dead = {
        let name = port();
        destroy_port(name);
        name
    };
    let bad_mask = u32::MAX;
    let refused = Err(KernReturn::SEND_INVALID_RIGHT);
    for (what, name) in [
        ("a receive right alone", receive_right()),
        ("a send-once right", send_once(name)),
        ("a set", crate::support::set()),
        ("absent", absent()),
    ] {
        // Looked at before the mask.
        for mask in [TWO, bad_mask] {
            assert_eq!(
                set(victim.thread, wish(mask, name, STATE, FLAVOR)),
                refused,
                "{what}"
            );
        }
    }
    for port in [NULL, DEAD, dead] {
        assert_eq!(set(victim.thread, wish(TWO, port, STATE, FLAVOR)), Ok(()));
        let stored = if port == NULL { NULL } else { DEAD };
        assert_eq!(get(victim.thread, TWO), [(TWO, stored, STATE, FLAVOR)]);
    }
    assert_eq!(refs(dead, MACH_PORT_RIGHT_DEAD_NAME), Ok(1));
    assert_eq!(set(victim.thread, wish(TWO, name, STATE, FLAVOR)), Ok(()));
    assert_eq!(sends(name), 1, "no reference is taken");
}

#[test]
fn b1_5_null_and_dead_are_stored_with_behavior_and_flavor() {
    let victim = Victim::start();
    for (port, behavior, flavor) in [
        (NULL, STATE, FLAVOR),
        (DEAD, EXCEPTION_DEFAULT, 0),
        (NULL, 77, NONE),
    ] {
        assert_eq!(
            set(victim.thread, wish(TWO, port, behavior, flavor)),
            Ok(())
        );
        assert_eq!(get(victim.thread, TWO), [(TWO, port, behavior, flavor)]);
    }
    // An empty mask changes nothing, after full validation.
    let before = get(victim.thread, ALL);
    let port = port();
    assert_eq!(set(victim.thread, wish(0, port, STATE, FLAVOR)), Ok(()));
    for (behavior, flavor) in [(0, FLAVOR), (6 | WIDE, FLAVOR), (STATE, 12345)] {
        let refused = set(victim.thread, wish(0, port, behavior, flavor));
        assert_eq!(
            refused,
            Err(KernReturn::INVALID_ARGUMENT),
            "{behavior:#x} {flavor}"
        );
    }
    assert_eq!(get(victim.thread, ALL), before);
}

/// A2.9: what a delivery could not understand is not registered. B2.0: nor anything for what is no thread.
#[test]
fn a2_9_b2_0_unknown_behaviors_and_targets_are_refused() {
    let victim = Victim::start();
    let port = port();
    for behavior in [0, 6, 77, 6 | WIDE, -1] {
        let refused = set(victim.thread, wish(TWO, port, behavior, FLAVOR));
        assert_eq!(refused, Err(KernReturn::INVALID_ARGUMENT), "{behavior:#x}");
    }
    assert_eq!(
        get(victim.thread, ALL),
        [],
        "a refused call leaves no trace"
    );
    // The task's port has no thread behind it, nor the thread's a task.
    let none = set(task_self(), wish(TWO, port, STATE, FLAVOR));
    assert_eq!(none, Err(KernReturn::INVALID_ARGUMENT));
    // SAFETY: no pointers.
    let none = answered(unsafe {
        kernel::task_set_exception_ports(victim.thread, TWO, port, STATE, FLAVOR)
    });
    assert_eq!(none, Err(KernReturn::INVALID_ARGUMENT));
}

#[test]
fn b3_1_b4_1_b4_4_set_replaces_the_slots_of_its_mask_and_no_others() {
    let victim = Victim::start();
    let (first, second) = (port(), port());
    assert_eq!(
        set(victim.thread, wish(THREE, first, STATE, FLAVOR)),
        Ok(())
    );
    assert_eq!(
        set(
            victim.thread,
            wish(EXC_MASK_ARITHMETIC, second, EXCEPTION_DEFAULT | WIDE, 0)
        ),
        Ok(())
    );
    // In the order of their lowest types, equal ones together, unset ones too.
    let (outer, middle) = (
        EXC_MASK_BAD_ACCESS | EXC_MASK_BREAKPOINT,
        EXC_MASK_ARITHMETIC,
    );
    let rest = ALL & !THREE;
    assert_eq!(
        get(victim.thread, ALL),
        [
            (outer, first, STATE, FLAVOR),
            (rest, NULL, 0, 0),
            (middle, second, EXCEPTION_DEFAULT | WIDE, 0),
        ]
    );
    assert_eq!(
        get(victim.thread, middle),
        [(middle, second, EXCEPTION_DEFAULT | WIDE, 0)]
    );
    // Null with another behavior is another entry.
    assert_eq!(
        set(
            victim.thread,
            wish(EXC_MASK_BAD_INSTRUCTION, NULL, STATE, 0)
        ),
        Ok(())
    );
    let found = get(victim.thread, rest);
    assert_eq!(
        found,
        [
            (EXC_MASK_BAD_INSTRUCTION, NULL, STATE, 0),
            (rest & !EXC_MASK_BAD_INSTRUCTION, NULL, 0, 0),
        ]
    );
}

#[test]
fn b3_2_b3_6_swap_returns_the_old_actions_and_sets_the_new_ones() {
    let victim = Victim::start();
    let (first, second) = (port(), port());
    assert_eq!(set(victim.thread, wish(TWO, first, STATE, FLAVOR)), Ok(()));
    let new = wish(THREE, second, EXCEPTION_DEFAULT | WIDE, NONE);
    let old = list(victim.thread, THREE, Some(new), 32).expect("valid");
    assert_eq!(
        old,
        [
            (TWO, first, STATE, FLAVOR),
            (EXC_MASK_BREAKPOINT, NULL, 0, 0)
        ]
    );
    assert_eq!(
        sends(first),
        2,
        "B3.6: under the receive right's name, one reference for the entry"
    );
    assert_eq!(
        get(victim.thread, THREE),
        [(THREE, second, EXCEPTION_DEFAULT | WIDE, NONE)]
    );
    // What was returned is put back, and is to be released still (B3.5).
    assert_eq!(set(victim.thread, wish(TWO, first, STATE, FLAVOR)), Ok(()));
    assert_eq!(sends(first), 2);
    assert_eq!(deallocate(first), Ok(()));
    assert_eq!(send_rights(first), Ok(3), "the name's, and two slots'");
}

#[test]
fn b3_3_b3_7_ports_that_died_in_their_slots() {
    let victim = Victim::start();
    let died = port();
    assert_eq!(set(victim.thread, wish(TWO, died, STATE, FLAVOR)), Ok(()));
    destroy_port(died);
    assert_eq!(deallocate(died), Ok(()));
    // Get compares what is stored.
    assert_eq!(get(victim.thread, TWO), [(TWO, DEAD, STATE, FLAVOR)]);
    // Swap compares what it returned: one entry each.
    let again = wish(TWO, DEAD, STATE, FLAVOR);
    let [first, second] =
        [EXC_MASK_BAD_ACCESS, EXC_MASK_ARITHMETIC].map(|mask| (mask, DEAD, STATE, FLAVOR));
    assert_eq!(
        list(victim.thread, TWO, Some(again), 32),
        Ok(vec![first, second])
    );
    // B3.7: a dead port can be passed back, and then is one entry in both.
    assert_eq!(
        list(victim.thread, TWO, Some(again), 32),
        Ok(vec![(TWO, DEAD, STATE, FLAVOR)])
    );
    assert_eq!(get(victim.thread, TWO), [(TWO, DEAD, STATE, FLAVOR)]);
}

#[test]
fn b3_4_the_count_is_output_only() {
    let victim = Victim::start();
    let port = port();
    assert_eq!(
        set(
            victim.thread,
            wish(EXC_MASK_BAD_ACCESS, port, STATE, FLAVOR)
        ),
        Ok(())
    );
    let whole = get(victim.thread, ALL);
    assert_eq!(whole.len(), 2);
    for count in [0, 1, 500] {
        assert_eq!(
            list(victim.thread, ALL, None, count),
            Ok(whole.clone()),
            "{count}"
        );
        let same = wish(EXC_MASK_BAD_ACCESS, port, STATE, FLAVOR);
        let old = list(victim.thread, EXC_MASK_BAD_ACCESS, Some(same), count);
        assert_eq!(old, Ok(vec![whole[0]]), "{count}");
    }
}

/// B4.3: get checks its mask as set does. (That its target is inactive cannot be arranged here.)
#[test]
fn b4_3_get_checks_its_mask() {
    let victim = Victim::start();
    for (mask, expected) in [
        (0, Ok(vec![])),
        (1, Err(KernReturn::INVALID_ARGUMENT)),
        (0x4000, Err(KernReturn::INVALID_ARGUMENT)),
        (ALL, Ok(vec![])),
    ] {
        assert_eq!(list(victim.thread, mask, None, 32), expected, "{mask:#x}");
    }
}

#[test]
fn b5_5_an_exception_port_is_accepted_as_one() {
    let mut options = mach_port_options_t {
        flags: MPO_EXCEPTION_PORT | MPO_INSERT_SEND_RIGHT,
        ..mach_port_options_t::default()
    };
    let mut name = 0;
    // SAFETY: options and result are local variables.
    let made =
        answered(unsafe { kernel::mach_port_construct(task_self(), &mut options, 0, &mut name) });
    assert_eq!(made, Ok(()));
    let victim = Victim::start();
    let new = wish(MASK, name, STATE, FLAVOR);
    assert_eq!(set(victim.thread, new), Ok(()));
    assert_eq!(
        list(victim.thread, MASK, Some(new), 32),
        Ok(vec![(MASK, name, STATE, FLAVOR)])
    );
    victim.faults();
    receive(name).resume(|state| set_first_register(state, 6));
    assert_eq!(victim.result(), 6);
}

/// B6.7: the rights of a thread's actions are released with it.
#[test]
fn b6_7_a_threads_actions_are_released_after_its_end() {
    let name = port();
    let victim = Victim::start();
    assert_eq!(
        set(victim.thread, wish(THREE, name, EXCEPTION_STATE, FLAVOR)),
        Ok(())
    );
    assert_eq!(deallocate(name), Ok(()));
    assert_eq!(refs(name, MACH_PORT_RIGHT_SEND), Ok(0));
    assert_eq!(status(name)[6], 1, "the slots' rights");
    drop(victim);
    wait_for("the slots' rights to go", || status(name)[6] == 0);
}

/// B1.2, B6.7: calls on threads that end meanwhile have the codes of ended threads, and no right of their slots is left.
#[test]
fn b1_2_b6_7_registrations_race_with_the_ends_of_threads() {
    isolated(
        "registration::b1_2_b6_7_registrations_race_with_the_ends_of_threads",
        || {
            const ENDED: [KernReturn; 4] = [
                KernReturn::FAILURE,
                KernReturn::TERMINATED,
                KernReturn::INVALID_ARGUMENT,
                KernReturn::SEND_INVALID_DEST,
            ];
            let name = port();
            let new = wish(THREE, name, EXCEPTION_STATE, FLAVOR);
            let (thread, done) = (AtomicU32::new(0), AtomicBool::new(false));
            let answered_calls = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !done.load(Ordering::SeqCst) {
                            let target = match thread.load(Ordering::SeqCst) {
                                0 => continue,
                                target => target,
                            };
                            let answers = [
                                set(target, new).map(|()| Vec::new()),
                                list(target, ALL, None, 32),
                                list(target, TWO, Some(new), 32),
                            ];
                            for answer in answers {
                                match answer {
                                    Ok(entries) => {
                                        answered_calls.fetch_add(1, Ordering::SeqCst);
                                        for (_, port, ..) in entries {
                                            assert_eq!(deallocate(port), Ok(()));
                                        }
                                    }
                                    Err(code) => assert!(ENDED.contains(&code), "{code:?}"),
                                }
                            }
                        }
                    });
                }
                for _ in 0..if is_emulated() { 20 } else { 300 } {
                    let publish = || {
                        let before = answered_calls.load(Ordering::SeqCst);
                        thread.store(own_thread_port(), Ordering::SeqCst);
                        while answered_calls.load(Ordering::SeqCst) == before {
                            std::thread::yield_now();
                        }
                    };
                    scope.spawn(publish).join().expect("no panic");
                }
                done.store(true, Ordering::SeqCst);
            });
            assert_eq!(deallocate(name), Ok(()));
            wait_for("the slots' rights to go", || status(name)[6] == 0);
        },
    );
}

/// Asks for a message about the last send right of a port.
fn watch_senders(port: Port, told: Port) {
    const NO_SENDERS: i32 = 70;
    let mut previous = 0;
    // SAFETY: the result goes to a local variable.
    let asked = answered(unsafe {
        kernel::mach_port_request_notification(
            task_self(),
            port,
            NO_SENDERS,
            0,
            told,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            &mut previous,
        )
    });
    assert_eq!(asked, Ok(()));
}

#[test]
fn b1_4_the_rights_of_overwritten_slots_are_released() {
    let victim = Victim::start();
    let (told, other) = (receive_right(), port());
    for replacement in [other, NULL] {
        // Three slots: only with the last of them does the last right go.
        let port = port();
        assert_eq!(
            set(
                victim.thread,
                wish(MASK | EXC_MASK_ARITHMETIC, port, STATE, FLAVOR)
            ),
            Ok(())
        );
        watch_senders(port, told);
        assert_eq!(mod_refs(port, MACH_PORT_RIGHT_SEND, -1), Ok(()));
        assert_eq!(
            set(victim.thread, wish(MASK, replacement, STATE, FLAVOR)),
            Ok(())
        );
        assert_eq!(receive_now(told).err(), Some(KernReturn::RCV_TIMED_OUT));
        assert_eq!(status(port)[6], 1, "one slot holds it");
        assert_eq!(
            set(
                victim.thread,
                wish(EXC_MASK_ARITHMETIC, replacement, STATE, FLAVOR)
            ),
            Ok(())
        );
        let message = receive(told);
        assert_eq!((message.id(), message.words[8]), (70, 1), "made once");
        assert_eq!(status(port)[6], 0);
        destroy_port(port);
    }
    assert_eq!(
        set(
            victim.thread,
            wish(MASK | EXC_MASK_ARITHMETIC, NULL, STATE, FLAVOR)
        ),
        Ok(())
    );
}

#[test]
fn b2_1_a_mask_has_the_bits_1_to_13_and_no_other() {
    let victim = Victim::start();
    let refused = Err(KernReturn::INVALID_ARGUMENT);
    for bit in 0..32 {
        let expected = if (1..=13).contains(&bit) {
            Ok(())
        } else {
            refused
        };
        for mask in [1 << bit, 1 << bit | EXC_MASK_BREAKPOINT] {
            let none = wish(mask, NULL, EXCEPTION_DEFAULT | WIDE, FLAVOR);
            assert_eq!(set(victim.thread, none), expected, "bit {bit}");
            let listed = list(victim.thread, mask, Some(none), 32).map(|_| ());
            assert_eq!(listed, expected, "swap, bit {bit}");
        }
    }
    assert_eq!(list(victim.thread, 0x3ffe, None, 32).map(|_| ()), Ok(()));
    assert_eq!(list(victim.thread, 0, None, 32).map(|_| ()), Ok(()));
}
