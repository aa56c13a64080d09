//! Pins the faulting thread and the threads that serve it.

use core_affinity::CoreId;
use std::sync::OnceLock;

static OWN: OnceLock<CoreId> = OnceLock::new();
static SERVER: OnceLock<CoreId> = OnceLock::new();

/// Pins the calling thread to the first CPU, and the servers that [`start_server`] starts to the second. Returns `false`, and pins
/// nothing, if there is only one.
#[must_use]
pub fn apart() -> bool {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let [first, second, ..] = *cpus else {
        return false;
    };
    SERVER.get_or_init(|| second);
    core_affinity::set_for_current(*OWN.get_or_init(|| first))
}

/// Pins the calling thread to the first CPU, with all threads that it starts from then on.
pub fn together() {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(&first) = cpus.first() {
        SERVER.get_or_init(|| first);
        core_affinity::set_for_current(*OWN.get_or_init(|| first));
    }
}

/// Runs code that starts a server's thread, which inherits the servers' CPU. Without [`apart`] or [`together`] it runs where it is.
pub fn start_server<T>(start: impl FnOnce() -> T) -> T {
    let own = OWN.get();
    if let (Some(&server), Some(_)) = (SERVER.get(), own) {
        core_affinity::set_for_current(server);
    }
    let started = start();
    if let Some(&own) = own {
        core_affinity::set_for_current(own);
    }
    started
}
