//! The port engine on name spaces of its own: no process-wide state, no signals, no threads or tasks of the kernel's.

mod counts;
mod death;
mod full_space;
mod generations;
mod guards;
mod listing;
mod messages;
mod names;
mod notifications;
mod random;
mod scale;
mod sets;
mod walk;

use super::copyout;
use super::id::PortId;
use super::kobject::{Kobject, KobjectType};
use super::monitor::Monitor;
use super::name::{Name, SpaceId};
use super::names::Listing;
use super::port::PortKind;
use super::receive::{ReceiveRequest, receive};
use super::request_notification::{self, Wish};
use super::send::{SendRequest, send};
use super::space::Space;
use super::state::Ipc;
use super::{construct, guarded, insert, mach_port, sets as set_calls};
use crate::config::Generation;
use crate::rules::{Limits, Rules};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::port::{PortOptionFlags, PortRight, PortType};

/// A kernel with one name space, which has a pinned name of a kernel object's port as a task has its own.
struct World {
    kernel: Monitor<()>,
    space: SpaceId,
    control: Name,
}

impl World {
    fn new() -> Self {
        Self::of(Generation::default())
    }

    fn of(generation: Generation) -> Self {
        Self::with(Rules {
            generation,
            limits: Limits::SMALL,
        })
    }

    fn with(rules: Rules) -> Self {
        let kernel = Monitor::new(rules, ()).expect("address space for a small kernel");
        let space = add_space(&kernel);
        let control = {
            let mut held = kernel.lock();
            let ipc = &mut held.ipc();
            let port = ipc.create_port(PortKind::Kobject(Kobject {
                kind: KobjectType::Task,
                value: 0,
            }));
            let port = port.expect("room");
            let name = copyout::name_send(ipc, space, port).expect("room");
            copyout::pin(ipc, space, port);
            name
        };
        Self {
            kernel,
            space,
            control,
        }
    }

    fn another_space(&self) -> SpaceId {
        add_space(&self.kernel)
    }

    /// Runs operations under the lock.
    fn ipc<T>(&self, operate: impl FnOnce(&mut Ipc<'_, '_>) -> T) -> T {
        operate(&mut self.kernel.lock().ipc())
    }

    fn port(&self) -> Name {
        self.allocate(PortRight::RECEIVE)
    }

    fn set(&self) -> Name {
        self.allocate(PortRight::PORT_SET)
    }

    fn allocate(&self, right: PortRight) -> Name {
        self.try_allocate(right).expect("room")
    }

    fn try_allocate(&self, right: PortRight) -> Result<Name, KernReturn> {
        self.ipc(|ipc| mach_port::allocate(ipc, self.space, right))
    }

    /// Returns the port behind a name, for tests that look inside.
    fn port_behind(&self, name: Name) -> PortId {
        let port = self.ipc(|ipc| ipc.space(self.space).get(name).and_then(|e| e.port()));
        port.expect("a name of a port")
    }

    fn insert(&self, name: Name, poly: Name, kind: Disposition) -> Result<(), KernReturn> {
        self.ipc(|ipc| insert::insert_right(ipc, self.space, name, poly, kind))
    }

    fn extract(&self, name: Name, kind: Disposition) -> Result<(Name, Disposition), KernReturn> {
        self.ipc(|ipc| insert::extract_right(ipc, self.space, name, kind))
    }

    fn make_send(&self, name: Name) {
        let inserted = self.insert(name, name, Disposition::MAKE_SEND);
        inserted.expect("a receive right");
    }

    fn make_send_once(&self, name: Name) -> Name {
        let made = self.extract(name, Disposition::MAKE_SEND_ONCE);
        made.expect("a receive right").0
    }

    fn join(&self, port: Name, set: Name) -> Result<(), KernReturn> {
        self.ipc(|ipc| set_calls::insert_member(ipc, self.space, port, set))
    }

    fn leave(&self, port: Name, set: Name) -> Result<(), KernReturn> {
        self.ipc(|ipc| set_calls::extract_member(ipc, self.space, port, set))
    }

    fn move_to(&self, port: Name, after: Name) -> Result<(), KernReturn> {
        self.ipc(|ipc| set_calls::move_member(ipc, self.space, port, after))
    }

    fn members(&self, set: Name) -> Result<Vec<Name>, KernReturn> {
        let (mut found, mut listing) = (Vec::new(), Listing::new());
        loop {
            let more =
                self.ipc(|ipc| listing.step_members(ipc, self.space, set, |name| found.push(name)));
            if !more? {
                return Ok(found);
            }
        }
    }

    fn refs(&self, name: Name, right: PortRight) -> Result<u32, KernReturn> {
        self.ipc(|ipc| mach_port::get_refs(ipc, self.space, name, right))
    }

    fn kind(&self, name: Name) -> Result<u32, KernReturn> {
        let kind = self.ipc(|ipc| mach_port::port_type(ipc, self.space, name));
        kind.map(|kind| kind.bits())
    }

    fn mod_refs(&self, name: Name, right: PortRight, delta: i32) -> Result<(), KernReturn> {
        self.ipc(|ipc| mach_port::mod_refs(ipc, self.space, name, right, delta))
    }

    fn destroy_port(&self, name: Name) {
        let destroyed = self.mod_refs(name, PortRight::RECEIVE, -1);
        destroyed.expect("a receive right");
    }

