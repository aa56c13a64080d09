//! The body of a complex message: its descriptors, the rights in them, and its out-of-line memory (C10.1, C10.4).
//!
//! Inside the kernel all out-of-line memory of a message is in one block, each part from a page of its own, in the order of the descriptors. So a
//! part's place follows from the descriptors before it, whatever stands in their address fields.

use super::block::Block;
use super::kmsg::{Kmsg, Right};
use crate::host::pages;
use core::mem::{offset_of, size_of};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::{
    DescriptorKind, Disposition, MACH_MSG_GUARD_FLAGS_MASK, MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND,
    MACH_MSG_PHYSICAL_COPY, MACH_MSG_VIRTUAL_COPY, mach_msg_base_t,
    mach_msg_guarded_port_descriptor_t, mach_msg_ool_descriptor_t, mach_msg_ool_ports_descriptor_t,
    mach_msg_port_descriptor_t, mach_msg_type_descriptor_t,
};
use mach_wire::types::mach_port_t;

const BODY: usize = size_of::<mach_msg_base_t>();
const SMALLEST: usize = size_of::<mach_msg_port_descriptor_t>();

/// Rights that a message carries at most in its body (C10.1).
const MOST_RIGHTS: usize = 16_383;

/// A descriptor of out-of-line memory, as its sender wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Offset of the descriptor in the message, in bytes.
    pub(super) at: usize,
    /// The sender's address.
    pub(super) address: u64,
    pub(super) bytes: usize,
    /// True if the sender's memory goes with the message.
    pub(super) deallocate: bool,
    /// Offset in the message's block, in bytes.
    pub(super) offset: usize,
    pub(super) holds_ports: bool,
}

/// A walk over the descriptors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    at: usize,
    left: usize,
    /// Offset in the block of the next out-of-line memory.
    offset: usize,
}

/// One descriptor.
#[derive(Clone, Copy, Debug)]
enum Descriptor {
    Port(usize, mach_msg_port_descriptor_t),
    Guarded(usize, mach_msg_guarded_port_descriptor_t),
    Memory(Memory, Disposition),
}

impl Descriptors {
    #[inline]
    pub(super) fn of(message: &Kmsg) -> Self {
        Self {
            at: BODY,
            left: message.descriptors(),
            offset: 0,
        }
    }

    #[inline]
    fn next(&mut self, message: &Kmsg) -> Option<Descriptor> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read(message))
    }

    /// Reads the descriptor that the walk has reached, and goes behind it.
    fn read(&mut self, message: &Kmsg) -> Descriptor {
        let at = self.at;
        let memory = |address: u64, bytes, deallocate: u8, holds_ports| Memory {
            at,
            address,
            bytes,
            deallocate: deallocate != 0,
            offset: self.offset,
            holds_ports,
        };
        let (descriptor, size) = match message.kind_at(at) {
            DescriptorKind::OOL | DescriptorKind::OOL_VOLATILE => {
                let found: mach_msg_ool_descriptor_t = message.at(at);
                let memory = memory(found.address, found.size as usize, found.deallocate, false);
                let size = size_of::<mach_msg_ool_descriptor_t>();
                (Descriptor::Memory(memory, Disposition::PORT_NONE), size)
            }
            DescriptorKind::OOL_PORTS => {
                let found: mach_msg_ool_ports_descriptor_t = message.at(at);
                let bytes = found.count as usize * size_of::<mach_port_t>();
                let memory = memory(found.address, bytes, found.deallocate, true);
                let disposition = Disposition::new(u32::from(found.disposition));
                let size = size_of::<mach_msg_ool_ports_descriptor_t>();
                (Descriptor::Memory(memory, disposition), size)
            }
            DescriptorKind::GUARDED_PORT => {
                let size = size_of::<mach_msg_guarded_port_descriptor_t>();
                (Descriptor::Guarded(at, message.at(at)), size)
            }
            _ => (Descriptor::Port(at, message.at(at)), SMALLEST),
        };
        self.at += size;
        if let Descriptor::Memory(memory, _) = descriptor {
            self.offset += pages::whole_pages(memory.bytes);
        }
        descriptor
    }

    /// Returns the next descriptor of out-of-line memory.
    pub(super) fn next_memory(&mut self, message: &Kmsg) -> Option<Memory> {
        loop {
            if let Descriptor::Memory(memory, _) = self.next(message)? {
                return Some(memory);
            }
        }
    }
}

