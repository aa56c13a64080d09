//! Gives the calling thread the resources of a managed one: emergency stack, record, route, registry entry.
#![allow(unsafe_code)]

use crate::error::AttachError;
use crate::inner::Inner;
use crate::registry::ThreadInfo;
use crate::shutdown::{Parts, Running};
use core::mem::MaybeUninit;
use core::ops::Range;
use exc_server::{Routing, Target};
use mach_sys::kern_return::KernError;
use mach_sys::kernel::system;
use mach_sys::rights::{Borrowed, Name, ThreadRight, send_references};
use std::sync::Arc;

/// Gives the calling thread an emergency stack, a record, a route and a registry entry. `spawned` says that the manager started the thread.
pub(crate) fn take_in(
    inner: &Arc<Inner>,
    name: Option<String>,
    spawned: bool,
) -> Result<Running, AttachError> {
    let _group = system::group_calls();
    let port = system::own_thread_port();
    let port = Name::new(port).ok_or(AttachError::Right(KernError::RESOURCE_SHORTAGE))?;
    // SAFETY: the kernel keeps a reference on a thread's own name until the thread is gone (D1.2, D1.3).
    let thread: Borrowed<'_, ThreadRight> = unsafe { Borrowed::from_name(port) };
    let references = match spawned {
        // A new thread's name has one reference, the kernel's own (D1.3).
        true => Some(1),
        false => send_references(port)
            .ok()
            .map(|references| references.total),
    };
    let stack = inner.stacks.take().map_err(AttachError::Stack)?;
    let record = inner
        .records
        .open(port.raw(), stack.range(), stack.guard())
        .ok_or(AttachError::Full)?;
    if let Some(record) = inner.records.get(record.into()) {
        record.set_errno(system::errno_address());
        record.set_signal_stack(signal_stack());
    }
    let routing = Routing::new(inner.mask, inner.delivery).tag(u64::from(record));
    let route = match inner.server.route(Target::Thread(&thread), &routing) {
        Ok(route) => route,
        Err(error) => {
            inner.records.close(record);
            return Err(error.into());
        }
    };
    let id = system::thread_id();
    inner.registry.insert(ThreadInfo {
        id,
        port,
        name,
        spawned,
    });
    Ok(Running::new(Parts {
        inner: Arc::clone(inner),
        process: inner.process,
        name: port,
        references,
        id,
        route,
        record,
        stack,
    }))
}

/// Returns the addresses of the calling thread's alternate signal stack; an empty range if it has none.
fn signal_stack() -> Range<u64> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: the question changes nothing; the answer goes to a local variable, for which zeroes are a valid value.
    let stack = unsafe {
        libc::sigaltstack(core::ptr::null(), stack.as_mut_ptr());
        stack.assume_init()
    };
    if stack.ss_flags & libc::SS_DISABLE != 0 {
        return 0..0;
    }
    let start = stack.ss_sp.addr() as u64;
    start..start.saturating_add(stack.ss_size as u64)
}
