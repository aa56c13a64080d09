//! One slot of a task's table of names.

use super::arena::Zeroed;
use super::id::{Id, PortId, RequestId, SetId};
use super::name::NameRef;
use mach_wire::port::PortType;

/// User references stop here and stay (A7.3).
pub(crate) const SATURATED: u16 = u16::MAX;

/// The rights under a name. A name that has a send and a receive right for one port has both (C0.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const SEND: Self = Self(1);
    pub(crate) const RECEIVE: Self = Self(2);
    pub(crate) const SEND_ONCE: Self = Self(4);
    pub(crate) const PORT_SET: Self = Self(8);
    pub(crate) const DEAD_NAME: Self = Self(16);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns the rights as `mach_port_type` shows them.
    pub(crate) const fn port_type(self) -> PortType {
        PortType::from_bits_retain((self.0 as u32) << 16)
    }
}

/// The object that a name denotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denoted {
    /// Nothing: a dead name.
    Nothing,
    Port(PortId),
    Set(SetId),
}

/// One slot of a name table. Each of the rights `SEND`, `RECEIVE` and `SEND_ONCE` owns one reference on the port, `SEND` and
/// `SEND_ONCE` one of its send or send-once rights too; `PORT_SET` owns one reference on the set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The port or set, by what `rights` says; of a free slot the free one before it.
    word: u32,
    pub(crate) rights: Rights,
    /// The low byte of the name; 0 if the slot was never used.
    pub(super) generation: u8,
    /// User references of the send right or dead name.
    pub(crate) references: u16,
    /// True if only the kernel may release the last reference (D5.1).
    pub(crate) pinned: bool,
    /// True if the name had the receive right before (`IE_BITS_EX_RECEIVE`): some misuses of it raise no guard then (C4.2).
    pub(super) was_receive: bool,
    /// Step of the generation with each use (C0.7).
    pub(super) step: u8,
    /// The notification request on the name, as a word; 0 for none (C8.3).
    request: u32,
    /// The next name of the same port, in a list that starts at the port; of a free slot the next free one.
    pub(super) next: NameRef,
}

// SAFETY: integers, a bool (0 is false) and structs of them.
#[allow(unsafe_code)]
unsafe impl Zeroed for Entry {}

impl Entry {
    /// Returns the port behind a send, receive or send-once right.
    pub(crate) fn port(&self) -> Option<PortId> {
        let of_port = Rights::SEND.with(Rights::RECEIVE).with(Rights::SEND_ONCE);
        if self.rights.without(of_port) == self.rights {
            return None;
        }
        PortId::from_word(self.word)
    }

    /// Returns the set behind a port set's name.
    pub(crate) fn set(&self) -> Option<SetId> {
        if self.rights != Rights::PORT_SET {
            return None;
        }
        SetId::from_word(self.word)
    }

    /// Returns the notification request on the name.
    pub(super) fn request(&self) -> Option<RequestId> {
        RequestId::from_word(self.request)
    }

    pub(super) fn set_request(&mut self, request: Option<RequestId>) {
        self.request = request.map_or(0, RequestId::to_word);
    }

    pub(super) fn denote(&mut self, object: Denoted) {
        self.word = match object {
            Denoted::Nothing => 0,
            Denoted::Port(port) => port.to_word(),
            Denoted::Set(set) => set.to_word(),
        };
    }

    /// Turns the rights into those of a dead name, with at least one reference.
    pub(super) fn become_dead_name(&mut self) {
        self.rights = Rights::DEAD_NAME;
        self.word = 0;
        self.pinned = false;
        self.references = self.references.max(1);
    }

    /// Returns, for a free slot, the free slot before it in the list; 0 for the first.
    pub(super) fn previous_free(&self) -> u32 {
        self.word
    }

    pub(super) fn set_previous_free(&mut self, index: u32) {
        self.word = index;
    }

    /// Adds a user reference. A full count absorbs it and stays (A7.3).
    pub(super) fn add_reference(&mut self) {
        self.references = self.references.saturating_add(1);
    }

    /// Removes user references, and returns whether none is left. A saturated count goes only with all of it (A7.3).
    pub(super) fn drop_references(&mut self, count: u16) -> bool {
        if self.references == SATURATED && count != SATURATED {
            return false;
        }
        self.references = self.references.saturating_sub(count);
        self.references == 0
    }
}
