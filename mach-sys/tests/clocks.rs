//! Times, sleeps and alarms (`mach/mach_time.h`, `mach/clock.h`; XNU's `osfmk/kern/clock_oldops.c`).
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::message::{MACH_RCV_MSG, MACH_RCV_TIMEOUT, mach_msg_header_t};
use mach_sys::mig::{__Request__clock_alarm_reply_t, CLOCK_ALARM_REPLY, MACH_NOTIFY_SEND_ONCE};
use mach_sys::pod::{self, Pod};
use mach_sys::rights::{Name, ReceiveRight, Right, ThreadRight};
use mach_sys::types::*;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use test_support::isolated::{isolated, report_skipped};
use test_support::wait::wait_for;

type Answer<T = ()> = Result<T, KernReturn>;

/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

fn deallocate(name: mach_port_name_t) {
    // SAFETY: no pointers; the reference is the caller's.
    let code = unsafe { kernel::mach_port_deallocate(task_self(), name) };
    assert_eq!(answer(code), Ok(()));
}

/// Runs a test with the name of a clock.
fn with_clock<T>(id: clock_id_t, test: impl FnOnce(mach_port_name_t) -> T) -> T {
    // SAFETY: the result goes to a local variable; the references are released below.
    let clock = unsafe {
        let host = kernel::mach_host_self();
        let mut clock = 0;
        let code = kernel::host_get_clock_service(host, id, &mut clock);
        assert_eq!(answer(code), Ok(()));
        deallocate(host);
        clock
    };
    let result = test(clock);
    deallocate(clock);
    result
}

const fn time(tv_sec: u32, tv_nsec: i32) -> mach_timespec_t {
    mach_timespec_t { tv_sec, tv_nsec }
}

fn nanoseconds(time: mach_timespec_t) -> u64 {
    u64::from(time.tv_sec) * 1_000_000_000 + time.tv_nsec as u64
}

fn now(clock: mach_port_name_t) -> u64 {
    let mut now = mach_timespec_t::default();
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::clock_get_time(clock, &mut now) };
    assert_eq!(answer(code), Ok(()));
    nanoseconds(now)
}

fn sleep(clock: mach_port_name_t, kind: sleep_type_t, how_long: mach_timespec_t) -> Answer<u64> {
    let mut wakeup = time(7, 7);
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::clock_sleep(clock, kind, how_long, &mut wakeup) })?;
    Ok(nanoseconds(wakeup))
}

fn alarm(
    clock: mach_port_name_t,
    kind: alarm_type_t,
    when: mach_timespec_t,
    port: mach_port_name_t,
) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::clock_alarm(clock, kind, when, port) })
}

/// A message, and room for its trailer.
#[repr(C, align(8))]
struct Received {
    bytes: [u8; 256],
}

/// Receives a message within some milliseconds.
fn receive(port: mach_port_name_t, milliseconds: u32) -> Answer<Received> {
    let mut received = Received { bytes: [0; 256] };
    // SAFETY: the buffer has the size that is stated.
    answer(unsafe {
        kernel::mach_msg(
            (&raw mut received).cast(),
            MACH_RCV_MSG | MACH_RCV_TIMEOUT,
            0,
            256,
            port,
            milliseconds,
            0,
        )
    })?;
    Ok(received)
}

impl Received {
    fn read<T: Pod>(&self) -> T {
        pod::read(&self.bytes).expect("shorter than the buffer")
    }

    fn id(&self) -> i32 {
        self.read::<mach_msg_header_t>().msgh_id
    }

    /// Reads the message of an alarm.
    fn alarm(&self) -> (KernReturn, alarm_type_t, u64) {
        let message: __Request__clock_alarm_reply_t = self.read();
        let header = message.Head;
        assert_eq!((header.msgh_id, header.msgh_size), (CLOCK_ALARM_REPLY, 48));
        let (code, kind, at) = (message.alarm_code, message.alarm_type, message.alarm_time);
        (KernReturn::new(code), kind, nanoseconds(at))
    }
}

/// Longer than a test takes.
const LONG: u32 = 60_000;

