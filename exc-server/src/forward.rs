//! Asking the handler that was there before.

use crate::buffer::Scratch;
use crate::install::PreviousHandler;
use crate::message;
use crate::question::Question;
use mach_sys::exception::{Behavior, BehaviorModifiers};
use mach_sys::kernel::system;
use mach_sys::message::{Disposition, MAX_TRAILER_SIZE};
use mach_sys::mig::{HeaderPort, Identity, IdentityKind, Raise, Request, Routine, check_reply};
use mach_sys::pod;
use mach_sys::rights::{ReceiveRight, Right};
use mach_sys::thread_state::THREAD_STATE_MAX;
use mach_sys::types::thread_state_flavor_t;

/// The state that the displaced handler wants the thread to go on with: flavor and length; its words are at the start of the
/// scratch's forward buffer.
pub(crate) type NewState = Option<(thread_state_flavor_t, usize)>;

/// Puts the question to a displaced handler, in the form that he registered for, and waits for his answer. `None` unless he
/// handled it: he said no, he is gone, or he wants what this request does not have.
pub(crate) fn ask(
    request: &Request<'_>,
    question: &Question,
    handler: &PreviousHandler,
    reply_port: &ReceiveRight,
    scratch: &mut Scratch,
) -> Option<NewState> {
    let port = handler.port.as_ref()?;
    let width = handler.behavior.modifiers() & BehaviorModifiers::CODES;
    let routine = Routine::for_behavior(Behavior::of(handler.behavior.kind(), width))?;
    let identity = identity(routine, question)?;
    // His state is ours, if ours is of his flavor.
    let Scratch { reply, forward } = scratch;
    let state = if routine.has_state() {
        if request.flavor() != Some(handler.flavor) {
            return None;
        }
        request.old_state().copy_to(reply)?
    } else {
        &mut []
    };
    let raise = Raise {
        routine,
        remote: HeaderPort::new(port.name().raw(), Disposition::COPY_SEND),
        local: HeaderPort::new(reply_port.name().raw(), Disposition::MAKE_SEND_ONCE),
        voucher: HeaderPort::NONE,
        identity,
        disposition: Disposition::COPY_SEND,
        exception: request.exception(),
        codes: request.codes(),
        flavor: handler.flavor,
        state,
    };
    let size = raise.encode(pod::word_bytes_mut(forward)).ok()?;
    message::exchange(forward, size, reply_port.name()).ok()?;
    let limit = routine.reply_size(THREAD_STATE_MAX) + MAX_TRAILER_SIZE as usize;
    let (bytes, _) = message::split(forward);
    let Ok(answer) = check_reply(routine, bytes, limit) else {
        // Whatever a bad answer brought is released; a refusal brings nothing.
        message::destroy(forward);
        return None;
    };
    let Some(flavor) = answer.flavor else {
        return Some(None);
    };
    let words = answer.new_state.copy_to(reply)?;
    let length = words.len();
    forward[..length].copy_from_slice(words);
    // A state only fits into the reply to a question that carries one.
    Some(question.routine.has_state().then_some((flavor, length)))
}

/// Whom the question is about, from the rights of the request; the task is this one, if the request named nobody.
fn identity(routine: Routine, question: &Question) -> Option<Identity> {
    let rights = &question.rights;
    Some(match routine.identity() {
        IdentityKind::None => Identity::None,
        IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
            thread: rights.thread.as_ref()?.name().raw(),
            task: match &rights.task {
                Some(task) => task.name().raw(),
                None => system::task_self(),
            },
        },
        IdentityKind::Token => Identity::Token {
            token: rights.token.as_ref()?.name().raw(),
            thread_id: rights.thread_id?,
        },
        IdentityKind::Kcdata => return None,
    })
}
