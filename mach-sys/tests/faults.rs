//! Real faults of real threads, over the raw kernel calls: one exception port, one server loop, no crate above mach-sys.
#![allow(unsafe_code)]

use mach_sys::exception::{
    EXC_MASK_BAD_ACCESS, EXC_MASK_BAD_INSTRUCTION, EXC_MASK_BREAKPOINT, EXCEPTION_STATE,
    MACH_EXCEPTION_CODES,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::message::{MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{self, Accept, ReplyTo};
use mach_sys::rights::{ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};

/// Serves exceptions on a port until an empty message comes: what `answer` makes of the state is the thread's new one.
fn serve(port: &ReceiveRight, mut answer: impl FnMut(i32, [i64; 2], &mut NativeState) -> bool) {
    system::enter_server_thread();
    let mut request = [0_u32; 2048];
    let mut reply = [0_u32; 2048];
    loop {
        // SAFETY: the buffer is valid for its size.
        let outcome = unsafe {
            kernel::mach_msg(
                request.as_mut_ptr().cast(),
                MACH_RCV_MSG,
                0,
                size_of_val(&request) as u32,
                port.name().raw(),
                0,
                0,
            )
        };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
        if request[5] == 1 {
            return;
        }
        let size = request[1] as usize;
        let bytes = &mach_sys::pod::word_bytes(&request)[..size];
        let decoded = mig::decode(bytes, Accept::Both).expect("a good request");
        let [code, subcode] = *decoded.codes() else {
            panic!("two codes");
        };
        let codes = [code, subcode];
        let mut state: NativeState = decoded.state().expect("the native state");
        let to = ReplyTo::request(&decoded);
        let handled = answer(decoded.exception().raw(), codes, &mut state);
        let out = mach_sys::pod::word_bytes_mut(&mut reply);
        let size = if handled {
            to.encode_state(out, NativeState::FLAVOR, state.as_words())
        } else {
            to.encode_status(out, KernReturn::FAILURE)
        };
        let size = size.expect("room for a reply") as u32;
        // SAFETY: the buffer holds a message of that size.
        let outcome =
            unsafe { kernel::mach_msg(reply.as_mut_ptr().cast(), MACH_SEND_MSG, size, 0, 0, 0, 0) };
        assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
    }
}

fn stop(port: &ReceiveRight) {
    let send = port.make_send().expect("a send right");
    let mut message = [19, 24, send.name().raw(), 0, 0, 1_u32];
    // SAFETY: the buffer holds a message of that size.
    let outcome =
        unsafe { kernel::mach_msg(message.as_mut_ptr().cast(), MACH_SEND_MSG, 24, 0, 0, 0, 0) };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
}

fn route(port: &ReceiveRight, mask: u32) {
    let send = port.make_send().expect("a send right");
    let thread = ThreadRight::current().expect("the own thread");
    // SAFETY: no pointers.
    let outcome = unsafe {
        kernel::thread_set_exception_ports(
            thread.name().raw(),
            mask,
            send.name().raw(),
            EXCEPTION_STATE | MACH_EXCEPTION_CODES,
            NativeState::FLAVOR,
        )
    };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
}

#[cfg(target_arch = "x86_64")]
fn undefined_instruction() {
    // SAFETY: the handler skips the two bytes.
    unsafe { core::arch::asm!("ud2") };
}

#[cfg(target_arch = "aarch64")]
fn undefined_instruction() {
    // SAFETY: the handler skips the instruction.
    unsafe { core::arch::asm!("udf #0") };
}

const UNDEFINED_LENGTH: u64 = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

#[test]
fn a1_1_an_undefined_instruction_is_skipped_by_a_server() {
    let port = ReceiveRight::new().expect("a port");
    let seen = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut seen = Vec::new();
            serve(&port, |exception, codes, state| {
                seen.push((exception, codes[0]));
                state.set_pc(state.pc() + UNDEFINED_LENGTH);
                true
            });
            seen
        });
        let faulting = scope.spawn(|| {
            route(&port, EXC_MASK_BAD_INSTRUCTION);
            for _ in 0..100 {
                undefined_instruction();
            }
        });
        faulting.join().expect("the thread went on");
        stop(&port);
        server.join().expect("the server ended")
    });
    assert_eq!(seen, vec![(2, 1); 100]);
}

#[test]
fn a12_10_a_bad_access_brings_its_address() {
    let port = ReceiveRight::new().expect("a port");
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            serve(&port, |exception, codes, state| {
                assert_eq!(exception, 1);
                assert_eq!(codes, [1, 0x18]);
                let length = if cfg!(target_arch = "x86_64") { 3 } else { 4 };
                state.set_pc(state.pc() + length);
                true
            });
        });
        let faulting = scope.spawn(|| {
            route(&port, EXC_MASK_BAD_ACCESS | EXC_MASK_BREAKPOINT);
            for _ in 0..10 {
                let address = 0x18_usize;
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the handler skips the instruction.
                unsafe {
                    core::arch::asm!("mov [rax], rcx", in("rax") address, in("rcx") 1_usize);
                }
                #[cfg(target_arch = "aarch64")]
                // SAFETY: the handler skips the instruction.
                unsafe {
                    core::arch::asm!("str x1, [x0]", in("x0") address, in("x1") 1_usize);
                }
            }
        });
        faulting.join().expect("the thread went on");
        stop(&port);
        server.join().expect("the server ended");
    });
}
