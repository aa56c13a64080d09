//! The loops that receive requests and send replies (`mach/mach.h`, C12.2).

use super::messages::{mach_msg, mach_msg_destroy, mach_msg_overwrite};
use super::ports::mach_port_deallocate;
use super::vm_names::{vm_allocate, vm_deallocate};
use crate::host::pages::whole_pages;
use crate::system;
use core::ffi::c_void;
use mach_wire::kern_return::KernReturn;
use mach_wire::message::*;
use mach_wire::mig::mig_reply_error_t;
use mach_wire::types::*;
use mach_wire::vm::VM_FLAGS_ANYWHERE;

/// A server's demultiplexer: reads the request, writes the reply.
pub type Demux = unsafe extern "C" fn(*mut mach_msg_header_t, *mut mach_msg_header_t) -> boolean_t;

/// Pages for a message, given back when the value is dropped.
struct Pages {
    address: vm_address_t,
    bytes: mach_msg_size_t,
}

impl Pages {
    fn new(bytes: mach_msg_size_t) -> Result<Self, KernReturn> {
        let mut address = 0;
        // SAFETY: the result goes to a local variable.
        let code = unsafe {
            let (task, flags) = (system::task_self(), VM_FLAGS_ANYWHERE);
            vm_allocate(task, &mut address, bytes.into(), flags)
        };
        match KernReturn::new(code) {
            KernReturn::SUCCESS => Ok(Self { address, bytes }),
            error => Err(error),
        }
    }

    fn message(&self) -> *mut c_void {
        self.address as *mut c_void
    }

    fn header(&self) -> *mut mach_msg_header_t {
        self.message().cast()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, and used by nothing any more.
        unsafe { vm_deallocate(system::task_self(), self.address, self.bytes.into()) };
    }
}

/// The common part of a server's loops.
struct Server {
    demux: Demux,
    port: mach_port_name_t,
    options: mach_msg_option_t,
    /// Bytes of the trailer that the options request.
    trailer: mach_msg_size_t,
    request: Pages,
    reply: Pages,
    /// Bytes of the request's buffer that are received into.
    room: mach_msg_size_t,
}

/// Rounds a message's size up to pages. A size that does not fit is refused by the allocation.
fn pages_for(bytes: mach_msg_size_t) -> mach_msg_size_t {
    let rounded = whole_pages((bytes as usize).max(1));
    mach_msg_size_t::try_from(rounded).unwrap_or(mach_msg_size_t::MAX)
}

impl Server {
    fn new(
        demux: Demux,
        max_size: mach_msg_size_t,
        port: mach_port_name_t,
        options: mach_msg_option_t,
    ) -> Result<Self, KernReturn> {
        let options = options & !(MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_VOUCHER);
        let trailer = REQUESTED_TRAILER_SIZE(options);
        let with_trailer = match options & MACH_SEND_TRAILER {
            0 => max_size,
            _ => max_size.saturating_add(MAX_TRAILER_SIZE),
        };
        let room = max_size.saturating_add(trailer);
        let reply = Pages::new(pages_for(with_trailer))?;
        let request = Pages::new(pages_for(room))?;
        let large = options & MACH_RCV_LARGE != 0;
        Ok(Self {
            demux,
            port,
            options,
            trailer,
            room: if large { request.bytes } else { room },
            request,
            reply,
        })
    }

    /// Receives a request. With `MACH_RCV_LARGE` the buffer grows until the request fits.
    fn receive(&mut self) -> Result<(), KernReturn> {
        loop {
            // SAFETY: the buffer has room for so many bytes.
            let code = KernReturn::new(unsafe {
                let option = MACH_RCV_MSG | MACH_RCV_VOUCHER | self.options;
                mach_msg(
                    self.request.message(),
                    option,
                    0,
                    self.room,
                    self.port,
                    0,
                    0,
                )
            });
            match code {
                KernReturn::SUCCESS => return Ok(()),
                KernReturn::RCV_TOO_LARGE if self.options & MACH_RCV_LARGE != 0 => self.grow()?,
                error => return Err(error),
            }
        }
    }

    fn grow(&mut self) -> Result<(), KernReturn> {
        // SAFETY: the kernel wrote the size that is needed into the buffer (C11.5).
        let needed = unsafe { self.request.header().read_unaligned().msgh_size };
        self.request = Pages::new(pages_for(needed.saturating_add(self.trailer)))?;
        self.room = self.request.bytes;
        Ok(())
    }

