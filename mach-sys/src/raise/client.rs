//! The six routines.

use super::error::RaiseError;
use super::exchange::exchange;
use crate::exception::ExceptionType;
use crate::message::Disposition;
use crate::mig::{CODES_MAX, EncodeError, HeaderPort, Identity, Raise, Routine};
use crate::rights::{Right, SendRight, TaskRight, ThreadRight};
use crate::types::{
    exception_data_type_t, mach_exception_data_type_t, natural_t, thread_state_flavor_t,
};
use core::time::Duration;

/// A thread state in a request or in its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// The flavor.
    pub flavor: thread_state_flavor_t,
    /// The words, at most 1296.
    pub words: &'a [natural_t],
}

impl State<'_> {
    const NONE: Self = Self {
        flavor: 0,
        words: &[],
    };
}

/// Returns the identity of a thread and its task.
fn identity(thread: &ThreadRight, task: &TaskRight) -> Identity {
    Identity::ThreadAndTask {
        thread: thread.name().raw(),
        task: task.name().raw(),
    }
}

/// An exception and its codes, of either width.
struct Said<'a, C>(ExceptionType, &'a [C]);

/// Raises an exception by one of the routines. The words of the state in the reply are copied to `new`.
fn raise<'n, C: Copy + Into<mach_exception_data_type_t>>(
    port: &SendRight,
    routine: Routine,
    identity: Identity,
    Said(exception, codes): Said<'_, C>,
    old: State<'_>,
    new: &'n mut [natural_t],
    limit: Option<Duration>,
) -> Result<State<'n>, RaiseError> {
    let mut wide = [0; CODES_MAX];
    let found = codes.len();
    let codes_sent = wide
        .get_mut(..found)
        .ok_or(EncodeError::CodeCount { found })?;
    for (to, code) in codes_sent.iter_mut().zip(codes) {
        *to = (*code).into();
    }
    let request = Raise {
        routine,
        remote: HeaderPort::new(port.name().raw(), Disposition::COPY_SEND),
        local: HeaderPort::NONE,
        voucher: HeaderPort::NONE,
        identity,
        disposition: Disposition::COPY_SEND,
        exception,
        codes: codes_sent,
        flavor: old.flavor,
        state: old.words,
    };
    let (flavor, count) = exchange(request, new, limit)?;
    let words = new.get(..count).unwrap_or_default();
    Ok(State { flavor, words })
}

/// Sends message 2401: an exception with 32-bit codes, its thread and its task (A3.1).
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, or the request or its reply was lost.
pub fn exception_raise(
    port: &SendRight,
    thread: &ThreadRight,
    task: &TaskRight,
    exception: ExceptionType,
    codes: &[exception_data_type_t],
    limit: Option<Duration>,
) -> Result<(), RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::ExceptionRaise;
    raise(
        port,
        routine,
        identity(thread, task),
        said,
        State::NONE,
        &mut [],
        limit,
    )?;
    Ok(())
}

/// Sends message 2402: an exception with 32-bit codes and the thread's state (A3.2). Returns the new state; its words are
/// at the start of `new`.
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, the request or its reply was lost, or the new state does not fit.
pub fn exception_raise_state<'n>(
    port: &SendRight,
    exception: ExceptionType,
    codes: &[exception_data_type_t],
    old: State<'_>,
    new: &'n mut [natural_t],
    limit: Option<Duration>,
) -> Result<State<'n>, RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::ExceptionRaiseState;
    raise(port, routine, Identity::None, said, old, new, limit)
}

/// Sends message 2403: an exception with 32-bit codes, its thread, its task and the thread's state (A3.3). Returns the new
/// state; its words are at the start of `new`.
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, the request or its reply was lost, or the new state does not fit.
#[allow(clippy::too_many_arguments)]
pub fn exception_raise_state_identity<'n>(
    port: &SendRight,
    thread: &ThreadRight,
    task: &TaskRight,
    exception: ExceptionType,
    codes: &[exception_data_type_t],
    old: State<'_>,
    new: &'n mut [natural_t],
    limit: Option<Duration>,
) -> Result<State<'n>, RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::ExceptionRaiseStateIdentity;
    raise(port, routine, identity(thread, task), said, old, new, limit)
}

/// Sends message 2405: an exception with 64-bit codes, its thread and its task (A3.1).
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, or the request or its reply was lost.
pub fn mach_exception_raise(
    port: &SendRight,
    thread: &ThreadRight,
    task: &TaskRight,
    exception: ExceptionType,
    codes: &[mach_exception_data_type_t],
    limit: Option<Duration>,
) -> Result<(), RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::MachExceptionRaise;
    raise(
        port,
        routine,
        identity(thread, task),
        said,
        State::NONE,
        &mut [],
        limit,
    )?;
    Ok(())
}

/// Sends message 2406: an exception with 64-bit codes and the thread's state (A3.2). Returns the new state; its words are
/// at the start of `new`.
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, the request or its reply was lost, or the new state does not fit.
pub fn mach_exception_raise_state<'n>(
    port: &SendRight,
    exception: ExceptionType,
    codes: &[mach_exception_data_type_t],
    old: State<'_>,
    new: &'n mut [natural_t],
    limit: Option<Duration>,
) -> Result<State<'n>, RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::MachExceptionRaiseState;
    raise(port, routine, Identity::None, said, old, new, limit)
}

/// Sends message 2407: an exception with 64-bit codes, its thread, its task and the thread's state (A3.3). Returns the new
/// state; its words are at the start of `new`.
///
/// `limit` bounds the wait for room in the handler's queue, and then that for the reply, each rounded up to a millisecond. `None` waits
/// forever.
///
/// # Errors
/// [`RaiseError`]: the handler did not handle the exception, the request or its reply was lost, or the new state does not fit.
#[allow(clippy::too_many_arguments)]
pub fn mach_exception_raise_state_identity<'n>(
    port: &SendRight,
    thread: &ThreadRight,
    task: &TaskRight,
    exception: ExceptionType,
    codes: &[mach_exception_data_type_t],
    old: State<'_>,
    new: &'n mut [natural_t],
    limit: Option<Duration>,
) -> Result<State<'n>, RaiseError> {
    let said = Said(exception, codes);
    let routine = Routine::MachExceptionRaiseStateIdentity;
    raise(port, routine, identity(thread, task), said, old, new, limit)
}
