//! Comparison of all declarations that mach2 also has, at compile time for Apple.
//!
//! Each known difference is asserted, so that its entry is removed when mach2 changes:
//!
//! - `mach_msg_ool_descriptor_t` and `mach_msg_ool_ports_descriptor_t` are aligned to 8 in mach2. C packs them to 4: in a
//!   message they follow the 28 bytes of header and body without a gap.
//! - `ARM_SME_ZA_STATE12` is 43 in mach2, as in the header of macOS 26; it is 42 in the headers up to macOS 15.
//! - mach2's NDR record has private fields, so only size and alignment can be compared.
//! - mach2's out-of-line addresses are pointers; here they are 64-bit addresses, at the same offsets.
//! - mach2's flavors, behaviors and exception types have other integer types (`u32`, and `static`s), so their values are compared.
//! - mach2's `vm_address_t` and `vm_size_t` are `usize`; here they are `u64`, of the same size on both machines.
use core::mem::{align_of, size_of};

use super::ours;

same_values! {
    mach2::message:
        MACH_MSG_TIMEOUT_NONE MACH_MSGH_BITS_ZERO MACH_MSGH_BITS_REMOTE_MASK MACH_MSGH_BITS_LOCAL_MASK
        MACH_MSGH_BITS_VOUCHER_MASK MACH_MSGH_BITS_PORTS_MASK MACH_MSGH_BITS_COMPLEX MACH_MSGH_BITS_USER
        MACH_MSG_TYPE_MOVE_RECEIVE MACH_MSG_TYPE_MOVE_SEND MACH_MSG_TYPE_MOVE_SEND_ONCE MACH_MSG_TYPE_COPY_SEND
        MACH_MSG_TYPE_MAKE_SEND MACH_MSG_TYPE_MAKE_SEND_ONCE MACH_MSG_TYPE_COPY_RECEIVE
        MACH_MSG_TYPE_DISPOSE_RECEIVE MACH_MSG_TYPE_DISPOSE_SEND MACH_MSG_TYPE_DISPOSE_SEND_ONCE
        MACH_MSG_TYPE_PORT_NONE MACH_MSG_TYPE_PORT_NAME MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_PORT_SEND
        MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_LAST MACH_MSG_PHYSICAL_COPY MACH_MSG_VIRTUAL_COPY
        MACH_MSG_ALLOCATE MACH_MSG_GUARD_FLAGS_NONE MACH_MSG_GUARD_FLAGS_IMMOVABLE_RECEIVE
        MACH_MSG_GUARD_FLAGS_UNGUARDED_ON_SEND MACH_MSG_GUARD_FLAGS_MASK MACH_MSG_PORT_DESCRIPTOR
        MACH_MSG_OOL_DESCRIPTOR MACH_MSG_OOL_PORTS_DESCRIPTOR MACH_MSG_OOL_VOLATILE_DESCRIPTOR
        MACH_MSG_GUARDED_PORT_DESCRIPTOR MACH_MSG_OPTION_NONE MACH_SEND_MSG MACH_RCV_MSG MACH_RCV_LARGE
        MACH_RCV_LARGE_IDENTITY MACH_SEND_TIMEOUT MACH_SEND_OVERRIDE MACH_SEND_INTERRUPT MACH_SEND_NOTIFY
        MACH_SEND_ALWAYS MACH_SEND_FILTER_NONFATAL MACH_SEND_TRAILER MACH_SEND_NOIMPORTANCE MACH_SEND_NODENAP
        MACH_SEND_IMPORTANCE MACH_SEND_SYNC_OVERRIDE MACH_SEND_PROPAGATE_QOS MACH_SEND_SYNC_USE_THRPRI
        MACH_RCV_TIMEOUT MACH_RCV_NOTIFY MACH_RCV_INTERRUPT MACH_RCV_VOUCHER MACH_RCV_OVERWRITE
        MACH_RCV_GUARDED_DESC MACH_RCV_SYNC_WAIT MACH_RCV_SYNC_PEEK MACH_MSG_STRICT_REPLY MACH_RCV_TRAILER_NULL
        MACH_RCV_TRAILER_SEQNO MACH_RCV_TRAILER_SENDER MACH_RCV_TRAILER_AUDIT MACH_RCV_TRAILER_CTX
        MACH_RCV_TRAILER_AV MACH_RCV_TRAILER_LABELS MACH_MSG_SUCCESS MACH_MSG_MASK MACH_MSG_IPC_SPACE
        MACH_MSG_VM_SPACE MACH_MSG_IPC_KERNEL MACH_MSG_VM_KERNEL MACH_SEND_IN_PROGRESS MACH_SEND_INVALID_DATA
        MACH_SEND_INVALID_DEST MACH_SEND_TIMED_OUT MACH_SEND_INVALID_VOUCHER MACH_SEND_INTERRUPTED
        MACH_SEND_MSG_TOO_SMALL MACH_SEND_INVALID_REPLY MACH_SEND_INVALID_RIGHT MACH_SEND_INVALID_NOTIFY
        MACH_SEND_INVALID_MEMORY MACH_SEND_NO_BUFFER MACH_SEND_TOO_LARGE MACH_SEND_INVALID_TYPE
        MACH_SEND_INVALID_HEADER MACH_SEND_INVALID_TRAILER MACH_SEND_INVALID_CONTEXT
        MACH_SEND_INVALID_RT_OOL_SIZE MACH_SEND_NO_GRANT_DEST MACH_SEND_MSG_FILTERED MACH_RCV_IN_PROGRESS
        MACH_RCV_INVALID_NAME MACH_RCV_TIMED_OUT MACH_RCV_TOO_LARGE MACH_RCV_INTERRUPTED MACH_RCV_PORT_CHANGED
        MACH_RCV_INVALID_NOTIFY MACH_RCV_INVALID_DATA MACH_RCV_PORT_DIED MACH_RCV_IN_SET MACH_RCV_HEADER_ERROR
        MACH_RCV_BODY_ERROR MACH_RCV_INVALID_TYPE MACH_RCV_SCATTER_SMALL MACH_RCV_INVALID_TRAILER
        MACH_RCV_IN_PROGRESS_TIMED MACH_RCV_INVALID_REPLY MACH_MSG_TRAILER_FORMAT_0;
    mach2::port:
        MACH_PORT_NULL MACH_PORT_DEAD MACH_PORT_RIGHT_SEND MACH_PORT_RIGHT_RECEIVE MACH_PORT_RIGHT_SEND_ONCE
        MACH_PORT_RIGHT_PORT_SET MACH_PORT_RIGHT_DEAD_NAME MACH_PORT_RIGHT_LABELH MACH_PORT_RIGHT_NUMBER
        MACH_PORT_QLIMIT_ZERO MACH_PORT_QLIMIT_BASIC MACH_PORT_QLIMIT_SMALL MACH_PORT_QLIMIT_LARGE
        MACH_PORT_QLIMIT_KERNEL MACH_PORT_QLIMIT_MIN MACH_PORT_QLIMIT_DEFAULT MACH_PORT_QLIMIT_MAX
        MACH_PORT_LIMITS_INFO MACH_PORT_RECEIVE_STATUS MACH_PORT_DNREQUESTS_SIZE MACH_PORT_TEMPOWNER
        MACH_PORT_IMPORTANCE_RECEIVER MACH_PORT_DENAP_RECEIVER MACH_PORT_INFO_EXT MACH_PORT_GUARD_INFO
        MACH_PORT_SERVICE_THROTTLED MACH_PORT_LIMITS_INFO_COUNT MACH_PORT_DNREQUESTS_SIZE_COUNT
        MACH_PORT_SERVICE_THROTTLED_COUNT MPO_CONTEXT_AS_GUARD MPO_QLIMIT MPO_TEMPOWNER MPO_IMPORTANCE_RECEIVER
        MPO_INSERT_SEND_RIGHT MPO_STRICT MPO_DENAP_RECEIVER MPO_IMMOVABLE_RECEIVE;
    mach2::kern_return:
        KERN_SUCCESS KERN_INVALID_ADDRESS KERN_PROTECTION_FAILURE KERN_NO_SPACE KERN_INVALID_ARGUMENT
        KERN_FAILURE KERN_RESOURCE_SHORTAGE KERN_NOT_RECEIVER KERN_NO_ACCESS KERN_MEMORY_FAILURE
        KERN_MEMORY_ERROR KERN_ALREADY_IN_SET KERN_NOT_IN_SET KERN_NAME_EXISTS KERN_ABORTED KERN_INVALID_NAME
        KERN_INVALID_TASK KERN_INVALID_RIGHT KERN_INVALID_VALUE KERN_UREFS_OVERFLOW KERN_INVALID_CAPABILITY
        KERN_RIGHT_EXISTS KERN_INVALID_HOST KERN_MEMORY_PRESENT KERN_MEMORY_DATA_MOVED KERN_MEMORY_RESTART_COPY
        KERN_INVALID_PROCESSOR_SET KERN_POLICY_LIMIT KERN_INVALID_POLICY KERN_INVALID_OBJECT
        KERN_ALREADY_WAITING KERN_DEFAULT_SET KERN_EXCEPTION_PROTECTED KERN_INVALID_LEDGER
        KERN_INVALID_MEMORY_CONTROL KERN_INVALID_SECURITY KERN_NOT_DEPRESSED KERN_TERMINATED
        KERN_LOCK_SET_DESTROYED KERN_LOCK_UNSTABLE KERN_LOCK_OWNED KERN_LOCK_OWNED_SELF KERN_SEMAPHORE_DESTROYED
        KERN_RPC_SERVER_TERMINATED KERN_RPC_TERMINATE_ORPHAN KERN_RPC_CONTINUE_ORPHAN KERN_NOT_SUPPORTED
        KERN_NODE_DOWN KERN_NOT_WAITING KERN_OPERATION_TIMED_OUT KERN_CODESIGN_ERROR KERN_POLICY_STATIC
        KERN_INSUFFICIENT_BUFFER_SIZE KERN_DENIED KERN_MISSING_KC KERN_INVALID_KC KERN_NOT_FOUND
        KERN_INVALID_GUARD_OBJECT_SLOT KERN_RETURN_MAX;
    mach2::exception_types:
        EXC_BAD_ACCESS EXC_BAD_INSTRUCTION EXC_ARITHMETIC EXC_EMULATION EXC_SOFTWARE EXC_BREAKPOINT EXC_SYSCALL
        EXC_MACH_SYSCALL EXC_RPC_ALERT EXC_CRASH EXC_RESOURCE EXC_GUARD EXC_CORPSE_NOTIFY EXCEPTION_DEFAULT
        EXCEPTION_STATE EXCEPTION_STATE_IDENTITY MACH_EXCEPTION_CODES EXC_MASK_BAD_ACCESS
        EXC_MASK_BAD_INSTRUCTION EXC_MASK_ARITHMETIC EXC_MASK_EMULATION EXC_MASK_SOFTWARE EXC_MASK_BREAKPOINT
        EXC_MASK_SYSCALL EXC_MASK_MACH_SYSCALL EXC_MASK_RPC_ALERT EXC_MASK_CRASH EXC_MASK_RESOURCE
        EXC_MASK_GUARD EXC_MASK_CORPSE_NOTIFY EXC_MASK_ALL FIRST_EXCEPTION EXC_SOFT_SIGNAL EXC_MACF_MIN
        EXC_MACF_MAX;
    mach2::notify:
        MACH_NOTIFY_FIRST MACH_NOTIFY_PORT_DELETED MACH_NOTIFY_SEND_POSSIBLE MACH_NOTIFY_PORT_DESTROYED
        MACH_NOTIFY_NO_SENDERS MACH_NOTIFY_SEND_ONCE MACH_NOTIFY_DEAD_NAME MACH_NOTIFY_LAST;
    mach2::task_info:
        TASK_BASIC_INFO TASK_BASIC_INFO_64 TASK_THREAD_TIMES_INFO TASK_DYLD_INFO MACH_TASK_BASIC_INFO;
    mach2::vm_prot:
        VM_PROT_NONE VM_PROT_READ VM_PROT_WRITE VM_PROT_EXECUTE VM_PROT_COPY VM_PROT_DEFAULT VM_PROT_ALL;
    mach2::vm_inherit:
        VM_INHERIT_SHARE VM_INHERIT_COPY VM_INHERIT_NONE;
    mach2::vm_statistics:
        VM_FLAGS_FIXED VM_FLAGS_ANYWHERE VM_FLAGS_NO_CACHE;
    mach2::vm_region:
        VM_REGION_BASIC_INFO_64 VM_REGION_BASIC_INFO VM_REGION_BASIC_INFO_COUNT_64;
    mach2::task_special_ports:
        TASK_KERNEL_PORT TASK_HOST_PORT TASK_NAME_PORT TASK_BOOTSTRAP_PORT TASK_ACCESS_PORT TASK_DEBUG_CONTROL_PORT
        TASK_RESOURCE_NOTIFY_PORT;
    mach2::error:
        err_none ERR_SUCCESS system_emask sub_emask code_emask err_kern err_us err_server err_ipc err_mach_ipc
        err_dipc err_vm err_local err_ipc_compat err_max_system;
}

