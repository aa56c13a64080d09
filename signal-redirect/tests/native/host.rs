//! The host's `ucontext`, read and written as thread states.

use mach_sys::thread_state::NativeState;

#[cfg(target_arch = "x86_64")]
pub(crate) fn get_state(context: &libc::ucontext_t) -> NativeState {
    let r = &context.uc_mcontext.gregs;
    let get = |index: i32| r[index as usize] as u64;
    NativeState {
        rax: get(libc::REG_RAX),
        rbx: get(libc::REG_RBX),
        rcx: get(libc::REG_RCX),
        rdx: get(libc::REG_RDX),
        rdi: get(libc::REG_RDI),
        rsi: get(libc::REG_RSI),
        rbp: get(libc::REG_RBP),
        rsp: get(libc::REG_RSP),
        r8: get(libc::REG_R8),
        r9: get(libc::REG_R9),
        r10: get(libc::REG_R10),
        r11: get(libc::REG_R11),
        r12: get(libc::REG_R12),
        r13: get(libc::REG_R13),
        r14: get(libc::REG_R14),
        r15: get(libc::REG_R15),
        rip: get(libc::REG_RIP),
        rflags: get(libc::REG_EFL),
        cs: get(libc::REG_CSGSFS) & 0xffff,
        ..Default::default()
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn set_state(context: &mut libc::ucontext_t, state: &NativeState) {
    let r = &mut context.uc_mcontext.gregs;
    for (index, value) in [
        (libc::REG_RAX, state.rax),
        (libc::REG_RBX, state.rbx),
        (libc::REG_RCX, state.rcx),
        (libc::REG_RDX, state.rdx),
        (libc::REG_RDI, state.rdi),
        (libc::REG_RSI, state.rsi),
        (libc::REG_RBP, state.rbp),
        (libc::REG_RSP, state.rsp),
        (libc::REG_R8, state.r8),
        (libc::REG_R9, state.r9),
        (libc::REG_R10, state.r10),
        (libc::REG_R11, state.r11),
        (libc::REG_R12, state.r12),
        (libc::REG_R13, state.r13),
        (libc::REG_R14, state.r14),
        (libc::REG_R15, state.r15),
        (libc::REG_RIP, state.rip),
        (libc::REG_EFL, state.rflags),
    ] {
        r[index as usize] = value as i64;
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) fn get_state(context: &libc::ucontext_t) -> NativeState {
    let machine = &context.uc_mcontext;
    let mut state = NativeState::default();
    state.x.copy_from_slice(&machine.regs[..29]);
    state.fp = machine.regs[29];
    state.lr = machine.regs[30];
    state.sp = machine.sp;
    state.pc = machine.pc;
    state.cpsr = machine.pstate as u32;
    state
}

#[cfg(target_arch = "aarch64")]
pub(crate) fn set_state(context: &mut libc::ucontext_t, state: &NativeState) {
    let machine = &mut context.uc_mcontext;
    machine.regs[..29].copy_from_slice(&state.x);
    machine.regs[29] = state.fp;
    machine.regs[30] = state.lr;
    machine.sp = state.sp;
    machine.pc = state.pc;
    machine.pstate = u64::from(state.cpsr);
}
