//! Effects of a reply, and the end of a thread's wait (A4, A6, A11).

use crate::support::*;
use mach_sys::exception::{EXCEPTION_DEFAULT, EXCEPTION_STATE_IDENTITY, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MOVE_SEND,
    MACH_MSG_TYPE_MOVE_SEND_ONCE,
};
use mach_sys::port::MACH_PORT_RIGHT_SEND_ONCE;
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const WIDE: i32 = MACH_EXCEPTION_CODES;

/// Exception state: a flavor that x86_64 reads and never sets.
const EXCEPTION_STATE64: i32 = if cfg!(target_arch = "x86_64") { 6 } else { 7 };

isolated! {
    fn a4_3_the_replys_flavor_decides_what_is_set() {
        // Sent with one flavor, answered with another.
        let scene = Scene::without_upper();
        let behavior = EXCEPTION_STATE_IDENTITY | WIDE;
        assert_eq!(scene.victim.handled_by(scene.upper, behavior, EXCEPTION_STATE64), Ok(()));
        scene.victim.faults();
        let request = receive(scene.upper);
        assert_eq!(request.request().flavor(), Some(EXCEPTION_STATE64));
        let mut state = scene.victim.registers();
        skip(&mut state);
        set_first_register(&mut state, 3);
        let reply = request.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        assert_eq!(reply.send(), Ok(()));
        assert_eq!(scene.victim.result(), 3);
        release_rights(&request);
        // An unknown one is refused by the set: the next level.
        let scene = Scene::new(STATE);
        scene.victim.faults();
        let request = receive(scene.upper);
        let state = request.state();
        let reply = request.reply_with(KernReturn::SUCCESS, 99, state.as_words());
        assert_eq!(reply.send(), Ok(()));
        scene.goes_to_the_task("an unknown flavor");
    }
}

isolated! {
    fn a4_5_a_reply_with_another_code_sets_nothing() {
        for code in [KernReturn::FAILURE, KernReturn::new(17), KernReturn::MIG_BAD_ID] {
            let scene = Scene::new(STATE);
            scene.victim.faults();
            let request = receive(scene.upper);
            let mut state = request.state();
            skip(&mut state);
            set_first_register(&mut state, 4);
            let reply = request.reply_with(code, NativeState::FLAVOR, state.as_words());
            assert_eq!(reply.send(), Ok(()));
            scene.goes_to_the_task("refused with a state");
        }
    }
}

isolated! {
    /// A4.7: on arm64 an exception state can be "set", which changes nothing; on x86_64 that is refused.
    fn a4_7_an_exception_state_is_never_changed() {
        let scene = Scene::without_upper();
        assert_eq!(scene.victim.handled_by(scene.upper, STATE, EXCEPTION_STATE64), Ok(()));
        scene.victim.faults();
        let request = receive(scene.upper);
        let words: Vec<u32> = request.request().old_state().iter().collect();
        let changed: Vec<u32> = words.iter().map(|word| !word).collect();
        let reply = request.reply_with(KernReturn::SUCCESS, EXCEPTION_STATE64, &changed);
        assert_eq!(reply.send(), Ok(()));
        if cfg!(target_arch = "x86_64") {
            scene.goes_to_the_task("not settable");
        } else {
            // It succeeded: the instruction runs again, and faults as before.
            let again = receive(scene.upper);
            assert_eq!(again.request().old_state().iter().collect::<Vec<_>>(), words);
            again.decline();
            scene.goes_to_the_task("declined");
        }
    }
}

isolated! {
    fn a4_13_a9_4_a_state_set_by_a_level_that_fails_is_what_the_next_one_sees() {
        let scene = Scene::new(EXCEPTION_STATE_IDENTITY | WIDE);
        scene.victim.faults();
        let request = receive(scene.upper);
        let codes = request.request().codes().to_vec();
        let mut state = scene.victim.registers();
        set_first_register(&mut state, 0xabc);
        assert_eq!(scene.victim.set_registers(&state), Ok(()));
        request.decline();
        release_rights(&request);
        let below = receive(scene.lower);
        assert_eq!(first_register(&below.state()), 0xabc, "fetched anew");
        assert_eq!(below.request().codes(), codes, "the original codes");
        below.resume(|_| {});
        assert_eq!(scene.victim.result(), 0xabc);
    }
}