#[cfg(target_arch = "x86_64")]
same_values! {
    mach2::thread_status:
        x86_THREAD_STATE32 x86_FLOAT_STATE32 x86_EXCEPTION_STATE32 x86_THREAD_STATE64 x86_FLOAT_STATE64
        x86_EXCEPTION_STATE64 x86_THREAD_STATE x86_FLOAT_STATE x86_EXCEPTION_STATE x86_DEBUG_STATE32
        x86_DEBUG_STATE64 x86_DEBUG_STATE x86_AVX_STATE32 x86_AVX_STATE64 x86_AVX_STATE;
}

#[cfg(target_arch = "aarch64")]
same_values! {
    mach2::thread_status:
        ARM_THREAD_STATE ARM_UNIFIED_THREAD_STATE ARM_VFP_STATE ARM_EXCEPTION_STATE ARM_DEBUG_STATE
        ARM_THREAD_STATE64 ARM_EXCEPTION_STATE64 ARM_DEBUG_STATE32 ARM_DEBUG_STATE64 ARM_NEON_STATE
        ARM_NEON_STATE64 ARM_CPMU_STATE64;
}

#[cfg(target_arch = "aarch64")]
const _: () = {
    let (ours, theirs) = (
        ours::ARM_SME_ZA_STATE12,
        mach2::thread_status::ARM_SME_ZA_STATE12,
    );
    assert!(ours == 42 && theirs == 43);
};

