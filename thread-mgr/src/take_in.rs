//! Takes the calling thread in: emergency stack, record, route, registry.

use crate::error::AttachError;
use crate::inner::Inner;
use crate::process::Process;
use crate::registry::ThreadInfo;
use crate::shutdown::{Parts, Running};
use exc_server::{Routing, Target};
use mach_sys::kernel::system;
use mach_sys::rights::{Right, ThreadRight, send_references};
use std::sync::Arc;

/// Takes the calling thread in: emergency stack, record, route, registry.
pub(crate) fn take_in(
    inner: &Arc<Inner>,
    name: Option<String>,
    spawned: bool,
) -> Result<Running, AttachError> {
    let thread = ThreadRight::current().map_err(AttachError::Right)?;
    let port = thread.name().raw();
    let references = match spawned {
        // Its own (D1.3).
        true => Some(1),
        // Without the one just taken.
        false => send_references(port)
            .ok()
            .and_then(|references| references.total.checked_sub(1)),
    };
    let stack = inner.stacks.take().map_err(AttachError::Stack)?;
    let record = inner.records.open(stack.range()).ok_or(AttachError::Full)?;
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
        process: Process::current(),
        name: port,
        references,
        id,
        route,
        record,
        stack,
    }))
}