#[test]
fn the_times_go_on_and_the_approximate_one_is_not_ahead() {
    // SAFETY: no arguments.
    let read = || unsafe {
        (
            kernel::mach_approximate_time(),
            kernel::mach_absolute_time(),
            kernel::mach_continuous_time(),
            kernel::mach_continuous_approximate_time(),
        )
    };
    let before = read();
    assert!(before.0 <= before.1 && before.0 > 0 && before.1 <= before.2);
    wait_for("every time goes on", || {
        let after = read();
        after.0 > before.0 && after.1 > before.1 && after.2 > before.2 && after.3 > before.3
    });
}

#[test]
fn a_wait_until_a_time_lasts_that_long() {
    let mut unit = mach_timebase_info_data_t::default();
    // SAFETY: the result goes to a local variable.
    unsafe { kernel::mach_timebase_info(&mut unit) };
    let units = |milliseconds: u64| {
        milliseconds * 1_000_000 * u64::from(unit.denom) / u64::from(unit.numer)
    };
    // SAFETY: no pointers.
    unsafe {
        let until = kernel::mach_absolute_time() + units(20);
        assert_eq!(answer(kernel::mach_wait_until(until)), Ok(()));
        assert!(kernel::mach_absolute_time() >= until);
        for past in [0, 1, until] {
            assert_eq!(answer(kernel::mach_wait_until(past)), Ok(()));
        }
    }
}

#[test]
fn a_sleep_is_relative_or_absolute() {
    with_clock(SYSTEM_CLOCK, |clock| {
        for name in [clock, MACH_PORT_NULL] {
            let before = now(clock);
            let woken = sleep(name, TIME_RELATIVE, time(0, 15_000_000)).expect("a sleep");
            assert!(woken >= before + 15_000_000 && now(clock) >= woken);
            let until = now(clock) + 15_000_000;
            let until = time(
                (until / 1_000_000_000) as u32,
                (until % 1_000_000_000) as i32,
            );
            let woken = sleep(name, TIME_ABSOLUTE, until).expect("a sleep");
            assert!(woken >= nanoseconds(until));
            // What is past does not wait.
            assert!(sleep(name, TIME_ABSOLUTE, time(0, 0)).expect("no sleep") >= woken);
            assert!(sleep(name, TIME_RELATIVE, time(0, 0)).is_ok());
        }
    });
}

#[test]
fn a_sleep_of_no_time_or_by_no_clock_is_refused() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let refused = Err(KernReturn::INVALID_VALUE);
        for bad in [time(0, -1), time(0, 1_000_000_000), time(0, i32::MAX)] {
            assert_eq!(sleep(clock, TIME_RELATIVE, bad), refused);
        }
        for kind in [2, -1, 256, i32::MAX] {
            assert_eq!(sleep(clock, kind, time(0, 1)), refused, "{kind}");
        }
        // The time is shown as it came.
        let mut wakeup = time(7, 7);
        // SAFETY: the result goes to a local variable.
        let code = unsafe { kernel::clock_sleep(clock, 9, time(5, 6), &mut wakeup) };
        assert_eq!(
            (answer(code), wakeup),
            (Err(KernReturn::INVALID_VALUE), time(5, 6))
        );
        // No place for it is no error.
        // SAFETY: the result goes nowhere.
        let code = unsafe { kernel::clock_sleep(clock, TIME_RELATIVE, time(0, 1), null_mut()) };
        assert_eq!(answer(code), Ok(()));
    });
    with_clock(CALENDAR_CLOCK, |clock| {
        assert_eq!(
            sleep(clock, TIME_RELATIVE, time(0, 1)),
            Err(KernReturn::FAILURE)
        );
    });
    let thread = ThreadRight::current().expect("a thread");
    for bad in [MACH_PORT_DEAD, ABSENT, task_self(), thread.name().raw()] {
        let refused = Err(KernReturn::INVALID_ARGUMENT);
        assert_eq!(sleep(bad, TIME_RELATIVE, time(0, 1)), refused, "{bad:#x}");
        // Whatever the time.
        assert_eq!(sleep(bad, 9, time(0, -1)), refused, "{bad:#x}");
    }
}

