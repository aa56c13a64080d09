//! Hardened exception handlers (B8), what is taken from a reply to one (A4.12), and the conversion of states (A10.1).

use crate::isolated::report_skipped;
use crate::support::*;
use mach_sys::exception::{EXC_MASK_ARITHMETIC, EXC_MASK_BAD_INSTRUCTION, EXCEPTION_STATE};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::port::{
    MPO_EXCEPTION_PORT, MPO_INSERT_SEND_RIGHT, MPO_REPLY_PORT, mach_port_options_t,
};
use mach_sys::thread_state::{NativeState, ThreadState};

const FLAVOR: i32 = NativeState::FLAVOR;

fn register(task: Port, mask: u32, behavior: i32, flavor: i32, port: Port) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe {
        kernel::task_register_hardened_exception_handler(task, 0, mask, behavior, flavor, port)
    })
}

fn adopt(thread: Port, port: Port, mask: u32, behavior: i32, flavor: i32) -> Answer<()> {
    // SAFETY: no pointers. With a live port the behavior is one that can be delivered.
    answered(unsafe {
        kernel::thread_adopt_exception_handler(thread, port, mask, behavior, flavor)
    })
}

fn set(thread: Port, port: Port) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::thread_set_exception_ports(thread, MASK, port, STATE, FLAVOR) })
}

