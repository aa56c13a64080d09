//! One random call, made and held against a model.

use super::nests::nest;
use super::ports::{Entry, Model};
use crate::support::{
    Answer, DEAD, Message, NULL, Port, answered, deallocate, destroy, extract, insert, kind,
    mod_refs, receive_now, refs, send_rights, try_status,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE,
    MACH_MSG_TYPE_MOVE_RECEIVE, MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_SEND_MSG, MACH_SEND_TIMEOUT,
};
use mach_sys::port::{
    MACH_PORT_LIMITS_INFO, MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_PORT_SET,
    MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_SEND, MACH_PORT_RIGHT_SEND_ONCE,
};
use test_support::random::Random;

/// A name beyond the largest table (C0.7): no thread is ever given it.
const ABSENT: Port = 0x4_b000 << 8 | 3;
/// Names that a model has at the most, before calls only take away.
const MOST_NAMES: usize = 24;
const DISPOSITIONS: [u32; 6] = [
    MACH_MSG_TYPE_MOVE_RECEIVE,
    MACH_MSG_TYPE_MOVE_SEND,
    MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_MSG_TYPE_COPY_SEND,
    MACH_MSG_TYPE_MAKE_SEND,
    MACH_MSG_TYPE_MAKE_SEND_ONCE,
];
const RIGHTS: [u32; 6] = [
    MACH_PORT_RIGHT_SEND,
    MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND_ONCE,
    MACH_PORT_RIGHT_PORT_SET,
    MACH_PORT_RIGHT_DEAD_NAME,
    6,
];

/// Asserts that the kernel and the model answer the same.
macro_rules! same {
    ($kernel:expr, $model:expr, $($what:tt)+) => {
        let (kernel, model) = ($kernel, $model);
        assert_eq!(kernel, model, "the kernel left, the model right: {}", format_args!($($what)+));
    };
}

/// Returns a name of the model's, or rarely one that denotes nothing.
fn any(model: &Model, random: &mut Random) -> Port {
    match (model.names.len(), random.below(30)) {
        (0, _) | (_, 0) => ABSENT,
        (count, _) => *model
            .names
            .keys()
            .nth(random.below(count))
            .expect("counted"),
    }
}

/// Returns a name that satisfies a condition, if one does.
fn some(model: &Model, random: &mut Random, is: impl Fn(&Entry) -> bool) -> Option<Port> {
    let found: Vec<Port> = model
        .names
        .iter()
        .filter(|(_, e)| is(e))
        .map(|(n, _)| *n)
        .collect();
    (!found.is_empty()).then(|| random.of(&found))
}

fn receive_right(model: &Model, random: &mut Random) -> Port {
    let found = some(model, random, |entry| {
        matches!(entry, Entry::Port { receive: true, .. })
    });
    if random.below(12) == 0 {
        any(model, random)
    } else {
        found.unwrap_or(ABSENT)
    }
}

fn set(model: &Model, random: &mut Random) -> Port {
    let found = some(model, random, |entry| *entry == Entry::Set);
    if random.below(12) == 0 {
        any(model, random)
    } else {
        found.unwrap_or(ABSENT)
    }
}