/// Seconds have 32 bits: a sleep for ever does not sleep, and an alarm for then comes at once.
#[test]
fn a_time_that_is_too_far_ahead_is_past() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let seconds = (now(clock) / 1_000_000_000) as u32;
        let port = ReceiveRight::new().expect("a port");
        let name = port.name().raw();
        for far in [
            time(u32::MAX, 0),
            time(u32::MAX, 999_999_999),
            time(u32::MAX - seconds + 1, 0),
        ] {
            let begun = Instant::now();
            assert!(sleep(clock, TIME_RELATIVE, far).is_ok(), "{far:?}");
            assert_eq!(alarm(clock, TIME_RELATIVE, far, name), Ok(()), "{far:?}");
            let (code, kind, _) = receive(name, LONG).expect("a message").alarm();
            assert_eq!((code, kind), (KernReturn::SUCCESS, TIME_RELATIVE));
            assert!(begun.elapsed() < Duration::from_secs(30), "{far:?}");
        }
    });
}

/// Starts a thread that sleeps, and aborts it.
fn aborted(sleeps: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    static NAME: AtomicU32 = AtomicU32::new(0);
    NAME.store(0, Ordering::SeqCst);
    let sleeper = std::thread::spawn(move || {
        let thread = ThreadRight::current().expect("a thread");
        NAME.store(thread.name().raw(), Ordering::SeqCst);
        sleeps()
    });
    wait_for("the thread says its name", || {
        NAME.load(Ordering::SeqCst) != 0
    });
    while !sleeper.is_finished() {
        // SAFETY: no pointers.
        unsafe { kernel::thread_abort(NAME.load(Ordering::SeqCst)) };
        std::thread::sleep(Duration::from_millis(1));
    }
    sleeper.join().expect("the thread's answer")
}

#[test]
fn a8_2_an_abort_ends_a_sleep() {
    isolated("a8_2_an_abort_ends_a_sleep", || {
        let sleeps = || sleep(MACH_PORT_NULL, TIME_RELATIVE, time(3600, 0)).map(|_| ());
        assert_eq!(aborted(sleeps), Err(KernReturn::ABORTED));
        // SAFETY: no pointers.
        let sleeps = || answer(unsafe { kernel::mach_wait_until(u64::MAX) });
        assert_eq!(aborted(sleeps), Err(KernReturn::ABORTED));
        // This one does not tell.
        // SAFETY: no pointers.
        let sleeps = || answer(unsafe { kernel::thread_switch(0, 2, 3_600_000) });
        assert_eq!(aborted(sleeps), Ok(()));
    });
}

#[test]
fn a_suspended_sleeper_sleeps_on() {
    isolated("a_suspended_sleeper_sleeps_on", || {
        static NAME: AtomicU32 = AtomicU32::new(0);
        static DONE: AtomicBool = AtomicBool::new(false);
        let sleeper = std::thread::spawn(|| {
            let thread = ThreadRight::current().expect("a thread");
            NAME.store(thread.name().raw(), Ordering::SeqCst);
            let start = Instant::now();
            let slept = sleep(MACH_PORT_NULL, TIME_RELATIVE, time(0, 300_000_000));
            DONE.store(true, Ordering::SeqCst);
            (slept.map(|_| ()), start.elapsed())
        });
        wait_for("the thread says its name", || {
            NAME.load(Ordering::SeqCst) != 0
        });
        let name = NAME.load(Ordering::SeqCst);
        for _ in 0..20 {
            // SAFETY: no pointers.
            unsafe {
                if answer(kernel::thread_suspend(name)).is_ok() {
                    assert_eq!(answer(kernel::thread_resume(name)), Ok(()));
                }
            }
        }
        let (slept, took) = sleeper.join().expect("the thread's answer");
        assert_eq!(slept, Ok(()));
        assert!(took >= Duration::from_millis(300), "{took:?}");
    });
}

