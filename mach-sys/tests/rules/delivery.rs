//! Levels, requests, and the rights that they carry (A0–A5, A7).

use crate::support::*;
use mach_sys::exception::{
    EXCEPTION_DEFAULT, EXCEPTION_STATE, EXCEPTION_STATE_IDENTITY, MACH_EXCEPTION_CODES,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{MACH_MSG_TYPE_MAKE_SEND, MACH_RCV_LARGE, MACH_RCV_MSG, MACH_RCV_TIMEOUT};
use mach_sys::port::{
    MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE, MACH_PORT_TYPE_RECEIVE,
    MACH_PORT_TYPE_SEND_ONCE,
};
use mach_sys::thread_state::{NativeState, ThreadState};

const WIDE: i32 = MACH_EXCEPTION_CODES;

/// Behaviors that every generation has.
const BEHAVIORS: [i32; 6] = [
    EXCEPTION_DEFAULT,
    EXCEPTION_STATE,
    EXCEPTION_STATE_IDENTITY,
    EXCEPTION_DEFAULT | WIDE,
    EXCEPTION_STATE | WIDE,
    EXCEPTION_STATE_IDENTITY | WIDE,
];

/// Lets a victim go on after its undefined instruction by writing its registers and accepting a request without a state.
fn resume_through_the_right(victim: &Victim, request: &Message) {
    let mut state = victim.registers();
    skip(&mut state);
    assert_eq!(victim.set_registers(&state), Ok(()));
    assert_eq!(request.reply(KernReturn::SUCCESS).send(), Ok(()));
}

/// Resumes the victim of a request of any behavior.
fn resume(victim: &Victim, request: &Message) {
    if request.request().routine().has_state() {
        request.resume(|_| {});
    } else {
        resume_through_the_right(victim, request);
    }
}

isolated! {
    /// A1.4: the search is made for the thread that faulted, at its own level and its task's.
    fn a1_8_a7_1_each_level_gets_a_message_of_its_own_with_rights_of_its_own() {
        let scene = Scene::new(EXCEPTION_DEFAULT | WIDE);
        let (victim, port) = (&scene.victim, scene.upper);
        // SAFETY: no pointers.
        let set = answered(unsafe {
            kernel::task_set_exception_ports(task_self(), MASK, port, EXCEPTION_DEFAULT | WIDE, 0)
        });
        assert_eq!(set, Ok(()));
        let counts = || [sends(victim.thread), sends(task_self())];
        let before = counts();
        victim.faults();
        let first = receive(port);
        assert_eq!(receive_now(port).err(), Some(KernReturn::RCV_TIMED_OUT), "one at a time");
        assert_eq!(counts(), before.map(|count| count + 1));
        first.decline();
        let second = receive(port);
        assert_eq!(counts(), before.map(|count| count + 2), "each brought both rights");
        for request in [&first, &second] {
            assert_eq!(request.descriptor(0), (victim.thread, 17));
            assert_eq!(request.descriptor(1), (task_self(), 17));
        }
        resume_through_the_right(victim, &second);
        assert_eq!(victim.result(), MARK);
        for request in [&first, &second] {
            release_rights(request);
        }
        assert_eq!(counts(), before);
    }
}

isolated! {
    /// A2.2, A0.1: a thread that nothing was registered on has no actions, and its exceptions go to the task's.
    fn a2_2_a_level_without_actions_is_passed_over() {
        let scene = Scene::without_upper();
        scene.victim.faults();
        scene.goes_to_the_task("nothing registered");
        // An action for another type is none for this one.
        let other = mach_sys::exception::EXC_MASK_ARITHMETIC;
        // SAFETY: no pointers.
        let set = answered(unsafe {
            kernel::thread_set_exception_ports(scene.victim.thread, other, scene.upper, STATE, NativeState::FLAVOR)
        });
        assert_eq!(set, Ok(()));
        scene.victim.faults();
        scene.goes_to_the_task("registered for another type");
    }
}

isolated! {
    fn a2_3_a_level_whose_port_is_null_or_dead_is_passed_over() {
        for what in ["null", "dead", "died in its slot"] {
            let mut scene = Scene::without_upper();
            let port = match what {
                "null" => NULL,
                "dead" => DEAD,
                _ => scene.upper,
            };
            assert_eq!(scene.victim.handled_by(port, STATE, NativeState::FLAVOR), Ok(()), "{what}");
            if port == scene.upper {
                destroy_port(port);
                scene.upper = receive_right();
            }
            for _ in 0..2 {
                // A dead port stays in its slot, and is passed over each time.
                scene.victim.faults();
                scene.goes_to_the_task(what);
            }
        }
    }
}

isolated! {
    fn a2_4_a_registration_changed_meanwhile_counts_for_later_exceptions() {
        let scene = Scene::new(STATE);
        scene.victim.faults();
        let first = receive(scene.upper);
        let other = port();
        assert_eq!(scene.victim.handled_by(other, EXCEPTION_DEFAULT | WIDE, 0), Ok(()));
        assert_eq!(first.id(), 2406, "the behavior of before");
        first.resume(|state| set_first_register(state, 5));
        assert_eq!(scene.victim.result(), 5);
        assert!(receive_now(other).is_err());
        scene.victim.faults();
        let second = receive(other);
        assert_eq!(second.id(), 2405, "the new behavior");
        resume_through_the_right(&scene.victim, &second);
        assert_eq!(scene.victim.result(), MARK);
        release_rights(&second);
    }
}

#[test]
fn a2_6_without_wide_codes_both_are_cut_to_32_bits() {
    let page = Page::new();
    let address = page.address();
    assert_ne!(address >> 32, 0, "an address of more than 32 bits");
    let victim = Victim::start();
    for (behavior, narrow) in [(EXCEPTION_STATE, true), (STATE, false)] {
        let port = port();
        assert_eq!(
            victim.handled_by(port, behavior, NativeState::FLAVOR),
            Ok(())
        );
        page.shut();
        victim.starts(move || Page::store(address));
        let request = receive(port);
        // NDR, exception, count of codes, codes.
        assert_eq!(request.words[9], 2, "two codes");
        if narrow {
            assert_eq!(request.words[10..12], [2, address as u32]);
            let read_as_signed = i64::from(address as u32 as i32);
            assert_eq!(request.request().codes(), [2, read_as_signed]);
        } else {
            assert_eq!(request.request().codes(), [2, address as i64]);
        }
        page.open();
        let state = request.state();
        let reply = request.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        assert_eq!(reply.send(), Ok(()));
        victim.result();
    }
}

isolated! {
    fn a2_10_a2_11_the_kernel_keeps_the_handlers_port_until_the_reply_and_no_longer() {
        for declined in [false, true] {
            let scene = Scene::new(STATE);
            scene.victim.faults();
            let request = receive(scene.upper);
            // Registration and the test's own right go: the kernel's is left.
            assert_eq!(scene.victim.handled_by(NULL, STATE, NativeState::FLAVOR), Ok(()));
            assert_eq!(deallocate(scene.upper), Ok(()));
            assert_eq!(status(scene.upper)[6], 1, "the kernel holds a send right");
            if declined {
                request.decline();
                scene.goes_to_the_task("declined");
            } else {
                request.resume(|_| {});
                scene.victim.result();
            }
            assert_eq!(status(scene.upper)[6], 0, "{declined}");
        }
    }
}

/// A3.1, A3.2, A3.8, A5.3, D2.9: the identifier, the rights, the codes and the size of each behavior's request.
#[test]
fn a3_2_a3_7_a3_8_a5_3_d2_9_each_behavior_has_its_message() {
    let victim = Victim::start();
    let words = NativeState::COUNT as usize;
    // In words: 6 of the header, 1 and 3 for each of 2 rights, 2 NDR, 1 exception, 1 count, codes, flavor and count, state.
    let rows = [
        (2401, true, 6 + 7 + 4 + 2),
        (2402, false, 6 + 4 + 2 + 2 + words),
        (2403, true, 6 + 7 + 4 + 2 + 2 + words),
        (2405, true, 6 + 7 + 4 + 4),
        (2406, false, 6 + 4 + 4 + 2 + words),
        (2407, true, 6 + 7 + 4 + 4 + 2 + words),
    ];
    for (behavior, (id, complex, size)) in BEHAVIORS.into_iter().zip(rows) {
        let port = port();
        assert_eq!(
            victim.handled_by(port, behavior, NativeState::FLAVOR),
            Ok(())
        );
        let before = [sends(victim.thread), sends(task_self())];
        victim.faults();
        let request = receive(port);
        assert_eq!(
            (request.id(), request.size),
            (id, 4 * size),
            "{behavior:#x}"
        );
        assert_eq!(request.bits() >> 31 == 1, complex, "{behavior:#x}");
        // Two codes, whatever their width.
        let at = if complex { 16 } else { 9 };
        assert_eq!(request.words[at], 2, "{behavior:#x}");
        assert_eq!(request.request().codes().len(), 2, "{behavior:#x}");
        if complex {
            assert_eq!(request.words[6], 2, "{behavior:#x}: two descriptors");
            // The thread's, then the task's: plain port descriptors, received as send rights.
            for (index, port) in [victim.thread, task_self()].into_iter().enumerate() {
                assert_eq!(request.descriptor(index), (port, 17), "{behavior:#x}");
                assert_eq!(request.words[9 + 3 * index] >> 24, 0, "{behavior:#x}");
            }
        } else {
            let after = [sends(victim.thread), sends(task_self())];
            assert_eq!(after, before, "{behavior:#x}: no references");
        }
        if request.request().routine().has_state() {
            assert_eq!(request.request().flavor(), Some(NativeState::FLAVOR));
            assert_eq!(request.request().old_state().len(), words, "A4.1");
        }
        resume(&victim, &request);
        assert_eq!(victim.result(), MARK, "{behavior:#x}");
        if complex {
            release_rights(&request);
        }
    }
}

isolated! {
    /// A3.5: where the kernel has the behavior, the state of the reply counts, and the task is named by a token only.
    fn a3_5_a_protected_request_with_state_is_resumed_by_its_reply() {
        let scene = Scene::new(5 | WIDE);
        let before = [sends(scene.victim.thread), sends(task_self())];
        scene.victim.faults();
        let request = receive(scene.upper);
        assert_eq!(request.id(), 2410);
        assert_eq!(request.words[6], 1, "one descriptor, the token");
        assert_eq!([sends(scene.victim.thread), sends(task_self())], before);
        request.resume(|state| set_first_register(state, 9));
        assert_eq!(scene.victim.result(), 9);
        release_rights(&request);
    }
}

isolated! {
    /// With no other reference than the message's: one that is not released is a name more for each exception.
    fn a7_10_each_delivery_brings_a_token_of_its_own() {
        let scene = Scene::new(5 | WIDE);
        let mut tokens = Vec::new();
        for _ in 0..5 {
            scene.victim.faults();
            let request = receive(scene.upper);
            let (token, disposition) = request.descriptor(0);
            assert_eq!((disposition, refs(token, MACH_PORT_RIGHT_SEND)), (17, Ok(1)));
            assert!(!tokens.contains(&token) && token != task_self());
            tokens.push(token);
            request.resume(|_| {});
            scene.victim.result();
        }
        for token in tokens {
            assert_eq!(refs(token, MACH_PORT_RIGHT_SEND), Ok(1), "it outlives the exception");
            assert_eq!(deallocate(token), Ok(()));
            assert_eq!(kind(token), Err(KernReturn::INVALID_NAME));
        }
    }
}

isolated! {
    /// A4.1, B2.7: what cannot be fetched is registered all the same, and its level sends nothing.
    fn a4_1_without_its_state_a_request_is_not_sent() {
        let none = if cfg!(target_arch = "x86_64") { 13 } else { 5 };
        for flavor in [0, none] {
            let scene = Scene::without_upper();
            assert_eq!(scene.victim.handled_by(scene.upper, STATE, flavor), Ok(()));
            scene.victim.faults();
            scene.goes_to_the_task(&format!("flavor {flavor}"));
            assert_eq!(status(scene.upper)[4], 0, "no message");
            assert_eq!(status(scene.upper)[1], 0, "and none was delivered");
            // The same flavor is no hindrance to a behavior without state.
            assert_eq!(scene.victim.handled_by(scene.upper, EXCEPTION_DEFAULT | WIDE, flavor), Ok(()));
            scene.victim.faults();
            let request = receive(scene.upper);
            resume_through_the_right(&scene.victim, &request);
            assert_eq!(scene.victim.result(), MARK);
            release_rights(&request);
        }
    }
}

/// A5.2, A7.4: the header of a request, its trailer, and the right to answer it. A5.4: no voucher, unless it is asked for.
#[test]
fn a5_2_a5_4_a7_4_a_requests_header_trailer_and_reply_right() {
    let victim = Victim::start();
    for behavior in BEHAVIORS {
        let port = port();
        assert_eq!(
            victim.handled_by(port, behavior, NativeState::FLAVOR),
            Ok(())
        );
        let mut replies = Vec::new();
        for _ in 0..2 {
            victim.faults();
            let mut request = Message::empty();
            // With the trailer up to the audit token (C11.9).
            let options = MACH_RCV_MSG | MACH_RCV_TIMEOUT | 3 << 24;
            assert_eq!(request.exchange(options, port, 8192, 30_000), Ok(()));
            request.size = request.words[1] as usize;
            let complex = if behavior & 0xff == EXCEPTION_STATE {
                0
            } else {
                1 << 31
            };
            assert_eq!(
                request.bits() & 0x801f_1f1f,
                complex | 17 << 8 | 18,
                "{behavior:#x}"
            );
            assert_eq!(
                (request.local(), request.words[4]),
                (port, 0),
                "{behavior:#x}"
            );
            let trailer = &request.words[request.size / 4..][..13];
            assert_eq!(trailer[1], 52, "{behavior:#x}");
            assert_eq!(trailer[3..5], [0, 1], "the kernel's security token");
            assert_eq!(trailer[5..13], [0; 8], "and audit token");
            let reply = request.remote();
            assert_eq!(kind(reply), Ok(MACH_PORT_TYPE_SEND_ONCE), "{behavior:#x}");
            assert_eq!(
                refs(reply, MACH_PORT_RIGHT_SEND_ONCE),
                Ok(1),
                "{behavior:#x}"
            );
            resume(&victim, &request);
            victim.result();
            assert_eq!(
                kind(reply),
                Err(KernReturn::INVALID_NAME),
                "gone with the reply"
            );
            replies.push(reply);
            if complex != 0 {
                release_rights(&request);
            }
        }
        assert_ne!(replies[0], replies[1], "a new name each time");
    }
}

isolated! {
    /// A5.7: with `MACH_RCV_LARGE` a request that does not fit stays; without it, it is destroyed, and the next level gets its exception.
    fn a5_7_a_receive_buffer_that_is_too_small_for_a_request() {
        let scene = Scene::new(STATE);
        scene.victim.faults();
        while status(scene.upper)[4] == 0 {
            std::thread::yield_now();
        }
        let size = 64 + 4 * NativeState::COUNT;
        let mut small = Message::empty();
        // The message fits, and its trailer does not.
        let options = MACH_RCV_MSG | MACH_RCV_TIMEOUT;
        let large = small.exchange(options | MACH_RCV_LARGE, scene.upper, size + 4, 0);
        assert_eq!(large, Err(KernReturn::RCV_TOO_LARGE));
        assert_eq!((small.words[1], status(scene.upper)[4]), (size, 1), "it is still there");
        let mut small = Message::empty();
        let small_one = small.exchange(options, scene.upper, size + 4, 0);
        assert_eq!(small_one, Err(KernReturn::RCV_TOO_LARGE));
        assert_eq!(small.words[1], 24, "a bare header");
        assert_eq!(small.remote(), NULL);
        scene.goes_to_the_task("the request was destroyed");
    }
}

#[test]
fn a5_8_requests_are_received_in_the_order_of_their_sends_and_answered_in_any() {
    let port = port();
    let victims: Vec<_> = (0..6).map(|_| Victim::start()).collect();
    for (index, victim) in victims.iter().enumerate() {
        assert_eq!(
            victim.handled_by(port, EXCEPTION_STATE_IDENTITY | WIDE, NativeState::FLAVOR),
            Ok(())
        );
        victim.faults();
        while status(port)[4] <= index as i32 {
            std::thread::yield_now();
        }
    }
    // One more than the queue's limit of 5: a request is never held up (A5.1).
    let requests: Vec<_> = victims.iter().map(|_| receive(port)).collect();
    for (victim, request) in victims.iter().zip(&requests) {
        assert_eq!(request.descriptor(0).0, victim.thread);
    }
    for (index, request) in requests.iter().enumerate().rev() {
        request.resume(|state| set_first_register(state, index as u64));
        release_rights(request);
        assert_eq!(victims[index].result(), index as u64, "its own reply");
    }
}

#[test]
fn a7_5_d1_6_d1_7_nothing_but_the_receiver_releases_a_requests_references() {
    let victim = Victim::start();
    let port = port();
    assert_eq!(victim.handled_by(port, EXCEPTION_DEFAULT | WIDE, 0), Ok(()));
    let before = sends(victim.thread);
    let mut requests = Vec::new();
    for count in 1..=3 {
        victim.faults();
        let request = receive(port);
        assert_eq!(sends(victim.thread), before + count, "one for each message");
        resume_through_the_right(&victim, &request);
        victim.result();
        assert_eq!(sends(victim.thread), before + count, "the reply takes none");
        requests.push(request);
    }
    // One for each mach_thread_self too (D1.1).
    let thread = victim.thread;
    // SAFETY: no arguments.
    victim.starts(|| u64::from(unsafe { kernel::mach_thread_self() }));
    assert_eq!(victim.result(), u64::from(thread));
    assert_eq!(sends(thread), before + 4);
    assert_eq!(mod_refs(thread, MACH_PORT_RIGHT_SEND, -1), Ok(()));
    for request in &requests {
        release_rights(request);
    }
    assert_eq!(sends(thread), before);
}

isolated! {
    fn a7_11_a_message_that_is_never_received_costs_no_reference() {
        let scene = Scene::new(EXCEPTION_DEFAULT | WIDE);
        let thread = scene.victim.thread;
        let before = sends(thread);
        scene.victim.faults();
        while status(scene.upper)[4] == 0 {
            std::thread::yield_now();
        }
        assert_eq!(sends(thread), before, "queued");
        destroy_port(scene.upper);
        let request = receive(scene.lower);
        assert_eq!(sends(thread), before, "destroyed");
        request.resume(|_| {});
        scene.victim.result();
        // Once received they stay, whatever the reply says.
        let upper = port();
        assert_eq!(scene.victim.handled_by(upper, EXCEPTION_DEFAULT | WIDE, 0), Ok(()));
        scene.victim.faults();
        let received = receive(upper);
        received.decline();
        receive(scene.lower).resume(|_| {});
        scene.victim.result();
        assert_eq!(sends(thread), before + 1);
        release_rights(&received);
    }
}

#[test]
fn a7_9_references_of_one_name_are_one_send_right() {
    let name = port();
    assert_eq!(send_rights(name), Ok(1));
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, 499), Ok(()));
    assert_eq!((sends(name), send_rights(name)), (500, Ok(1)));
    // A right in a message counts until it is received under the name that is there.
    let to = receive_right();
    let carrier = Message::to(to, MACH_MSG_TYPE_MAKE_SEND, 1).with_right(name, 19);
    assert_eq!(carrier.send(), Ok(()));
    assert_eq!(send_rights(name), Ok(2), "one in transit");
    receive(to);
    assert_eq!((sends(name), send_rights(name)), (501, Ok(1)));
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_SEND, -501), Ok(()));
    assert_eq!(send_rights(name), Ok(0));
}

isolated! {
    /// A6.10: the reply port that a victim waits on has no name.
    fn a6_10_a_victims_reply_port_has_no_name() {
        let scene = Scene::new(STATE);
        let receive_names = || {
            let mut names = names();
            names.retain(|(_, kind)| kind & MACH_PORT_TYPE_RECEIVE != 0);
            names
        };
        // The call below makes this thread's MIG reply port, if nothing did.
        receive_names();
        let before = receive_names();
        scene.victim.faults();
        let request = receive(scene.upper);
        assert_eq!(receive_names(), before, "while it waits");
        request.resume(|_| {});
        scene.victim.result();
    }
}
