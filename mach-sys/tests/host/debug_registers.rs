//! Debug registers of x86_64, read and written by flavor.

use crate::flavors::{get, set, while_it_waits};
use crate::support::isolated;
use mach_sys::kern_return::KernReturn;
use mach_sys::thread_state::{ThreadState, x86_DEBUG_STATE64, x86_debug_state64_t};

const SUCCESS: KernReturn = KernReturn::SUCCESS;
const INVALID: KernReturn = KernReturn::INVALID_ARGUMENT;

isolated! {
    fn a9_7_debug_registers_are_refused_as_xnu_does_and_none_is_enabled() {
        while_it_waits(|| {
            let (outcome, words) = get(x86_DEBUG_STATE64, 16);
            assert_eq!((outcome, words), (SUCCESS, vec![0; 16]));
            let unsupported = KernReturn::NOT_SUPPORTED;
            let beyond = 0x7fff_ffff_f000;
            for (dr0, dr7, expected) in [
                (0, 0, SUCCESS),
                (0x1000, 0x400, SUCCESS),
                (0x1000, 0x401, unsupported),
                (0x1000, 0x1_0001, unsupported),
                (0x1000, 0xd_0001, unsupported),
                (beyond - 1, 1, unsupported),
                (beyond, 1, INVALID),
                (beyond, 0, SUCCESS),
                // On input and output; on the execution of four bytes; for all threads.
                (0x1000, 0x2_0000, INVALID),
                (0x1000, 0xc_0000, INVALID),
                (0x1000, 2, INVALID),
                (0x1000, 0x80, INVALID),
            ] {
                let state = x86_debug_state64_t { dr0, dr7, ..x86_debug_state64_t::default() };
                assert_eq!(set(x86_DEBUG_STATE64, state.as_words()), expected, "dr0 {dr0:#x}, dr7 {dr7:#x}");
            }
            assert_eq!(set(x86_DEBUG_STATE64, &[]), SUCCESS, "missing words are zero");
        });
    }
}
