//! Comparison of Darwin's signals with libc's.
//!
//! libc has no AVX machine contexts and no `si_value`, and its fields for x87's control words and arm64's padding are private. Its
//! vector registers are fields, and arrays here; the offsets of the first and the last are compared.

use super::ours;

same_values! {
    libc:
        SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGEMT SIGFPE SIGKILL SIGBUS SIGSEGV SIGSYS SIGPIPE SIGALRM
        SIGTERM SIGURG SIGSTOP SIGTSTP SIGCONT SIGCHLD SIGTTIN SIGTTOU SIGIO SIGXCPU SIGXFSZ SIGVTALRM SIGPROF
        SIGWINCH SIGINFO SIGUSR1 SIGUSR2 BUS_ADRALN BUS_ADRERR BUS_OBJERR SS_ONSTACK SS_DISABLE;
}

/// Checks size, alignment and offsets of a structure with another name in libc.
macro_rules! same_as {
    ($ours:ident $theirs:ident { $($field:ident $their_field:ident)* }) => {
        const _: () = {
            use core::mem::{align_of, offset_of, size_of};
            assert!(size_of::<ours::$ours>() == size_of::<libc::$theirs>(), stringify!($theirs));
            assert!(align_of::<ours::$ours>() == align_of::<libc::$theirs>(), stringify!($theirs));
            $(assert!(
                offset_of!(ours::$ours, $field) == offset_of!(libc::$theirs, $their_field),
                stringify!($theirs $their_field)
            );)*
        };
    };
}

same_as!(siginfo_t siginfo_t {
    si_signo si_signo si_errno si_errno si_code si_code si_pid si_pid si_uid si_uid si_status si_status
    si_addr si_addr
});
same_as!(stack_t stack_t { ss_sp ss_sp ss_size ss_size ss_flags ss_flags });
same_as!(ucontext_t ucontext_t {
    uc_onstack uc_onstack uc_sigmask uc_sigmask uc_stack uc_stack uc_link uc_link uc_mcsize uc_mcsize
    uc_mcontext uc_mcontext
});

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::ours;

    same_as!(x86_mcontext64_t __darwin_mcontext64 { es __es ss __ss fs __fs });
    same_as!(x86_exception_state64_t __darwin_x86_exception_state64 {
        trapno __trapno cpu __cpu err __err faultvaddr __faultvaddr
    });
    same_as!(x86_float_state64_t __darwin_x86_float_state64 {
        fpu_reserved __fpu_reserved fpu_ftw __fpu_ftw fpu_fop __fpu_fop fpu_ip __fpu_ip fpu_cs __fpu_cs
        fpu_dp __fpu_dp fpu_ds __fpu_ds fpu_mxcsr __fpu_mxcsr fpu_mxcsrmask __fpu_mxcsrmask
        fpu_stmm __fpu_stmm0 fpu_xmm __fpu_xmm0 fpu_reserved1 __fpu_reserved1
    });
    const _: () = {
        let last = core::mem::offset_of!(ours::x86_float_state64_t, fpu_rsrv4) - 16;
        assert!(last == core::mem::offset_of!(libc::__darwin_x86_float_state64, __fpu_xmm15));
    };
}

#[cfg(target_arch = "aarch64")]
mod arm64 {
    use super::ours;

    same_as!(arm_mcontext64_t __darwin_mcontext64 { es __es ss __ss ns __ns });
    same_as!(arm_exception_state64_t __darwin_arm_exception_state64 {
        far __far esr __esr exception __exception
    });
    same_as!(arm_neon_state64_t __darwin_arm_neon_state64 { v __v fpsr __fpsr fpcr __fpcr });
}
