//! A handful of C functions over the crates, for a program whose `main` is C.
//!
//! They prove that the crates can be embedded where Rust's runtime never started; they are not a C interface to rely on.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::time::Duration;
use signal_redirect::{Entry, SignalHandler};
use thread_mgr::{Attached, Audit, Manager};

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