/// A3.3, A3.7, A9.1, A9.3, A10.5: a victim's registers are set through its right while it waits, and a reply's state comes after.
#[test]
fn a9_3_a10_5_what_is_set_while_a_victim_waits_persists_and_a_reply_wins() {
    let victim = Victim::start();
    for (behavior, in_reply) in [
        (EXCEPTION_DEFAULT | WIDE, false),
        (EXCEPTION_STATE_IDENTITY | WIDE, true),
    ] {
        let port = port();
        assert_eq!(
            victim.handled_by(port, behavior, NativeState::FLAVOR),
            Ok(())
        );
        victim.faults();
        let request = receive(port);
        let mut state = victim.registers();
        assert_eq!(first_register(&state), MARK, "the state at the fault");
        assert_eq!(
            request.descriptor(0).0,
            victim.thread,
            "A3.7: a control port"
        );
        skip(&mut state);
        set_first_register(&mut state, 1);
        assert_eq!(victim.set_registers(&state), Ok(()));
        assert_eq!(first_register(&victim.registers()), 1, "A9.1");
        if in_reply {
            // Until the victim applies it, the thread shows the old state (A4.13); then the reply's counts.
            request.resume(|state| set_first_register(state, 2));
            assert_eq!(victim.result(), 2);
        } else {
            assert_eq!(request.reply(KernReturn::SUCCESS).send(), Ok(()));
            assert_eq!(victim.result(), 1);
        }
        release_rights(&request);
    }
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

isolated! {
    /// A1.3, A8.3: a caught signal to a thread that waits in an exception does not end the wait. The reply is applied, then the signal's
    /// handler runs, then the thread goes on where the reply said.
    fn a1_3_a_signal_waits_for_the_reply_and_comes_before_the_thread_goes_on() {
        // SAFETY: a handler that counts; the process is the test's own. Zero is a valid sigaction.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = count as *const () as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut()), 0);
        }
        let scene = Scene::new(STATE);
        // SAFETY: no arguments.
        scene.victim.starts(|| unsafe { libc::pthread_self() } as u64);
        let thread = scene.victim.result();
        scene.victim.starts(|| {
            let word = undefined_instruction();
            word + SIGNALS.load(Ordering::SeqCst) as u64
        });
        let request = receive(scene.upper);
        // SAFETY: the thread lives.
        assert_eq!(unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) }, 0);
        assert!(scene.victim.is_waiting(), "the wait goes on");
        assert_eq!(SIGNALS.load(Ordering::SeqCst), 0, "and the handler with it");
        request.resume(|state| set_first_register(state, 40));
        assert_eq!(scene.victim.result(), 41, "the reply's state, and one signal");
    }
}

isolated! {
    fn a6_6_garbage_in_the_voucher_field_does_no_harm() {
        let scene = Scene::new(STATE);
        scene.victim.faults();
        let request = receive(scene.upper);
        let mut state = request.state();
        skip(&mut state);
        let mut reply = request.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        reply.words[4] = 0xdead_beef;
        assert_eq!(reply.send(), Ok(()));
        assert_eq!(scene.victim.result(), MARK);
    }
}

#[test]
fn a6_7_the_first_message_through_the_reply_right_counts_and_nothing_hurries_it() {
    let victim = Victim::start();
    let port = port();
    assert_eq!(victim.handled_by(port, STATE, NativeState::FLAVOR), Ok(()));
    victim.faults();
    let request = receive(port);
    for _ in 0..4 {
        assert!(victim.is_waiting(), "there is no timeout");
    }
    request.resume(|state| set_first_register(state, 8));
    let late = request.reply(KernReturn::FAILURE).send();
    assert_eq!(late, Err(KernReturn::SEND_INVALID_DEST));
    assert_eq!(victim.result(), 8);
}

