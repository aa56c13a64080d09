//! A message to send, one that was received, and the calls.

use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::*;
use mach_sys::pod::{self, Pod};
use mach_sys::port::PortRight;
use mach_sys::rights::{ReceiveRight, Right, user_references};
use mach_sys::types::*;
use mach_sys::vm::VM_FLAGS_ANYWHERE;

pub(crate) const SEND: u32 = MACH_MSG_TYPE_MAKE_SEND;
pub(crate) const ONCE: u32 = MACH_MSG_TYPE_MAKE_SEND_ONCE;
pub(crate) const PAGE: usize = 0x1_0000;

pub(crate) fn kr(code: kern_return_t) -> KernReturn {
    KernReturn::new(code)
}

/// A message to send, which grows by descriptors.
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: u32,
}

impl Message {
    pub(crate) fn to(port: mach_port_name_t, disposition: u32) -> Self {
        let header = mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS(disposition, 0),
            msgh_remote_port: port,
            msgh_id: 77,
            ..mach_msg_header_t::default()
        };
        Self {
            bytes: pod::bytes_of(&header).to_vec(),
            descriptors: 0,
        }
    }

    pub(crate) fn reply(mut self, port: mach_port_name_t, disposition: u32) -> Self {
        self.put(0, &MACH_MSGH_BITS(self.bits() & 31, disposition));
        self.put(12, &port);
        self
    }

    pub(crate) fn bits(&self) -> u32 {
        pod::read(&self.bytes).expect("a header")
    }

    pub(crate) fn put(&mut self, at: usize, value: &impl Pod) {
        let bytes = pod::bytes_of(value);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn with(mut self, descriptor: &impl Pod) -> Self {
        if self.descriptors == 0 {
            self.put(0, &(self.bits() | MACH_MSGH_BITS_COMPLEX));
            self.bytes.extend([0; 4]);
        }
        self.descriptors += 1;
        self.put(24, &self.descriptors.clone());
        self.bytes.extend(pod::bytes_of(descriptor));
        self
    }

    pub(crate) fn port(self, name: mach_port_name_t, disposition: u32) -> Self {
        self.with(&mach_msg_port_descriptor_t::new(
            name,
            Disposition::new(disposition),
        ))
    }

    pub(crate) fn memory(self, address: u64, size: u32, copy: u32, deallocate: bool) -> Self {
        self.with(&mach_msg_ool_descriptor_t {
            address,
            deallocate: deallocate.into(),
            copy: copy as u8,
            pad1: 0,
            type_: MACH_MSG_OOL_DESCRIPTOR as u8,
            size,
        })
    }

    pub(crate) fn ports(self, names: &[mach_port_name_t], disposition: u32) -> Self {
        self.array(
            names.as_ptr() as u64,
            names.len() as u32,
            disposition,
            false,
        )
    }

    pub(crate) fn array(
        self,
        address: u64,
        count: u32,
        disposition: u32,
        deallocate: bool,
    ) -> Self {
        self.with(&mach_msg_ool_ports_descriptor_t {
            address,
            deallocate: deallocate.into(),
            copy: MACH_MSG_VIRTUAL_COPY as u8,
            disposition: disposition as u8,
            type_: MACH_MSG_OOL_PORTS_DESCRIPTOR as u8,
            count,
        })
    }

    pub(crate) fn body(mut self, bytes: usize) -> Self {
        let counting: Vec<u8> = (0..=u8::MAX).collect();
        let counting = counting.repeat(bytes.div_ceil(counting.len()));
        self.bytes.extend_from_slice(&counting[..bytes]);
        self
    }

    pub(crate) fn send(&mut self) -> KernReturn {
        let size = self.bytes.len() as u32;
        // SAFETY: the buffer has the size that is passed.
        kr(unsafe {
            let option = MACH_SEND_MSG | MACH_SEND_TIMEOUT;
            kernel::mach_msg(self.bytes.as_mut_ptr().cast(), option, size, 0, 0, 0, 0)
        })
    }
}

/// A message that was received.
pub(crate) struct Received(pub(crate) Vec<u32>);

