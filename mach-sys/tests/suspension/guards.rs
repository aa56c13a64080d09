//! Exceptions that misused ports raise, as `Config::guards` says (A13).

use crate::support::{Handler, Name};
use mach_sys::emulated::take_guard;
use mach_sys::exception::{EXC_GUARD, EXC_MASK_GUARD, GuardCode, GuardType, PortGuardFlavor};
use mach_sys::info::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, GuardPolicy, system::task_self};
use mach_sys::message::{MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_RCV_MSG, MACH_RCV_TIMEOUT};
use mach_sys::port::{
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND,
};
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use test_support::isolated::{exit_status, isolated};

const ABSENT: Name = 0x4_b000 << 8 | 3;
/// No thread waits this long for something that comes.
const SOON: Duration = Duration::from_millis(200);

fn start(policy: GuardPolicy) {
    let mut config = Config::default();
    config.guards = policy;
    kernel::configure(config).expect("started");
}

fn allocate(right: u32) -> Name {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::mach_port_allocate(task_self(), right, &mut name) };
    assert_eq!(code, 0);
    name
}

/// Misuse of a name: what is called, the name, the call's own result, and the flavor of the guard.
type Misuse = (
    &'static str,
    fn(Name) -> i32,
    Name,
    KernReturn,
    PortGuardFlavor,
);

/// Misuse that raises an optional guard, by traps, by MIG routines, and by messages.
fn optional() -> Vec<Misuse> {
    let receive = allocate(MACH_PORT_RIGHT_RECEIVE);
    let dead = allocate(MACH_PORT_RIGHT_DEAD_NAME);
    let set = allocate(MACH_PORT_RIGHT_PORT_SET);
    let (mut once, mut kind) = (0, 0);
    // SAFETY: the results go to local variables.
    let made = unsafe {
        let task = task_self();
        kernel::mach_port_extract_right(
            task,
            receive,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            &mut once,
            &mut kind,
        )
    };
    assert_eq!(made, 0);
    // SAFETY: no pointers but those to local variables.
    unsafe {
        vec![
            (
                "deallocate of an absent name",
                |name| kernel::mach_port_deallocate(task_self(), name),
                ABSENT,
                KernReturn::INVALID_NAME,
                PortGuardFlavor::INVALID_NAME,
            ),
            (
                "deallocate of a receive right",
                |name| kernel::mach_port_deallocate(task_self(), name),
                receive,
                KernReturn::INVALID_RIGHT,
                PortGuardFlavor::INVALID_RIGHT,
            ),
            (
                "two references less than none",
                |name| kernel::mach_port_mod_refs(task_self(), name, MACH_PORT_RIGHT_DEAD_NAME, -2),
                dead,
                KernReturn::INVALID_VALUE,
                PortGuardFlavor::INVALID_VALUE,
            ),
            (
                "destroy of an absent name",
                |name| kernel::mach_port_destroy(task_self(), name),
                ABSENT,
                KernReturn::INVALID_NAME,
                PortGuardFlavor::INVALID_NAME,
            ),
            (
                "a send right's reference for a set",
                |name| kernel::mach_port_mod_refs(task_self(), name, MACH_PORT_RIGHT_SEND, 1),
                set,
                KernReturn::INVALID_RIGHT,
                PortGuardFlavor::INVALID_RIGHT,
            ),
            (
                "a receive from a send-once right",
                |name| {
                    let (mut buffer, options) = ([0_u32; 64], MACH_RCV_MSG | MACH_RCV_TIMEOUT);
                    kernel::mach_msg(buffer.as_mut_ptr().cast(), options, 0, 256, name, 0, 0)
                },
                once,
                KernReturn::RCV_INVALID_NAME,
                PortGuardFlavor::RCV_INVALID_NAME,
            ),
        ]
    }
}

/// Answers guards on a thread of its own, and says what came: handled, or declined.
fn answer(handler: Handler, handled: bool) -> Receiver<(i32, GuardCode)> {
    let (say, said) = channel();
    std::thread::spawn(move || {
        loop {
            let Some(request) = handler.receive_within(Duration::from_secs(60)) else {
                return;
            };
            let (exception, [code, subcode]) = request.raised();
            let guard = GuardCode::decode(code, subcode);
            println!("raised: {guard}");
            // The test that does not listen looks at what is printed.
            let _ = say.send((exception, guard));
            let state = handled.then_some(&request.state);
            assert_eq!(handler.reply(&request, state), KernReturn::SUCCESS);
        }
    });
    said
}

/// Misuses the names, and asserts each call's result and guard.
fn misuse_all(said: Option<&Receiver<(i32, GuardCode)>>) {
    for (what, call, name, result, flavor) in optional() {
        let _ = take_guard();
        assert_eq!(KernReturn::new(call(name)), result, "{what}");
        let expected = GuardCode {
            kind: GuardType::MACH_PORT,
            flavor: flavor.raw(),
            target: name,
            payload: 0,
        };
        if let Some(said) = said {
            // It was raised before the call returned.
            assert_eq!(said.try_recv(), Ok((EXC_GUARD, expected)), "{what}");
        }
        assert_eq!(take_guard(), Some(expected), "{what}");
    }
}

