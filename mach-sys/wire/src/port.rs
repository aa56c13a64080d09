//! Rights, types, limits and attributes of ports (`mach/port.h`).

use crate::names::{display_by_name, flag_set, open_set, raw_constants};
use crate::pod::plain_struct;
use crate::types::{
    mach_msg_type_number_t, mach_port_flavor_t, mach_port_mscount_t, mach_port_msgcount_t,
    mach_port_right_t, mach_port_rights_t, mach_port_seqno_t, mach_port_type_t, natural_t,
};

open_set! {
    /// A kind of right: `MACH_PORT_RIGHT_*`.
    ///
    /// ```
    /// use mach_wire::port::PortRight;
    ///
    /// assert_eq!(PortRight::SEND.to_string(), "MACH_PORT_RIGHT_SEND");
    /// assert_eq!("MACH_PORT_RIGHT_DEAD_NAME".parse(), Ok(PortRight::DEAD_NAME));
    /// ```
    #[doc(alias = "mach_port_right_t")]
    pub struct PortRight(mach_port_right_t);
    SEND = MACH_PORT_RIGHT_SEND = 0;
    RECEIVE = MACH_PORT_RIGHT_RECEIVE = 1;
    SEND_ONCE = MACH_PORT_RIGHT_SEND_ONCE = 2;
    PORT_SET = MACH_PORT_RIGHT_PORT_SET = 3;
    DEAD_NAME = MACH_PORT_RIGHT_DEAD_NAME = 4;
    LABELH = MACH_PORT_RIGHT_LABELH = 5;
    NUMBER = MACH_PORT_RIGHT_NUMBER = 6;
}
display_by_name!(PortRight);

impl PortRight {
    /// Returns the bit of this kind in [`PortType`]; no bit for an unknown kind.
    pub const fn port_type(self) -> PortType {
        match 1u32.checked_shl(self.raw().saturating_add(16)) {
            Some(bit) => PortType::from_bits_retain(bit),
            None => PortType::empty(),
        }
    }
}

flag_set! {
    /// The rights and pending notification requests that a name holds.
    pub struct PortType(mach_port_type_t), show c, unknown !0;
    SEND = MACH_PORT_TYPE_SEND = 0x0001_0000;
    RECEIVE = MACH_PORT_TYPE_RECEIVE = 0x0002_0000;
    SEND_ONCE = MACH_PORT_TYPE_SEND_ONCE = 0x0004_0000;
    PORT_SET = MACH_PORT_TYPE_PORT_SET = 0x0008_0000;
    DEAD_NAME = MACH_PORT_TYPE_DEAD_NAME = 0x0010_0000;
    LABELH = MACH_PORT_TYPE_LABELH = 0x0020_0000;
    DNREQUEST = MACH_PORT_TYPE_DNREQUEST = 0x8000_0000;
    SPREQUEST = MACH_PORT_TYPE_SPREQUEST = 0x4000_0000;
    SPREQUEST_DELAYED = MACH_PORT_TYPE_SPREQUEST_DELAYED = 0x2000_0000;
    SEND_RECEIVE = MACH_PORT_TYPE_SEND_RECEIVE = 0x0003_0000;
    SEND_RIGHTS = MACH_PORT_TYPE_SEND_RIGHTS = 0x0005_0000;
    PORT_RIGHTS = MACH_PORT_TYPE_PORT_RIGHTS = 0x0007_0000;
    PORT_OR_DEAD = MACH_PORT_TYPE_PORT_OR_DEAD = 0x0017_0000;
    ALL_RIGHTS = MACH_PORT_TYPE_ALL_RIGHTS = 0x001f_0000;
}
/// `MACH_PORT_TYPE_NONE`: the name is unused.
pub const MACH_PORT_TYPE_NONE: mach_port_type_t = 0;