/// Makes one call, and holds its answer against the model's.
pub(super) fn step(model: &mut Model, random: &mut Random, id: u32) {
    let name = any(model, random);
    let disposition = random.of(&DISPOSITIONS);
    match random.below(24) {
        0..3 if model.names.len() < MOST_NAMES => {
            allocate(model, random.of(&[1, 1, 1, 3, 4]));
        }
        3 => {
            let name = random.of(&[name, name, name, NULL, DEAD]);
            same!(
                deallocate(name),
                model.deallocate(name),
                "deallocate {name:#x}"
            );
        }
        4 | 5 => {
            let name = random.of(&[name, name, name, name, NULL, DEAD]);
            let right = random.of(&RIGHTS);
            let delta = random.of(&[-1, -1, 1, 1, 0, 2, -2, 65_535, -65_535]);
            let what = format!(
                "mod_refs {name:#x} {right} {delta}, {:?}",
                model.names.get(&name)
            );
            same!(
                mod_refs(name, right, delta),
                model.mod_refs(name, right, delta),
                "{what}"
            );
        }
        6 if random.below(3) == 0 => {
            let name = random.of(&[name, name, name, NULL, DEAD]);
            same!(destroy(name), model.destroy(name), "destroy {name:#x}");
        }
        7 if random.below(3) == 0 => {
            let name = receive_right(model, random);
            let delta = random.of(&[0, 0, -1, -2, 1]);
            // SAFETY: no pointers.
            let code = unsafe { kernel::mach_port_destruct(task_self(), name, delta, 0) };
            same!(
                answered(code),
                model.destruct(name, delta),
                "destruct {name:#x} {delta}"
            );
        }
        6..10 => {
            let receiver = receive_right(model, random);
            let name = random.of(&[name, receiver]);
            let what = format!(
                "insert {name:#x} {disposition}, {:?}",
                model.names.get(&name)
            );
            same!(
                insert(name, name, disposition),
                model.insert(name, disposition),
                "{what}"
            );
        }
        10 | 11 => {
            let what = format!(
                "extract {name:#x} {disposition}, {:?}",
                model.names.get(&name)
            );
            let (kernel, right) = (extract(name, disposition), model.extract(name, disposition));
            same!(kernel.map(|_| ()), right.map(|_| ()), "{what}");
            if let (Ok((name, _)), Ok(right)) = (kernel, right) {
                model.extracted(right, name);
            }
        }
        12 => {
            let (name, set) = (receive_right(model, random), set(model, random));
            let task = task_self();
            // SAFETY: no pointers.
            let (code, expected) = unsafe {
                match random.below(4) {
                    0 => (
                        kernel::mach_port_extract_member(task, name, set),
                        model.part(name, set),
                    ),
                    1 => (
                        kernel::mach_port_move_member(task, name, set),
                        model.change_set(name, set),
                    ),
                    _ => (
                        kernel::mach_port_insert_member(task, name, set),
                        model.join(name, set),
                    ),
                }
            };
            same!(answered(code), expected, "members {name:#x} {set:#x}");
        }
        13 if random.below(4) == 0 => nest(model, random, id),
        13 => change(model, random),
        14 => {
            let (name, told) = (receive_right(model, random), receive_right(model, random));
            if model.has(told, MACH_MSG_TYPE_MAKE_SEND_ONCE) && !model.request_is_dead(name) {
                request(model, name, told, random.below(3) as u32);
            }
        }
        15..19 => send(model, random, id),
        19..22 => {
            let from = match random.below(3) {
                0 => set(model, random),
                _ => receive_right(model, random),
            };
            receive(model, from);
        }
        _ => look(model, random, name),
    }
}

/// Makes a port, a set or a dead name.
pub(super) fn allocate(model: &mut Model, right: u32) -> Port {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let made = unsafe { kernel::mach_port_allocate(task_self(), right, &mut name) };
    assert_eq!(answered(made), Ok(()));
    model.allocated(right, name);
    name
}

/// Sets a port's limit, counts or context.
fn change(model: &mut Model, random: &mut Random) {
    let (name, task) = (receive_right(model, random), task_self());
    let value = random.of(&[0, 1, 2, 3, 1024, 1025]);
    // SAFETY: the pointer is to a local variable, and only read.
    let (code, expected) = unsafe {
        match random.below(4) {
            0 => (
                kernel::mach_port_set_attributes(
                    task,
                    name,
                    MACH_PORT_LIMITS_INFO,
                    (&raw const value).cast_mut().cast(),
                    1,
                ),
                model.set_limit(name, value),
            ),
            1 => (
                kernel::mach_port_set_mscount(task, name, value),
                model.set_makes(name, value),
            ),
            2 => (
                kernel::mach_port_set_seqno(task, name, value),
                model.set_sequence(name, value),
            ),
            _ => {
                let context = u64::from(value);
                (
                    kernel::mach_port_set_context(task, name, context),
                    model.set_context(name, context),
                )
            }
        }
    };
    same!(answered(code), expected, "set {name:#x} {value}");
}

/// Requests a no-senders notification.
pub(super) fn request(model: &mut Model, name: Port, told: Port, sync: u32) {
    let mut before = 0;
    // SAFETY: the result goes to a local variable.
    let code = unsafe {
        kernel::mach_port_request_notification(
            task_self(),
            name,
            70,
            sync,
            told,
            MACH_MSG_TYPE_MAKE_SEND_ONCE,
            &mut before,
        )
    };
    let expected = model.request_no_senders(name, told, sync);
    same!(
        answered(code),
        expected.map(|_| ()),
        "no-senders of {name:#x} to {told:#x}, {sync}"
    );
    if let Ok(right) = expected {
        model.extracted(right, before);
    }
}

