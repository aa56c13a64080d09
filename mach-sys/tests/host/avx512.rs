//! AVX-512 registers of a thread that waits in an exception, read and written by flavor (A4.2).

use crate::flavors::{VICTIM, get, set};
use crate::isolated::report_skipped;
use crate::support::{OwnStack, isolated, on_raw_thread, test_name};
use mach_sys::kern_return::KernReturn;
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{ThreadState, x86_AVX512_STATE64, x86_avx512_state64_t};
use port_server::{Fault, Server};
use std::sync::atomic::Ordering;

// `f(from, to)`: loads k3, zmm3 and zmm19, a mask register and two vector registers whose parts are in different components, executes
// one undefined instruction, and stores them. All are the callee's to change.
core::arch::global_asm!(
    ".globl test_avx512_round",
    "test_avx512_round:",
    "kmovq k3, [rdi]",
    "vmovdqu64 zmm3, [rdi + 8]",
    "vmovdqu64 zmm19, [rdi + 72]",
    "ud2",
    "kmovq [rsi], k3",
    "vmovdqu64 [rsi + 8], zmm3",
    "vmovdqu64 [rsi + 72], zmm19",
    "vzeroupper",
    "ret",
);

unsafe extern "C" {
    fn test_avx512_round(from: *const u8, to: *mut u8);
}

/// Faults with values in the three registers. Returns the values afterwards.
///
/// # Safety
/// The processor has AVX-512 with BW.
unsafe fn fault_with(values: &[u8; 136]) -> [u8; 136] {
    let mut after = [0; 136];
    // SAFETY: both arrays have all the bytes; the server skips the undefined instruction; the processor has the instructions (caller's
    // promise).
    unsafe { test_avx512_round(values.as_ptr(), after.as_mut_ptr()) };
    after
}

/// Returns the parts of the three registers in a state, in the order of the values.
fn parts(state: &mut x86_avx512_state64_t) -> [&mut [u8]; 5] {
    use mach_sys::pod::bytes_of_mut;
    [
        bytes_of_mut(&mut state.fpu_k[3]),
        bytes_of_mut(&mut state.fpu_xmm[3]),
        bytes_of_mut(&mut state.fpu_ymmh[3]),
        bytes_of_mut(&mut state.fpu_zmmh[3]),
        bytes_of_mut(&mut state.fpu_zmm[3]),
    ]
}

isolated! {
    fn a4_2_avx512_is_read_and_written_whatever_was_in_it() {
        if !std::is_x86_feature_detected!("avx512bw") {
            return report_skipped(test_name!(a4_2_avx512_is_read_and_written_whatever_was_in_it), "this processor has no AVX-512");
        }
        let server = Server::start(Vec::new(), |all: &mut Vec<Vec<u8>>, fault: Fault, state| {
            let (outcome, words) = get(x86_AVX512_STATE64, 611);
            assert_eq!(outcome, KernReturn::SUCCESS);
            let mut vectors = x86_avx512_state64_t::from_words(&words).expect("611 words");
            all.push(parts(&mut vectors).concat());
            for byte in parts(&mut vectors).into_iter().flatten() {
                *byte ^= 0xff;
            }
            assert_eq!(set(x86_AVX512_STATE64, vectors.as_words()), KernReturn::SUCCESS);
            crate::faults::skip(fault.exception, state);
            true
        });
        server.route_task();
        let values: [[u8; 136]; 3] = [[0; 136], [0xa5; 136], core::array::from_fn(|at| at as u8)];
        on_raw_thread(move || {
            let _own = OwnStack::register(0);
            let thread = ThreadRight::current().expect("the own thread");
            VICTIM.store(thread.name().raw(), Ordering::SeqCst);
            for value in &values {
                // SAFETY: the processor has the instructions.
                let after = unsafe { fault_with(value) };
                assert_eq!(after, value.map(|byte| byte ^ 0xff));
            }
        });
        assert_eq!(server.stop(), values.map(Vec::from));
    }
}