const _: () = {
    let none = crate::machine::Machine::NATIVE.thread_state_none().raw;
    assert!(none == mach2::thread_status::THREAD_STATE_NONE);
};

same_types! {
    mach2::vm_types:
        natural_t integer_t mach_vm_address_t mach_vm_size_t mach_port_context_t;
    mach2::message:
        mach_msg_timeout_t mach_msg_bits_t mach_msg_id_t mach_msg_size_t mach_msg_copy_options_t
        mach_msg_descriptor_type_t mach_msg_type_name_t mach_msg_guard_flags_t mach_msg_trailer_type_t
        mach_msg_trailer_size_t mach_msg_option_t mach_msg_type_number_t mach_msg_return_t;
    mach2::port:
        mach_port_name_t mach_port_t mach_port_right_t mach_port_type_t mach_port_urefs_t mach_port_delta_t
        mach_port_seqno_t mach_port_mscount_t mach_port_msgcount_t mach_port_rights_t mach_port_flavor_t;
    mach2::exception_types:
        exception_type_t exception_data_type_t mach_exception_data_type_t exception_behavior_t exception_mask_t;
    mach2::kern_return:
        kern_return_t;
    mach2::boolean:
        boolean_t;
    mach2::thread_status:
        thread_state_flavor_t;
}

