//! Timers (`mach/mk_timer.h`; XNU's `osfmk/kern/mk_timer.c`).
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{MACH_RCV_MSG, MACH_RCV_TIMEOUT};
use mach_sys::mig::mk_timer_expire_msg_t;
use mach_sys::pod;
use mach_sys::port::{
    KobjectType, MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    PortType,
};
use mach_sys::rights::{Census, ThreadRight};
use mach_sys::types::*;
use std::ptr::null_mut;
use std::time::Duration;
use test_support::emulator::is_emulated;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

type Answer<T = ()> = Result<T, KernReturn>;

/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;
/// Longer than a test takes, in milliseconds.
const LONG: u32 = 60_000;

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { kernel::mach_absolute_time() }
}

/// Returns a length of time in units of `mach_absolute_time`.
fn units(time: Duration) -> u64 {
    let mut base = mach_timebase_info_data_t { numer: 0, denom: 0 };
    // SAFETY: the result goes to a local variable.
    assert_eq!(unsafe { kernel::mach_timebase_info(&mut base) }, 0);
    let nanoseconds = u64::try_from(time.as_nanos()).expect("short");
    nanoseconds * u64::from(base.denom) / u64::from(base.numer)
}

fn later(milliseconds: u64) -> u64 {
    now() + units(Duration::from_millis(milliseconds))
}

fn create() -> mach_port_name_t {
    // SAFETY: no arguments.
    let name = unsafe { kernel::mk_timer_create() };
    assert_ne!(name, MACH_PORT_NULL);
    name
}

fn arm(name: mach_port_name_t, time: u64) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::mk_timer_arm(name, time) })
}

fn arm_with_leeway(name: mach_port_name_t, flags: u64, time: u64, leeway: u64) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::mk_timer_arm_leeway(name, flags, time, leeway) })
}

fn cancel(name: mach_port_name_t) -> Answer<u64> {
    let mut time = 7;
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::mk_timer_cancel(name, &mut time) })?;
    Ok(time)
}

fn destroy(name: mach_port_name_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::mk_timer_destroy(name) })
}

fn allocate(right: u32) -> mach_port_name_t {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_port_allocate(task_self(), right, &mut name) };
    assert_eq!(answer(code), Ok(()));
    name
}

fn kind(name: mach_port_name_t) -> Answer<PortType> {
    let mut kind = 0;
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::mach_port_type(task_self(), name, &mut kind) })?;
    Ok(PortType::from_bits_retain(kind))
}

fn mod_refs(name: mach_port_name_t, right: u32, delta: i32) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::mach_port_mod_refs(task_self(), name, right, delta) })
}

/// Receives the message of a timer within some milliseconds. Returns the words of its header.
fn receive(from: mach_port_name_t, milliseconds: u32) -> Answer<[u32; 6]> {
    let mut buffer = [0_u64; 32];
    // SAFETY: the buffer has the size that is stated.
    answer(unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            MACH_RCV_MSG | MACH_RCV_TIMEOUT,
            0,
            size_of_val(&buffer) as u32,
            from,
            milliseconds,
            MACH_PORT_NULL,
        )
    })?;
    let bytes = buffer.map(u64::to_le_bytes);
    let bytes = bytes.as_flattened();
    let message: mk_timer_expire_msg_t = pod::read(bytes).expect("shorter than the buffer");
    assert_eq!({ message.unused }, [0; 3]);
    let word = |at: usize| {
        let word = bytes[4 * at..][..4].try_into().expect("four bytes");
        u32::from_le_bytes(word)
    };
    // The trailer follows: its format, and the least size of one.
    assert_eq!((word(12), word(13)), (0, 8));
    Ok(core::array::from_fn(word))
}

const TIMED_OUT: Answer<[u32; 6]> = Err(KernReturn::RCV_TIMED_OUT);

