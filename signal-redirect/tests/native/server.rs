//! The server of these tests' faults: another thread, over an exception port, on the kernel at hand.

use std::sync::{Mutex, MutexGuard, OnceLock};

use mach_sys::exception::ExceptionMask;
use mach_sys::rights::ReceiveRight;
use signal_redirect::{Code, Key, Native, Redirect, Trampoline, TrampolinePlan, VectorSave};

use crate::port_server;
use crate::redirects::{Redirects, apply_of};

/// Everything that these tests raise. Handlers return by one of them.
const EXCEPTIONS: ExceptionMask = ExceptionMask::BAD_ACCESS
    .union(ExceptionMask::BAD_INSTRUCTION)
    .union(ExceptionMask::ARITHMETIC)
    .union(ExceptionMask::BREAKPOINT);

static SERVED: Mutex<Option<Redirects>> = Mutex::new(None);

/// What was done with the thread that is served.
fn served() -> MutexGuard<'static, Option<Redirects>> {
    SERVED.lock().expect("no panic in the server")
}

/// Runs a function on the served thread's redirects.
pub(crate) fn with_served<T>(body: impl FnOnce(&mut Redirects) -> T) -> T {
    body(served().as_mut().expect("a plan to serve with"))
}

pub(crate) fn trampoline() -> Trampoline {
    static TRAMPOLINE: OnceLock<Trampoline> = OnceLock::new();
    *TRAMPOLINE.get_or_init(|| Trampoline::native(key()))
}

fn key() -> Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    *KEY.get_or_init(Key::random)
}

/// The trampoline as if another processor, or another thread, had been asked for its vector registers.
pub(crate) fn trampoline_with(save: VectorSave) -> TrampolinePlan {
    TrampolinePlan::at(trampoline().trap(), key()).vector_save(save)
}

/// How many handlers came back.
pub(crate) fn returns() -> usize {
    with_served(|served| served.returns)
}

/// Has faults answered with a plan from now on, whoever answers them.
pub(crate) fn plan_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    let mut served = served();
    match &mut *served {
        Some(served) => served.apply = apply_of(plan),
        None => *served = Some(Redirects::new(plan, trampoline())),
    }
}

/// Serves the calling thread's faults with a plan from now on. One thread of the process may call this.
pub(crate) fn serve_with<C>(plan: Redirect<Native, C>)
where
    C: Code<Native> + Clone + Send + 'static,
{
    plan_with(plan);
    static PORT: OnceLock<&ReceiveRight> = OnceLock::new();
    PORT.get_or_init(|| {
        let port: &ReceiveRight = Box::leak(Box::new(ReceiveRight::new().expect("a port")));
        std::thread::spawn(|| {
            port_server::serve(port, |state, fault, memory| {
                with_served(|served| served.answer(state, fault, memory))
            });
        });
        port_server::route_this_thread(port, EXCEPTIONS);
        port
    });
}
