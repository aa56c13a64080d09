//! Semaphores, and the host's clocks (`mach/semaphore.h`, `mach/clock.h`; XNU's `osfmk/kern/sync_sema.c`).
#![allow(unsafe_code)]

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::port::{KobjectType, PortRight};
use mach_sys::rights::{
    Census, Name, ReceiveRight, Right, SendRight, ThreadRight, user_references,
};
use mach_sys::types::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use test_support::isolated::isolated;
use test_support::wait::wait_for;

type Answer = Result<(), KernReturn>;

/// Longer than a test takes.
const LONG: mach_timespec_t = mach_timespec_t {
    tv_sec: 60,
    tv_nsec: 0,
};
const NOW: mach_timespec_t = mach_timespec_t {
    tv_sec: 0,
    tv_nsec: 0,
};

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;

fn deallocate(name: mach_port_name_t) {
    // SAFETY: no pointers; the reference is the caller's.
    let code = unsafe { kernel::mach_port_deallocate(task_self(), name) };
    assert_eq!(answer(code), Ok(()));
}

fn created(policy: i32, value: i32) -> Result<semaphore_t, KernReturn> {
    let mut semaphore = 0;
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::semaphore_create(task_self(), &mut semaphore, policy, value) })?;
    Ok(semaphore)
}

fn create(value: i32) -> semaphore_t {
    created(SYNC_POLICY_FIFO, value).expect("a semaphore")
}

fn destroy(semaphore: semaphore_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_destroy(task_self(), semaphore) })
}

fn signal(semaphore: semaphore_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_signal(semaphore) })
}

fn signal_all(semaphore: semaphore_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_signal_all(semaphore) })
}

fn signal_thread(semaphore: semaphore_t, thread: mach_port_name_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_signal_thread(semaphore, thread) })
}

fn timed_wait(semaphore: semaphore_t, time: mach_timespec_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_timedwait(semaphore, time) })
}

/// Waits as a lone `semaphore_wait` does, and not forever.
fn wait(semaphore: semaphore_t) -> Answer {
    timed_wait(semaphore, LONG)
}

fn wait_signal(semaphore: semaphore_t, other: semaphore_t) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe { kernel::semaphore_timedwait_signal(semaphore, other, LONG) })
}

/// Starts a thread that waits for a semaphore, and returns when it does.
fn waiting(semaphore: semaphore_t) -> std::thread::JoinHandle<Answer> {
    let ready = create(0);
    let thread = std::thread::spawn(move || wait_signal(semaphore, ready));
    assert_eq!(wait(ready), Ok(()));
    assert_eq!(destroy(ready), Ok(()));
    thread
}

/// A thread that waits for a semaphore once, and its name, which is one until the outcome was asked for.
struct Waiter {
    thread: std::thread::JoinHandle<()>,
    name: mach_port_name_t,
    outcome: mpsc::Receiver<Answer>,
    stay: mpsc::Sender<()>,
}

impl Waiter {
    /// Starts it, and returns when it waits.
    fn of(semaphore: semaphore_t) -> Self {
        let ready = create(0);
        let (says, named) = mpsc::channel();
        let (tells, outcome) = mpsc::channel();
        let (stay, until) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            says.send(kernel::system::own_thread_port())
                .expect("the test listens");
            // Where a check has failed meanwhile, the test listens no more.
            let _ = tells.send(wait_signal(semaphore, ready));
            let _ = until.recv();
        });
        let name = named.recv().expect("a thread");
        assert_eq!(wait(ready), Ok(()));
        assert_eq!(destroy(ready), Ok(()));
        Self {
            thread,
            name,
            outcome,
            stay,
        }
    }

    /// Waits until it goes on, and ends.
    fn outcome(self) -> Answer {
        let outcome = self.outcome.recv().expect("a thread");
        drop(self.stay);
        self.thread.join().expect("a thread");
        outcome
    }

    /// Returns whether it still waits after a while.
    fn still_waits(&self) -> bool {
        std::thread::sleep(Duration::from_millis(20));
        self.outcome.try_recv().is_err()
    }
}

