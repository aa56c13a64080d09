//! The rights that the kernel makes for one delivery, and holds until the reply (A2.10, A2.11).

use crate::ipc::id::PortId;
use crate::ipc::kmsg::Right;
use crate::ipc::reply::HELD;
use crate::ipc::right;
use crate::ipc::state::Ipc;
use crate::thread::kernel::Kernel;
use crate::thread::object::ThreadId;
use crate::thread::task;
use mach_wire::kern_return::KernReturn;
use mach_wire::mig::{Identity, IdentityKind, Routine};

/// Send rights for the exception port and for the ports that the request names.
#[derive(Debug)]
pub(super) struct DeliveryRights {
    rights: [Right; HELD],
    kind: IdentityKind,
}

impl DeliveryRights {
    /// Makes the rights that a routine's request needs (A7.1, A7.10).
    pub(super) fn make(
        kernel: &mut Kernel<'_, '_>,
        thread: ThreadId,
        port: PortId,
        routine: Routine,
    ) -> Result<Self, KernReturn> {
        let victim = kernel.tables.thread(thread);
        let (control, task) = (victim.port, victim.task);
        let ipc = &mut kernel.ipc;
        let kind = routine.identity();
        let [first, second] = match kind {
            IdentityKind::ThreadAndTask => {
                let task = kernel.tables.task(task).port;
                [control, task].map(|port| right::make_send(ipc, port))
            }
            IdentityKind::Token => {
                let token = task::create_token(ipc, task);
                let token = token.ok_or(KernReturn::RESOURCE_SHORTAGE)?;
                [right::make_send(ipc, token), Right::Null]
            }
            _ => [Right::Null, Right::Null],
        };
        Ok(Self {
            rights: [right::copy_send(ipc, port), first, second],
            kind,
        })
    }

    /// Copies the rights that the request carries, for a thread of this 64-bit identifier.
    pub(super) fn identity(&self, ipc: &mut Ipc<'_, '_>, thread_id: u64) -> Identity {
        let [_, first, second] = self.rights;
        let mut copy = |right: Right| {
            let copied = right.port().map(|port| right::copy_send(ipc, port));
            copied.unwrap_or(right).to_word()
        };
        match self.kind {
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: copy(first),
                task: copy(second),
            },
            IdentityKind::Token => Identity::Token {
                token: copy(first),
                thread_id,
            },
            _ => Identity::None,
        }
    }

    /// Returns the rights, which the kernel holds until the reply (A2.10).
    pub(super) fn into_held(self) -> [Right; HELD] {
        self.rights
    }
}
