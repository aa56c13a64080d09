//! The main thread's stack: where XNU reserves it, whatever Linux has mapped of it (G1.7, A12.4).
#![allow(unsafe_code)]

use super::call::page_size;
use super::maps;
use core::sync::atomic::{AtomicU64, Ordering};

/// The largest stack that XNU gives a main thread by default.
const LARGEST: u64 = 64 << 20;

/// Its top; 0 if it is not known. Written at the start.
static TOP: AtomicU64 = AtomicU64::new(0);
/// Bytes below it without any other mapping on XNU.
static RESERVED: AtomicU64 = AtomicU64::new(LARGEST);

/// Finds it.
pub(in crate::host) fn find() {
    // The program's path is at the very top, above all frames.
    // SAFETY: no pointers.
    let inside = unsafe { libc::getauxval(libc::AT_EXECFN) } as u64;
    if inside == 0 {
        return;
    }
    let top = match maps::region_at_or_after(inside) {
        Ok(Some(region)) if region.addresses.contains(&inside) => region.addresses.end,
        _ => (inside | (page_size() as u64 - 1)) + 1,
    };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the result goes to a local variable.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) } == 0;
    if asked && limit.rlim_cur != libc::RLIM_INFINITY {
        let size = limit.rlim_cur.max(LARGEST).min(top);
        RESERVED.store(size, Ordering::Relaxed);
    }
    TOP.store(top, Ordering::Relaxed);
}

/// Returns whether an address is in the room that XNU reserves for the main thread's stack.
pub(in crate::host) fn is_reserved(address: u64) -> bool {
    is_below_top(address, RESERVED.load(Ordering::Relaxed))
}

/// Returns whether a bad access there is XNU's stack overflow: in the 64 MiB below the top, whatever the limit is.
pub(in crate::host) fn is_overflow(address: u64) -> bool {
    is_below_top(address, LARGEST)
}

fn is_below_top(address: u64, size: u64) -> bool {
    let top = TOP.load(Ordering::Relaxed);
    top != 0 && top > address && top - address <= size
}