flag_set! {
    /// The flags of a port's status.
    pub struct PortStatusFlags(natural_t), show c, unknown !0;
    TEMPOWNER = MACH_PORT_STATUS_FLAG_TEMPOWNER = 0x1;
    GUARDED = MACH_PORT_STATUS_FLAG_GUARDED = 0x2;
    STRICT_GUARD = MACH_PORT_STATUS_FLAG_STRICT_GUARD = 0x4;
    IMP_DONATION = MACH_PORT_STATUS_FLAG_IMP_DONATION = 0x8;
    REVIVE = MACH_PORT_STATUS_FLAG_REVIVE = 0x10;
    TASKPTR = MACH_PORT_STATUS_FLAG_TASKPTR = 0x20;
    GUARD_IMMOVABLE_RECEIVE = MACH_PORT_STATUS_FLAG_GUARD_IMMOVABLE_RECEIVE = 0x40;
    NO_GRANT = MACH_PORT_STATUS_FLAG_NO_GRANT = 0x80;
}

open_set! {
    /// An attribute of a port that can be read or set.
    pub struct PortFlavor(mach_port_flavor_t);
    LIMITS_INFO = MACH_PORT_LIMITS_INFO = 1;
    RECEIVE_STATUS = MACH_PORT_RECEIVE_STATUS = 2;
    DNREQUESTS_SIZE = MACH_PORT_DNREQUESTS_SIZE = 3;
    TEMPOWNER = MACH_PORT_TEMPOWNER = 4;
    IMPORTANCE_RECEIVER = MACH_PORT_IMPORTANCE_RECEIVER = 5;
    DENAP_RECEIVER = MACH_PORT_DENAP_RECEIVER = 6;
    INFO_EXT = MACH_PORT_INFO_EXT = 7;
    GUARD_INFO = MACH_PORT_GUARD_INFO = 8;
    SERVICE_THROTTLED = MACH_PORT_SERVICE_THROTTLED = 9;
}
display_by_name!(PortFlavor);

open_set! {
    /// The type of the kernel object behind a port, as `mach_port_kobject` returns it (`mach_debug/ipc_info.h`). Kernels before macOS 26
    /// have the same numbers with the names `IKOT_*`.
    ///
    /// ```
    /// use mach_wire::port::KobjectType;
    ///
    /// assert_eq!(KobjectType::SEMAPHORE.to_string(), "IPC_OTYPE_SEMAPHORE");
    /// ```
    #[doc(alias("ipc_info_object_type_t", "ipc_kobject_type_t"))]
    pub struct KobjectType(natural_t);
    /// An ordinary port, whose receive right a task holds: no kernel object.
    NONE = IPC_OTYPE_NONE = 0;
    THREAD_CONTROL = IPC_OTYPE_THREAD_CONTROL = 1;
    TASK_CONTROL = IPC_OTYPE_TASK_CONTROL = 2;
    HOST = IPC_OTYPE_HOST = 3;
    HOST_PRIV = IPC_OTYPE_HOST_PRIV = 4;
    PROCESSOR = IPC_OTYPE_PROCESSOR = 5;
    PROCESSOR_SET = IPC_OTYPE_PROCESSOR_SET = 6;
    PROCESSOR_SET_NAME = IPC_OTYPE_PROCESSOR_SET_NAME = 7;
    TIMER = IPC_OTYPE_TIMER = 8;
    MAIN_DEVICE = IPC_OTYPE_MAIN_DEVICE = 19;
    TASK_NAME = IPC_OTYPE_TASK_NAME = 20;
    SEMAPHORE = IPC_OTYPE_SEMAPHORE = 23;
    CLOCK = IPC_OTYPE_CLOCK = 25;
    IOKIT_IDENT = IPC_OTYPE_IOKIT_IDENT = 27;
    NAMED_ENTRY = IPC_OTYPE_NAMED_ENTRY = 28;
    IOKIT_CONNECT = IPC_OTYPE_IOKIT_CONNECT = 29;
    IOKIT_OBJECT = IPC_OTYPE_IOKIT_OBJECT = 30;
    AU_SESSIONPORT = IPC_OTYPE_AU_SESSIONPORT = 33;
    FILEPORT = IPC_OTYPE_FILEPORT = 34;
    TASK_RESUME = IPC_OTYPE_TASK_RESUME = 36;
    VOUCHER = IPC_OTYPE_VOUCHER = 37;
    WORK_INTERVAL = IPC_OTYPE_WORK_INTERVAL = 39;
    UX_HANDLER = IPC_OTYPE_UX_HANDLER = 40;
    UEXT_OBJECT = IPC_OTYPE_UEXT_OBJECT = 41;
    ARCADE_REG = IPC_OTYPE_ARCADE_REG = 42;
    EVENTLINK = IPC_OTYPE_EVENTLINK = 43;
    TASK_INSPECT = IPC_OTYPE_TASK_INSPECT = 44;
    TASK_READ = IPC_OTYPE_TASK_READ = 45;
    THREAD_INSPECT = IPC_OTYPE_THREAD_INSPECT = 46;
    THREAD_READ = IPC_OTYPE_THREAD_READ = 47;
    HYPERVISOR = IPC_OTYPE_HYPERVISOR = 49;
    TASK_ID_TOKEN = IPC_OTYPE_TASK_ID_TOKEN = 50;
    TASK_FATAL = IPC_OTYPE_TASK_FATAL = 51;
    KCDATA = IPC_OTYPE_KCDATA = 52;
    EXCLAVES_RESOURCE = IPC_OTYPE_EXCLAVES_RESOURCE = 53;
}
display_by_name!(KobjectType);

