//! Checks that hold for any bytes, shared by the property tests, the fuzz target and the replay of its corpus: nothing panics, and
//! decoder, servers and reply check agree with a second implementation of MIG's checks, which shares no code with the crate.

use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::mig::{
    Accept, DecodeError, EncodeError, HeaderPort, Notification, REPLY_SIZE_MAX, Raise, Request,
    Routine, check_reply, decode, notify_server, serve,
};
use mach_wire::pod;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Returns the code that MIG's server replies to a message of at least 24 bytes; 0 if it calls the handler.
fn server_code(bytes: &[u8], accept: Accept) -> i32 {
    const BAD_ID: i32 = -303;
    const BAD_ARGUMENTS: i32 = -304;
    const TYPE_ERROR: i32 = -300;
    let id = word(bytes, 20).expect("a header") as i32;
    let accepted = match accept {
        Accept::Exc => (2401..=2403).contains(&id),
        Accept::MachExc => (2405..=2410).contains(&id),
        Accept::Both => (2401..=2410).contains(&id) && id != 2404,
        other => panic!("{other:?}"),
    };
    if !accepted {
        return BAD_ID;
    }
    // Number of descriptors, offset of the codes' count, bytes of a code, and if there is a state.
    let (descriptors, count_at, code, state) = match id {
        2401 => (2, 64, 4, false),
        2402 => (0, 36, 4, true),
        2403 => (2, 64, 4, true),
        2405 => (2, 64, 8, false),
        2406 => (0, 36, 8, true),
        2407 => (2, 64, 8, true),
        2408 => (1, 60, 8, false),
        2409 => (1, 52, 8, false),
        _ => (1, 60, 8, true),
    };
    let size = word(bytes, 4).expect("a header") as usize;
    let minimum = count_at + 4 + if state { 8 } else { 0 };
    let maximum = minimum + 2 * code + if state { 4 * 1296 } else { 0 };
    let complex = word(bytes, 0).expect("a header") >> 31 != 0;
    if complex != (descriptors > 0) || size < minimum || size > maximum || size > bytes.len() {
        return BAD_ARGUMENTS;
    }
    if descriptors > 0 && word(bytes, 24) != Some(descriptors) {
        return BAD_ARGUMENTS;
    }
    for descriptor in 0..descriptors as usize {
        let last = word(bytes, 28 + 12 * descriptor + 8).expect("within the minimum");
        if last >> 16 != 17 {
            return TYPE_ERROR;
        }
    }
    let codes = word(bytes, count_at).expect("within the minimum") as usize;
    if codes > 2 || size < minimum + codes * code {
        return BAD_ARGUMENTS;
    }
    let mut exact = minimum + codes * code;
    if state {
        let words = word(bytes, exact - 4).expect("within the size") as usize;
        if words > 1296 {
            return BAD_ARGUMENTS;
        }
        exact += 4 * words;
    }
    if size == exact { 0 } else { BAD_ARGUMENTS }
}

/// Returns the result that MIG's client derives from a reply to `id` (rule A6.12); 0 is success.
fn client_result(bytes: &[u8], id: i32, limit: usize) -> i32 {
    const TOO_LARGE: i32 = 0x1000_4004;
    let field = |at| word(bytes, at).expect("a header");
    let size = field(4) as usize;
    let state = matches!(id, 2402 | 2403 | 2406 | 2407 | 2410);
    if size > limit {
        return TOO_LARGE;
    }
    match field(20) as i32 {
        71 => return -308,
        found if found != id + 100 => return -301,
        _ => {}
    }
    let complex = field(0) >> 31 != 0;
    if complex || size > bytes.len() || size < 36 {
        return -300;
    }
    let code = field(32) as i32;
    let fits = match state {
        true => (44..=5228).contains(&size) || (size == 36 && code != 0),
        false => size == 36,
    };
    if !fits || field(8) != 0 {
        return -300;
    }
    if code != 0 || !state {
        return code;
    }
    let words = field(40) as usize;
    if words <= 1296 && size == 44 + 4 * words {
        0
    } else {
        -300
    }
}

/// Checks that a decoded request, encoded again, decodes to the same parts.
fn check_encoding(request: &Request<'_>) {
    let state: Vec<u32> = request.old_state().iter().collect();
    let header = request.header();
    let raise = Raise {
        routine: request.routine(),
        remote: HeaderPort::new(request.reply_port(), request.reply_disposition()),
        local: HeaderPort::new(request.exception_port(), Disposition::MOVE_SEND),
        voucher: HeaderPort::NONE,
        identity: request.identity(),
        disposition: Disposition::MOVE_SEND,
        exception: request.exception(),
        codes: request.codes(),
        flavor: request.flavor().unwrap_or(0),
        state: &state,
    };
    let mut again = vec![0; raise.size()];
    let size = raise.encode(&mut again).expect("a decoded request encodes");
    assert_eq!(size, header.msgh_size as usize);
    check_encoding_around_state(&raise, &again);
    let decoded = decode(&again, Accept::Both).expect("what was encoded decodes");
    assert_eq!(decoded.routine(), request.routine());
    assert_eq!(decoded.identity(), request.identity());
    assert_eq!(decoded.exception(), request.exception());
    assert_eq!(decoded.codes(), request.codes());
    assert_eq!(decoded.flavor(), request.flavor());
    assert_eq!(
        decoded.old_state().as_bytes(),
        request.old_state().as_bytes()
    );
}