/// A13.1: before the call returns. A13.6: an optional guard changes nothing else, whatever the handler says.
#[test]
fn a13_1_a13_6_an_optional_guard_is_raised_before_the_call_returns_and_changes_nothing() {
    isolated(
        "guards::a13_1_a13_6_an_optional_guard_is_raised_before_the_call_returns_and_changes_nothing",
        || {
            start(GuardPolicy::Deliver);
            misuse_all(None);
            for handled in [true, false] {
                std::thread::spawn(move || {
                    let handler = Handler::new();
                    handler.route_thread(EXC_MASK_GUARD);
                    let said = answer(handler, handled);
                    misuse_all(Some(&said));
                })
                .join()
                .expect("it went on");
            }
            let handler = Handler::new();
            handler.route_task(EXC_MASK_GUARD);
            let said = answer(handler, true);
            misuse_all(Some(&said));
        },
    );
}

/// A13.7: off and recorded, nothing is raised.
#[test]
fn a13_7_off_and_recorded_nothing_is_raised() {
    const NAME: &str = "guards::a13_7_off_and_recorded_nothing_is_raised";
    isolated(NAME, || {
        // What the first policy leaves is no matter for the second: the emulation starts again.
        start(GuardPolicy::Off);
        let handler = Handler::new();
        handler.route_thread(EXC_MASK_GUARD);
        for (what, call, name, result, _) in optional() {
            assert_eq!(KernReturn::new(call(name)), result, "{what}");
            assert_eq!(take_guard(), None, "{what}");
        }
        assert!(handler.receive_within(SOON).is_none());
        drop(handler);
        // SAFETY: no other thread makes kernel calls, and nothing of the emulation's is used afterwards.
        unsafe { kernel::stop() }.expect("stopped");
        start(GuardPolicy::Record);
        let handler = Handler::new();
        handler.route_thread(EXC_MASK_GUARD);
        misuse_all(None);
        assert!(handler.receive_within(SOON).is_none());
    });
}

/// Asserts that a guard which is always fatal ends the process.
fn assert_fatal(name: &str, handled: Option<bool>) {
    let ended = exit_status(name, || {
        start(GuardPolicy::Deliver);
        if let Some(handled) = handled {
            let handler = Handler::new();
            handler.route_thread(EXC_MASK_GUARD);
            drop(answer(handler, handled));
        }
        let port = allocate(MACH_PORT_RIGHT_RECEIVE);
        // SAFETY: no pointers.
        let code = unsafe { kernel::mach_port_unguard(task_self(), port, 1) };
        panic!("it returned {code}");
    });
    let Some((status, text)) = ended else {
        return;
    };
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{text}");
    assert!(!text.contains("did not end within"), "{text}");
    let flavor = PortGuardFlavor::UNGUARDED;
    let told = text.contains(&format!("raised: {flavor} on port"));
    assert_eq!(told, handled.is_some(), "{text}");
}

/// A13.5: a handler is told, and changes nothing.
#[test]
fn a13_5_a_fatal_guard_ends_the_process_that_handles_it() {
    let name = "guards::a13_5_a_fatal_guard_ends_the_process_that_handles_it";
    assert_fatal(name, Some(true));
}

#[test]
fn a13_5_a_fatal_guard_ends_the_process_that_declines_it() {
    let name = "guards::a13_5_a_fatal_guard_ends_the_process_that_declines_it";
    assert_fatal(name, Some(false));
}

#[test]
fn a0_3_a13_5_a_fatal_guard_ends_the_process_without_a_handler() {
    let name = "guards::a0_3_a13_5_a_fatal_guard_ends_the_process_without_a_handler";
    assert_fatal(name, None);
}

fn behavior() -> u32 {
    let mut behavior = u32::MAX;
    // SAFETY: the result goes to a local variable.
    let code = unsafe { kernel::task_get_exc_guard_behavior(task_self(), &mut behavior) };
    assert_eq!(code, 0);
    behavior
}

fn set_behavior(behavior: u32) -> KernReturn {
    // SAFETY: no pointers.
    KernReturn::new(unsafe { kernel::task_set_exc_guard_behavior(task_self(), behavior) })
}