raw_constants! {
    mach_msg_type_number_t; PORT_INFO_COUNTS;
    MACH_PORT_LIMITS_INFO_COUNT = 1;
    MACH_PORT_RECEIVE_STATUS_COUNT = 10;
    MACH_PORT_DNREQUESTS_SIZE_COUNT = 1;
    MACH_PORT_INFO_EXT_COUNT = 17;
    MACH_PORT_GUARD_INFO_COUNT = 2;
    MACH_PORT_SERVICE_THROTTLED_COUNT = 1;
    MACH_SERVICE_PORT_INFO_STRING_NAME_MAX_BUF_LEN = 255;
    MACH_SERVICE_PORT_INFO_COUNT = 0;
}

raw_constants! {
    natural_t; PORT_LIMITS;
    MACH_PORT_SRIGHTS_NONE = 0;
    MACH_PORT_SRIGHTS_PRESENT = 1;
    MACH_PORT_QLIMIT_ZERO = 0;
    MACH_PORT_QLIMIT_BASIC = 5;
    MACH_PORT_QLIMIT_SMALL = 16;
    MACH_PORT_QLIMIT_LARGE = 1024;
    MACH_PORT_QLIMIT_KERNEL = 65534;
    MACH_PORT_QLIMIT_MIN = 0;
    MACH_PORT_QLIMIT_DEFAULT = 5;
    MACH_PORT_QLIMIT_MAX = 1024;
}

flag_set! {
        /// The flags of [`mach_port_options_t`], for `mach_port_construct`.
        pub struct PortOptionFlags(u32), show c, unknown !0;
    CONTEXT_AS_GUARD = MPO_CONTEXT_AS_GUARD = 0x1;
    QLIMIT = MPO_QLIMIT = 0x2;
    TEMPOWNER = MPO_TEMPOWNER = 0x4;
    IMPORTANCE_RECEIVER = MPO_IMPORTANCE_RECEIVER = 0x8;
    INSERT_SEND_RIGHT = MPO_INSERT_SEND_RIGHT = 0x10;
    STRICT = MPO_STRICT = 0x20;
    DENAP_RECEIVER = MPO_DENAP_RECEIVER = 0x40;
    IMMOVABLE_RECEIVE = MPO_IMMOVABLE_RECEIVE = 0x80;
    FILTER_MSG = MPO_FILTER_MSG = 0x100;
    TG_BLOCK_TRACKING = MPO_TG_BLOCK_TRACKING = 0x200;
    SERVICE_PORT = MPO_SERVICE_PORT = 0x400;
    CONNECTION_PORT = MPO_CONNECTION_PORT = 0x800;
    REPLY_PORT = MPO_REPLY_PORT = 0x1000;
    ENFORCE_REPLY_PORT_SEMANTICS = MPO_ENFORCE_REPLY_PORT_SEMANTICS = 0x2000;
    PROVISIONAL_REPLY_PORT = MPO_PROVISIONAL_REPLY_PORT = 0x4000;
    EXCEPTION_PORT = MPO_EXCEPTION_PORT = 0x8000;
}

flag_set! {
    /// The flags of `mach_port_guard_with_flags`.
    pub struct GuardFlags(u64), show c, unknown !0;
    STRICT = MPG_STRICT = 1;
    IMMOVABLE_RECEIVE = MPG_IMMOVABLE_RECEIVE = 2;
}

