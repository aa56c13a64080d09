//! AVX registers of a thread that waits in an exception, read and written by flavor (R19, A4.2, A9.3).

use crate::isolated::report_skipped;
use crate::support::{OwnStack, isolated, on_raw_thread, test_name};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system};
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{ThreadState, x86_AVX_STATE64, x86_avx_state64_t};
use port_server::Server;
use std::sync::atomic::{AtomicU32, Ordering};

static VICTIM: AtomicU32 = AtomicU32::new(0);

fn get() -> x86_avx_state64_t {
    let mut state = x86_avx_state64_t::default();
    let count = system::read_thread_state(
        VICTIM.load(Ordering::SeqCst),
        x86_AVX_STATE64,
        state.as_words_mut(),
    );
    assert_eq!(count, Ok(x86_avx_state64_t::COUNT as usize));
    state
}

fn set(state: &x86_avx_state64_t) {
    // SAFETY: the state has as many words as the count says.
    let outcome = unsafe {
        kernel::thread_set_state(
            VICTIM.load(Ordering::SeqCst),
            x86_AVX_STATE64,
            core::ptr::from_ref(state).cast(),
            x86_avx_state64_t::COUNT,
        )
    };
    assert_eq!(KernReturn::new(outcome), KernReturn::SUCCESS);
}

/// Faults with a value in ymm3 and everything else of AVX at zero, under an unusual MXCSR; answers ymm3 and MXCSR afterwards.
fn fault_with(value: [u8; 32]) -> ([u8; 32], u32) {
    let mut after = [0_u8; 32];
    let (unusual, usual) = (0x7f80_u32, 0x1f80_u32);
    let mut control = 0_u32;
    // SAFETY: the server skips the undefined instruction; MXCSR is the usual one again at the end.
    unsafe {
        core::arch::asm!(
            "vzeroall",
            "ldmxcsr [{unusual}]",
            "vmovdqu ymm3, [{value}]",
            "ud2",
            "vmovdqu [{after}], ymm3",
            "stmxcsr [{control}]",
            "ldmxcsr [{usual}]",
            "vzeroupper",
            value = in(reg) value.as_ptr(),
            after = in(reg) after.as_mut_ptr(),
            unusual = in(reg) &unusual,
            usual = in(reg) &usual,
            control = in(reg) &mut control,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
        );
    }
    (after, control)
}

isolated! {
    fn r19_upper_halves_are_read_and_written_whatever_was_in_them() {
        if !std::is_x86_feature_detected!("avx") {
            return report_skipped(test_name!(r19_upper_halves_are_read_and_written_whatever_was_in_them), "this processor has no AVX");
        }
        let server = Server::start(Vec::new(), |seen: &mut Vec<u128>, fault, state| {
            let mut vectors = get();
            let word = |bytes: [u8; 16]| u128::from_le_bytes(bytes);
            let bytes = |register: &_| -> [u8; 16] {
                mach_sys::pod::bytes_of(register).try_into().expect("16 bytes")
            };
            seen.push(word(bytes(&vectors.fpu_xmm[3])));
            seen.push(word(bytes(&vectors.fpu_ymmh[3])));
            seen.push(u128::from(vectors.fpu_mxcsr));
            for register in [&mut vectors.fpu_xmm[3], &mut vectors.fpu_ymmh[3]] {
                for byte in mach_sys::pod::bytes_of_mut(register) {
                    *byte ^= 0xff;
                }
            }
            set(&vectors);
            // The general registers come by the reply, and combine with that.
            crate::faults::skip(fault.exception, state);
            true
        });
        server.route_task();
        on_raw_thread(|| {
            let _own = OwnStack::register(0);
            let thread = ThreadRight::current().expect("the own thread");
            VICTIM.store(thread.name().raw(), Ordering::SeqCst);
            for value in [[0; 32], [0xa5; 32], core::array::from_fn(|index| index as u8)] {
                let (after, control) = fault_with(value);
                assert_eq!(after, value.map(|byte| byte ^ 0xff));
                assert_eq!(control & !0x3f, 0x7f80, "MXCSR");
            }
        });
        let seen = server.stop();
        let rising: [u8; 32] = core::array::from_fn(|index| index as u8);
        let half = |half: usize| {
            let bytes = rising[16 * half..16 * (half + 1)].try_into().expect("16 bytes");
            u128::from_le_bytes(bytes)
        };
        let same = u128::from_le_bytes([0xa5; 16]);
        assert_eq!(
            seen,
            [0, 0, 0x7f80, same, same, 0x7f80, half(0), half(1), 0x7f80]
        );
    }
}