#[test]
fn a_timer_sends_one_message_when_its_time_comes() {
    let timer = create();
    assert_eq!(receive(timer, 0), TIMED_OUT);
    for (what, arm) in [
        ("plain", &arm as &dyn Fn(_, _) -> Answer),
        ("leeway", &|name, time| {
            arm_with_leeway(name, MK_TIMER_NORMAL, time, 1000)
        }),
        ("critical", &|name, time| {
            arm_with_leeway(name, MK_TIMER_CRITICAL, time, 0)
        }),
        ("unknown flags", &|name, time| {
            arm_with_leeway(name, !0, time, 0)
        }),
    ] {
        let time = later(30);
        assert_eq!(arm(timer, time), Ok(()), "{what}");
        let [bits, size, remote, local, voucher, id] = receive(timer, LONG).expect("a message");
        assert!(now() >= time, "{what}");
        assert_eq!((bits, size), (17 << 8, 48), "{what}");
        assert_eq!((remote, local, voucher, id), (0, timer, 0, 0), "{what}");
        assert_eq!(receive(timer, 50), TIMED_OUT, "{what}: one only");
        assert_eq!(cancel(timer), Ok(0), "{what}: it is not armed any more");
    }
    // A time that is past.
    for time in [0, now()] {
        assert_eq!(arm(timer, time), Ok(()));
        assert!(receive(timer, LONG).is_ok());
    }
    assert_eq!(destroy(timer), Ok(()));
    assert_eq!(kind(timer), Err(KernReturn::INVALID_NAME));
}

#[test]
fn a_timer_is_armed_for_one_time() {
    let timer = create();
    let (soon, late) = (later(20), later(3_600_000));
    // The last one counts, the earlier as the later.
    assert_eq!((arm(timer, late), arm(timer, soon)), (Ok(()), Ok(())));
    assert!(receive(timer, LONG).is_ok());
    assert_eq!(cancel(timer), Ok(0));
    assert_eq!((arm(timer, later(500)), arm(timer, late)), (Ok(()), Ok(())));
    assert_eq!(receive(timer, 600), TIMED_OUT);
    assert_eq!((cancel(timer), cancel(timer)), (Ok(late), Ok(0)));
    // A cancelled one sends nothing, and can be armed again.
    assert_eq!(arm(timer, later(500)), Ok(()));
    // SAFETY: the result is not wanted.
    let code = unsafe { kernel::mk_timer_cancel(timer, null_mut()) };
    assert_eq!(answer(code), Ok(()));
    assert_eq!(receive(timer, 600), TIMED_OUT);
    assert_eq!(arm(timer, 0), Ok(()));
    assert!(receive(timer, LONG).is_ok());
    assert_eq!(destroy(timer), Ok(()));
}

#[test]
fn one_message_is_queued_at_most_and_a_cancel_leaves_it() {
    let timer = create();
    let queued = || {
        let mut words = [0; 10];
        let (flavor, mut count) = (mach_sys::port::MACH_PORT_RECEIVE_STATUS, 10);
        // SAFETY: the results go to local variables, of the size that the count says.
        let code = unsafe {
            let words = words.as_mut_ptr();
            kernel::mach_port_get_attributes(task_self(), timer, flavor, words, &mut count)
        };
        assert_eq!(answer(code), Ok(()));
        words[4]
    };
    for _ in 0..3 {
        assert_eq!(arm(timer, 0), Ok(()));
        wait_for("the message", || queued() == 1);
        let mut last = 0;
        for _ in 0..10 {
            assert_eq!(arm(timer, 0), Ok(()));
            last = later(1);
            assert_eq!(arm(timer, last), Ok(()));
            std::thread::sleep(Duration::from_millis(3));
        }
        // On a busy machine the last one may not have rung.
        let cancelled = cancel(timer);
        assert!([Ok(0), Ok(last)].contains(&cancelled), "{cancelled:?}");
        assert_eq!(queued(), 1);
        assert!(receive(timer, 0).is_ok());
        assert_eq!(receive(timer, 20), TIMED_OUT);
    }
    assert_eq!(destroy(timer), Ok(()));
}

/// C7.5 for the calls that take a receive right. `mk_timer_destroy` looks at the name's entry first.
#[test]
fn what_is_no_timer_has_its_code() {
    let (port, set) = (
        allocate(MACH_PORT_RIGHT_RECEIVE),
        allocate(MACH_PORT_RIGHT_PORT_SET),
    );
    let dead = allocate(MACH_PORT_RIGHT_DEAD_NAME);
    let (name, right, argument) = (
        Err(KernReturn::INVALID_NAME),
        Err(KernReturn::INVALID_RIGHT),
        Err(KernReturn::INVALID_ARGUMENT),
    );
    for (what, target, armed, destroyed) in [
        ("null", MACH_PORT_NULL, right, name),
        ("dead", MACH_PORT_DEAD, right, name),
        ("absent", ABSENT, name, name),
        ("a send right", task_self(), right, right),
        ("a set", set, right, right),
        ("a dead name", dead, name, right),
        ("an ordinary port", port, argument, argument),
    ] {
        assert_eq!(arm(target, 0), armed, "{what}");
        assert_eq!(arm_with_leeway(target, 0, 0, 0), armed, "{what}");
        assert_eq!(cancel(target).map(|_| ()), armed, "{what}");
        assert_eq!(destroy(target), destroyed, "{what}");
    }
    for (name, right) in [
        (port, MACH_PORT_RIGHT_RECEIVE),
        (set, MACH_PORT_RIGHT_PORT_SET),
        (dead, MACH_PORT_RIGHT_DEAD_NAME),
    ] {
        assert_eq!(mod_refs(name, right, -1), Ok(()));
    }
}