/// A13.6: as on a release kernel.
#[test]
fn a13_6_a_tasks_behavior_can_only_get_stricter() {
    isolated(
        "guards::a13_6_a_tasks_behavior_can_only_get_stricter",
        || {
            start(GuardPolicy::Record);
            assert_eq!(behavior(), 0, "an ordinary process's");
            let refused = [
                (0x100, KernReturn::INVALID_VALUE),
                (TASK_EXC_GUARD_MP_ONCE, KernReturn::DENIED),
                (TASK_EXC_GUARD_VM_ONCE, KernReturn::DENIED),
            ];
            for (bits, code) in refused {
                assert_eq!(set_behavior(bits), code, "{bits:#x}");
                assert_eq!(behavior(), 0, "{bits:#x}");
            }
            for bits in [TASK_EXC_GUARD_MP_CORPSE | TASK_EXC_GUARD_VM_CORPSE, 0] {
                assert_eq!(set_behavior(bits), KernReturn::SUCCESS, "{bits:#x}");
                assert_eq!(behavior(), bits);
            }
            let mut all = 0;
            for bit in [
                TASK_EXC_GUARD_MP_DELIVER,
                TASK_EXC_GUARD_MP_FATAL,
                TASK_EXC_GUARD_VM_DELIVER,
                TASK_EXC_GUARD_VM_FATAL,
            ] {
                all |= bit;
                assert_eq!(set_behavior(all), KernReturn::SUCCESS, "{bit:#x}");
                for less in [0, all & !bit, TASK_EXC_GUARD_MP_CORPSE | all & !bit] {
                    assert_eq!(set_behavior(less), KernReturn::DENIED, "{less:#x}");
                }
                assert_eq!(behavior(), all);
            }
            let port = allocate(MACH_PORT_RIGHT_RECEIVE);
            for (task, code) in [
                (0, KernReturn::SEND_INVALID_DEST),
                (ABSENT, KernReturn::SEND_INVALID_DEST),
                (port, KernReturn::SEND_INVALID_DEST),
                (mach_host_port(), KernReturn::INVALID_TASK),
            ] {
                // SAFETY: the result goes to a local variable.
                let (got, set) = unsafe {
                    (
                        kernel::task_get_exc_guard_behavior(task, &mut 0),
                        kernel::task_set_exc_guard_behavior(task, 0xff),
                    )
                };
                assert_eq!([got, set].map(KernReturn::new), [code; 2], "{task:#x}");
            }
            assert_eq!(behavior(), all);
        },
    );
}

fn mach_host_port() -> Name {
    // SAFETY: no arguments.
    unsafe { kernel::mach_host_self() }
}

/// A13.6: the program itself asks for the optional guards. Those that are fatal in each process stay with the configuration.
#[test]
fn a13_6_a_program_that_asks_for_guards_gets_them() {
    isolated(
        "guards::a13_6_a_program_that_asks_for_guards_gets_them",
        || {
            start(GuardPolicy::Record);
            assert_eq!(set_behavior(TASK_EXC_GUARD_MP_DELIVER), KernReturn::SUCCESS);
            let handler = Handler::new();
            handler.route_thread(EXC_MASK_GUARD);
            let said = answer(handler, false);
            misuse_all(Some(&said));
            let port = allocate(MACH_PORT_RIGHT_RECEIVE);
            // SAFETY: no pointers.
            let code = unsafe { kernel::mach_port_unguard(task_self(), port, 1) };
            assert_eq!(KernReturn::new(code), KernReturn::INVALID_ARGUMENT);
            let guard = take_guard().expect("recorded");
            assert_eq!(guard.flavor, PortGuardFlavor::UNGUARDED.raw());
            assert!(said.recv_timeout(SOON).is_err());
        },
    );
}

/// A13.6: an optional guard ends the process if the task's behavior has `MP_FATAL`, after the handlers of it were asked.
#[test]
fn a13_6_an_optional_guard_is_fatal_where_the_task_says_so() {
    let name = "guards::a13_6_an_optional_guard_is_fatal_where_the_task_says_so";
    let ended = exit_status(name, || {
        start(GuardPolicy::Record);
        let handler = Handler::new();
        handler.route_thread(EXC_MASK_GUARD);
        drop(answer(handler, true));
        let corpse = TASK_EXC_GUARD_MP_FATAL | TASK_EXC_GUARD_MP_CORPSE;
        // Without delivery nothing is fatal.
        assert_eq!(set_behavior(corpse), KernReturn::SUCCESS);
        // SAFETY: no pointers.
        let code = unsafe { kernel::mach_port_deallocate(task_self(), ABSENT) };
        assert_eq!(KernReturn::new(code), KernReturn::INVALID_NAME);
        let all = TASK_EXC_GUARD_MP_DELIVER | corpse;
        assert_eq!(set_behavior(all), KernReturn::SUCCESS);
        // SAFETY: no pointers.
        let code = unsafe { kernel::mach_port_deallocate(task_self(), ABSENT) };
        panic!("it returned {code}");
    });
    let Some((status, text)) = ended else {
        return;
    };
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{text}");
    assert_eq!(text.matches("raised: ").count(), 1, "{text}");
    assert!(!text.contains("did not end within"), "{text}");
}
