//! Malformed messages with their typed errors and return codes: requests as Apple's servers refuse them, replies as the kernel checks
//! them (rules A6.1 to A6.13), notifications as `notify_server` refuses them.

use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::{KernError, KernReturn};
use mach_wire::message::Disposition;
use mach_wire::mig::{
    Accept, DecodeError, HeaderPort, Identity, Notification, REPLY_SIZE_MAX, Raise, ReplyError,
    ReplyTo, Routine, ServeError, check_reply, decode, exc_server, mach_exc_server, notify_server,
};

fn put(message: &mut [u8], at: usize, word: u32) {
    message[at..at + 4].copy_from_slice(&word.to_ne_bytes());
}

/// Returns message 2407 with two codes and three words of state.
fn request() -> Vec<u8> {
    let raise = Raise {
        routine: Routine::MachExceptionRaiseStateIdentity,
        remote: HeaderPort::new(0x0b0b, Disposition::MOVE_SEND_ONCE),
        local: HeaderPort::new(0x1503, Disposition::MOVE_SEND),
        voucher: HeaderPort::NONE,
        identity: Identity::ThreadAndTask {
            thread: 0x1111,
            task: 0x2222,
        },
        disposition: Disposition::MOVE_SEND,
        exception: ExceptionType::BAD_ACCESS,
        codes: &[1, 0],
        flavor: 4,
        state: &[7, 8, 9],
    };
    let mut message = vec![0; raise.size()];
    raise.encode(&mut message).expect("it fits");
    message
}

/// Returns the error and the return code of a changed request.
fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> (DecodeError, KernReturn) {
    let mut message = request();
    change(&mut message);
    let why = decode(&message, Accept::MachExc).expect_err("it is malformed");
    (why, why.kern_return())
}

#[test]
fn each_malformed_request_has_its_error_and_apples_return_code() {
    let size = request().len() as u32;
    let arguments = KernReturn::MIG_BAD_ARGUMENTS;
    let type_error = KernReturn::MIG_TYPE_ERROR;
    let range = |found| DecodeError::SizeRange {
        found,
        minimum: 76,
        maximum: 5276,
    };
    assert_eq!(
        refusal(|m| m.truncate(23)).0,
        DecodeError::NoHeader { length: 23 }
    );
    assert_eq!(
        refusal(|m| put(m, 20, 2404)),
        (DecodeError::UnknownId { id: 2404 }, KernReturn::MIG_BAD_ID)
    );
    assert_eq!(
        refusal(|m| put(m, 0, 0x1112)),
        (DecodeError::NotComplex, arguments)
    );
    assert_eq!(
        refusal(|m| put(m, 24, 3)),
        (
            DecodeError::DescriptorCount {
                found: 3,
                wanted: 2
            },
            arguments
        )
    );
    assert_eq!(refusal(|m| put(m, 4, 75)), (range(75), arguments));
    assert_eq!(refusal(|m| put(m, 4, 5277)), (range(5277), arguments));
    assert_eq!(
        refusal(|m| put(m, 4, size + 4)),
        (
            DecodeError::Truncated {
                size: size + 4,
                length: size as usize
            },
            arguments
        )
    );
    assert_eq!(
        refusal(|m| m[39] = 1),
        (
            DecodeError::DescriptorKind { index: 0, found: 1 },
            type_error
        )
    );
    assert_eq!(
        refusal(|m| m[50] = 18),
        (
            DecodeError::Disposition {
                index: 1,
                found: 18,
                wanted: 17
            },
            type_error
        )
    );
    for codes in [3, 0x8000_0001, u32::MAX] {
        let why = DecodeError::CodeCount { found: codes };
        assert_eq!(refusal(|m| put(m, 64, codes)), (why, arguments));
    }
    for words in [1297, 0x4000_0000, u32::MAX] {
        let why = DecodeError::StateCount { found: words };
        assert_eq!(refusal(|m| put(m, 88, words)), (why, arguments));
    }
    let wanted = size + 4;
    assert_eq!(
        refusal(|m| put(m, 88, 4)),
        (
            DecodeError::Size {
                found: size,
                wanted
            },
            arguments
        )
    );
    assert_eq!(
        refusal(|m| {
            put(m, 20, 2406);
        }),
        (DecodeError::Complex, arguments)
    );
}

#[test]
fn a_message_of_the_other_subsystem_is_an_unknown_id() {
    let message = request();
    let mut reply = [0; REPLY_SIZE_MAX];
    let served = exc_server(&message, &mut reply, |_, _| {
        unreachable!("not a message of this server")
    });
    let served = served.expect("a reply");
    assert!(!served.is_known());
    assert_eq!(served.code, KernReturn::MIG_BAD_ID);
    assert!(served.sends_reply() && !served.handler_owns_rights());
}

