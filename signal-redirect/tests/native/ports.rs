//! The same redirects served as they are meant to be: by another thread, over an exception port, on whatever kernel this is.

use core::sync::atomic::Ordering::Relaxed;

use mach_sys::exception::{EXCEPTION_STATE, ExceptionMask, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::pod::{word_bytes, word_bytes_mut};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use signal_redirect::{Arch, Fault, Frame, Native, OwnMemory, Redirect};

use crate::child::in_child;
use crate::handlers::*;
use crate::machine::{self, Registers};
use crate::{plan, server};

/// What the server did: threads sent to their handler, threads brought back, the depths of their frames.
#[derive(Default)]
struct Served {
    redirects: usize,
    returns: usize,
    deepest: u32,
}

fn message(buffer: &mut [u32], option: i32, send: usize, receive: usize, port: u32) {
    // SAFETY: the buffer is valid for the sizes, both of which are its own or less.
    let code = unsafe {
        kernel::mach_msg(
            buffer.as_mut_ptr().cast(),
            option,
            send as u32,
            receive as u32,
            port,
            0,
            0,
        )
    };
    assert_eq!(KernReturn::check(code), Ok(()));
}

/// Serves until an empty message comes.
fn serve(port: &ReceiveRight, plan: &Redirect) -> Served {
    system::enter_server_thread();
    let mut served = Served::default();
    let mut innermost: Option<Frame> = None;
    let mut frames = Vec::new();
    // SAFETY: the one thread that is routed here is stopped while it is served, and only its stack is written to.
    let mut memory = unsafe { OwnMemory::new() };
    let mut request = [0u32; 2048];
    let mut reply = [0u32; 2048];
    loop {
        let room = size_of_val(&request);
        message(&mut request, MACH_RCV_MSG, 0, room, port.name().raw());
        let size = request[1] as usize;
        if size == 24 {
            return served;
        }
        let decoded = mig::decode(&word_bytes(&request)[..size], Accept::Both).unwrap();
        let state: NativeState = decoded.state().unwrap();
        let new = match server::trampoline()
            .return_from(&state, &mut memory)
            .unwrap()
        {
            Some(resumed) => {
                served.returns += 1;
                assert_eq!(Some(resumed.frame), innermost.as_ref().map(Frame::name));
                innermost = frames.pop().unwrap();
                assert_eq!(resumed.outer, innermost.as_ref().map(Frame::name));
                resumed.state
            }
            None => {
                served.redirects += 1;
                let fault = Fault::new(decoded.exception(), decoded.codes()[0], decoded.codes()[1]);
                let plan = plan.clone().inside(innermost.as_ref().map(Frame::name));
                let (entered, frame) = plan.apply(&state, &fault, &mut memory).unwrap();
                served.deepest = served.deepest.max(frame.depth);
                frames.push(innermost.replace(frame));
                entered
            }
        };
        let to = ReplyTo::request(&decoded);
        let out = word_bytes_mut(&mut reply);
        let size = to
            .encode_state(out, NativeState::FLAVOR, new.as_words())
            .unwrap();
        message(&mut reply, MACH_SEND_MSG, size, 0, 0);
    }
}

/// Runs a thread whose exceptions are served with `plan`.
fn with_server(plan: &Redirect, body: impl FnOnce() + Send) -> Served {
    let port = ReceiveRight::new().unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&port, plan));
        let faulting = scope.spawn(|| {
            let send = port.make_send().unwrap();
            let thread = ThreadRight::current().unwrap();
            let mask = ExceptionMask::BAD_INSTRUCTION | Native::RETURN_MASK;
            // SAFETY: no pointers.
            let code = unsafe {
                kernel::thread_set_exception_ports(
                    thread.name().raw(),
                    mask.bits(),
                    send.name().raw(),
                    EXCEPTION_STATE | MACH_EXCEPTION_CODES,
                    NativeState::FLAVOR,
                )
            };
            assert_eq!(KernReturn::check(code), Ok(()));
            body();
        });
        let outcome = faulting.join();
        // An empty message: COPY_SEND, to the port, no reply port, id 1.
        let send = port.make_send().unwrap();
        let mut stop = [19, 24, send.name().raw(), 0, 0, 1];
        message(&mut stop, MACH_SEND_MSG, 24, 0, 0);
        let served = serving.join();
        outcome.unwrap();
        served.unwrap()
    })
}

#[test]
fn every_register_survives_a_redirect_over_a_port() {
    in_child(
        "ports::every_register_survives_a_redirect_over_a_port",
        || {
            let served = with_server(&plan(trashing_handler), || {
                for seed in 0..200 {
                    let given = Registers::patterned(seed);
                    given.assert_same(&machine::run(&given));
                }
            });
            assert_eq!((served.redirects, served.returns), (200, 200));
        },
    );
}

#[test]
fn nested_redirects_over_a_port() {
    in_child("ports::nested_redirects_over_a_port", || {
        let served = with_server(&plan(nesting_handler), || {
            let given = Registers::patterned(1);
            given.assert_same(&machine::run(&given));
        });
        assert_eq!(
            (served.redirects, served.returns),
            (1 + NESTING, 1 + NESTING)
        );
        assert_eq!(served.deepest as usize, NESTING);
    });
}

#[test]
fn edits_and_the_floating_point_environment_over_a_port() {
    in_child(
        "ports::edits_and_the_floating_point_environment_over_a_port",
        || {
            with_server(&plan(editing_handler), || {
                let given = Registers::patterned(4);
                given.with_edits().assert_same(&machine::run(&given));
            });
            with_server(&plan(computing_handler), || {
                for seed in 0..6 {
                    let given = Registers::hostile_environment(seed);
                    given.assert_same(&machine::run(&given));
                }
            });
        },
    );
}

/// Pages of the test's own that nothing may touch.
fn guard() -> (u64, u64) {
    let size = 1 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, given to nobody.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    (base as u64, size as u64)
}

/// The server writes to a stack that is none, and does not fault: the thread goes to its emergency stack.
#[test]
fn bad_stack_pointers_over_a_port() {
    in_child("ports::bad_stack_pointers_over_a_port", || {
        let mut stack = vec![0u8; 64 * 1024];
        let base = stack.as_mut_ptr() as u64;
        let emergency = base..base + stack.len() as u64;
        let (guard, size) = guard();
        let plan = plan(stack_mending_handler).emergency(emergency.clone());
        let pointers = [
            0,
            64,
            0x1000,
            guard + size / 2,
            guard + 256,
            1 << 46,
            1 << 60,
            !15,
        ];
        let served = with_server(&plan, || {
            for (seed, sp) in pointers.into_iter().enumerate() {
                let given = Registers::patterned(seed as u64);
                given.assert_same(&machine::run_with_stack_pointer(&given, sp));
                assert_eq!(SEEN_SP.load(Relaxed), sp);
                assert!(emergency.contains(&LOCAL.load(Relaxed)));
            }
        });
        assert_eq!(served.returns, pointers.len());
    });
}