#[test]
fn a_signal_to_a_thread_lets_that_thread_go_on_and_no_other() {
    let semaphore = create(0);
    let [first, second, third] = std::array::from_fn(|_| Waiter::of(semaphore));
    assert_eq!(signal_thread(semaphore, second.name), Ok(()));
    // It waits no more, whether or not it has gone on.
    let again = signal_thread(semaphore, second.name);
    assert_eq!(again, Err(KernReturn::NOT_WAITING));
    assert_eq!(second.outcome(), Ok(()));
    assert!(first.still_waits() && third.still_waits());
    assert_eq!(signal_thread(semaphore, third.name), Ok(()));
    assert_eq!(third.outcome(), Ok(()));
    assert!(first.still_waits());
    // An ordinary signal that was given to it already is not given twice.
    assert_eq!(signal(semaphore), Ok(()));
    let given = signal_thread(semaphore, first.name);
    assert_eq!(given, Err(KernReturn::NOT_WAITING));
    assert_eq!(first.outcome(), Ok(()));
    let left = timed_wait(semaphore, NOW);
    assert_eq!(
        left,
        Err(KernReturn::OPERATION_TIMED_OUT),
        "nothing counted"
    );
    // Any thread, and none that comes later.
    let any = Waiter::of(semaphore);
    assert_eq!(signal_thread(semaphore, MACH_PORT_NULL), Ok(()));
    assert_eq!(any.outcome(), Ok(()));
    let none = signal_thread(semaphore, MACH_PORT_NULL);
    assert_eq!(none, Err(KernReturn::NOT_WAITING));
    let left = timed_wait(semaphore, NOW);
    assert_eq!(
        left,
        Err(KernReturn::OPERATION_TIMED_OUT),
        "nothing counted"
    );
    assert_eq!(destroy(semaphore), Ok(()));
}

/// In the order of `semaphore_signal_thread_trap`: the thread, the semaphore's name, whether it lives, who waits.
#[test]
fn a_signal_to_a_thread_looks_at_the_thread_first() {
    let [semaphore, other, gone] = std::array::from_fn(|_| create(0));
    let waiter = Waiter::of(other);
    let reference = Name::new(gone).expect("a name");
    // SAFETY: no pointers. One reference more, so that the name stays when the semaphore is destroyed.
    let code = unsafe { kernel::mach_port_mod_refs(task_self(), reference.raw(), 0, 1) };
    assert_eq!(code, 0);
    assert_eq!(destroy(gone), Ok(()));
    let receive = ReceiveRight::new().expect("a port");
    let (port, thread) = (receive.name().raw(), waiter.name);
    let _both = receive.make_send().expect("a right");
    // SAFETY: no arguments.
    let own = unsafe { kernel::mach_thread_self() };
    for (what, semaphore, thread, error) in [
        (
            "no such thread",
            semaphore,
            ABSENT,
            KernReturn::INVALID_ARGUMENT,
        ),
        (
            "a dead name",
            semaphore,
            MACH_PORT_DEAD,
            KernReturn::INVALID_ARGUMENT,
        ),
        (
            "a task",
            semaphore,
            task_self(),
            KernReturn::INVALID_ARGUMENT,
        ),
        (
            "a semaphore",
            semaphore,
            other,
            KernReturn::INVALID_ARGUMENT,
        ),
        (
            "an ordinary port",
            semaphore,
            port,
            KernReturn::INVALID_ARGUMENT,
        ),
        ("both wrong", ABSENT, ABSENT, KernReturn::INVALID_ARGUMENT),
        (
            "no semaphore's name",
            ABSENT,
            thread,
            KernReturn::INVALID_NAME,
        ),
        ("null", MACH_PORT_NULL, thread, KernReturn::INVALID_NAME),
        (
            "null twice",
            MACH_PORT_NULL,
            MACH_PORT_NULL,
            KernReturn::INVALID_NAME,
        ),
        ("no semaphore", port, thread, KernReturn::INVALID_CAPABILITY),
        ("a destroyed one", gone, thread, KernReturn::TERMINATED),
        (
            "a destroyed one, any",
            gone,
            MACH_PORT_NULL,
            KernReturn::TERMINATED,
        ),
        (
            "it waits elsewhere",
            semaphore,
            thread,
            KernReturn::NOT_WAITING,
        ),
        ("it runs", semaphore, own, KernReturn::NOT_WAITING),
    ] {
        assert_eq!(signal_thread(semaphore, thread), Err(error), "{what}");
    }
    assert_eq!(signal_thread(other, thread), Ok(()), "it was not disturbed");
    assert_eq!(waiter.outcome(), Ok(()));
    for semaphore in [semaphore, other, gone] {
        assert_eq!(destroy(semaphore), Ok(()));
    }
    deallocate(own);
}

