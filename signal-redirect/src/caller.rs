//! Calls through a bad pointer (R21).

use crate::error::RedirectError;
use crate::machine::Machine;
use crate::memory::Memory;

/// Returns the registers of a thread that stopped at the first instruction of a function that it called, as if that function had
/// returned `value` at once.
///
/// For a thread that called through a null or wild pointer: its program counter is the target, there is no frame, and the return
/// address is where the call left it (at rsp, in lr), which may be read even if the target may not. Anywhere else in a function the
/// result is meaningless: the caller of this must know that the thread had just made a call, usually because the program counter is
/// the fault's address.
///
/// On Apple Silicon a call through null may end the process before any exception is sent. That was not tried yet: the test
/// `bad_calls` of the package `tests` reports what it sees there.
///
/// A handler writes the result into its machine context, or a server sets it in place of a redirect.
///
/// # Errors
/// - [`RedirectError::Memory`]: x86_64, and the return address cannot be read.
/// - [`RedirectError::CodeSegment`], [`RedirectError::Signed`]: no registers can be set for this thread.
pub fn return_to_caller<M: Machine>(
    state: &M::State,
    value: u64,
    memory: &impl Memory,
) -> Result<M::State, RedirectError> {
    M::check(state)?;
    Ok(M::returned(state, value, memory)?)
}