#[test]
fn the_code_decides_which_side_owns_the_rights_and_if_a_reply_is_sent() {
    let message = request();
    let mut reply = [0; REPLY_SIZE_MAX];
    for (code, owns, sends) in [
        (KernReturn::SUCCESS, true, true),
        (KernReturn::FAILURE, false, true),
        (KernReturn::MIG_NO_REPLY, true, false),
        (KernReturn::RCV_PORT_DIED, false, true),
    ] {
        let served = mach_exc_server(&message, &mut reply, |_, _| code).expect("a reply");
        assert_eq!(served.handler_owns_rights(), owns, "{code}");
        assert_eq!(served.sends_reply(), sends, "{code}");
    }
}

#[test]
fn a_buffer_without_room_for_a_reply_is_an_error_before_the_handler_runs() {
    let message = request();
    for room in [0, 35, 43] {
        let mut reply = vec![0; room];
        let served = mach_exc_server(&message, &mut reply, |_, _| unreachable!("no room"));
        assert!(matches!(served, Err(ServeError::Encode(_))), "{room}");
    }
}

#[test]
fn a_handler_that_sets_no_state_sends_none() {
    let message = request();
    let mut reply = [0xee; REPLY_SIZE_MAX];
    let served = mach_exc_server(&message, &mut reply, |_, state| {
        assert_eq!((state.len(), state.flavor()), (0, 4));
        KernReturn::SUCCESS
    });
    assert_eq!(served.map(|served| served.reply_size), Ok(44));
    assert_eq!(reply[40..44], [0; 4]);
    assert!(reply[44..].iter().all(|byte| *byte == 0xee));
}

/// Returns a reply as received: its own reply port is null.
fn reply(routine: Routine, code: i32, words: Option<&[u32]>) -> Vec<u8> {
    let to = ReplyTo {
        disposition: Disposition::MOVE_SEND_ONCE,
        port: 0,
        id: routine.reply_id(),
    };
    let mut message = vec![0; REPLY_SIZE_MAX];
    let size = match words {
        Some(words) => to.encode_state(&mut message, 4, words),
        None => to.encode_status(&mut message, KernReturn::new(code)),
    };
    message.truncate(size.expect("it fits"));
    if words.is_some() {
        put(&mut message, 32, code as u32);
    }
    message
}

fn checked(routine: Routine, message: &[u8]) -> Result<usize, ReplyError> {
    let checked = check_reply(routine, message, routine.reply_buffer_size());
    checked.map(|reply| reply.new_state.len())
}

const RAISE: Routine = Routine::MachExceptionRaise;
const STATE: Routine = Routine::MachExceptionRaiseState;

#[test]
fn a6_1_the_id_is_the_requests_plus_100() {
    let mut message = reply(RAISE, 0, None);
    for (id, why, code) in [
        (71, ReplyError::ServerDied, KernReturn::MIG_SERVER_DIED),
        (
            2405,
            ReplyError::Id {
                found: 2405,
                wanted: 2505,
            },
            KernReturn::MIG_REPLY_MISMATCH,
        ),
    ] {
        put(&mut message, 20, id);
        assert_eq!(checked(RAISE, &message), Err(why));
        assert_eq!(why.kern_return(), code);
    }
}

#[test]
fn a6_2_a_complex_reply_is_refused_even_without_descriptors() {
    let mut message = reply(RAISE, 0, None);
    put(&mut message, 0, 0x8000_0012);
    assert_eq!(checked(RAISE, &message), Err(ReplyError::Complex));
    assert_eq!(
        ReplyError::Complex.kern_return(),
        KernReturn::MIG_TYPE_ERROR
    );
}

#[test]
fn a6_3_a_reply_with_a_live_or_dead_reply_port_is_refused() {
    for port in [0x1403, u32::MAX] {
        let mut message = reply(RAISE, 0, None);
        put(&mut message, 8, port);
        assert_eq!(
            checked(RAISE, &message),
            Err(ReplyError::ReplyPort { port })
        );
    }
}

#[test]
fn a6_4_a_reply_has_the_size_of_its_routine_and_count() {
    // Without state: 36, whatever the code.
    assert_eq!(checked(RAISE, &reply(RAISE, 0, None)), Ok(0));
    for size in [32, 35, 37, 40, 44] {
        for code in [0, 5] {
            let mut message = reply(RAISE, code, None);
            message.resize(size.max(36), 0);
            put(&mut message, 4, size as u32);
            assert_eq!(
                checked(RAISE, &message),
                Err(ReplyError::Size { found: size })
            );
        }
    }
    // With state: 36 is an error reply; 44 and more succeeds if the size matches the count.
    let refused = ReplyError::Refused(KernError::FAILURE);
    assert_eq!(checked(STATE, &reply(STATE, 5, None)), Err(refused));
    assert_eq!(
        checked(STATE, &reply(STATE, 0, None)),
        Err(ReplyError::Size { found: 36 })
    );
    for words in [0, 1, 42, 1296] {
        assert_eq!(
            checked(STATE, &reply(STATE, 0, Some(&vec![7; words]))),
            Ok(words)
        );
    }
    let mut message = reply(STATE, 0, Some(&[1, 2, 3]));
    put(&mut message, 40, 2);
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::Size { found: 56 })
    );
    put(&mut message, 40, 1297);
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::StateCount { found: 1297 })
    );
    // With an error code the count is not checked.
    put(&mut message, 32, 5);
    assert_eq!(checked(STATE, &message), Err(refused));
}

