//! The rules that differ from one macOS to the next (docs/xnu, F, F5, F6), and the sizes of an emulated kernel.

use crate::config::Generation;
use mach_wire::exception::{MPG_FLAGS_MOD_REFS_PINNED_COPYIN, PortGuardFlavor};
use mach_wire::kern_return::KernReturn;
use mach_wire::mig::Routine;
use mach_wire::thread_state::THREAD_STATE_MAX;

/// Slots of the largest name table that XNU makes (C0.7).
const LARGEST_TABLE: u32 = 305_834;

/// Capacity of one kernel for each kind of object. Address space is reserved for all of them; memory is used for what is
/// touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) ports: u32,
    pub(crate) sets: u32,
    /// Memberships of ports in sets.
    pub(crate) members: u32,
    /// Message buffers for all messages.
    pub(crate) messages: u32,
    /// Message buffers beside those for exceptions and the replies to them, and as many for the kernel's other messages.
    pub(crate) reserved_messages: u32,
    pub(crate) threads: u32,
    /// Slots of each name table, of which the first is never used.
    pub(crate) names: u32,
}

impl Limits {
    /// Capacities of the process's own kernel. Names run out before ports and sets do, as in XNU.
    pub(crate) const PROCESS: Self = Self {
        ports: 1 << 19,
        sets: 1 << 19,
        members: 1 << 19,
        messages: 1 << 14,
        reserved_messages: 1 << 10,
        threads: 1 << 13,
        names: LARGEST_TABLE,
    };

    /// Returns the capacities of a process's kernel with room for `ports` ports.
    pub(crate) fn for_ports(ports: u32) -> Self {
        let share = |whole: u32| {
            let ports = u64::from(ports.min(Self::PROCESS.ports));
            (u64::from(whole) * ports / u64::from(Self::PROCESS.ports)) as u32
        };
        Self {
            ports: share(Self::PROCESS.ports),
            sets: share(Self::PROCESS.sets),
            members: share(Self::PROCESS.members),
            messages: share(Self::PROCESS.messages),
            names: share(Self::PROCESS.names),
            ..Self::PROCESS
        }
    }

    /// Capacities of a kernel in a test.
    #[cfg(test)]
    pub(crate) const SMALL: Self = Self {
        ports: 1 << 12,
        sets: 1 << 12,
        members: 1 << 12,
        messages: 1 << 10,
        reserved_messages: 64,
        threads: 16,
        names: 1 << 12,
    };
}

/// Role of an emulated kernel object as an exception port (B1.6, B2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KobjectHandler {
    /// It is stored, and deliveries to it fail.
    Stored,
    /// The call succeeds, and no port is stored.
    StoredAsNull,
    /// `KERN_INVALID_RIGHT`.
    Refused,
}

/// Behaviour of a kernel where versions differ. Each rule that differs is one function here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) generation: Generation,
    pub(crate) limits: Limits,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            generation: Generation::default(),
            limits: Limits::PROCESS,
        }
    }
}

impl Rules {
    /// Returns the oldest macOS that has what came with the version after 11 and at the latest with 15.4.
    fn since_15(&self) -> bool {
        self.generation >= Generation::MacOs15
    }

    fn since_26(&self) -> bool {
        self.generation >= Generation::MacOs26
    }

    /// Returns whether each new use of a slot moves its generation by 4, up to 15; since 26 by a step drawn at random (C0.7).
    pub(crate) fn generations_move_by_4(&self) -> bool {
        !self.since_26()
    }

    /// Returns the error for a dead name where a receive right is wanted (C7.5).
    pub(crate) fn dead_name_for_receive_right(&self) -> KernReturn {
        if self.since_15() {
            KernReturn::INVALID_NAME
        } else {
            KernReturn::INVALID_RIGHT
        }
    }

