//! The general registers of a stopped thread, by name.

use mach_sys::thread_state::NativeState;

/// Lists the general registers in the order in which debuggers print them.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn named(state: &NativeState) -> Vec<(String, u64)> {
    let registers = [
        ("rax", state.rax),
        ("rbx", state.rbx),
        ("rcx", state.rcx),
        ("rdx", state.rdx),
        ("rdi", state.rdi),
        ("rsi", state.rsi),
        ("rbp", state.rbp),
        ("rsp", state.rsp),
        ("r8", state.r8),
        ("r9", state.r9),
        ("r10", state.r10),
        ("r11", state.r11),
        ("r12", state.r12),
        ("r13", state.r13),
        ("r14", state.r14),
        ("r15", state.r15),
        ("rip", state.rip),
        ("rflags", state.rflags),
    ];
    registers
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

/// Lists the general registers in the order in which debuggers print them.
#[cfg(target_arch = "aarch64")]
#[must_use]
pub fn named(state: &NativeState) -> Vec<(String, u64)> {
    let numbered = state.x.iter().enumerate();
    let mut registers: Vec<_> = numbered
        .map(|(number, &value)| (format!("x{number}"), value))
        .collect();
    registers.extend(
        [
            ("fp", state.fp),
            ("lr", state.lr),
            ("sp", state.sp),
            ("pc", state.pc),
            ("cpsr", state.cpsr.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    registers
}

/// Formats the registers in rows of four.
#[must_use]
pub fn table(state: &NativeState) -> String {
    let rows: Vec<String> = named(state)
        .chunks(4)
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .map(|(name, value)| format!("{name:>6} {value:016x}"))
                .collect();
            cells.join(" ")
        })
        .collect();
    rows.join("\n")
}
