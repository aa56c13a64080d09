//! Calls through a bad pointer (R21).

use crate::error::RedirectError;
use crate::machine::Machine;
use crate::memory::Memory;

/// The registers of a thread that was stopped at the first instruction of what it called, as if that had returned `value` at once.
///
/// For a thread that called through a null or wild pointer: its program counter is the target, there is no frame, and the return
/// address is where the call left it (at rsp, in lr), which may be read even if the target may not. Anywhere else in a function this
/// gives nonsense: the caller knows that it was a call, usually because the program counter is the fault's address.
///
/// Edited into a handler's machine context, or set by the server in place of a redirect.
pub fn return_to_caller<M: Machine>(
    state: &M::State,
    value: u64,
    memory: &impl Memory,
) -> Result<M::State, RedirectError> {
    M::check(state)?;
    Ok(M::returned(state, value, memory)?)
}
