//! The calls of `mach/mach_init.h`, `mach/message.h`, `mach/mig_errors.h`, and of time.
#![allow(unsafe_code)]

use crate::message::mach_msg_header_t;
use crate::types::*;
use core::ffi::{c_char, c_void};

super::kernel_calls! {
    // mach/mach_init.h, mach/message.h

    /// Returns the name of the calling thread's port, with one more user reference for each call (D1.1): the caller must release it.
    /// [`ThreadRight::current`](crate::rights::ThreadRight::current) releases its own.
    fn mach_thread_self() -> mach_port_name_t;
    /// Sends a message, then receives one into the same buffer, as `option` says (`MACH_SEND_MSG`, `MACH_RCV_MSG`; C10, C11).
    ///
    /// Sizes are in bytes. `receive_size` includes the trailer. `timeout` is in milliseconds and counts only with `MACH_SEND_TIMEOUT` or
    /// `MACH_RCV_TIMEOUT`, for each of the two halves; without these the call waits forever, and with them 0 means no wait.
    fn mach_msg(
        message: *mut c_void,
        option: mach_msg_option_t,
        send_size: mach_msg_size_t,
        receive_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        timeout: mach_msg_timeout_t,
        notify: mach_port_name_t,
    ) -> kern_return_t;
    /// Does what [`mach_msg`] does, and receives into a buffer of its own: `receive_message`, unless that is null. `scatter_size` means
    /// nothing any more.
    fn mach_msg_overwrite(
        message: *mut c_void,
        option: mach_msg_option_t,
        send_size: mach_msg_size_t,
        receive_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        timeout: mach_msg_timeout_t,
        notify: mach_port_name_t,
        receive_message: *mut c_void,
        scatter_size: mach_msg_size_t,
    ) -> kern_return_t;
    /// Receives requests of at most `max_size` bytes, calls `demux` for each, and sends the replies, until an error ends the loop (C12.2).
    /// Options are `MACH_RCV_LARGE`, for requests of any size, and the trailer's.
    fn mach_msg_server(
        demux: unsafe extern "C" fn(*mut mach_msg_header_t, *mut mach_msg_header_t) -> boolean_t,
        max_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        options: mach_msg_option_t,
    ) -> kern_return_t;
    /// Serves one request as [`mach_msg_server`] does (C12.2).
    fn mach_msg_server_once(
        demux: unsafe extern "C" fn(*mut mach_msg_header_t, *mut mach_msg_header_t) -> boolean_t,
        max_size: mach_msg_size_t,
        receive_name: mach_port_name_t,
        options: mach_msg_option_t,
    ) -> kern_return_t;
    /// Releases the rights that a received message carries, those of the remote port and of the descriptors, never the local port's, and
    /// the memory of descriptors that say so (C12.1).
    fn mach_msg_destroy(message: *mut c_void) -> ();

    /// Returns the name of the host port, with one more user reference for each call (C7.3): the caller must release it.
    fn mach_host_self() -> mach_port_name_t;

    // mach/mach_error.h, mach/mach_time.h

    /// Returns the text of an error, which lives forever. The emulation has the texts of the kernel's errors, of `mach_msg` and of MIG;
    /// every other error is an unknown error code.
    fn mach_error_string(error: kern_return_t) -> *mut c_char;
    /// Returns the time since some moment, in units of [`mach_timebase_info`]. It does not step, and stands still while the system sleeps.
    fn mach_absolute_time() -> u64;
    /// Returns the same time as [`mach_absolute_time`], a few milliseconds late.
    fn mach_approximate_time() -> u64;
    /// Returns the time since some moment, in units of [`mach_timebase_info`]. It does not step, and goes on while the system sleeps.
    fn mach_continuous_time() -> u64;
    /// Returns the same time as [`mach_continuous_time`]; on Apple's systems it may be a few milliseconds late.
    fn mach_continuous_approximate_time() -> u64;
    /// Waits until [`mach_absolute_time`] has reached a value. `KERN_ABORTED`: a signal handler ran, or the thread was aborted.
    fn mach_wait_until(deadline: u64) -> kern_return_t;
    /// Reads the unit of [`mach_absolute_time`], in nanoseconds.
    fn mach_timebase_info(info: *mut mach_timebase_info_data_t) -> kern_return_t;

    // mach/mig_errors.h

    /// Returns the name of the port on which the calling thread receives the replies of MIG routines. The thread's first such routine, or
    /// this call, creates it (G6.1): one receive right, which the system's library owns until the thread exits. The emulation returns
    /// `MACH_PORT_NULL` if no name is left.
    fn mig_get_reply_port() -> mach_port_name_t;
}