plain_struct! {
    /// The limits of a port: `MACH_PORT_LIMITS_INFO`.
    pub struct mach_port_limits_t: 4, align 4 {
        /// Number of messages that are queued before senders wait.
        ///
        0 mpl_qlimit: mach_port_msgcount_t,
    }
}

plain_struct! {
    /// The wishes of `mach_port_allocate_full` and `mach_port_allocate_qos` (C2.4).
    pub struct mach_port_qos_t: 8, align 4 {
        /// [`QOS_NAME`] and [`QOS_PREALLOC`]: bit fields in C.
        ///
        0 flags: u32,
        /// Bytes of the message to allocate.
        ///
        4 len: u32,
    }
}

/// The bit field `name` of [`mach_port_qos_t`]: the caller chooses the name.
pub const QOS_NAME: u32 = 1;
/// The bit field `prealloc` of [`mach_port_qos_t`]: a message is allocated with the port, which no kernel does any more.
pub const QOS_PREALLOC: u32 = 2;

plain_struct! {
        /// The options of `mach_port_construct`.
        pub struct mach_port_options_t: 24, align 8 {
        /// Bits of [`PortOptionFlags`].
        ///
        0 flags: u32,
        4 mpl: mach_port_limits_t,
        8 reserved: [u64; 2],
    }
}

plain_struct! {
    /// The status of a receive right: `MACH_PORT_RECEIVE_STATUS`.
    pub struct mach_port_status_t: 40, align 4 {
        /// 1 if the port is in a set.
        ///
        0 mps_pset: mach_port_rights_t,
        4 mps_seqno: mach_port_seqno_t,
        8 mps_mscount: mach_port_mscount_t,
        12 mps_qlimit: mach_port_msgcount_t,
        16 mps_msgcount: mach_port_msgcount_t,
        20 mps_sorights: mach_port_rights_t,
        /// 1 if there are send rights.
        ///
        24 mps_srights: natural_t,
        28 mps_pdrequest: natural_t,
        32 mps_nsrequest: natural_t,
        /// Bits of [`PortStatusFlags`].
        ///
        36 mps_flags: natural_t,
    }
}

plain_struct! {
    /// The extended status of a receive right: `MACH_PORT_INFO_EXT`.
    pub struct mach_port_info_ext_t: 68, align 4 {
        0 mpie_status: mach_port_status_t,
        40 mpie_boost_cnt: mach_port_msgcount_t,
        44 reserved: [u32; 6],
    }
}

plain_struct! {
    /// The guard of a port that is not guarded strictly: `MACH_PORT_GUARD_INFO`.
    pub struct mach_port_guard_info_t: 8, align 8 {
        0 mpgi_guard: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_has_its_bit_of_the_type() {
        assert_eq!(PortRight::SEND.port_type(), PortType::SEND);
        assert_eq!(PortRight::DEAD_NAME.port_type(), PortType::DEAD_NAME);
        assert_eq!(PortRight::new(77).port_type(), PortType::empty());
    }

    #[test]
    fn a_type_prints_single_bits_and_parses_combinations() {
        let both = PortType::SEND | PortType::RECEIVE;
        assert_eq!(
            both.to_string(),
            "MACH_PORT_TYPE_SEND|MACH_PORT_TYPE_RECEIVE"
        );
        assert_eq!("MACH_PORT_TYPE_SEND_RECEIVE".parse(), Ok(both));
        assert_eq!("0x30000".parse(), Ok(both));
    }
}

raw_constants! {
    core::ffi::c_int; SPECIAL_PORTS;
    /// A task's control port.
    ///
    TASK_KERNEL_PORT = 1;
    /// The host port that a task sees.
    ///
    TASK_HOST_PORT = 2;
    TASK_NAME_PORT = 3;
    TASK_BOOTSTRAP_PORT = 4;
    TASK_INSPECT_PORT = 5;
    TASK_READ_PORT = 6;
    TASK_ACCESS_PORT = 9;
    TASK_DEBUG_CONTROL_PORT = 10;
    TASK_RESOURCE_NOTIFY_PORT = 11;
    /// A thread's control port.
    ///
    THREAD_KERNEL_PORT = 1;
    THREAD_INSPECT_PORT = 2;
    THREAD_READ_PORT = 3;
}
