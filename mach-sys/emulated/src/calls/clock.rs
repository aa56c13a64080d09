//! Absolute time (`mach/mach_time.h`).

use super::target::put;
use crate::host;
use mach_wire::kern_return::KernReturn;
use mach_wire::types::{kern_return_t, mach_timebase_info_data_t};

pub unsafe fn mach_absolute_time() -> u64 {
    host::nanoseconds()
}

pub unsafe fn mach_timebase_info(info: *mut mach_timebase_info_data_t) -> kern_return_t {
    // SAFETY: the seam's contract: `info` is valid for a write.
    unsafe { put(info, mach_timebase_info_data_t { numer: 1, denom: 1 }) };
    KernReturn::SUCCESS.raw()
}