#[test]
fn a6_5_the_code_is_the_result() {
    for code in [5, -303, -305, 0x1000_4009, 0x1000_4005] {
        let refused = Err(KernError::new(KernReturn::new(code))
            .map(ReplyError::Refused)
            .expect("an error"));
        assert_eq!(checked(RAISE, &reply(RAISE, code, None)), refused);
        assert_eq!(checked(STATE, &reply(STATE, code, Some(&[1]))), refused);
    }
}

#[test]
fn a6_12_the_first_check_that_fails_decides() {
    // Everything is wrong at first; the errors are corrected one by one.
    let mut message = reply(STATE, 5, Some(&[1]));
    message.resize(STATE.reply_buffer_size() + 4, 0);
    let size = message.len();
    put(&mut message, 0, 0x8000_0012);
    put(&mut message, 4, size as u32);
    put(&mut message, 8, 0x1403);
    put(&mut message, 20, 1);
    let limit = size - 4;
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::TooLarge { found: size, limit })
    );
    put(&mut message, 4, 40);
    let id = ReplyError::Id {
        found: 1,
        wanted: 2506,
    };
    assert_eq!(checked(STATE, &message), Err(id));
    put(&mut message, 20, 2506);
    assert_eq!(checked(STATE, &message), Err(ReplyError::Complex));
    put(&mut message, 0, 0x12);
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::Size { found: 40 })
    );
    put(&mut message, 4, 44);
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::ReplyPort { port: 0x1403 })
    );
    put(&mut message, 8, 0);
    let refused = ReplyError::Refused(KernError::FAILURE);
    assert_eq!(checked(STATE, &message), Err(refused));
    put(&mut message, 32, 0);
    assert_eq!(
        checked(STATE, &message),
        Err(ReplyError::Size { found: 44 })
    );
    put(&mut message, 40, 0);
    assert_eq!(checked(STATE, &message), Ok(0));
}

#[test]
fn a6_13_a_reply_without_state_is_too_large_from_48_bytes() {
    for (size, too_large) in [(44, false), (48, true)] {
        let mut message = reply(RAISE, 0, None);
        message.resize(size, 0);
        put(&mut message, 4, size as u32);
        let why = checked(RAISE, &message).expect_err("it has 36 bytes at most");
        assert_eq!(
            why.kern_return() == KernReturn::RCV_TOO_LARGE,
            too_large,
            "{size}"
        );
    }
}

#[test]
fn a_malformed_notification_is_refused_as_notify_server_refuses_it() {
    let arguments = KernReturn::MIG_BAD_ARGUMENTS;
    let type_error = KernReturn::MIG_TYPE_ERROR;
    let message = |notification: Notification| {
        let mut message = vec![0; 40];
        let size = notification.encode(&mut message, 0x0b0b).expect("it fits");
        message.truncate(size);
        message
    };
    let code_of = |message: &[u8]| {
        let mut reply = [0; 36];
        let served = notify_server(message, &mut reply, |_| KernReturn::SUCCESS);
        served.expect("a reply").code
    };
    let dead = message(Notification::DeadName { name: 0x1403 });
    assert_eq!(code_of(&dead), KernReturn::SUCCESS);
    for id in [64, 67, 68, 73, 77, 2405] {
        let mut unknown = dead.clone();
        put(&mut unknown, 20, id);
        assert_eq!(code_of(&unknown), KernReturn::MIG_BAD_ID, "{id}");
    }
    let mut complex = dead.clone();
    put(&mut complex, 0, 0x8000_1200);
    assert_eq!(code_of(&complex), arguments);
    let mut long = dead.clone();
    long.extend([0; 4]);
    put(&mut long, 4, 40);
    assert_eq!(code_of(&long), arguments);

    let right = message(Notification::PortDestroyed { right: 0x1403 });
    assert_eq!(code_of(&right), KernReturn::SUCCESS);
    let mut simple = right.clone();
    put(&mut simple, 0, 0x1200);
    assert_eq!(code_of(&simple), arguments);
    let mut two = right.clone();
    put(&mut two, 24, 2);
    assert_eq!(code_of(&two), arguments);
    for (at, byte) in [(38, 17), (39, 1)] {
        let mut other = right.clone();
        other[at] = byte;
        assert_eq!(code_of(&other), type_error);
    }
}