/// Finds what is wrong with the descriptors of a message as its sender wrote it (C10.1).
pub(super) fn check(message: &Kmsg) -> Result<(), KernReturn> {
    if !message.is_complex() {
        return Ok(());
    }
    let small = KernReturn::SEND_MSG_TOO_SMALL;
    let size = message.size as usize;
    let room = size.checked_sub(BODY).ok_or(small)?;
    if message.descriptors() > room / SMALLEST {
        return Err(small);
    }
    let mut rights = 0;
    let mut descriptors = Descriptors::of(message);
    while descriptors.left > 0 {
        if size - descriptors.at < SMALLEST {
            return Err(small);
        }
        let at = descriptors.at;
        let kind = message.kind_at(at);
        let known = [
            DescriptorKind::PORT,
            DescriptorKind::OOL,
            DescriptorKind::OOL_VOLATILE,
            DescriptorKind::OOL_PORTS,
            DescriptorKind::GUARDED_PORT,
        ];
        if !known.contains(&kind) {
            return Err(KernReturn::SEND_INVALID_TYPE);
        }
        let Some(descriptor) = descriptors.next(message) else {
            break;
        };
        if descriptors.at > size {
            return Err(small);
        }
        match descriptor {
            Descriptor::Port(..) => rights += 1,
            Descriptor::Guarded(_, found) => {
                rights += 1;
                let flags = u32::from(found.flags);
                let unguarded = flags & MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND != 0;
                let moved = Disposition::new(u32::from(found.disposition));
                if moved != Disposition::MOVE_RECEIVE
                    || flags == 0
                    || flags & !MACH_MSG_GUARD_FLAGS_MASK != 0
                    || unguarded && found.context != 0
                {
                    return Err(KernReturn::SEND_INVALID_TYPE);
                }
            }
            Descriptor::Memory(memory, _) if memory.holds_ports => {
                rights += memory.bytes / size_of::<mach_port_t>();
            }
            Descriptor::Memory(..) => {
                let found: mach_msg_ool_descriptor_t = message.at(at);
                let copies = [MACH_MSG_PHYSICAL_COPY, MACH_MSG_VIRTUAL_COPY];
                if !copies.contains(&u32::from(found.copy)) {
                    return Err(KernReturn::SEND_INVALID_TYPE);
                }
            }
        }
        if rights > MOST_RIGHTS {
            return Err(KernReturn::SEND_TOO_LARGE);
        }
    }
    Ok(())
}

/// Returns the bytes of a block for all out-of-line memory of a message.
pub(super) fn memory_size(message: &Kmsg) -> usize {
    let mut descriptors = Descriptors::of(message);
    while descriptors.next(message).is_some() {}
    descriptors.offset
}

/// Writes the descriptor of out-of-line memory as its receiver finds it: with the place in the message's block, to be released if it was
/// sent as a virtual copy.
///
/// With `always`, an array of ports is a virtual copy, whatever its sender wrote.
pub(super) fn place(message: &mut Kmsg, memory: Memory, always: bool) {
    let address = match memory.bytes {
        0 => 0,
        _ => (message.memory.base() + memory.offset) as u64,
    };
    // The two kinds have these fields at the same offsets.
    let mut descriptor: mach_msg_ool_descriptor_t = message.at(memory.at);
    descriptor.address = address;
    if memory.holds_ports && always {
        // One of four.
        descriptor.copy = MACH_MSG_VIRTUAL_COPY as u8;
    }
    descriptor.deallocate = u8::from(u32::from(descriptor.copy) == MACH_MSG_VIRTUAL_COPY);
    message.put(memory.at, &descriptor);
}

/// Makes a descriptor one of no memory.
pub(super) fn forget(message: &mut Kmsg, memory: Memory) {
    let mut descriptor: mach_msg_ool_descriptor_t = message.at(memory.at);
    descriptor.address = 0;
    // A count in an array of ports.
    descriptor.size = 0;
    message.put(memory.at, &descriptor);
}

const _: () = {
    assert!(
        offset_of!(mach_msg_ool_descriptor_t, size)
            == offset_of!(mach_msg_ool_ports_descriptor_t, count)
    );
    assert!(
        offset_of!(mach_msg_ool_descriptor_t, copy)
            == offset_of!(mach_msg_ool_ports_descriptor_t, copy)
    );
};

/// The place of one right in a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Offset of the descriptor in the message.
    pub(super) at: usize,
    /// Offset of the right's word in the message's block; `None` for a right in the descriptor itself.
    element: Option<usize>,
    /// The disposition, as the message has it when the walk reaches the descriptor.
    pub(super) disposition: Disposition,
    /// True for a receive right with its guard.
    pub(super) is_guarded: bool,
}