#[test]
fn a_timer_is_a_receive_right_that_joins_sets() {
    let (timer, other) = (create(), create());
    let set = allocate(MACH_PORT_RIGHT_PORT_SET);
    assert_eq!(kind(timer), Ok(PortType::RECEIVE));
    let (mut object, mut address) = (0, 0);
    // SAFETY: the results go to local variables.
    let code = unsafe { kernel::mach_port_kobject(task_self(), timer, &mut object, &mut address) };
    assert_eq!((code, KobjectType::new(object)), (0, KobjectType::TIMER));
    let mut sends = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_port_get_srights(task_self(), timer, &mut sends) };
    assert_eq!((code, sends), (0, 1), "the kernel keeps one");
    for name in [timer, other] {
        // SAFETY: no pointers.
        let code = unsafe { kernel::mach_port_insert_member(task_self(), name, set) };
        assert_eq!(answer(code), Ok(()));
    }
    assert_eq!(arm(other, later(40)), Ok(()));
    assert_eq!(arm(timer, later(20)), Ok(()));
    for expected in [timer, other] {
        assert_eq!(receive(set, LONG).map(|words| words[3]), Ok(expected));
    }
    for name in [timer, other] {
        assert_eq!(destroy(name), Ok(()));
    }
    assert_eq!(mod_refs(set, MACH_PORT_RIGHT_PORT_SET, -1), Ok(()));
}

#[test]
fn a_timer_leaves_nothing_however_it_is_destroyed() {
    isolated("a_timer_leaves_nothing_however_it_is_destroyed", || {
        drop(ThreadRight::current());
        let before = Census::take().expect("a census");
        for round in 0..200 {
            let timer = create();
            match round % 4 {
                0 => {}
                // Never to come; then shortly after its end.
                1 => assert_eq!(arm(timer, u64::MAX), Ok(())),
                2 => assert_eq!(arm(timer, later(1)), Ok(())),
                _ => assert_eq!(arm(timer, 0), Ok(())),
            }
            if round % 3 == 0 {
                assert_eq!(mod_refs(timer, MACH_PORT_RIGHT_RECEIVE, -1), Ok(()));
            } else {
                assert_eq!(destroy(timer), Ok(()));
            }
            assert_eq!(kind(timer), Err(KernReturn::INVALID_NAME));
        }
        std::thread::sleep(Duration::from_millis(10));
        // The old ones' times do not ring at a new one that has their name.
        let timer = create();
        assert_eq!(receive(timer, 20), TIMED_OUT);
        assert_eq!(destroy(timer), Ok(()));
        wait_for("the census from before", || {
            let now = Census::take().expect("a census");
            now.since(&before).is_leak_free()
        });
    });
}

/// Many threads arm, cancel and destroy timers of their own at the same time.
#[test]
fn each_timer_of_many_rings_by_itself() {
    let (threads, rounds) = if is_emulated() { (2, 5) } else { (4, 60) };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let timers: [_; 8] = core::array::from_fn(|_| create());
                for round in 0..rounds {
                    for (at, timer) in timers.iter().enumerate() {
                        let time = (thread + round + at as u64 * 3) % 7;
                        assert_eq!(arm(*timer, later(time)), Ok(()));
                    }
                    let far = later(3_600_000);
                    assert_eq!(arm(timers[7], far), Ok(()));
                    for timer in &timers[..7] {
                        assert!(receive(*timer, LONG).is_ok());
                        assert_eq!(cancel(*timer), Ok(0));
                    }
                    // Its first time may have come before it was armed anew.
                    assert_eq!(cancel(timers[7]), Ok(far));
                    let _ = receive(timers[7], 0);
                }
                for timer in timers {
                    assert_eq!(receive(timer, 0), TIMED_OUT);
                    assert_eq!(destroy(timer), Ok(()));
                }
            });
        }
    });
}