isolated! {
    fn a6_8_a_reply_right_that_is_destroyed_in_any_way_sends_its_thread_on() {
        type Way = fn(Port, Port);
        let ways: [(&str, Way); 4] = [
            ("deallocate", |right, _| assert_eq!(deallocate(right), Ok(()))),
            ("destroy", |right, _| assert_eq!(destroy(right), Ok(()))),
            ("mod_refs", |right, _| assert_eq!(mod_refs(right, MACH_PORT_RIGHT_SEND_ONCE, -1), Ok(()))),
            ("in a message that dies with its port", |right, port| {
                let carrier = Message::to(port, MACH_MSG_TYPE_MAKE_SEND, 1)
                    .with_right(right, MACH_MSG_TYPE_MOVE_SEND_ONCE);
                assert_eq!(carrier.send(), Ok(()));
                destroy_port(port);
            }),
        ];
        for (what, way) in ways {
            let scene = Scene::new(STATE);
            scene.victim.faults();
            let request = receive(scene.upper);
            way(request.remote(), receive_right());
            scene.goes_to_the_task(what);
        }
        // The handler's port dies with the request in its queue: both levels' if it is the same port.
        let mut scene = Scene::new(STATE);
        scene.victim.faults();
        while status(scene.upper)[4] == 0 {
            std::thread::yield_now();
        }
        destroy_port(scene.upper);
        scene.upper = receive_right();
        scene.goes_to_the_task("the handler's port died");
    }
}

isolated! {
    /// A6.9: whenever the port dies, before the send, after it, or with the message in its queue, the exception goes on.
    fn a6_9_a_port_that_dies_at_any_moment_of_a_delivery_keeps_no_thread() {
        let mut scene = Scene::without_upper();
        for round in 0..300 {
            let upper = port();
            assert_eq!(scene.victim.handled_by(upper, STATE, NativeState::FLAVOR), Ok(()));
            scene.victim.faults();
            for _ in 0..(round % 30) * 20 {
                std::hint::spin_loop();
            }
            destroy_port(upper);
            let _ = deallocate(upper);
            scene.upper = upper;
            let request = receive(scene.lower);
            request.resume(|_| {});
            assert_eq!(scene.victim.result(), MARK, "{round}");
        }
    }
}

isolated! {
    /// A6.11: XNU's own test's shapes. No bad reply fails its send; only its thread goes to the next level.
    fn a6_11_a_bad_reply_is_sent_with_success_and_its_thread_goes_on() {
        type Shape = fn(&mut Message, Port);
        let shapes: [(&str, bool, Shape); 7] = [
            ("plain", true, |_, _| {}),
            ("voucher garbage", true, |reply, _| reply.words[4] = 0x1234_5603),
            ("a reply port, copied", false, |reply, port| {
                *reply = reply.clone().with_reply(port, MACH_MSG_TYPE_COPY_SEND);
            }),
            ("a reply port, moved", false, |reply, port| {
                *reply = reply.clone().with_reply(port, MACH_MSG_TYPE_MOVE_SEND);
            }),
            ("a reply port, and complex without descriptors", false, |reply, port| {
                complex(reply, None);
                *reply = reply.clone().with_reply(port, MACH_MSG_TYPE_COPY_SEND);
            }),
            ("complex without descriptors", false, |reply, _| complex(reply, None)),
            ("a port", false, |reply, port| complex(reply, Some(port))),
        ];
        for (what, good, shape) in shapes {
            let scene = Scene::new(EXCEPTION_DEFAULT | WIDE);
            scene.victim.faults();
            let request = receive(scene.upper);
            let other = port();
            let mut reply = request.reply(KernReturn::SUCCESS);
            shape(&mut reply, other);
            if good {
                let mut state = scene.victim.registers();
                skip(&mut state);
                assert_eq!(scene.victim.set_registers(&state), Ok(()), "{what}");
            }
            assert_eq!(reply.send(), Ok(()), "{what}");
            assert_eq!(kind(request.remote()), Err(KernReturn::INVALID_NAME), "{what}");
            if good {
                assert_eq!(scene.victim.result(), MARK, "{what}");
            } else {
                scene.goes_to_the_task(what);
                // What it carried is destroyed.
                let moved = u32::from(what.ends_with("moved"));
                assert_eq!(send_rights(other), Ok(1 - moved), "{what}");
            }
            release_rights(&request);
        }
    }
}