#[test]
fn threads_go_on_in_the_order_of_the_policy() {
    for (policy, order) in [
        (SYNC_POLICY_FIFO, [0, 1, 2, 3]),
        (SYNC_POLICY_REVERSED, [3, 2, 1, 0]),
    ] {
        let semaphore = created(policy, 0).expect("a semaphore");
        let mut waiters: [_; 4] = std::array::from_fn(|_| Some(Waiter::of(semaphore)));
        for next in order {
            assert_eq!(signal(semaphore), Ok(()));
            let waiter = waiters[next].take().expect("it waits");
            assert_eq!(waiter.outcome(), Ok(()), "{policy} {next}");
            let waiting = waiters.iter().flatten();
            assert!(waiting.clone().all(Waiter::still_waits), "{policy} {next}");
        }
        assert_eq!(destroy(semaphore), Ok(()));
    }
}

#[test]
fn a_semaphore_counts_signals_and_waits() {
    let semaphore = create(2);
    for _ in 0..2 {
        // SAFETY: no pointers. The count is above 0: it does not wait.
        assert_eq!(answer(unsafe { kernel::semaphore_wait(semaphore) }), Ok(()));
    }
    let timed_out = Err(KernReturn::OPERATION_TIMED_OUT);
    assert_eq!(timed_wait(semaphore, NOW), timed_out);
    assert_eq!(signal(semaphore), Ok(()));
    assert_eq!(signal(semaphore), Ok(()));
    assert_eq!(wait(semaphore), Ok(()));
    // The same one: the signal is its own.
    assert_eq!(wait_signal(semaphore, semaphore), Ok(()));
    assert_eq!(wait(semaphore), Ok(()));
    assert_eq!(timed_wait(semaphore, NOW), timed_out);
    let begun = Instant::now();
    let time = mach_timespec_t {
        tv_sec: 0,
        tv_nsec: 30_000_000,
    };
    assert_eq!(timed_wait(semaphore, time), timed_out);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(destroy(semaphore), Ok(()));
}

#[test]
fn wrong_arguments_have_their_codes() {
    for (policy, value) in [(SYNC_POLICY_FIFO, -1), (8, 0), (1, 0)] {
        let made = created(policy, value);
        assert_eq!(made, Err(KernReturn::INVALID_ARGUMENT), "{policy} {value}");
    }
    let semaphore = create(1);
    for tv_nsec in [-1, 1_000_000_000] {
        let time = mach_timespec_t { tv_sec: 0, tv_nsec };
        assert_eq!(timed_wait(semaphore, time), Err(KernReturn::INVALID_VALUE));
    }
    let receive = ReceiveRight::new().expect("a port");
    let dead = {
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a right");
        drop(port);
        send.into_name().raw()
    };
    let name = receive.name().raw();
    let both = receive.make_send().expect("a right");
    for (what, name, error) in [
        ("null", MACH_PORT_NULL, KernReturn::INVALID_NAME),
        ("dead", MACH_PORT_DEAD, KernReturn::INVALID_NAME),
        ("a dead name", dead, KernReturn::INVALID_NAME),
        ("an ordinary port", name, KernReturn::INVALID_CAPABILITY),
    ] {
        assert_eq!(timed_wait(name, NOW), Err(error), "{what}");
        assert_eq!(signal(name), Err(error), "{what}");
        assert_eq!(signal_all(name), Err(error), "{what}");
        assert_eq!(wait_signal(semaphore, name), Err(error), "{what}");
    }
    for (name, error) in [
        (MACH_PORT_NULL, KernReturn::INVALID_ARGUMENT),
        (ABSENT, KernReturn::SEND_INVALID_RIGHT),
    ] {
        assert_eq!(destroy(name), Err(error), "{name:#x}");
    }
    drop(both);
    assert_eq!(
        signal(name),
        Err(KernReturn::INVALID_RIGHT),
        "no send right"
    );
    // Nothing was taken from it.
    assert_eq!(timed_wait(semaphore, NOW), Ok(()));
    assert_eq!(destroy(semaphore), Ok(()));
    deallocate(dead);
}