impl Received {
    pub(crate) fn of(
        port: mach_port_name_t,
        bytes: usize,
        option: i32,
    ) -> Result<Self, (KernReturn, Self)> {
        let mut words = vec![0; bytes / 4];
        // SAFETY: the buffer has the size that is passed.
        let code = kr(unsafe {
            let option = MACH_RCV_MSG | MACH_RCV_TIMEOUT | option;
            kernel::mach_msg(
                words.as_mut_ptr().cast(),
                option,
                0,
                bytes as u32,
                port,
                0,
                0,
            )
        });
        match code {
            KernReturn::SUCCESS => Ok(Self(words)),
            error => Err((error, Self(words))),
        }
    }

    pub(crate) fn from(port: &ReceiveRight) -> Self {
        Self::of(port.name().raw(), 4096, 0)
            .map_err(|(error, _)| error)
            .expect("a message")
    }

    pub(crate) fn header(&self) -> mach_msg_header_t {
        self.at(0)
    }

    pub(crate) fn at<T: Pod>(&self, at: usize) -> T {
        pod::read(&pod::word_bytes(&self.0)[at..]).expect("within the buffer")
    }

    pub(crate) fn destroy(mut self) {
        // SAFETY: the message was received, and nothing else owns its rights and memory.
        unsafe { kernel::mach_msg_destroy(self.0.as_mut_ptr().cast()) };
    }
}

pub(crate) fn error_of(port: mach_port_name_t, bytes: usize, option: i32) -> KernReturn {
    Received::of(port, bytes, option).err().expect("an error").0
}

pub(crate) fn allocate(size: usize) -> u64 {
    let mut address = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe {
        kernel::mach_vm_allocate(task_self(), &mut address, size as u64, VM_FLAGS_ANYWHERE)
    };
    assert_eq!(kr(code), KernReturn::SUCCESS);
    address
}

pub(crate) fn release(address: u64, size: usize) {
    // SAFETY: the tests release what is theirs.
    let code = unsafe { kernel::mach_vm_deallocate(task_self(), address, size as u64) };
    assert_eq!(kr(code), KernReturn::SUCCESS);
}

pub(crate) fn is_mapped(address: u64) -> bool {
    let (mut byte, mut size) = (0_u8, 0);
    // SAFETY: one byte goes to a local variable.
    let code = unsafe {
        let to = (&raw mut byte) as u64;
        kernel::mach_vm_read_overwrite(task_self(), address, 1, to, &mut size)
    };
    kr(code) == KernReturn::SUCCESS
}

pub(crate) fn kind(name: mach_port_name_t) -> Option<mach_port_type_t> {
    let mut kind = 0;
    // SAFETY: the result goes to a local variable.
    match kr(unsafe { kernel::mach_port_type(task_self(), name, &mut kind) }) {
        KernReturn::SUCCESS => Some(kind),
        error => {
            assert_eq!(error, KernReturn::INVALID_NAME);
            None
        }
    }
}

pub(crate) fn deallocate(name: mach_port_name_t) {
    // SAFETY: the tests release what is theirs.
    let code = unsafe { kernel::mach_port_deallocate(task_self(), name) };
    assert_eq!(kr(code), KernReturn::SUCCESS);
}

pub(crate) fn port() -> ReceiveRight {
    ReceiveRight::new().expect("a port")
}

pub(crate) fn send_references(port: &ReceiveRight) -> u32 {
    user_references(port.name(), PortRight::SEND).expect("the port's name")
}

pub(crate) fn names_at(
    got: &Received,
    at: usize,
) -> (mach_msg_ool_ports_descriptor_t, Vec<mach_port_name_t>) {
    let found: mach_msg_ool_ports_descriptor_t = got.at(at);
    let (address, count) = (found.address, found.count as usize);
    if count == 0 {
        assert_eq!(address, 0);
        return (found, Vec::new());
    }
    // SAFETY: the array came with the message.
    let names = unsafe { core::slice::from_raw_parts(address as *const mach_port_name_t, count) };
    (found, names.to_vec())
}

/// Sends a receive right with its guard: the flags, the guard's value in the descriptor.
pub(crate) fn guarded(
    name: mach_port_name_t,
    flags: u32,
    context: u64,
) -> mach_msg_guarded_port_descriptor_t {
    mach_msg_guarded_port_descriptor_t {
        context,
        flags: flags as u16,
        disposition: MACH_MSG_TYPE_MOVE_RECEIVE as u8,
        type_: MACH_MSG_GUARDED_PORT_DESCRIPTOR as u8,
        name,
    }
}
