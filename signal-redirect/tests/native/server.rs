//! The server of these tests' faults: another thread, over an exception port of either kernel.

use std::sync::{Mutex, MutexGuard, OnceLock};

use mach_sys::rights::ReceiveRight;
use port_server::HARDWARE;
use signal_redirect::{
    Code, Innermost, Key, Native, Redirect, Trampoline, TrampolinePlan, VectorSave,
};

use crate::redirects::{self, Redirects, apply_of};

static SERVED: Mutex<Option<Redirects>> = Mutex::new(None);

/// Returns the record of the served thread.
fn served() -> MutexGuard<'static, Option<Redirects>> {
    SERVED.lock().expect("no panic in the server")
}

/// Calls `body` with the record of the served thread.
pub(crate) fn with_served<T>(body: impl FnOnce(&mut Redirects) -> T) -> T {
    body(served().as_mut().expect("a plan to serve with"))
}

pub(crate) fn trampoline() -> Trampoline {
    static TRAMPOLINE: OnceLock<Trampoline> = OnceLock::new();
    *TRAMPOLINE.get_or_init(|| Trampoline::native(key()))
}

/// Returns the served thread's innermost frame.
pub(crate) fn innermost() -> &'static Innermost {
    static INNERMOST: OnceLock<Innermost> = OnceLock::new();
    INNERMOST.get_or_init(|| Innermost::new(key()))
}

fn key() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    *KEY.get_or_init(Key::random)
}

/// Returns the trampoline with other vector registers, such as those of another processor or thread.
pub(crate) fn trampoline_with(save: VectorSave) -> TrampolinePlan {
    TrampolinePlan::at(trampoline().trap(), key()).vector_save(save)
}

/// Returns the number of handlers that returned.
pub(crate) fn returns() -> usize {
    with_served(|served| {
        served.catch_up();
        served.returns
    })
}

/// Sets the plan for the faults from now on, whether they are served over a port or from signal frames.
pub(crate) fn plan_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    let mut served = served();
    match &mut *served {
        Some(served) => served.apply = apply_of(plan),
        None => *served = Some(Redirects::new(plan, trampoline(), innermost())),
    }
}

/// Serves the calling thread's faults with a plan from now on. Only one thread of the process may call it.
pub(crate) fn serve_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    plan_with(plan);
    static PORT: OnceLock<&ReceiveRight> = OnceLock::new();
    PORT.get_or_init(|| {
        let port: &ReceiveRight = Box::leak(Box::new(ReceiveRight::new().expect("a port")));
        std::thread::spawn(|| {
            redirects::serve(port, |state, fault, memory| {
                with_served(|served| served.answer(state, fault, memory))
            });
        });
        port_server::route_thread(port, HARDWARE);
        port
    });
}
