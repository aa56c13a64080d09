//! The texts of errors (`mach/mach_error.h`).

use core::ffi::{CStr, c_char};
use mach_wire::kern_return::{code_emask, err_mach_ipc, sub_emask, system_emask};
use mach_wire::types::kern_return_t;

/// `err_kern.sub`: the errors of the kernel, from 0.
const KERN: &[&CStr] = &[
    c"(os/kern) successful",
    c"(os/kern) invalid address",
    c"(os/kern) protection failure",
    c"(os/kern) no space available",
    c"(os/kern) invalid argument",
    c"(os/kern) failure",
    c"(os/kern) resource shortage",
    c"(os/kern) not receiver",
    c"(os/kern) no access",
    c"(os/kern) memory failure",
    c"(os/kern) memory error",
    c"(os/kern) already in set",
    c"(os/kern) not in set",
    c"(os/kern) name exists",
    c"(os/kern) aborted",
    c"(os/kern) invalid name",
    c"(os/kern) invalid task",
    c"(os/kern) invalid right",
    c"(os/kern) invalid value",
    c"(os/kern) urefs overflow",
    c"(os/kern) invalid capability",
    c"(os/kern) right exists",
    c"(os/kern) invalid host",
    c"(os/kern) memory present",
    c"(os/kern) memory data moved",
    c"(os/kern) memory restart copy",
    c"(os/kern) invalid processor set",
    c"(os/kern) policy limit",
    c"(os/kern) invalid policy",
    c"(os/kern) invalid object",
    c"(os/kern) already waiting",
    c"(os/kern) default set",
    c"(os/kern) exception protected",
    c"(os/kern) invalid ledger",
    c"(os/kern) invalid memory control",
    c"(os/kern) invalid security",
    c"(os/kern) not depressed",
    c"(os/kern) object terminated",
    c"(os/kern) lock set destroyed",
    c"(os/kern) lock unstable",
    c"(os/kern) lock owned by another",
    c"(os/kern) lock owned by self",
    c"(os/kern) semaphore destroyed",
    c"(os/kern) RPC terminated",
    c"(os/kern) terminate orphan",
    c"(os/kern) let orphan continue",
    c"(os/kern) service not supported",
    c"(os/kern) remote node down",
    c"(os/kern) thread not waiting",
    c"(os/kern) operation timed out",
    c"(os/kern) code signing error",
    c"(os/kern) policy is static",
    c"(os/kern) insufficient input buffer size",
    c"(os/kern) denied by security policy",
    c"(os/kern) missing kernel collection",
    c"(os/kern) invalid kernel collection",
    c"(os/kern) result not found",
];

/// `err_mach_ipc.sub`: subsystem 0, the errors of sending.
const SEND: &[&CStr] = &[
    c"(ipc/send) no error",
    c"(ipc/send) send in progress",
    c"(ipc/send) invalid data",
    c"(ipc/send) invalid destination port",
    c"(ipc/send) timed out",
    c"(ipc/send) will notify",
    c"(ipc/send) notify in progress",
    c"(ipc/send) interrupted",
    c"(ipc/send) msg too small",
    c"(ipc/send) invalid reply port",
    c"(ipc/send) invalid port right",
    c"(ipc/send) invalid notify port",
    c"(ipc/send) invalid memory",
    c"(ipc/send) no msg buffer",
    c"(ipc/send) no notify possible",
    c"(ipc/send) invalid msg-type",
    c"(ipc/send) invalid msg-header",
    c"(ipc/send) invalid msg-trailer",
    c"(ipc/send) DIPC transport failure",
    c"(ipc/send) DIPC port migrated",
    c"(ipc/send) DIPC resend failed",
    c"(ipc/send) out-of-line buffer too large",
];

/// Subsystem 1, the errors of receiving.
const RECEIVE: &[&CStr] = &[
    c"(ipc/rcv) no error",
    c"(ipc/rcv) receive in progress",
    c"(ipc/rcv) invalid name",
    c"(ipc/rcv) timed out",
    c"(ipc/rcv) msg too large",
    c"(ipc/rcv) interrupted",
    c"(ipc/rcv) port changed",
    c"(ipc/rcv) invalid notify port",
    c"(ipc/rcv) invalid data",
    c"(ipc/rcv) port died",
    c"(ipc/rcv) port in set",
    c"(ipc/rcv) header error",
    c"(ipc/rcv) body error",
    c"(ipc/rcv) invalid scatter list entry",
    c"(ipc/rcv) overwrite region too small",
    c"(ipc/rcv) invalid msg-trailer",
    c"(ipc/rcv) DIPC transport error",
];

/// Subsystem 2, the errors of MIG, from -300 downwards.
const MIG: &[&CStr] = &[
    c"(ipc/mig) client type check failure",
    c"(ipc/mig) wrong reply message ID",
    c"(ipc/mig) server detected error",
    c"(ipc/mig) bad request message ID",
    c"(ipc/mig) server type check failure",
    c"(ipc/mig) no reply should be sent",
    c"(ipc/mig) server raised exception",
    c"(ipc/mig) array not large enough",
    c"(ipc/mig) server died",
    c"(ipc/mig) unknown trailer format",
];

const UNKNOWN: &CStr = c"unknown error code";

/// Returns the text of an error, as libsyscall's tables have it.
fn text(error: kern_return_t) -> &'static CStr {
    const MACH_IPC: kern_return_t = err_mach_ipc;
    let system = error & system_emask;
    let subsystem = (error & sub_emask) >> sub_emask.trailing_zeros();
    let code = error & code_emask;
    let (table, index) = match (system, subsystem) {
        _ if (-399..=-300).contains(&error) => (MIG, -(error + 300)),
        (0, 0) => (KERN, code),
        (MACH_IPC, 0) => (SEND, code),
        (MACH_IPC, 1) => (RECEIVE, code),
        (MACH_IPC, 2) => (MIG, code),
        (MACH_IPC, _) => return c"(ipc/?) unknown subsystem error",
        _ => return UNKNOWN,
    };
    usize::try_from(index)
        .ok()
        .and_then(|index| table.get(index))
        .copied()
        .unwrap_or(UNKNOWN)
}

pub unsafe fn mach_error_string(error: kern_return_t) -> *mut c_char {
    // C's prototype is not `const`; its texts are constants too.
    text(error).as_ptr().cast_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mach_wire::kern_return::{KernError, KernReturn};

    #[test]
    fn each_error_has_the_text_of_libsyscalls_tables() {
        let texts = [
            (KernReturn::SUCCESS.raw(), c"(os/kern) successful"),
            (KernReturn::NO_SPACE.raw(), c"(os/kern) no space available"),
            (56, c"(os/kern) result not found"),
            (57, c"unknown error code"),
            (0x1000_0003, c"(ipc/send) invalid destination port"),
            (0x1000_0016, c"unknown error code"),
            (0x1000_4003, c"(ipc/rcv) timed out"),
            (0x1000_4009, c"(ipc/rcv) port died"),
            (0x1000_8001, c"(ipc/mig) wrong reply message ID"),
            (0x1000_c000, c"(ipc/?) unknown subsystem error"),
            (-300, c"(ipc/mig) client type check failure"),
            (-308, c"(ipc/mig) server died"),
            (-310, c"unknown error code"),
            (-399, c"unknown error code"),
            (-1, c"unknown error code"),
            (i32::MIN, c"unknown error code"),
        ];
        for (error, wanted) in texts {
            assert_eq!(text(error), wanted, "{error:#x}");
        }
        let died = KernError::MIG_SERVER_DIED.raw();
        assert_eq!(text(died), c"(ipc/mig) server died");
    }
}
