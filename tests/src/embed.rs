//! A handful of C functions over the crates, for a program whose `main` is C.
//!
//! They prove that the crates can be embedded where Rust's runtime never started; they are not a C interface to rely on.
#![allow(unsafe_code)]

use crate::faults::{registers, skip, store_to};
use core::ffi::{c_int, c_void};
use core::time::Duration;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use signal_redirect::{Entry, SignalHandler};
use thread_mgr::{Attached, Audit, Handle, Manager};

/// A runtime: the exception server and the threads that it serves.
#[derive(Debug)]
pub struct Runtime {
    manager: Manager,
    audit: Audit,
    attached: Option<Attached>,
}

/// Starts the server; the handler is what faults become. Null if it could not be started.
///
/// # Safety
/// The handler is async-signal-safe, does not unwind, and leaves the machine context fit to resume.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_start(handler: SignalHandler) -> *mut Runtime {
    let Ok(audit) = Audit::start() else {
        return core::ptr::null_mut();
    };
    // SAFETY: the caller's promise.
    let entry = unsafe { Entry::new(handler) };
    match Manager::builder(entry).build() {
        Ok(manager) => Box::into_raw(Box::new(Runtime {
            manager,
            audit,
            attached: None,
        })),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Takes the calling thread in and routes its faults. 0 if that was done.
///
/// # Safety
/// `runtime` came out of [`runtime_start`], and no other thread uses it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_attach(runtime: *mut Runtime) -> c_int {
    // SAFETY: the caller's promise.
    let runtime = unsafe { &mut *runtime };
    match runtime.manager.attach() {
        Ok(attached) => {
            runtime.attached = Some(attached);
            0
        }
        Err(_) => -1,
    }
}

/// Lets the calling thread go again. 0 if its exception ports were as they had been left.
///
/// # Safety
/// As [`runtime_attach`], on the thread that was attached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_detach(runtime: *mut Runtime) -> c_int {
    // SAFETY: the caller's promise.
    let runtime = unsafe { &mut *runtime };
    let report = runtime.attached.take().and_then(Attached::detach);
    match report.map(|report| report.restored) {
        Some(Ok(exc_server::Restored::Clean)) => 0,
        _ => -1,
    }
}

/// Attaches the calling thread until it ends. 0 if that was done.
///
/// # Safety
/// `runtime` came out of [`runtime_start`], and is not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_attach_until_exit(runtime: *const Runtime) -> c_int {
    // SAFETY: the caller's promise.
    let runtime = unsafe { &*runtime };
    match runtime.manager.attach() {
        Ok(attached) => {
            core::mem::forget(attached);
            0
        }
        Err(_) => -1,
    }
}

/// Starts a thread that the runtime manages, and lets it go. 0 if that was done.
///
/// # Safety
/// As [`runtime_attach_until_exit`]; the function may be called with the argument on another thread, and does not unwind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_spawn(
    runtime: *const Runtime,
    body: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let runtime = unsafe { &*runtime };
    let argument = argument as usize;
    match runtime.manager.spawn(move || body(argument as *mut c_void)) {
        Ok(_) => 0,
        Err(_) => -1,
    }
}

/// Does the same as [`runtime_spawn`], and waits for the thread's end.
///
/// # Safety
/// As [`runtime_spawn`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_run(
    runtime: *const Runtime,
    body: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let runtime = unsafe { &*runtime };
    let argument = argument as usize;
    let thread = runtime.manager.spawn(move || body(argument as *mut c_void));
    match thread.map(Handle::join) {
        Ok(Ok(_)) => 0,
        _ => -1,
    }
}

/// Faults: a store that [`runtime_skip`] skips.
#[unsafe(no_mangle)]
pub extern "C" fn runtime_fault() {
    store_to(0x10);
}

/// A handler that skips the faulting store.
///
/// # Safety
/// Called by a redirect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_skip(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline's own structures.
    unsafe { skip(registers(context)) };
}

/// Stops the server and frees the runtime. Returns how many handlers ran, or −1 if names or references leaked.
///
/// # Safety
/// As [`runtime_attach`]; the runtime is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_stop(runtime: *mut Runtime) -> c_int {
    // SAFETY: the caller's promise.
    let Runtime { manager, audit, .. } = *unsafe { Box::from_raw(runtime) };
    let handled = manager.redirect_stats().returned;
    drop(manager);
    match audit.settle(Duration::from_secs(10).into()) {
        Ok(left) if left.is_leak_free() => c_int::try_from(handled).unwrap_or(c_int::MAX),
        _ => -1,
    }
}

/// Gives back what the crates took from the process, when every runtime is stopped. Returns 0 if the library can be unloaded now, 1 if handlers may still chain to
/// it, and an error's code, negative, if the kernel runs on.
///
/// # Safety
/// No other thread is in a function of this library, or faults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn runtime_end() -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { thread_mgr::stop() } {
        Ok(stopped) => c_int::from(!stopped.can_be_unloaded()),
        Err(error) => -c_int::try_from(error.code()).unwrap_or(c_int::MAX),
    }
}