/// Reads something that changes nothing, conversions of dead names apart.
fn look(model: &mut Model, random: &mut Random, name: Port) {
    match random.below(7) {
        0 => {
            let name = random.of(&[name, name, name, NULL, DEAD]);
            same!(kind(name), model.kind(name), "type {name:#x}");
        }
        1 | 2 => {
            let name = random.of(&[name, name, name, name, NULL, DEAD]);
            let right = random.of(&RIGHTS);
            same!(
                refs(name, right),
                model.refs(name, right),
                "refs {name:#x} {right}"
            );
        }
        3 => {
            let name = set(model, random);
            same!(members(name), model.members(name), "members {name:#x}");
        }
        4 => {
            same!(
                send_rights(name),
                model.send_rights(name),
                "send rights {name:#x}"
            );
        }
        5 => {
            let mut context = 0;
            // SAFETY: the result goes to a local variable.
            let code = unsafe { kernel::mach_port_get_context(task_self(), name, &mut context) };
            same!(
                answered(code).map(|()| context),
                model.context(name),
                "context {name:#x}"
            );
        }
        _ => {
            let name = receive_right(model, random);
            same!(try_status(name), model.status(name), "status {name:#x}");
        }
    }
}

fn members(set: Port) -> Answer<Vec<Port>> {
    let (mut names, mut count) = (core::ptr::null_mut(), 0);
    // SAFETY: the results go to local variables; the array is as long as the count says, and released as it was given out.
    unsafe {
        answered(kernel::mach_port_get_set_status(
            task_self(),
            set,
            &mut names,
            &mut count,
        ))?;
        let found = (0..count as usize).map(|at| *names.add(at)).collect();
        if count > 0 {
            kernel::mach_vm_deallocate(task_self(), names as u64, 4 * u64::from(count));
        }
        Ok(found)
    }
}

/// Sends a message with up to two rights, and a reply right.
fn send(model: &mut Model, random: &mut Random, id: u32) {
    let usual = [
        MACH_MSG_TYPE_COPY_SEND,
        MACH_MSG_TYPE_MAKE_SEND,
        MACH_MSG_TYPE_MAKE_SEND_ONCE,
    ];
    let kinds = [MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE];
    let to = match random.below(4) {
        0 => (any(model, random), random.of(&kinds)),
        1 => {
            let once = some(model, random, |entry| matches!(entry, Entry::Once { .. }));
            (once.unwrap_or(ABSENT), MACH_MSG_TYPE_MOVE_SEND_ONCE)
        }
        _ => (receive_right(model, random), random.of(&usual)),
    };
    // Which of two bad names is told differs by version (C10.2).
    let mut reply = (any(model, random), random.of(&usual));
    if reply.0 == to.0
        || reply.0 == ABSENT
        || !model.has(to.0, to.1)
        || !model.has(reply.0, reply.1)
    {
        reply = (NULL, 0);
    }
    let mut body = Vec::new();
    for _ in 0..random.below(6).saturating_sub(3) {
        let names = [any(model, random), receive_right(model, random), NULL, DEAD];
        let right = (random.of(&names), random.of(&DISPOSITIONS));
        body.push(right);
    }
    send_these(model, id, to, reply, &body);
}

/// Sends a message with these rights, without waiting for room.
pub(super) fn send_these(
    model: &mut Model,
    id: u32,
    to: (Port, u32),
    reply: (Port, u32),
    body: &[(Port, u32)],
) {
    let mut message = Message::to(to.0, to.1, id);
    if reply.1 != 0 {
        message = message.with_reply(reply.0, reply.1);
    }
    for right in body {
        message = message.with_right(right.0, right.1);
    }
    let what = format!(
        "send {to:x?} {reply:x?} {body:x?}, {:?}",
        model.names.get(&to.0)
    );
    let kernel = message.exchange(MACH_SEND_MSG | MACH_SEND_TIMEOUT, NULL, 0, 0);
    let expected = model.send(id, to, reply, body);
    match expected {
        Ok(Err(letter)) => {
            same!(kernel, Err(KernReturn::SEND_TIMED_OUT), "{what}");
            let names: Vec<Port> = (0..body.len()).map(|at| message.descriptor(at).0).collect();
            model.came_back(letter, message.remote(), message.local(), &names);
        }
        _ => {
            same!(kernel, expected.map(|_| ()), "{what}");
        }
    }
}

/// Receives a message that is there.
pub(super) fn receive(model: &mut Model, from: Port) {
    let (kernel, expected) = (receive_now(from), model.receivable(from));
    same!(
        kernel.as_ref().map(|_| ()).map_err(|error| *error),
        expected,
        "receive {from:#x}"
    );
    let Ok(message) = kernel else { return };
    model.received(from, &message);
}