/// A walk over all rights of a body, in order: those of port descriptors, and the elements of arrays of ports.
#[derive(Debug)]
pub(crate) struct Rights {
    descriptors: Descriptors,
    /// The array that the walk is in, and the next element's offset in the block, and the end's.
    array: Option<(Slot, usize, usize)>,
}

impl Rights {
    #[inline]
    pub(crate) fn of(message: &Kmsg) -> Self {
        Self {
            descriptors: Descriptors::of(message),
            array: None,
        }
    }

    pub(crate) fn next(&mut self, message: &Kmsg) -> Option<Slot> {
        loop {
            if let Some((slot, next, end)) = &mut self.array {
                if *next < *end {
                    let element = Some(*next);
                    *next += size_of::<mach_port_t>();
                    return Some(Slot { element, ..*slot });
                }
                self.array = None;
            }
            match self.descriptors.next(message)? {
                Descriptor::Port(at, found) => {
                    return Some(Slot {
                        at,
                        element: None,
                        disposition: Disposition::new(u32::from(found.disposition)),
                        is_guarded: false,
                    });
                }
                Descriptor::Guarded(at, found) => {
                    return Some(Slot {
                        at,
                        element: None,
                        disposition: Disposition::new(u32::from(found.disposition)),
                        is_guarded: true,
                    });
                }
                Descriptor::Memory(memory, disposition) if memory.holds_ports => {
                    let slot = Slot {
                        at: memory.at,
                        element: None,
                        disposition,
                        is_guarded: false,
                    };
                    let end = memory.offset + memory.bytes;
                    self.array = Some((slot, memory.offset, end));
                }
                Descriptor::Memory(..) => {}
            }
        }
    }
}

impl Kmsg {
    fn kind_at(&self, at: usize) -> DescriptorKind {
        let descriptor: mach_msg_type_descriptor_t = self.at(at);
        DescriptorKind::new(u32::from(descriptor.type_))
    }

    /// Returns the word of a right: a name, or [`Right::to_word`].
    pub(super) fn word(&self, slot: Slot) -> mach_port_t {
        match slot.element {
            None if slot.is_guarded => self.guarded_port(slot).name,
            None => self.at::<mach_msg_port_descriptor_t>(slot.at).name,
            Some(offset) => {
                let word = self.memory.bytes().get(offset..offset + 4);
                let word = word.and_then(|word| word.try_into().ok());
                word.map_or(0, mach_port_t::from_ne_bytes)
            }
        }
    }

    /// Replaces the word of a right, and its disposition.
    pub(super) fn set_word(&mut self, slot: Slot, word: mach_port_t, kind: Disposition) {
        if slot.is_guarded {
            let descriptor = mach_msg_guarded_port_descriptor_t {
                name: word,
                ..self.guarded_port(slot)
            };
            self.put(slot.at, &descriptor);
            return;
        }
        let Some(offset) = slot.element else {
            let descriptor = mach_msg_port_descriptor_t::new(word, kind);
            self.put(slot.at, &descriptor);
            return;
        };
        if let Some(to) = self.memory.bytes_mut().get_mut(offset..offset + 4) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        let mut descriptor: mach_msg_ool_ports_descriptor_t = self.at(slot.at);
        // Dispositions that can be sent fit in a byte.
        descriptor.disposition = kind.raw() as u8;
        self.put(slot.at, &descriptor);
    }

    /// Returns the descriptor of a guarded port.
    pub(super) fn guarded_port(&self, slot: Slot) -> mach_msg_guarded_port_descriptor_t {
        self.at(slot.at)
    }

    /// Changes the guard's value and the flags of a guarded port's descriptor.
    pub(super) fn set_guard(&mut self, slot: Slot, context: u64, flags: u32) {
        let descriptor = mach_msg_guarded_port_descriptor_t {
            context,
            // The two flags that there are.
            flags: flags as u16,
            ..self.guarded_port(slot)
        };
        self.put(slot.at, &descriptor);
    }

    /// Returns a right of a message inside the kernel.
    pub(crate) fn body_right(&self, slot: Slot) -> Right {
        Right::from_word(self.word(slot), slot.disposition)
    }

    /// Gives the message's out-of-line memory to the task that receives it.
    pub(super) fn give_out_memory(&mut self) {
        Block::give_out(self.memory.take());
    }
}
