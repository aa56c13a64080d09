//! A thread's beginning and end in the emulated kernel (D1, D2, D4).

use super::action::Actions;
use super::kernel::Kernel;
use super::object::{Run, TaskId, Thread, ThreadId, ThreadKind};
use crate::host::SlotId;
use crate::ipc::copyout;
use crate::ipc::id::Id;
use crate::ipc::kmsg::Right;
use crate::ipc::kobject::{Kobject, KobjectType};
use crate::ipc::mach_port;
use crate::ipc::name::Name;
use crate::ipc::port::PortKind;
use crate::ipc::request;
use crate::ipc::reverse;
use crate::ipc::right;

/// Creates the thread object of a system thread, and its name in its task, with the one reference that is the thread's own until its
/// end; the main thread's has more and each is pinned where the rules say so (D1.3, D5.1). That of a thread of `thread_create`'s is its
/// maker's (D1.5). `None` when the kernel is full.
pub(crate) fn create(
    kernel: &mut Kernel<'_, '_>,
    task: TaskId,
    slot: Option<SlotId>,
    kind: ThreadKind,
) -> Option<ThreadId> {
    let ipc = &mut kernel.ipc;
    let kobject = |value| {
        PortKind::Kobject(Kobject {
            kind: KobjectType::Thread,
            value,
        })
    };
    let port = ipc.create_port(kobject(0))?;
    let Some(reply_port) = request::create_reply_port(ipc) else {
        right::release(ipc, Right::Receive(port));
        return None;
    };
    let thread = kernel.tables.threads.insert(Thread {
        task,
        port,
        reply_port: Some(reply_port),
        mig_reply_port: None,
        actions: Actions::default(),
        name: Name::NULL,
        context: 0,
        faulting: 0,
        slot,
        kind,
        run: Run::default(),
        importance: 0,
    });
    let Some(thread) = thread else {
        for port in [port, reply_port] {
            right::release(ipc, Right::Receive(port));
        }
        return None;
    };
    ipc.port_mut(port).kind = kobject(thread.to_word());
    let space = kernel.tables.task(task).space;
    let references = if kind == ThreadKind::Main {
        ipc.rules.references_at_start()
    } else {
        1
    };
    for _ in 0..references {
        if copyout::name_send(ipc, space, port).is_none() {
            forget(kernel, thread);
            return None;
        }
    }
    if kind != ThreadKind::Raw && ipc.rules.control_port_names_are_pinned() {
        copyout::pin(ipc, space, port);
    }
    if let Some(name) = reverse::name_of(ipc, space, port) {
        kernel.tables.thread_mut(thread).name = name;
    }
    Some(thread)
}

/// Ends the thread object of a system thread that is gone: the one deallocation of its name that the kernel does (D2.2), then the
/// death of its port (D4).
pub(crate) fn end(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    let &Thread {
        task,
        port,
        name,
        run,
        kind,
        ..
    } = kernel.tables.thread(thread);
    let space = kernel.tables.task(task).space;
    let ipc = &mut kernel.ipc;
    // A thread that has not been through the end of a pthread: its name keeps all references (D3.1).
    if run.terminated || kind == ThreadKind::Raw {
    } else if ipc.rules.control_port_names_are_pinned() {
        mach_port::unpin_and_deallocate(ipc, space, port);
    } else {
        // D2.12: whatever the name denotes by now. The result is ignored, and no call of the process's misused a name.
        let _ = mach_port::deallocate(ipc, space, name);
        let _ = ipc.take_guard();
    }
    forget(kernel, thread);
}

/// Makes a thread's MIG reply port: one receive right in its task's space, until the thread ends (G6.1). `None` when the kernel or the
/// space is full.
pub(crate) fn make_mig_reply_port(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Option<Name> {
    let space = kernel.tables.task(kernel.tables.thread(thread).task).space;
    let (name, port) = mach_port::lend(&mut kernel.ipc, space)?;
    kernel.tables.thread_mut(thread).mig_reply_port = Some(port);
    Some(name)
}

/// Releases what a thread object holds, and the object.
fn forget(kernel: &mut Kernel<'_, '_>, thread: ThreadId) {
    let space = kernel.tables.task(kernel.tables.thread(thread).task).space;
    let ipc = &mut kernel.ipc;
    let object = kernel.tables.thread_mut(thread);
    // A call that looked the thread up before sees that it is gone.
    object.slot = None;
    if let Some(port) = object.mig_reply_port.take() {
        mach_port::take_back(ipc, space, port);
    }
    for handler in object.actions.take_ports() {
        right::release(ipc, handler);
    }
    for port in [Some(object.port), object.reply_port].into_iter().flatten() {
        right::release(ipc, Right::Receive(port));
    }
    kernel.tables.threads.remove(thread);
}

/// Implements `mach_thread_self`: one more reference on the thread's name (D1.1).
pub(crate) fn thread_self(kernel: &mut Kernel<'_, '_>, thread: ThreadId) -> Option<Name> {
    let &Thread { task, port, .. } = kernel.tables.thread(thread);
    let space = kernel.tables.task(task).space;
    copyout::name_send(&mut kernel.ipc, space, port)
}

/// Returns the name that a thread has in its task, without a new reference (D1.2).
pub(crate) fn name(kernel: &Kernel<'_, '_>, thread: ThreadId) -> Option<Name> {
    let thread = kernel.tables.thread(thread);
    let space = kernel.tables.task(thread.task).space;
    reverse::name_of(&kernel.ipc, space, thread.port)
}