/// Swaps the handler of a thread for the same types.
fn swap(thread: Port, port: Port) -> Answer<()> {
    let (mut masks, mut ports) = ([0; 32], [0; 32]);
    let (mut behaviors, mut flavors) = ([0; 32], [0; 32]);
    let mut count = 32;
    // SAFETY: each array has room for the most entries that the kernel returns (B3.4).
    answered(unsafe {
        kernel::thread_swap_exception_ports(
            thread,
            MASK,
            port,
            STATE,
            FLAVOR,
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    })?;
    for old in &ports[..count as usize] {
        if *old != NULL && *old != DEAD {
            assert_eq!(deallocate(*old), Ok(()));
        }
    }
    Ok(())
}

/// Returns the one entry of a thread's handler: mask, port, behavior, flavor.
fn handler(thread: Port) -> (u32, Port, i32, i32) {
    let (mut masks, mut ports) = ([0; 32], [0; 32]);
    let (mut behaviors, mut flavors) = ([0; 32], [0; 32]);
    let mut count = 32;
    // SAFETY: each array has room for the most entries that the kernel returns (B3.4).
    let got = answered(unsafe {
        kernel::thread_get_exception_ports(
            thread,
            MASK,
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    });
    assert_eq!((got, count), (Ok(()), 1));
    if ports[0] != NULL {
        assert_eq!(deallocate(ports[0]), Ok(()));
    }
    (masks[0], ports[0], behaviors[0], flavors[0])
}

/// Returns a receive right of a type, with a send right.
fn constructed(kind: u32) -> Port {
    let mut options = mach_port_options_t {
        flags: kind | MPO_INSERT_SEND_RIGHT,
        ..mach_port_options_t::default()
    };
    let mut name = 0;
    // SAFETY: options and result are local variables.
    let made =
        answered(unsafe { kernel::mach_port_construct(task_self(), &mut options, 0, &mut name) });
    assert_eq!(made, Ok(()));
    name
}

fn exception_port() -> Port {
    constructed(MPO_EXCEPTION_PORT)
}

/// Returns whether this system has the calls; says so if it has not.
fn has_them(test: &str) -> bool {
    // A bad mask: nothing is registered.
    let has = register(task_self(), 1, STATE, FLAVOR, NULL) != Err(KernReturn::MIG_BAD_ID);
    if !has {
        report_skipped(test, "this system has no hardened handlers");
    }
    has
}

isolated! {
    fn b8_1_what_a_registration_of_a_hardened_handler_refuses() {
        if !has_them("b8_1_what_a_registration_of_a_hardened_handler_refuses") {
            return;
        }
        let (right, ordinary) = (exception_port(), port());
        let victim = Victim::start();
        let refused = Err(KernReturn::INVALID_ARGUMENT);
        for (what, task, mask, behavior, flavor, port, expected) in [
            ("no task", NULL, MASK, STATE, FLAVOR, right, Err(KernReturn::SEND_INVALID_DEST)),
            ("a thread", victim.thread, MASK, STATE, FLAVOR, right, refused),
            ("an ordinary port", task_self(), MASK, STATE, FLAVOR, ordinary, refused),
            ("a kernel object's", task_self(), MASK, STATE, FLAVOR, task_self(), refused),
            ("no right", task_self(), MASK, STATE, FLAVOR, receive_right(), Err(KernReturn::SEND_INVALID_RIGHT)),
            ("a bad mask", task_self(), 1, STATE, FLAVOR, right, refused),
            ("a bad behavior", task_self(), MASK, 7, FLAVOR, right, refused),
            ("a bad flavor", task_self(), MASK, STATE, 999, right, refused),
            ("codes are missing", task_self(), MASK, 4, FLAVOR, right, refused),
        ] {
            assert_eq!(register(task, mask, behavior, flavor, port), expected, "{what}");
        }
        assert_eq!(
            adopt(victim.thread, NULL, MASK, STATE, FLAVOR),
            Err(KernReturn::DENIED),
            "none of them registered anything"
        );
        let rights = send_rights(right);
        assert_eq!(register(task_self(), MASK, STATE, FLAVOR, right), Ok(()));
        // The right that the call carried is the task's now.
        assert_eq!(send_rights(right), rights.map(|count| count + 1));
        for port in [right, exception_port(), NULL] {
            assert_eq!(register(task_self(), MASK, STATE, FLAVOR, port), refused, "a second one");
        }
        assert_eq!(send_rights(right), rights.map(|count| count + 1));
        // It delivers nothing by itself, and blocks no other registration.
        assert_eq!(set(victim.thread, ordinary), Ok(()));
        victim.faults();
        let request = receive(ordinary);
        assert!(receive_now(right).is_err());
        request.resume(|state| set_first_register(state, 3));
        assert_eq!(victim.result(), 3);
    }
}

isolated! {
    /// A null port passes, and counts as the registration.
    fn b8_1_a_null_port_is_a_registration() {
        if !has_them("b8_1_a_null_port_is_a_registration") {
            return;
        }
        let victim = Victim::start();
        assert_eq!(register(task_self(), MASK, STATE, FLAVOR, NULL), Ok(()));
        let later = exception_port();
        let refused = Err(KernReturn::INVALID_ARGUMENT);
        assert_eq!(register(task_self(), MASK, STATE, FLAVOR, later), refused);
        assert_eq!(adopt(victim.thread, later, MASK, STATE, FLAVOR), Err(KernReturn::DENIED));
        assert_eq!(adopt(victim.thread, NULL, MASK, STATE, FLAVOR), Ok(()));
        assert_eq!(handler(victim.thread), (MASK, NULL, STATE, FLAVOR));
    }
}

isolated! {
    fn b8_2_only_the_registered_handler_is_adopted() {
        if !has_them("b8_2_only_the_registered_handler_is_adopted") {
            return;
        }
        let (right, other) = (exception_port(), exception_port());
        let victim = Victim::start();
        let denied = Err(KernReturn::DENIED);
        assert_eq!(adopt(victim.thread, right, MASK, STATE, FLAVOR), denied, "no registration");
        assert_eq!(register(task_self(), MASK, STATE, FLAVOR, right), Ok(()));
        let rights = send_rights(right);
        let (thread, narrow) = (victim.thread, EXCEPTION_STATE);
        for (what, target, port, mask, behavior, flavor, expected) in [
            ("no thread", NULL, right, MASK, STATE, FLAVOR, Err(KernReturn::SEND_INVALID_DEST)),
            ("a task", task_self(), right, MASK, STATE, FLAVOR, Err(KernReturn::INVALID_ARGUMENT)),
            ("another port", thread, other, MASK, STATE, FLAVOR, denied),
            ("a dead port", thread, DEAD, MASK, STATE, FLAVOR, denied),
            ("no right", thread, receive_right(), MASK, STATE, FLAVOR, Err(KernReturn::SEND_INVALID_RIGHT)),
            ("another type", thread, right, EXC_MASK_ARITHMETIC, STATE, FLAVOR, denied),
            ("a type more", thread, right, MASK | EXC_MASK_ARITHMETIC, STATE, FLAVOR, denied),
            ("another behavior", thread, right, MASK, STATE | 1, FLAVOR, denied),
            ("another flavor", thread, right, MASK, STATE, FLAVOR | 8, denied),
        ] {
            assert_eq!(adopt(target, port, mask, behavior, flavor), expected, "{what}");
        }
        assert_eq!(send_rights(right), rights, "a refused call releases what it carried");
        // Fewer types, and a behavior whose bits are a part of the registered one's.
        assert_eq!(adopt(thread, right, EXC_MASK_BAD_INSTRUCTION, narrow, FLAVOR), Ok(()));
        assert_eq!(send_rights(right), rights.map(|count| count + 1));
        victim.faults();
        let request = receive(right);
        assert_eq!(request.id(), 2402, "32-bit codes");
        request.resume(|_| {});
        victim.result();
        // Null clears, with the words given.
        assert_eq!(adopt(thread, NULL, MASK, STATE, 0), Ok(()));
        assert_eq!(send_rights(right), rights);
        assert_eq!(handler(thread), (MASK, NULL, STATE, 0));
        assert_eq!(adopt(thread, right, MASK, STATE, FLAVOR), Ok(()));
        assert_eq!(handler(thread), (MASK, right, STATE, FLAVOR));
    }
}

isolated! {
    /// A4.12: of the general registers arm64 takes the program counter alone, x86_64 all. B3.2: a swap leaves the mark, B3.1: a set clears it.
    fn a4_12_what_a_hardened_handlers_reply_changes() {
        if !has_them("a4_12_what_a_hardened_handlers_reply_changes") {
            return;
        }
        let right = exception_port();
        let victim = Victim::start();
        assert_eq!(register(task_self(), MASK, STATE, FLAVOR, right), Ok(()));
        let result = |what| {
            victim.faults();
            // The program counter is moved, or the fault came again.
            receive(right).resume(|state| set_first_register(state, 42));
            (victim.result(), what)
        };
        let hardened = if cfg!(target_arch = "aarch64") { MARK } else { 42 };
        assert_eq!(adopt(victim.thread, right, MASK, STATE, FLAVOR), Ok(()));
        assert_eq!(result("adopted"), (hardened, "adopted"));
        assert_eq!(swap(victim.thread, right), Ok(()));
        assert_eq!(result("swapped"), (hardened, "swapped"));
        assert_eq!(set(victim.thread, right), Ok(()));
        assert_eq!(result("set"), (42, "set"));
    }
}

isolated! {
    /// B2.3: of macOS 26 and later; up to 15 the port's immovable receive right is the reason (C7.1).
    fn b2_3_a_reply_port_is_no_exception_port() {
        let victim = Victim::start();
        assert_eq!(
            set(victim.thread, constructed(MPO_REPLY_PORT)),
            Err(KernReturn::INVALID_RIGHT)
        );
        // The mask is looked at before.
        // SAFETY: no pointers.
        let bad = answered(unsafe {
            kernel::thread_set_exception_ports(victim.thread, 1, constructed(MPO_REPLY_PORT), STATE, FLAVOR)
        });
        assert_eq!(bad, Err(KernReturn::INVALID_ARGUMENT));
        assert_eq!(set(victim.thread, exception_port()), Ok(()));
    }
}

/// Converts words for a thread. Returns those that came out.
fn convert(
    thread: Port,
    direction: i32,
    flavor: i32,
    words: &[u32],
    room: u32,
) -> Answer<Vec<u32>> {
    let (mut out, mut count) = ([0x5a5a_5a5a_u32; 64], room);
    // SAFETY: the words are as many as the count says; the room is at most the array's.
    let code = unsafe {
        kernel::thread_convert_thread_state(
            thread,
            direction,
            flavor,
            words.as_ptr(),
            words.len() as u32,
            out.as_mut_ptr(),
            &mut count,
        )
    };
    if answered(code).is_err() {
        assert_eq!(out, [0x5a5a_5a5a; 64], "nothing is written");
    }
    answered(code).map(|()| {
        assert!(
            out[count as usize..]
                .iter()
                .all(|word| *word == 0x5a5a_5a5a)
        );
        out[..count as usize].to_vec()
    })
}

/// A10.1: without signed pointers the words are copied, whatever the flavor is.
#[test]
fn a10_1_a_state_is_converted_by_copying_it() {
    let victim = Victim::start();
    let words: Vec<u32> = (1..=20).collect();
    let invalid = Err(KernReturn::INVALID_ARGUMENT);
    for direction in [1, 2] {
        for flavor in [NativeState::FLAVOR, 999, 0] {
            assert_eq!(
                convert(victim.thread, direction, flavor, &words, 64),
                Ok(words.clone()),
                "{direction} {flavor}"
            );
        }
        assert_eq!(
            convert(victim.thread, direction, FLAVOR, &words, 20),
            Ok(words.clone())
        );
        assert_eq!(
            convert(victim.thread, direction, FLAVOR, &words, 19),
            Err(KernReturn::new(52)),
            "less room than words"
        );
        assert_eq!(
            convert(victim.thread, direction, FLAVOR, &[], 0),
            Ok(Vec::new())
        );
        assert_eq!(convert(task_self(), direction, FLAVOR, &words, 64), invalid);
        assert_eq!(
            convert(NULL, direction, FLAVOR, &words, 64),
            Err(KernReturn::SEND_INVALID_DEST)
        );
    }
    for direction in [0, 3, -1] {
        assert_eq!(
            convert(victim.thread, direction, FLAVOR, &words, 64),
            invalid
        );
        assert_eq!(
            convert(victim.thread, direction, FLAVOR, &words, 1),
            invalid,
            "the direction is looked at first"
        );
    }
    // A9.6: MIG refuses a longer state itself.
    let long = vec![0; 1297];
    assert_eq!(
        convert(victim.thread, 1, FLAVOR, &long, 64),
        Err(KernReturn::new(-307))
    );
}
