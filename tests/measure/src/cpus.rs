//! Pins the faulting thread and the threads that serve it.

use core::cell::Cell;
use core_affinity::CoreId;
use std::sync::OnceLock;

static SERVER: OnceLock<CoreId> = OnceLock::new();

/// Pins the calling thread to the first CPU, and the threads that will call [`pin_server`] to the second. Returns `false`, and pins
/// nothing, if there is only one.
#[must_use]
pub fn apart() -> bool {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let [first, second, ..] = *cpus else {
        return false;
    };
    SERVER.get_or_init(|| second);
    core_affinity::set_for_current(first)
}

/// Pins the calling thread to the first CPU, with all threads that it starts and all that will call [`pin_server`].
pub fn together() {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(&first) = cpus.first() {
        SERVER.get_or_init(|| first);
        core_affinity::set_for_current(first);
    }
}

/// Pins the calling thread to the servers' CPU, the first time that it calls this.
pub fn pin_server() {
    thread_local! {
        static PINNED: Cell<bool> = const { Cell::new(false) };
    }
    if !PINNED.with(|pinned| pinned.replace(true)) {
        if let Some(&cpu) = SERVER.get() {
            core_affinity::set_for_current(cpu);
        }
    }
}