/// Makes a reply complex, with a descriptor or none, at the size of a plain reply or the descriptor's.
fn complex(reply: &mut Message, right: Option<Port>) {
    let plain = reply.clone();
    reply.words[6..].fill(0);
    reply.words[0] |= 1 << 31;
    reply.size = 28;
    if let Some(name) = right {
        reply.size = 24;
        reply.words[0] &= !(1 << 31);
        *reply = reply.clone().with_right(name, MACH_MSG_TYPE_COPY_SEND);
    }
    reply.size = reply.size.max(plain.size);
}

isolated! {
    /// A11.1, A11.2, A11.3: the fault of a thread that serves a port is queued there as any other, past the queue's limit; another thread
    /// that receives from it handles it.
    fn a11_1_a11_2_a_handlers_own_fault_waits_for_another_receiver() {
        static RETURNED: AtomicBool = AtomicBool::new(false);
        let scene = Scene::new(STATE);
        let upper = scene.upper;
        let handler = Victim::start();
        assert_eq!(handler.handled_by(upper, STATE, NativeState::FLAVOR), Ok(()));
        handler.starts(move || {
            let request = receive(upper);
            let word = undefined_instruction();
            RETURNED.store(true, Ordering::SeqCst);
            request.resume(|state| set_first_register(state, word));
            word
        });
        // Its queue is full of other messages.
        scene.victim.faults();
        while status(upper)[1] == 0 || status(upper)[4] == 0 {
            std::thread::yield_now();
        }
        let mut filled = 0;
        while Message::to(upper, MACH_MSG_TYPE_MAKE_SEND, 1).send().is_ok() {
            filled += 1;
        }
        assert!(handler.is_waiting() && !RETURNED.load(Ordering::SeqCst), "no thread serves it");
        assert_eq!(status(upper)[4], filled + 1);
        let own = receive(upper);
        assert_eq!(own.id(), 2406);
        own.resume(|state| set_first_register(state, 21));
        assert_eq!(handler.result(), 21);
        assert_eq!(scene.victim.result(), 21);
    }
}

/// A9.2: where the program counter stands.
#[test]
fn a9_2_the_program_counter_is_at_the_instruction_or_past_a_breakpoint_of_x86() {
    let victim = Victim::start();
    let port = port();
    let mask =
        mach_sys::exception::EXC_MASK_BAD_INSTRUCTION | mach_sys::exception::EXC_MASK_BREAKPOINT;
    // SAFETY: no pointers.
    let set = answered(unsafe {
        mach_sys::kernel::thread_set_exception_ports(
            victim.thread,
            mask,
            port,
            STATE,
            NativeState::FLAVOR,
        )
    });
    assert_eq!(set, Ok(()));
    let x86 = cfg!(target_arch = "x86_64");
    for (what, job, exception, past, length) in [
        (
            "undefined",
            undefined_there as fn() -> u64,
            2,
            0,
            if x86 { 2 } else { 4 },
        ),
        (
            "breakpoint",
            breakpoint_there,
            6,
            u64::from(x86),
            if x86 { 1 } else { 4 },
        ),
    ] {
        victim.starts(job);
        let request = receive(port);
        assert_eq!(request.request().exception().raw(), exception, "{what}");
        let mut state = request.state();
        let at = first_register(&state);
        assert_eq!(state.pc(), at + past, "{what}");
        state.set_pc(at + length);
        let reply = request.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        assert_eq!(reply.send(), Ok(()));
        assert_eq!(victim.result(), at, "{what}");
    }
}

/// Runs an instruction with its own address in the first register.
macro_rules! there {
    ($name:ident, $x86:literal, $arm:literal) => {
        fn $name() -> u64 {
            let at: u64;
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the handler moves past the instruction, and changes no other register.
            unsafe {
                core::arch::asm!("lea rax, [rip + 2f]", concat!("2: ", $x86), out("rax") at);
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the handler moves past the instruction, and changes no other register.
            unsafe {
                core::arch::asm!("adr x0, 2f", concat!("2: ", $arm), out("x0") at);
            }
            at
        }
    };
}

there!(undefined_there, "ud2", "udf #0");
there!(breakpoint_there, "int3", "brk #1");
