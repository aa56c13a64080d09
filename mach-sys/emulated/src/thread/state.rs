//! Registers by flavor: what `thread_get_state`, `thread_set_state` and the state-carrying exceptions read and write (A4).
//!
//! Flavors of 32-bit threads, and of registers that no system's signal frame has, are answered as unsupported ones,
//! `KERN_INVALID_ARGUMENT` (G2.5).

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod words;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

use crate::host::context::Context;
use mach_wire::kern_return::KernReturn;
use mach_wire::thread_state::Flavor;
use words::Out;

/// Returns whether exception ports may be registered with a flavor (B2.4). `THREAD_STATE_NONE` may.
pub(crate) fn is_registrable(flavor: Flavor) -> bool {
    machine::REGISTRABLE.contains(&flavor.raw)
}

/// Reads a state; `count` becomes its number of words.
pub(crate) fn get(
    context: &Context,
    flavor: Flavor,
    words: &mut [u32],
    count: &mut u32,
) -> Result<(), KernReturn> {
    machine::get(context, flavor.raw, &mut Out { words, count })
}

/// Writes a state. Refused states change nothing.
pub(crate) fn set(context: &mut Context, flavor: Flavor, words: &[u32]) -> Result<(), KernReturn> {
    machine::set(context, flavor.raw, words)
}

/// Writes the state of a reply to a hardened handler, to which a state of the flavor `sent` went (A4.12): of the general registers arm64 takes
/// the program counter only.
pub(crate) fn set_hardened(
    context: &mut Context,
    sent: Flavor,
    flavor: Flavor,
    words: &[u32],
) -> Result<(), KernReturn> {
    machine::set_hardened(context, sent.raw, flavor.raw, words)
}
