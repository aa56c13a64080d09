//! Hardened exception handlers (B8), as WebKit sets them.
#![allow(unsafe_code)]

use mach_sys::exception::*;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, KERNEL, Kernel, system::task_self};
use mach_sys::port::{
    MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_SEND, MPO_EXCEPTION_PORT, MPO_INSERT_SEND_RIGHT,
    mach_port_options_t,
};
use mach_sys::rights::{Name, ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use mach_sys::types::*;
use port_server::{serve, stop};
use test_support::instructions::{LENGTH, undefined};
use test_support::isolated::{isolated, report_skipped};

type Answer<T = ()> = Result<T, KernReturn>;

const MASK: exception_mask_t = EXC_MASK_BAD_INSTRUCTION | EXC_MASK_BREAKPOINT;
const BEHAVIOR: exception_behavior_t =
    EXCEPTION_STATE_IDENTITY_PROTECTED | MACH_EXCEPTION_CODES as exception_behavior_t;
const FLAVOR: thread_state_flavor_t = NativeState::FLAVOR;
/// A name beyond the largest table (C0.7).
const ABSENT: mach_port_name_t = 0x4_b000 << 8 | 3;

fn answer(code: kern_return_t) -> Answer {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

/// Makes a port with a send right.
fn port(flags: u32) -> mach_port_name_t {
    let mut options = mach_port_options_t {
        flags: flags | MPO_INSERT_SEND_RIGHT,
        ..mach_port_options_t::default()
    };
    let mut name = 0;
    // SAFETY: the results go to local variables.
    let code = unsafe { kernel::mach_port_construct(task_self(), &mut options, 0, &mut name) };
    assert_eq!(answer(code), Ok(()));
    name
}

fn register(
    task: mach_port_name_t,
    [mask, behavior, flavor]: [u32; 3],
    port: mach_port_name_t,
) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe {
        kernel::task_register_hardened_exception_handler(
            task,
            0,
            mask,
            behavior as i32,
            flavor as i32,
            port,
        )
    })
}

fn adopt(
    thread: mach_port_name_t,
    port: mach_port_name_t,
    [mask, behavior, flavor]: [u32; 3],
) -> Answer {
    // SAFETY: no pointers.
    answer(unsafe {
        kernel::thread_adopt_exception_handler(thread, port, mask, behavior as i32, flavor as i32)
    })
}

/// Returns the port, behavior and flavor of a thread for a mask.
fn actions(thread: mach_port_name_t, mask: exception_mask_t) -> Vec<(u32, u32, i32, i32)> {
    let (mut masks, mut ports, mut behaviors, mut flavors) = ([0; 14], [0; 14], [0; 14], [0; 14]);
    let mut count = 14;
    // SAFETY: each array has the room that the header asks for.
    let code = unsafe {
        kernel::thread_get_exception_ports(
            thread,
            mask,
            masks.as_mut_ptr(),
            &mut count,
            ports.as_mut_ptr(),
            behaviors.as_mut_ptr(),
            flavors.as_mut_ptr(),
        )
    };
    assert_eq!(answer(code), Ok(()));
    (0..count as usize)
        .map(|at| {
            if ports[at] != 0 {
                // SAFETY: no pointers; the reference came with the answer.
                unsafe { kernel::mach_port_deallocate(task_self(), ports[at]) };
            }
            (masks[at], ports[at], behaviors[at], flavors[at])
        })
        .collect()
}

fn send_references(name: mach_port_name_t) -> u32 {
    let mut count = 0;
    // SAFETY: the result goes to a local variable.
    unsafe { kernel::mach_port_get_refs(task_self(), name, MACH_PORT_RIGHT_SEND, &mut count) };
    count
}

const ALL: [u32; 3] = [MASK, BEHAVIOR as u32, FLAVOR as u32];

/// Returns whether the kernel may be asked: a task keeps its handler for good, so that each test is a process of its own.
fn may_try(test: &str) -> bool {
    if KERNEL == Kernel::Xnu {
        // A version without the calls, or a task that may not.
        let none = register(task_self(), ALL, MACH_PORT_NULL);
        if none == Err(KernReturn::NOT_SUPPORTED) {
            report_skipped(test, "this system has no hardened exception handlers");
            return false;
        }
    }
    true
}

