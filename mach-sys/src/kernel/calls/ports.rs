//! The calls of `mach/mach_port.h`.
#![allow(unsafe_code)]

use super::declare::kernel_calls;
use crate::port::{mach_port_options_t, mach_port_qos_t};
use crate::types::*;

kernel_calls! {
    // mach/mach_port.h

    /// Creates a receive right, a port set or a dead name (C2.1).
    fn mach_port_allocate(task: mach_port_name_t, right: mach_port_right_t, name: *mut mach_port_name_t) -> kern_return_t;
    /// Creates a receive right or a port set under a name that the caller chooses (C2.2), or a dead name, for which the chosen name is
    /// ignored (C2.3).
    fn mach_port_allocate_name(task: mach_port_name_t, right: mach_port_right_t, name: mach_port_name_t) -> kern_return_t;
    /// Creates what [`mach_port_allocate`] or [`mach_port_allocate_name`] does, as `qos` says (C2.4). `prototype` is null. A message to allocate is
    /// checked and forgotten: `KERN_RESOURCE_SHORTAGE` for more than the largest message, `KERN_INVALID_VALUE` for anything but a receive right.
    fn mach_port_allocate_full(
        task: mach_port_name_t,
        right: mach_port_right_t,
        prototype: mach_port_name_t,
        qos: *mut mach_port_qos_t,
        name: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Does what [`mach_port_allocate_full`] does, and chooses the name: `KERN_INVALID_ARGUMENT` where the caller wants to.
    fn mach_port_allocate_qos(
        task: mach_port_name_t,
        right: mach_port_right_t,
        qos: *mut mach_port_qos_t,
        name: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Creates a receive right, for example for replies, and returns its name (`mach/mach_traps.h`, C2.6); `MACH_PORT_NULL` if no name is
    /// left.
    fn mach_reply_port() -> mach_port_name_t;
    /// Creates a receive right with options (C2.5). `options` is only read.
    fn mach_port_construct(
        task: mach_port_name_t,
        options: *mut mach_port_options_t,
        context: mach_port_context_t,
        name: *mut mach_port_name_t,
    ) -> kern_return_t;
    /// Destroys a receive right, guarded or not, after changing the user references of its send right by `send_delta`, which is 0 or
    /// less (C3.3).
    fn mach_port_destruct(
        task: mach_port_name_t,
        name: mach_port_name_t,
        send_delta: mach_port_delta_t,
        guard: mach_port_context_t,
    ) -> kern_return_t;
    /// Destroys all rights under a name, whatever their user references (C3.1).
    fn mach_port_destroy(task: mach_port_name_t, name: mach_port_name_t) -> kern_return_t;
    /// Releases one user reference of a send, send-once or dead-name right (C3.2).
    fn mach_port_deallocate(task: mach_port_name_t, name: mach_port_name_t) -> kern_return_t;
    /// Changes the user references of one right (C4.2).
    fn mach_port_mod_refs(
        task: mach_port_name_t,
        name: mach_port_name_t,
        right: mach_port_right_t,
        delta: mach_port_delta_t,
    ) -> kern_return_t;
    /// Reads the user references of one right (C4.1).
    fn mach_port_get_refs(
        task: mach_port_name_t,
        name: mach_port_name_t,
        right: mach_port_right_t,
        references: *mut mach_port_urefs_t,
    ) -> kern_return_t;
    /// Inserts a right into the task's name space under a name (C6.1, C6.2).
    fn mach_port_insert_right(
        task: mach_port_name_t,
        name: mach_port_name_t,
        poly: mach_port_name_t,
        disposition: mach_msg_type_name_t,
    ) -> kern_return_t;
    /// Extracts a right from the task, or creates one from its receive right, for example a send-once right (C6.5).
    fn mach_port_extract_right(
        task: mach_port_name_t,
        name: mach_port_name_t,
        disposition: mach_msg_type_name_t,
        right: *mut mach_port_name_t,
        right_type: *mut mach_msg_type_name_t,
    ) -> kern_return_t;
    /// Reads the rights that a name denotes, as bits of `MACH_PORT_TYPE_*` (C5.1).
    fn mach_port_type(task: mach_port_name_t, name: mach_port_name_t, kind: *mut mach_port_type_t) -> kern_return_t;
    /// Lists all names and their types, in two arrays that the caller releases with [`mach_vm_deallocate`](super::mach_vm_deallocate) (C5.2).
    fn mach_port_names(
        task: mach_port_name_t,
        names: *mut *mut mach_port_name_t,
        names_count: *mut mach_msg_type_number_t,
        types: *mut *mut mach_port_type_t,
        types_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Adds a receive right to a port set (C9.1).
    fn mach_port_insert_member(task: mach_port_name_t, name: mach_port_name_t, set: mach_port_name_t) -> kern_return_t;
    /// Removes a receive right from a port set (C9.2).
    fn mach_port_extract_member(task: mach_port_name_t, name: mach_port_name_t, set: mach_port_name_t) -> kern_return_t;
    /// Adds a receive right to one set and removes it from all others; a null set removes it from all (C9.2).
    fn mach_port_move_member(task: mach_port_name_t, name: mach_port_name_t, after: mach_port_name_t) -> kern_return_t;
    /// Lists the members of a port set, in an array that the caller releases with [`mach_vm_deallocate`](super::mach_vm_deallocate) (C9.6).
    fn mach_port_get_set_status(
        task: mach_port_name_t,
        name: mach_port_name_t,
        members: *mut *mut mach_port_name_t,
        members_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Reads the [`KobjectType`](crate::port::KobjectType) and the address of the kernel object behind a send or receive right. The address
    /// is 0 except on Apple's development kernels.
    fn mach_port_kobject(
        task: mach_port_name_t,
        name: mach_port_name_t,
        kind: *mut natural_t,
        address: *mut mach_vm_address_t,
    ) -> kern_return_t;
    /// Sets the context word of a port (C5.5).
    fn mach_port_set_context(task: mach_port_name_t, name: mach_port_name_t, context: mach_port_context_t) -> kern_return_t;
    /// Reads the context word of a port (C5.5).
    fn mach_port_get_context(
        task: mach_port_name_t,
        name: mach_port_name_t,
        context: *mut mach_port_context_t,
    ) -> kern_return_t;

    /// Sets the make-send count of a receive right (C5.5).
    fn mach_port_set_mscount(task: mach_port_name_t, name: mach_port_name_t, count: mach_port_mscount_t) -> kern_return_t;
    /// Sets the sequence number of the next message received (C5.5).
    fn mach_port_set_seqno(task: mach_port_name_t, name: mach_port_name_t, number: mach_port_seqno_t) -> kern_return_t;
    /// Reads the number of a port's send rights, in name spaces and messages (C5.7).
    fn mach_port_get_srights(task: mach_port_name_t, name: mach_port_name_t, count: *mut mach_port_rights_t) -> kern_return_t;
    /// Reads an attribute of a receive right (a [`PortFlavor`](crate::port::PortFlavor)) into at most `count` words (C5.3).
    fn mach_port_get_attributes(
        task: mach_port_name_t,
        name: mach_port_name_t,
        flavor: mach_port_flavor_t,
        info: *mut integer_t,
        count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Sets an attribute of a receive right from `count` words (C5.4).
    fn mach_port_set_attributes(
        task: mach_port_name_t,
        name: mach_port_name_t,
        flavor: mach_port_flavor_t,
        info: *const integer_t,
        count: mach_msg_type_number_t,
    ) -> kern_return_t;
    /// Guards a receive right: only [`mach_port_destruct`] with the same guard value can destroy it (C5.6).
    fn mach_port_guard(
        task: mach_port_name_t,
        name: mach_port_name_t,
        guard: mach_port_context_t,
        strict: boolean_t,
    ) -> kern_return_t;
    /// Guards a receive right like [`mach_port_guard`], with [`GuardFlags`](crate::port::GuardFlags) (C5.6).
    fn mach_port_guard_with_flags(
        task: mach_port_name_t,
        name: mach_port_name_t,
        guard: mach_port_context_t,
        flags: u64,
    ) -> kern_return_t;
    /// Removes the guard of a receive right, if `guard` is its value (C5.6).
    fn mach_port_unguard(task: mach_port_name_t, name: mach_port_name_t, guard: mach_port_context_t) -> kern_return_t;
    /// Replaces a guard that is not strict, if `old` is its value (C5.6).
    fn mach_port_swap_guard(
        task: mach_port_name_t,
        name: mach_port_name_t,
        old: mach_port_context_t,
        new: mach_port_context_t,
    ) -> kern_return_t;
    /// Requests a notification about a name (`MACH_NOTIFY_*`), or cancels the request if `notify` is null. `previous` gets the send-once
    /// right of the previous request (C8).
    fn mach_port_request_notification(
        task: mach_port_name_t,
        name: mach_port_name_t,
        id: mach_msg_id_t,
        sync: mach_port_mscount_t,
        notify: mach_port_name_t,
        disposition: mach_msg_type_name_t,
        previous: *mut mach_port_name_t,
    ) -> kern_return_t;
}