#[test]
fn an_alarm_sends_its_message_when_its_time_comes() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let port = ReceiveRight::new().expect("a port");
        let name = port.name().raw();
        let before = now(clock);
        assert_eq!(
            alarm(clock, TIME_RELATIVE, time(0, 40_000_000), name),
            Ok(())
        );
        let (code, kind, at) = receive(name, LONG).expect("a message").alarm();
        assert_eq!((code, kind), (KernReturn::SUCCESS, TIME_RELATIVE));
        assert!(at >= before + 40_000_000 && at <= now(clock));
        let until = now(clock) + 10_000_000;
        let when = time(
            (until / 1_000_000_000) as u32,
            (until % 1_000_000_000) as i32,
        );
        assert_eq!(alarm(clock, TIME_ABSOLUTE, when, name), Ok(()));
        let (code, kind, at) = receive(name, LONG).expect("a message").alarm();
        assert_eq!((code, kind), (KernReturn::SUCCESS, TIME_ABSOLUTE));
        assert!(at >= until);
        // A time that is past, and none: at once, before the call returns.
        assert_eq!(alarm(clock, TIME_ABSOLUTE, time(0, 0), name), Ok(()));
        let (code, kind, _) = receive(name, 0).expect("a message").alarm();
        assert_eq!((code, kind), (KernReturn::SUCCESS, TIME_ABSOLUTE));
        for (kind, when) in [
            (9, time(0, 0)),
            (TIME_RELATIVE, time(0, -1)),
            (-1, time(0, 1_000_000_000)),
        ] {
            assert_eq!(alarm(clock, kind, when, name), Ok(()));
            let (code, told, _) = receive(name, 0).expect("a message").alarm();
            assert_eq!((code, told), (KernReturn::INVALID_VALUE, kind));
        }
        assert_eq!(receive(name, 0).map(|_| ()), Err(KernReturn::RCV_TIMED_OUT));
    });
}

#[test]
fn alarms_ring_in_the_order_of_their_times() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let ports: Vec<_> = (0..8)
            .map(|_| ReceiveRight::new().expect("a port"))
            .collect();
        let set = mach_sys::rights::PortSet::new().expect("a set");
        for port in &ports {
            set.insert(port).expect("a member");
        }
        let start = now(clock) + 30_000_000;
        for (place, port) in ports.iter().enumerate() {
            // Each 2 ms before the one that was set before it.
            let at = start + (8 - place as u64) * 2_000_000;
            let when = time((at / 1_000_000_000) as u32, (at % 1_000_000_000) as i32);
            assert_eq!(alarm(clock, TIME_ABSOLUTE, when, port.name().raw()), Ok(()));
        }
        for port in ports.iter().rev() {
            let message = receive(set.name().raw(), LONG).expect("a message");
            assert_eq!(message.alarm().0, KernReturn::SUCCESS);
            let header: mach_msg_header_t = message.read();
            assert_eq!(Name::new(header.msgh_local_port), Some(port.name()));
        }
    });
}

#[test]
fn an_alarm_by_no_clock_or_to_no_port_is_refused() {
    let port = ReceiveRight::new().expect("a port");
    let name = port.name().raw();
    let soon = time(0, 1);
    with_clock(CALENDAR_CLOCK, |calendar| {
        assert_eq!(
            alarm(calendar, TIME_RELATIVE, soon, name),
            Err(KernReturn::FAILURE)
        );
        // The request is destroyed, and with it the right that it carried.
        assert_eq!(
            receive(name, LONG).map(|message| message.id()),
            Ok(MACH_NOTIFY_SEND_ONCE)
        );
    });
    assert_eq!(
        alarm(task_self(), TIME_RELATIVE, soon, name),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    assert_eq!(
        receive(name, LONG).map(|message| message.id()),
        Ok(MACH_NOTIFY_SEND_ONCE)
    );
    for bad in [MACH_PORT_NULL, MACH_PORT_DEAD, ABSENT] {
        assert_eq!(
            alarm(bad, TIME_RELATIVE, soon, name),
            Err(KernReturn::SEND_INVALID_DEST)
        );
    }
    with_clock(SYSTEM_CLOCK, |clock| {
        for none in [MACH_PORT_NULL, MACH_PORT_DEAD] {
            let refused = Err(KernReturn::INVALID_CAPABILITY);
            assert_eq!(alarm(clock, TIME_RELATIVE, soon, none), refused);
        }
        for bad in [ABSENT, task_self(), clock] {
            let refused = Err(KernReturn::SEND_INVALID_RIGHT);
            assert_eq!(alarm(clock, TIME_RELATIVE, soon, bad), refused, "{bad:#x}");
        }
    });
    assert_eq!(receive(name, 0).map(|_| ()), Err(KernReturn::RCV_TIMED_OUT));
}

#[test]
fn an_alarm_for_a_port_that_dies_is_lost() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let port = ReceiveRight::new().expect("a port");
        assert_eq!(
            alarm(clock, TIME_RELATIVE, time(0, 20_000_000), port.name().raw()),
            Ok(())
        );
        drop(port);
        let other = ReceiveRight::new().expect("a port");
        let name = other.name().raw();
        assert_eq!(
            alarm(clock, TIME_RELATIVE, time(0, 25_000_000), name),
            Ok(())
        );
        let later = receive(name, LONG).expect("the later alarm's message");
        assert_eq!(later.alarm().0, KernReturn::SUCCESS);
    });
}