const _: () = {
    use mach2::vm_types as theirs;
    assert!(size_of::<ours::vm_address_t>() == size_of::<theirs::vm_address_t>());
    assert!(size_of::<ours::vm_size_t>() == size_of::<theirs::vm_size_t>());
};

same_layouts! {
    mach2::message:
        mach_msg_header_t {
            msgh_bits msgh_bits msgh_size msgh_size msgh_remote_port msgh_remote_port msgh_local_port
            msgh_local_port msgh_voucher_port msgh_voucher_port msgh_id msgh_id
        }
        mach_msg_body_t {
            msgh_descriptor_count msgh_descriptor_count
        }
        mach_msg_base_t {
            header header body body
        }
        mach_msg_trailer_t {
            msgh_trailer_type msgh_trailer_type msgh_trailer_size msgh_trailer_size
        }
        mach_msg_seqno_trailer_t {
            msgh_trailer_type msgh_trailer_type msgh_trailer_size msgh_trailer_size msgh_seqno msgh_seqno
        }
        security_token_t {
            val val
        }
        mach_msg_security_trailer_t {
            msgh_trailer_type msgh_trailer_type msgh_trailer_size msgh_trailer_size msgh_seqno msgh_seqno
            msgh_sender msgh_sender
        }
        audit_token_t {
            val val
        }
        mach_msg_audit_trailer_t {
            msgh_trailer_type msgh_trailer_type msgh_trailer_size msgh_trailer_size msgh_seqno msgh_seqno
            msgh_sender msgh_sender msgh_audit msgh_audit
        }
        mach_msg_type_descriptor_t {
            pad1 pad1 pad2 pad2 pad3 pad3 type_ type_
        }
        mach_msg_port_descriptor_t {
            name name pad1 pad1 pad2 pad2 disposition disposition type_ type_
        };
    mach2::exc:
        __Request__exception_raise_t {
            Head Head msgh_body msgh_body thread thread task task NDR NDR exception exception codeCnt codeCnt
            code code
        }
        __Reply__exception_raise_t {
            Head Head NDR NDR RetCode RetCode
        };
    mach2::notify:
        mach_port_deleted_notification_t {
            not_header not_header NDR NDR not_port not_port trailer trailer
        }
        mach_send_possible_notification_t {
            not_header not_header NDR NDR not_port not_port trailer trailer
        }
        mach_port_destroyed_notification_t {
            not_header not_header not_body not_body not_port not_port trailer trailer
        }
        mach_no_senders_notification_t {
            not_header not_header NDR NDR not_count not_count trailer trailer
        }
        mach_send_once_notification_t {
            not_header not_header trailer trailer
        }
        mach_dead_name_notification_t {
            not_header not_header NDR NDR not_port not_port trailer trailer
        };
    mach2::vm_region:
        vm_region_basic_info_64 {
            protection protection max_protection max_protection inheritance inheritance shared shared reserved reserved
            offset offset behavior behavior user_wired_count user_wired_count
        };
    mach2::mach_time:
        mach_timebase_info_data_t {
            numer numer denom denom
        };
    mach2::ndr:
        NDR_record_t {};
    mach2::task_info:
        task_basic_info_64 {
            suspend_count suspend_count virtual_size virtual_size resident_size resident_size user_time user_time
            system_time system_time policy policy
        }
        mach_task_basic_info {
            virtual_size virtual_size resident_size resident_size resident_size_max resident_size_max user_time
            user_time system_time system_time policy policy suspend_count suspend_count
        }
        task_thread_times_info {
            user_time user_time system_time system_time
        };
}