    /// Calls the demultiplexer, whose result says nothing. Returns whether there is a reply to send (C12.2).
    ///
    /// # Safety
    /// The caller's contract: the demultiplexer writes no more than the buffer's size.
    unsafe fn serve(&self) -> bool {
        let (request, reply) = (self.request.header(), self.reply.header());
        // SAFETY: both buffers live during the call; the rest is the caller's promise.
        unsafe { (self.demux)(request, reply) };
        // SAFETY: the buffer has whole pages.
        let answer = unsafe { reply.cast::<mig_reply_error_t>().read_unaligned() };
        // A complex reply has no return code in that place.
        let code = match MACH_MSGH_BITS_IS_COMPLEX(answer.Head.msgh_bits) {
            true => KernReturn::SUCCESS,
            false => KernReturn::new(answer.RetCode),
        };
        match code {
            KernReturn::SUCCESS => {}
            KernReturn::MIG_NO_REPLY => return false,
            // SAFETY: the request was received; its reply right has moved to the reply.
            _ => unsafe {
                (&raw mut (*request).msgh_remote_port).write_unaligned(MACH_PORT_NULL);
                mach_msg_destroy(request.cast());
            },
        }
        answer.Head.msgh_remote_port != MACH_PORT_NULL
    }

    /// Returns size and options for sending the reply. Only a send right's queue can be full, and must not make the server wait.
    fn sending(&self) -> (mach_msg_size_t, mach_msg_option_t) {
        // SAFETY: the buffer has whole pages.
        let header = unsafe { self.reply.header().read_unaligned() };
        let once = MACH_MSGH_BITS_REMOTE(header.msgh_bits) == MACH_MSG_TYPE_MOVE_SEND_ONCE;
        let limit = if once { 0 } else { MACH_SEND_TIMEOUT };
        (header.msgh_size, MACH_SEND_MSG | limit | self.options)
    }

    /// Releases the rights of a reply that was not sent, the local port's too.
    fn consume_reply(&self) {
        let reply = self.reply.header();
        // SAFETY: the buffer holds the reply, as its demultiplexer wrote it or as the kernel gave it back.
        unsafe {
            let header = reply.read_unaligned();
            let local = MACH_MSGH_BITS_LOCAL(header.msgh_bits);
            let carried = [MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE].contains(&local);
            if carried && mach_port_valid(header.msgh_local_port) {
                mach_port_deallocate(system::task_self(), header.msgh_local_port);
            }
            mach_msg_destroy(reply.cast());
        }
    }
}

/// Returns whether a reply that was not sent ends neither the loop nor the call.
fn is_recoverable(code: KernReturn) -> bool {
    matches!(
        code,
        KernReturn::SEND_INVALID_DEST | KernReturn::SEND_TIMED_OUT | KernReturn::SEND_INTERRUPTED
    )
}

pub unsafe fn mach_msg_server_once(
    demux: Demux,
    max_size: mach_msg_size_t,
    receive_name: mach_port_name_t,
    options: mach_msg_option_t,
) -> kern_return_t {
    let once = || {
        let mut server = Server::new(demux, max_size, receive_name, options)?;
        server.receive()?;
        // SAFETY: the seam's contract.
        if !unsafe { server.serve() } {
            return Ok(());
        }
        let (size, option) = server.sending();
        // SAFETY: the buffer holds the reply.
        let code = unsafe { mach_msg(server.reply.message(), option, size, 0, 0, 0, 0) };
        match KernReturn::new(code) {
            KernReturn::SUCCESS => Ok(()),
            code if is_recoverable(code) => {
                server.consume_reply();
                Ok(())
            }
            error => Err(error),
        }
    };
    super::target::code(once())
}

pub unsafe fn mach_msg_server(
    demux: Demux,
    max_size: mach_msg_size_t,
    receive_name: mach_port_name_t,
    options: mach_msg_option_t,
) -> kern_return_t {
    let serve = || {
        let mut server = Server::new(demux, max_size, receive_name, options)?;
        server.receive()?;
        loop {
            // SAFETY: the buffer has whole pages.
            unsafe {
                let nothing = mach_msg_header_t::default();
                server.reply.header().write_unaligned(nothing);
            }
            // SAFETY: the seam's contract.
            if !unsafe { server.serve() } {
                server.receive()?;
                continue;
            }
            let (size, option) = server.sending();
            let option = option | MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_VOUCHER;
            // The reply leaves together with the receipt of the next request, if there is one already.
            // SAFETY: the buffers hold the reply, and have room for so many bytes.
            let code = KernReturn::new(unsafe {
                let (reply, request) = (server.reply.message(), server.request.message());
                mach_msg_overwrite(
                    reply,
                    option,
                    size,
                    server.room,
                    receive_name,
                    0,
                    0,
                    request,
                    0,
                )
            });
            match code {
                KernReturn::SUCCESS => continue,
                KernReturn::RCV_TIMED_OUT => {}
                KernReturn::RCV_TOO_LARGE if server.options & MACH_RCV_LARGE != 0 => {
                    server.grow()?;
                }
                code if is_recoverable(code) => server.consume_reply(),
                error => return Err(error),
            }
            server.receive()?;
        }
    };
    super::target::code(serve())
}
