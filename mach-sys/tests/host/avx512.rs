//! AVX-512 registers of a thread that waits in an exception, read and written by flavor (A4.2).

use crate::flavors::{VICTIM, get, set};
use crate::own_process::report_skipped;
use crate::server::{Fault, Server};
use crate::support::{OwnStack, isolated, on_raw_thread, test_name};
use mach_sys::kern_return::KernReturn;
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{ThreadState, x86_AVX512_STATE64, x86_avx512_state64_t};
use std::sync::atomic::Ordering;

/// Faults with values in a mask register and in two vector registers whose parts are in different components: k3, zmm3 and zmm19. Returns what is in them
/// afterwards.
#[target_feature(enable = "avx512f,avx512bw")]
fn fault_with(values: &[u8; 136]) -> [u8; 136] {
    let mut after = [0; 136];
    // SAFETY: both arrays have all the bytes; the server skips the undefined instruction.
    unsafe {
        core::arch::asm!(
            "kmovq k3, [{from}]",
            "vmovdqu64 zmm3, [{from} + 8]",
            "vmovdqu64 zmm19, [{from} + 72]",
            "ud2",
            "kmovq [{to}], k3",
            "vmovdqu64 [{to} + 8], zmm3",
            "vmovdqu64 [{to} + 72], zmm19",
            "vzeroupper",
            from = in(reg) values.as_ptr(),
            to = in(reg) after.as_mut_ptr(),
            out("k3") _, out("zmm3") _, out("zmm19") _,
        );
    }
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