    /// Returns whether `mach_port_destroy` of a guarded port frees the name although it is refused, up to 13 (C3.1).
    pub(crate) fn refused_destroy_loses_the_name(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether the receive right of a timer cannot be moved, since 15.
    pub(crate) fn timers_are_immovable(&self) -> bool {
        self.since_15()
    }

    /// Returns whether `mk_timer_destroy` looks at the entry of the name, since 14, and not for a receive right (C7.5).
    pub(crate) fn timers_are_destroyed_by_their_entry(&self) -> bool {
        self.since_15()
    }

    /// Returns whether `mach_port_destroy` of a pinned name is refused, since 12 (C3.1, D5.3).
    pub(crate) fn pinned_names_are_not_destroyed(&self) -> bool {
        self.since_15()
    }

    /// Returns the guard of a guarded port whose receive right `mach_port_mod_refs` would destroy (C4.2).
    pub(crate) fn guard_against_mod_refs(&self) -> PortGuardFlavor {
        if self.since_26() {
            PortGuardFlavor::DESTROY
        } else {
            PortGuardFlavor::MOD_REFS
        }
    }

    /// Returns whether the bits that say what a port is are read as one number, and unknown bits are refused, since 26 (C2.5, C2.7).
    pub(crate) fn port_types_are_one_number(&self) -> bool {
        self.since_26()
    }

    /// Returns whether a port is made immovable without being guarded, since 26 (C2.5).
    pub(crate) fn immovable_needs_no_guard(&self) -> bool {
        self.since_26()
    }

    /// Returns the payload of the guard for a message that takes the last reference of a pinned name (A13.4).
    pub(crate) fn payload_of_pinned_copyin(&self) -> u64 {
        if self.since_26() {
            0x0300_0000_0000_0000
        } else {
            MPG_FLAGS_MOD_REFS_PINNED_COPYIN
        }
    }

    /// Returns whether a notification for a null or dead name is an invalid argument whatever its kind, since 26 (C8.1).
    pub(crate) fn notification_needs_a_valid_name(&self) -> bool {
        self.since_26()
    }

    /// Returns whether a dead-name request with `sync` not 0 on a dead name is answered at once, up to 12 (C8.3).
    pub(crate) fn dead_names_are_told_at_once(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether an immovable receive right cannot be sent to a notify port in place of its destruction, since 26 (C8.5).
    pub(crate) fn immovable_ports_have_no_port_destroyed(&self) -> bool {
        self.since_26()
    }

    /// Returns whether a port-destroyed request whose notify port is dead counts as none, since 26 (C8.5).
    pub(crate) fn port_destroyed_needs_a_live_port(&self) -> bool {
        self.since_26()
    }

    /// Returns the payload of the guard of a second port-destroyed request, if that guard does not name the port: since 26 (C8.5).
    pub(crate) fn second_port_destroyed(&self) -> Option<u64> {
        self.since_26().then_some(4)
    }

    /// Returns whether arming a request is an error where the notify port of the one before is dead, up to 26.3.1 (C8.9).
    pub(crate) fn dead_previous_is_an_error(&self) -> bool {
        !self.since_26()
    }

    /// Returns whether a second name that once was a receive right raises no guard, up to 15.3 (C9.1).
    pub(crate) fn former_receive_rights_are_no_misuse_as_sets(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether receiving from a dead name raises a guard, up to 11 (C11.1).
    pub(crate) fn receiving_from_dead_names_is_misuse(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether `insert_member` and `move_member` look at the set's name first, up to 12.2 (C9.1, C9.2).
    pub(crate) fn set_name_is_looked_at_first(&self) -> bool {
        !self.since_15()
    }

    /// Returns the result of `move_member` to no set for a port that is in none; success up to 12.2 (C9.2).
    pub(crate) fn leaving_no_set(&self) -> Result<(), KernReturn> {
        if self.since_15() {
            Err(KernReturn::NOT_IN_SET)
        } else {
            Ok(())
        }
    }

    /// Returns whether unknown bits in a message's first word are refused, up to 14.5; later they are dropped (C10.1).
    pub(crate) fn unknown_header_bits_are_refused(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether bad descriptors are found only after the header's rights have been taken, up to 14.5 (C10.1).
    pub(crate) fn descriptors_are_checked_last(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether a dead name or set as destination, and a send-once right that is destination and reply at once, are
    /// found only after the check of the reply, up to 15.3 (C10.2, C10.3).
    pub(crate) fn reply_is_checked_before_destination(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether a received array of ports is a virtual copy whatever its sender wrote, since 26 (C10.4).
    pub(crate) fn arrays_of_ports_are_virtual_copies(&self) -> bool {
        self.since_26()
    }

    /// Returns whether a dead name is accepted as reply, up to 12 (C10.2).
    pub(crate) fn dead_name_is_a_reply(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether the bare header of a message that was too large is written whole, over the end of a smaller buffer, up to
    /// 12.2 (C11.5).
    pub(crate) fn small_receive_buffer_is_overrun(&self) -> bool {
        !self.since_15()
    }

    /// Returns whether the names of a third party's threads and task are pinned, since 26 (D5.1, D5.2).
    pub(crate) fn control_port_names_are_pinned(&self) -> bool {
        self.since_26()
    }

    /// Returns the number of user references of the task's and the main thread's name at the start (D1.3, F6.27).
    pub(crate) fn references_at_start(&self) -> u32 {
        if self.since_26() { 2 } else { 1 }
    }

    /// Returns whether `thread_terminate` of a pthread is refused, since 12 (D3.1).
    pub(crate) fn pthreads_are_not_terminated(&self) -> bool {
        self.since_15()
    }

    /// Returns the largest thread state in a reply or call, in words; on x86 smaller before 12.0 (A6.4, A9.6).
    pub(crate) fn largest_state(&self) -> usize {
        if cfg!(target_arch = "x86_64") && !self.since_15() {
            614
        } else {
            THREAD_STATE_MAX
        }
    }

    /// Returns the size in bytes of the buffer in which the kernel awaits the reply to a request (A6.4). The trailer after the largest reply has 8, since
    /// 26 68.
    pub(crate) fn reply_buffer(&self, routine: Routine) -> usize {
        let trailer = if self.since_26() { 68 } else { 8 };
        routine.reply_size(self.largest_state()) + trailer
    }

    /// Returns the highest behavior without modifiers: 4 came with 12.0, 5 with 15.0 (B2.2).
    pub(crate) fn highest_behavior(&self) -> i32 {
        if self.since_15() { 5 } else { 3 }
    }

    /// Returns whether `MACH_EXCEPTION_BACKTRACE_PREFERRED` is a modifier, since 13.0 (B2.2, B2.5).
    pub(crate) fn backtrace_is_a_modifier(&self) -> bool {
        self.since_15()
    }

    /// Returns whether behaviors that need 64-bit codes are refused without them, since 12.0 (B2.5).
    pub(crate) fn missing_codes_are_refused(&self) -> bool {
        self.since_15()
    }

    /// Returns whether a port whose receive right is immovable is refused as an exception port, up to 15 (B2.3).
    pub(crate) fn immovable_ports_are_no_handlers(&self) -> bool {
        !self.since_26()
    }

    /// Returns whether there are ports made for exceptions, since 12 at the latest with 15 (B5.5).
    pub(crate) fn has_exception_ports(&self) -> bool {
        self.since_15()
    }

    /// Returns whether a port that was made as a reply port is refused as an exception port, since 26. Up to 15 it is one like any other in a third
    /// party's task (B2.3).
    pub(crate) fn reply_ports_are_no_handlers(&self) -> bool {
        self.since_26()
    }

    /// Returns whether there are calls for identity tokens of tasks, since 12.0.
    pub(crate) fn has_identity_tokens(&self) -> bool {
        self.since_15()
    }

    /// Returns whether there are hardened exception handlers, since 15.0 (B8).
    pub(crate) fn has_hardened_handlers(&self) -> bool {
        self.since_15()
    }

    /// Returns the treatment of a kernel object's port that is registered as an exception port (B1.6, B2.3).
    pub(crate) fn kobject_as_handler(&self) -> KobjectHandler {
        match self.generation {
            Generation::MacOs11 => KobjectHandler::Stored,
            Generation::MacOs15 => KobjectHandler::StoredAsNull,
            Generation::MacOs26 => KobjectHandler::Refused,
        }
    }
}