    fn deallocate(&self, name: Name) -> Result<(), KernReturn> {
        self.ipc(|ipc| mach_port::deallocate(ipc, self.space, name))
    }

    fn destroy(&self, name: Name) -> Result<(), KernReturn> {
        self.ipc(|ipc| mach_port::destroy(ipc, self.space, name))
    }

    fn destruct(&self, name: Name, delta: i32, guard: u64) -> Result<(), KernReturn> {
        self.ipc(|ipc| construct::destruct(ipc, self.space, name, delta, guard))
    }

    fn construct(&self, flags: PortOptionFlags, context: u64) -> Result<Name, KernReturn> {
        let options = construct::Options {
            flags,
            limit: 2,
            context,
        };
        self.ipc(|ipc| construct::construct(ipc, self.space, options))
    }

    fn request(&self, name: Name, wish: Wish) -> Result<Name, KernReturn> {
        self.ipc(|ipc| request_notification::request(ipc, self.space, name, wish))
    }

    fn set_context(&self, name: Name, context: u64) -> Result<(), KernReturn> {
        self.ipc(|ipc| guarded::set_context(ipc, self.space, name, context))
    }

    fn get_context(&self, name: Name) -> Result<u64, KernReturn> {
        self.ipc(|ipc| guarded::get_context(ipc, self.space, name))
    }

    fn names(&self) -> u32 {
        self.ipc(|ipc| ipc.space(self.space).names())
    }

    /// Ports and sets that exist.
    fn live(&self) -> u32 {
        self.ipc(|ipc| ipc.state.ports.live() + ipc.state.sets.live())
    }

    /// Sends a message, without waiting for room.
    fn send(&self, message: &Message) -> Result<(), KernReturn> {
        self.send_with(message, MessageOptions::SEND_TIMEOUT)
    }

    fn send_with(&self, message: &Message, options: MessageOptions) -> Result<(), KernReturn> {
        let request = SendRequest {
            address: message.words.as_ptr() as u64,
            size: message.size,
            options,
            timeout: 0,
        };
        send(&self.kernel, self.space, request, &mut None)
    }

    /// Receives without waiting.
    fn receive(&self, name: Name) -> Result<Message, KernReturn> {
        self.receive_with(name, 0, 512)
    }

    fn receive_with(&self, name: Name, options: i32, room: u32) -> Result<Message, KernReturn> {
        let mut message = Message::empty();
        let outcome = self.receive_into(&mut message, name, options, room);
        outcome.map(|()| message)
    }

    fn receive_into(
        &self,
        message: &mut Message,
        name: Name,
        options: i32,
        room: u32,
    ) -> Result<(), KernReturn> {
        let options = MessageOptions::from_bits_retain(options) | MessageOptions::RCV_TIMEOUT;
        self.receive_request(message, name, options, room)
    }

    /// Receives, waiting for a message.
    fn receive_waiting(&self, name: Name) -> Result<Message, KernReturn> {
        let mut message = Message::empty();
        let outcome = self.receive_request(&mut message, name, MessageOptions::empty(), 512);
        outcome.map(|()| message)
    }

    fn receive_request(
        &self,
        message: &mut Message,
        name: Name,
        options: MessageOptions,
        room: u32,
    ) -> Result<(), KernReturn> {
        let request = ReceiveRequest {
            address: message.words.as_mut_ptr() as u64,
            size: room,
            options,
            timeout: 0,
            name,
        };
        receive(&self.kernel, self.space, request, &mut None)
    }
}

fn add_space(kernel: &Monitor<()>) -> SpaceId {
    let rules = kernel.rules();
    let space = Space::new(rules.limits.names, rules.generations_move_by_4());
    let space = space.expect("memory");
    kernel.lock().ipc().add_space(space).expect("room")
}

/// A message in user memory.
#[derive(Debug)]
struct Message {
    words: [u32; 256],
    size: u32,
}

impl Message {
    fn empty() -> Self {
        Self {
            words: [0; 256],
            size: 24,
        }
    }

    fn to(destination: Name, disposition: Disposition, id: u32) -> Self {
        let mut message = Self::empty();
        message.words[0] = disposition.raw();
        message.words[2] = destination.raw();
        message.words[5] = id;
        message
    }

    fn with_reply(mut self, reply: Name, disposition: Disposition) -> Self {
        self.words[0] |= disposition.raw() << 8;
        self.words[3] = reply.raw();
        self
    }

    fn with_right(mut self, name: Name, disposition: Disposition) -> Self {
        if self.words[0] & MACH_MSGH_BITS_COMPLEX == 0 {
            self.words[0] |= MACH_MSGH_BITS_COMPLEX;
            self.size = 28;
        }
        let at = self.size as usize / 4;
        self.words[6] += 1;
        self.words[at] = name.raw();
        self.words[at + 1] = 0;
        self.words[at + 2] = disposition.raw() << 16;
        self.size += 12;
        self
    }

    fn bits(&self) -> u32 {
        self.words[0]
    }

    fn remote(&self) -> Name {
        Name::new(self.words[2])
    }

    fn local(&self) -> Name {
        Name::new(self.words[3])
    }

    fn id(&self) -> u32 {
        self.words[5]
    }

    fn descriptor(&self, index: usize) -> (Name, Disposition) {
        let at = 7 + 3 * index;
        let disposition = Disposition::new(self.words[at + 2] >> 16 & 0xff);
        (Name::new(self.words[at]), disposition)
    }
}