#[test]
fn a_signal_goes_to_a_thread_that_waits_and_not_to_one_that_comes_later() {
    let shortly = mach_timespec_t {
        tv_sec: 0,
        tv_nsec: 500_000,
    };
    for round in 0..200 {
        let semaphore = create(0);
        let thread = waiting(semaphore);
        assert_eq!(signal(semaphore), Ok(()));
        // Before the other has gone on, as a rule.
        let late = timed_wait(semaphore, if round % 2 == 0 { NOW } else { shortly });
        assert_eq!(
            late,
            Err(KernReturn::OPERATION_TIMED_OUT),
            "it is the other's"
        );
        assert_eq!(thread.join().expect("a thread"), Ok(()));
        assert_eq!(destroy(semaphore), Ok(()));
    }
}

#[test]
fn signal_all_lets_every_waiting_thread_go_on_and_leaves_no_count() {
    let semaphore = create(0);
    assert_eq!(signal_all(semaphore), Ok(()));
    let timed_out = Err(KernReturn::OPERATION_TIMED_OUT);
    assert_eq!(timed_wait(semaphore, NOW), timed_out, "no thread waited");
    let threads: Vec<_> = (0..4).map(|_| waiting(semaphore)).collect();
    assert_eq!(signal_all(semaphore), Ok(()));
    for thread in threads {
        assert_eq!(thread.join().expect("a thread"), Ok(()));
    }
    assert_eq!(timed_wait(semaphore, NOW), timed_out);
    assert_eq!(destroy(semaphore), Ok(()));
}

#[test]
fn destroying_ends_waits_and_later_calls_and_consumes_a_reference() {
    isolated(
        "destroying_ends_waits_and_later_calls_and_consumes_a_reference",
        || {
            drop(ThreadRight::current());
            let before = Census::take().expect("a census");
            let semaphore = create(0);
            let name = Name::new(semaphore).expect("a name");
            let (mut kind, mut object) = (0, 0);
            // SAFETY: the results go to local variables.
            let code = unsafe {
                kernel::mach_port_kobject(task_self(), semaphore, &mut kind, &mut object)
            };
            assert_eq!((code, KobjectType::new(kind)), (0, KobjectType::SEMAPHORE));
            // SAFETY: no pointers.
            let code = unsafe { kernel::mach_port_mod_refs(task_self(), semaphore, 0, 1) };
            assert_eq!(code, 0);
            let threads = [waiting(semaphore), waiting(semaphore)];
            assert_eq!(destroy(semaphore), Ok(()));
            let gone = Err(KernReturn::TERMINATED);
            for thread in threads {
                assert_eq!(thread.join().expect("a thread"), gone);
            }
            assert_eq!(user_references(name, PortRight::SEND), Ok(1));
            for outcome in [wait(semaphore), signal(semaphore), signal_all(semaphore)] {
                assert_eq!(outcome, gone);
            }
            let other = create(1);
            assert_eq!(wait_signal(other, semaphore), Ok(()), "it need not wait");
            assert_eq!(wait_signal(other, semaphore), gone, "it might wait forever");
            assert_eq!(wait_signal(semaphore, other), gone);
            assert_eq!(timed_wait(other, NOW), Ok(()), "signalled all the same");
            assert_eq!(destroy(other), Ok(()));
            assert_eq!(destroy(semaphore), Ok(()), "again");
            assert_eq!(signal(semaphore), Err(KernReturn::INVALID_NAME));
            // One whose last right goes is destroyed, too.
            let last = Name::new(create(3)).expect("a name");
            // SAFETY: the reference is this test's.
            let last: SendRight = unsafe { SendRight::from_name(last) };
            drop(last);
            wait_for("the census from before", || {
                let now = Census::take().expect("a census");
                now.since(&before).is_leak_free()
            });
        },
    );
}