#[test]
fn b8_1_a_task_registers_one_handler_for_its_threads() {
    isolated("b8_1_a_task_registers_one_handler_for_its_threads", || {
        let refused = Err(KernReturn::INVALID_ARGUMENT);
        let plain = port(0);
        assert_eq!(
            register(task_self(), ALL, plain),
            refused,
            "no exception port"
        );
        for (bad, error) in [
            (MACH_PORT_NULL, KernReturn::SEND_INVALID_DEST),
            (ABSENT, KernReturn::SEND_INVALID_DEST),
        ] {
            assert_eq!(register(bad, ALL, plain), Err(error));
        }
        let own = port(MPO_EXCEPTION_PORT);
        assert_eq!(
            register(task_self(), ALL, ABSENT),
            Err(KernReturn::SEND_INVALID_RIGHT)
        );
        // B2.1, B2.2, B2.4.
        for [mask, behavior, flavor] in [
            [1 << 31, BEHAVIOR as u32, FLAVOR as u32],
            [MASK, 0, FLAVOR as u32],
            [MASK, 77, FLAVOR as u32],
            [MASK, BEHAVIOR as u32, 9999],
        ] {
            assert_eq!(
                register(task_self(), [mask, behavior, flavor], own),
                refused
            );
        }
        if !may_try("b8_1_a_task_registers_one_handler_for_its_threads") {
            return;
        }
        let before = send_references(own);
        assert_eq!(register(task_self(), ALL, own), Ok(()));
        // The task has a right of its own.
        assert_eq!(send_references(own), before);
        assert_eq!(register(task_self(), ALL, own), refused, "a second one");
        assert_eq!(register(task_self(), ALL, MACH_PORT_NULL), refused);
        let thread = ThreadRight::current().expect("a thread");
        assert_eq!(register(thread.name().raw(), ALL, own), refused);
    });
}

#[test]
fn b8_2_a_thread_adopts_the_handler_of_its_task_and_no_other() {
    isolated(
        "b8_2_a_thread_adopts_the_handler_of_its_task_and_no_other",
        || {
            let thread = ThreadRight::current().expect("a thread");
            let name = thread.name().raw();
            let own = port(MPO_EXCEPTION_PORT);
            let denied = Err(KernReturn::DENIED);
            assert_eq!(adopt(name, own, ALL), denied, "nothing is registered");
            assert_eq!(adopt(name, MACH_PORT_NULL, ALL), denied);
            if !may_try("b8_2_a_thread_adopts_the_handler_of_its_task_and_no_other") {
                return;
            }
            assert_eq!(register(task_self(), ALL, own), Ok(()));
            assert_eq!(
                adopt(MACH_PORT_NULL, own, ALL),
                Err(KernReturn::SEND_INVALID_DEST)
            );
            assert_eq!(
                adopt(task_self(), own, ALL),
                Err(KernReturn::INVALID_ARGUMENT)
            );
            assert_eq!(
                adopt(name, ABSENT, ALL),
                Err(KernReturn::SEND_INVALID_RIGHT)
            );
            let other = port(MPO_EXCEPTION_PORT);
            assert_eq!(adopt(name, other, ALL), denied, "another port");
            // One bit more than is allowed.
            for extra in 0..3 {
                let mut wanted = ALL;
                wanted[extra] |= 1 << 20;
                assert_eq!(adopt(name, own, wanted), denied, "{extra}");
            }
            let references = [own, other].map(send_references);
            assert_eq!(references, [1, 1], "refused rights are released");
            let one = [EXC_MASK_BREAKPOINT, BEHAVIOR as u32, FLAVOR as u32];
            assert_eq!(adopt(name, own, one), Ok(()));
            let set = (EXC_MASK_BREAKPOINT, own, BEHAVIOR, FLAVOR);
            assert_eq!(actions(name, EXC_MASK_BREAKPOINT), [set]);
            assert_eq!(
                actions(name, EXC_MASK_BAD_INSTRUCTION),
                [(EXC_MASK_BAD_INSTRUCTION, 0, 0, 0)]
            );
            assert_eq!(adopt(name, MACH_PORT_NULL, one), Ok(()));
            assert_eq!(actions(name, EXC_MASK_BREAKPOINT)[0].1, MACH_PORT_NULL);
            // The registered port dies: what is registered is dead, and no other can be.
            assert_eq!(adopt(name, own, one), Ok(()));
            // SAFETY: no pointers.
            unsafe { kernel::mach_port_mod_refs(task_self(), own, MACH_PORT_RIGHT_RECEIVE, -1) };
            assert_eq!(adopt(name, MACH_PORT_NULL, one), Ok(()));
        },
    );
}

/// From the fault to the reply, with the messages that WebKit's server takes.
#[test]
fn b8_2_an_adopted_handler_gets_the_exception() {
    isolated("b8_2_an_adopted_handler_gets_the_exception", || {
        if !may_try("b8_2_an_adopted_handler_gets_the_exception") {
            return;
        }
        let own = port(MPO_EXCEPTION_PORT);
        assert_eq!(register(task_self(), ALL, own), Ok(()));
        let name = Name::new(own).expect("a name");
        // SAFETY: made above; nothing else releases the receive right.
        let receive = unsafe { ReceiveRight::from_name(name) };
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut seen = Vec::new();
                serve(&receive, |fault, state| {
                    seen.push(fault.exception);
                    state.set_pc(state.pc() + LENGTH);
                    true
                });
                seen
            });
            let faulting = scope.spawn(|| {
                let thread = ThreadRight::current().expect("a thread");
                assert_eq!(adopt(thread.name().raw(), own, ALL), Ok(()));
                undefined();
                undefined();
            });
            faulting.join().expect("the thread went on");
            stop(&receive);
            let seen = server.join().expect("the faults");
            assert_eq!(seen, [EXC_BAD_INSTRUCTION; 2]);
        });
    });
}