#[cfg(target_arch = "x86_64")]
same_layouts! {
    mach2::structs:
        x86_thread_state64_t {
            rax __rax rbx __rbx rcx __rcx rdx __rdx rdi __rdi rsi __rsi rbp __rbp rsp __rsp r8 __r8 r9 __r9 r10
            __r10 r11 __r11 r12 __r12 r13 __r13 r14 __r14 r15 __r15 rip __rip rflags __rflags cs __cs fs __fs gs
            __gs
        };
}

#[cfg(target_arch = "aarch64")]
same_layouts! {
    mach2::structs:
        arm_thread_state64_t {
            x __x fp __fp lr __lr sp __sp pc __pc cpsr __cpsr flags __pad
        };
}

const _: () = {
    use mach2::message as theirs;
    assert!(
        align_of::<ours::mach_msg_ool_descriptor_t>() == 4
            && align_of::<theirs::mach_msg_ool_descriptor_t>() == 8
    );
    same_layouts!(@ fields ours::mach_msg_ool_descriptor_t, theirs::mach_msg_ool_descriptor_t:
        address address deallocate deallocate copy copy pad1 pad1 type_ type_ size size);
    assert!(
        align_of::<ours::mach_msg_ool_ports_descriptor_t>() == 4
            && align_of::<theirs::mach_msg_ool_ports_descriptor_t>() == 8
    );
    same_layouts!(@ fields ours::mach_msg_ool_ports_descriptor_t, theirs::mach_msg_ool_ports_descriptor_t:
        address address deallocate deallocate copy copy disposition disposition type_ type_ count count);
};
