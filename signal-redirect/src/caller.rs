//! Calls through a bad pointer (R21).

use crate::error::RedirectError;
use crate::machine::Rewriter;
use crate::memory::Memory;

/// Returns the registers of a thread that stopped at the first instruction of a function that it called, as if that function had
/// returned `value` at once.
///
/// For a thread that called through a null or wild pointer: its program counter is the target, it has no frame yet, and the return
/// address is where the call left it (at rsp, in lr). That can be read even if the target cannot. Anywhere else in a function the
/// result is meaningless. The caller must make sure that the thread had just made a call, usually by checking that the program
/// counter is the fault's address.
///
/// On Apple Silicon a call through null may end the process before any exception is sent. This has not been tried: the test
/// `bad_calls` of the package `tests` reports what happens there.
///
/// A handler writes the result into its machine context, or a server sets it in place of a redirect.
///
/// # Errors
/// - [`RedirectError::Memory`]: on x86_64, the return address cannot be read.
/// - [`RedirectError::CodeSegment`] on x86_64, [`RedirectError::Signed`] on arm64: this thread's registers cannot be set.
pub fn return_to_caller<M: Rewriter>(
    state: &M::State,
    value: u64,
    memory: &impl Memory,
) -> Result<M::State, RedirectError> {
    M::check(state)?;
    Ok(M::returned(state, value, memory)?)
}