/// As many alarms as the emulation takes: one more is refused, until the port of one has died.
#[test]
fn alarms_that_never_ring_leave_room_for_others_once_their_port_is_dead() {
    if KERNEL == Kernel::Xnu {
        report_skipped(
            "alarms_that_never_ring_leave_room_for_others_once_their_port_is_dead",
            "XNU has room for more alarms",
        );
        return;
    }
    isolated(
        "alarms_that_never_ring_leave_room_for_others_once_their_port_is_dead",
        || {
            with_clock(SYSTEM_CLOCK, |clock| {
                let port = ReceiveRight::new().expect("a port");
                let never = time(u32::MAX, 999_999_999);
                for _ in 0..1024 {
                    assert_eq!(
                        alarm(clock, TIME_ABSOLUTE, never, port.name().raw()),
                        Ok(())
                    );
                }
                let other = ReceiveRight::new().expect("a port");
                let name = other.name().raw();
                let refused = Err(KernReturn::RESOURCE_SHORTAGE);
                assert_eq!(
                    alarm(clock, TIME_RELATIVE, time(0, 1_000_000), name),
                    refused
                );
                let message = receive(name, LONG).expect("the refused right's end");
                assert_eq!(message.id(), MACH_NOTIFY_SEND_ONCE);
                drop(port);
                for _ in 0..2000 {
                    assert_eq!(alarm(clock, TIME_RELATIVE, time(0, 1), name), Ok(()));
                    let message = receive(name, LONG).expect("a message");
                    assert_eq!(message.alarm().0, KernReturn::SUCCESS);
                }
            });
        },
    );
}

/// As Julia's profiler does.
#[test]
fn an_alarm_is_set_again_by_each_message() {
    with_clock(SYSTEM_CLOCK, |clock| {
        let port = ReceiveRight::new().expect("a port");
        let name = port.name().raw();
        let start = now(clock);
        for _ in 0..50 {
            assert_eq!(
                alarm(clock, TIME_RELATIVE, time(0, 1_000_000), name),
                Ok(())
            );
            let (code, ..) = receive(name, LONG).expect("a message").alarm();
            assert_eq!(code, KernReturn::SUCCESS);
        }
        assert!(now(clock) >= start + 50_000_000);
    });
}

#[test]
fn a_clocks_resolutions_are_told() {
    let told = |clock, flavor, room| {
        let (mut words, mut count) = ([7; 2], room);
        // SAFETY: there are more words than the count says.
        answer(unsafe {
            kernel::clock_get_attributes(clock, flavor, words.as_mut_ptr(), &mut count)
        })?;
        assert_eq!((words[1], count), (7, 1));
        Ok(words[0])
    };
    for (clock, alarms) in [(SYSTEM_CLOCK, 10_000_000), (CALENDAR_CLOCK, 0)] {
        with_clock(clock, |clock| {
            assert_eq!(told(clock, CLOCK_GET_TIME_RES, 1), Ok(10_000_000));
            for flavor in [CLOCK_ALARM_CURRES, CLOCK_ALARM_MINRES, CLOCK_ALARM_MAXRES] {
                assert_eq!(told(clock, flavor, 1), Ok(alarms));
            }
            for flavor in [0, 2, 6, -1] {
                assert_eq!(told(clock, flavor, 1), Err(KernReturn::INVALID_VALUE));
            }
            assert_eq!(told(clock, CLOCK_GET_TIME_RES, 0), Err(KernReturn::FAILURE));
        });
    }
    assert_eq!(
        told(task_self(), CLOCK_GET_TIME_RES, 1),
        Err(KernReturn::INVALID_ARGUMENT)
    );
    assert_eq!(
        told(MACH_PORT_NULL, CLOCK_GET_TIME_RES, 1),
        Err(KernReturn::SEND_INVALID_DEST)
    );
}