#[test]
fn an_abort_ends_a_wait_and_a_suspension_does_not() {
    isolated("an_abort_ends_a_wait_and_a_suspension_does_not", || {
        static THREAD: AtomicU32 = AtomicU32::new(0);
        let (semaphore, ready) = (create(0), create(0));
        let thread = std::thread::spawn(move || {
            let own = ThreadRight::current().expect("the thread");
            THREAD.store(own.name().raw(), Ordering::SeqCst);
            let first = wait_signal(semaphore, ready);
            (first, wait_signal(semaphore, ready))
        });
        assert_eq!(wait(ready), Ok(()));
        let name = THREAD.load(Ordering::SeqCst);
        // SAFETY: no pointers.
        assert_eq!(answer(unsafe { kernel::thread_abort(name) }), Ok(()));
        assert_eq!(wait(ready), Ok(()));
        for _ in 0..3 {
            // SAFETY: no pointers; this thread allocates nothing in between.
            unsafe {
                assert_eq!(kernel::thread_suspend(name), 0);
                assert_eq!(kernel::thread_resume(name), 0);
            }
        }
        assert_eq!(signal(semaphore), Ok(()));
        let waits = thread.join().expect("a thread");
        assert_eq!(waits, (Err(KernReturn::ABORTED), Ok(())));
    });
}

#[test]
fn no_signal_is_lost_and_none_comes_twice() {
    const EACH: u32 = 3000;
    let semaphore = create(0);
    let taken = AtomicU32::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let givers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        assert_eq!(signal(semaphore), Ok(()));
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            scope.spawn(|| {
                let time = mach_timespec_t {
                    tv_sec: 0,
                    tv_nsec: 20_000,
                };
                // Many of these waits end by their time just when a signal comes.
                while !over.load(Ordering::SeqCst) {
                    match timed_wait(semaphore, time) {
                        Ok(()) => drop(taken.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => assert_eq!(error, KernReturn::OPERATION_TIMED_OUT),
                    }
                }
            });
        }
        for giver in givers {
            giver.join().expect("a thread");
        }
        wait_for("every signal", || taken.load(Ordering::SeqCst) >= 2 * EACH);
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(taken.load(Ordering::SeqCst), 2 * EACH);
    let left = timed_wait(semaphore, NOW);
    assert_eq!(left, Err(KernReturn::OPERATION_TIMED_OUT));
    assert_eq!(destroy(semaphore), Ok(()));
}

fn clock(host: mach_port_name_t, id: clock_id_t) -> Result<mach_port_name_t, KernReturn> {
    let mut clock = 0;
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::host_get_clock_service(host, id, &mut clock) })?;
    Ok(clock)
}

fn time(clock: mach_port_name_t) -> Result<Duration, KernReturn> {
    let mut time = mach_timespec_t::default();
    // SAFETY: the result goes to a local variable.
    answer(unsafe { kernel::clock_get_time(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec.into(), time.tv_nsec as u32))
}

#[test]
fn the_hosts_clocks_tell_the_time_since_the_start_and_since_1970() {
    // SAFETY: no arguments.
    let host = unsafe { kernel::mach_host_self() };
    let system = clock(host, SYSTEM_CLOCK).expect("a clock");
    assert_eq!(clock(host, SYSTEM_CLOCK), Ok(system));
    let calendar = clock(host, CALENDAR_CLOCK).expect("a clock");
    let since_1970 = || std::time::SystemTime::UNIX_EPOCH.elapsed().expect("later");
    let (before, began) = (since_1970(), time(system).expect("a time"));
    let now = time(calendar).expect("a time");
    std::thread::sleep(Duration::from_millis(20));
    let passed = time(system).expect("a time") - began;
    assert!(passed >= Duration::from_millis(20), "{passed:?}");
    // A clock that is set meanwhile is no failure of this test's.
    let second = Duration::from_secs(1);
    assert!(now + second >= before && now <= since_1970() + second);
    assert_eq!(clock(host, 7), Err(KernReturn::INVALID_ARGUMENT));
    assert_eq!(clock(task_self(), 0), Err(KernReturn::INVALID_ARGUMENT));
    assert_eq!(clock(0, 0), Err(KernReturn::SEND_INVALID_DEST));
    assert_eq!(time(host), Err(KernReturn::INVALID_ARGUMENT));
    assert_eq!(time(MACH_PORT_NULL), Err(KernReturn::SEND_INVALID_DEST));
    for name in [host, system, system, calendar] {
        deallocate(name);
    }
}