/// Checks that a request written around its state is the same, that no word of the state is touched, and that the state is found where it
/// lies, in messages that are aligned and in those that are not.
fn check_encoding_around_state(raise: &Raise<'_>, expected: &[u8]) {
    let (words, size) = (raise.state.len(), expected.len());
    let at = raise.routine.request_size(raise.codes.len(), 0);
    for shift in 0..4 {
        let mut room = vec![0xa5a5_a5a5_u32; size / 4 + 2];
        let bytes = &mut pod::word_bytes_mut(&mut room)[shift..];
        bytes[at..size].copy_from_slice(&expected[at..]);
        let around = Raise {
            state: &[],
            ..*raise
        };
        assert_eq!(around.encode_around_state(words, bytes), Ok(size));
        assert_eq!(bytes[..size], *expected);
        assert_eq!(bytes[size], 0xa5, "behind the message");
        let request = decode(&bytes[..size], Accept::Both).expect("the same message");
        let found = request.old_state().as_words();
        let aligned = words == 0 || shift == 0;
        assert_eq!(found, aligned.then_some(raise.state));
        for length in [0, at - 1, at, size - 1]
            .into_iter()
            .filter(|length| *length < size)
        {
            let mut short = vec![0xa5; length];
            let refused = around.encode_around_state(words, &mut short);
            let needed = EncodeError::Buffer {
                needed: size,
                length,
            };
            assert_eq!(refused, Err(needed));
            assert!(short.iter().all(|byte| *byte == 0xa5), "{length}");
        }
    }
}

fn check_server(bytes: &[u8], accept: Accept) {
    let decoded = decode(bytes, accept);
    if bytes.len() < 24 {
        let length = bytes.len();
        assert_eq!(decoded.err(), Some(DecodeError::NoHeader { length }));
        let mut reply = [0; REPLY_SIZE_MAX];
        assert!(serve(accept, bytes, &mut reply, |_, _| KernReturn::SUCCESS).is_err());
        return;
    }
    let wanted = server_code(bytes, accept);
    let found = decoded.map_or_else(|why| why.kern_return().raw(), |_| 0);
    assert_eq!(found, wanted, "{decoded:?}");
    if let Ok(request) = &decoded {
        check_encoding(request);
    }
    let mut reply = [0xa5; REPLY_SIZE_MAX];
    let mut called = false;
    let served = serve(accept, bytes, &mut reply, |request, state| {
        called = true;
        if let Some(flavor) = request.flavor() {
            state
                .copy(flavor, request.old_state())
                .expect("an old state fits");
        }
        KernReturn::SUCCESS
    });
    let served = served.expect("a reply to a message with a header");
    assert_eq!(called, wanted == 0);
    assert_eq!(served.code.raw(), wanted);
    assert_eq!(served.is_known(), wanted != -303);
    assert_eq!(word(&reply, 4), Some(served.reply_size as u32));
    assert_eq!(
        word(&reply, 20),
        word(bytes, 20).map(|id| id.wrapping_add(100))
    );
    assert!(reply[served.reply_size..].iter().all(|byte| *byte == 0xa5));
}

fn check_client(bytes: &[u8]) {
    for routine in Routine::ALL {
        let limit = routine.reply_buffer_size();
        let result = check_reply(routine, bytes, limit);
        let code = result.map_or_else(|why| why.kern_return().raw(), |_| 0);
        if bytes.len() >= 36 {
            assert_eq!(
                code,
                client_result(bytes, routine.id(), limit),
                "{routine}: {result:?}"
            );
        } else {
            assert_ne!(code, 0, "{routine}");
        }
    }
}

fn check_notification(bytes: &[u8]) {
    let decoded = Notification::decode(bytes);
    let mut reply = [0; 64];
    let served = notify_server(bytes, &mut reply, |_| KernReturn::SUCCESS);
    assert_eq!(
        served.is_ok_and(|served| served.malformed.is_none()),
        decoded.is_ok()
    );
    if let Ok(notification) = decoded {
        let mut again = [0; 64];
        let port = word(bytes, 12).expect("a header");
        let size = notification.encode(&mut again, port).expect("it fits");
        assert_eq!(Notification::decode(&again[..size]), Ok(notification));
    }
}

/// Checks every function that takes bytes.
pub(crate) fn check(bytes: &[u8]) {
    for accept in [Accept::Exc, Accept::MachExc, Accept::Both] {
        check_server(bytes, accept);
    }
    check_client(bytes);
    check_notification(bytes);
}
