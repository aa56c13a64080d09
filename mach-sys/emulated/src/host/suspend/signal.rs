//! The suspension signal: a real-time signal that no other component uses.

use crate::host::entry;
use crate::host::sys::mask::{self, HANDLER_MASK};
use crate::host::sys::{signals, task_status};

/// The first signal that is tried, in the middle of the real-time signals: components that take one count from either end.
const FIRST: i32 = 50;
/// Last real-time signal that every processor emulator has.
const LAST: i32 = 60;
/// First real-time signal after those that C libraries keep to themselves.
const LOWEST: i32 = 36;

/// Takes a signal: the wanted one, or the first without a handler. Where none is free threads are not reached.
pub(in crate::host) fn take(wanted: Option<i32>) {
    let candidates = (FIRST..=LAST).chain(LOWEST..FIRST);
    let chosen = wanted.or_else(|| {
        candidates
            .into_iter()
            .find(|signal| signals::is_default(*signal))
    });
    let Some(signal) = chosen else {
        return;
    };
    if signals::install(signal, entry::address(0), HANDLER_MASK) {
        mask::set_suspension(signal);
        task_status::find_numbers(signal);
    }
}

/// Gives the signal back: its default action, unless another component installed a handler meanwhile.
pub(in crate::host) fn give_back() {
    let signal = mask::suspension();
    if signal != 0 {
        if is_intact() {
            signals::reset(signal);
        }
        mask::set_suspension(0);
    }
}

/// Returns whether the signal still has the emulation's handler.
pub(super) fn is_intact() -> bool {
    signals::handler(mask::suspension()) == Some(entry::address(0))
}
