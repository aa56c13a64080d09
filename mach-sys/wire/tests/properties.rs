//! Properties of the codec: decoding reverses encoding, and any bytes get the same result as from MIG's code.

#[path = "common/checks.rs"]
mod checks;

use mach_wire::exception::{Behavior, ExceptionMask, ExceptionType};
use mach_wire::kern_return::{KernError, KernReturn};
use mach_wire::message::Disposition;
use mach_wire::mig::{
    Accept, DecodeError, EncodeError, HeaderPort, Identity, IdentityKind, Notification,
    REPLY_SIZE_MAX, Raise, ReplyError, ReplyTo, Routine, check_reply, decode, mach_exc_server,
};
use mach_wire::thread_state::{
    THREAD_STATE_MAX, ThreadState, arm_neon_state64_t, arm_thread_state64_t,
    arm_unified_thread_state_t, x86_avx512_state64_t, x86_thread_state_t, x86_thread_state64_t,
};
use proptest::prelude::*;

/// An owned copy of a request's parts.
#[derive(Debug, Clone)]
struct Parts {
    routine: Routine,
    ports: [u32; 2],
    dispositions: [u32; 2],
    names: [u32; 2],
    thread_id: u64,
    exception: i32,
    codes: Vec<i64>,
    flavor: i32,
    state: Vec<u32>,
}

impl Parts {
    fn raise(&self) -> Raise<'_> {
        let [thread, task] = self.names;
        let [remote, local] = self.ports;
        let [remote_disposition, local_disposition] = self.dispositions.map(Disposition::new);
        Raise {
            routine: self.routine,
            remote: HeaderPort::new(remote, remote_disposition),
            local: HeaderPort::new(local, local_disposition),
            voucher: HeaderPort::NONE,
            identity: match self.routine.identity() {
                IdentityKind::None => Identity::None,
                IdentityKind::ThreadAndTask => Identity::ThreadAndTask { thread, task },
                IdentityKind::Token => Identity::Token {
                    token: thread,
                    thread_id: self.thread_id,
                },
                IdentityKind::Kcdata => Identity::Kcdata { object: thread },
                other => panic!("{other:?}"),
            },
            disposition: Disposition::MOVE_SEND,
            exception: ExceptionType::new(self.exception),
            codes: &self.codes,
            flavor: self.flavor,
            state: if self.routine.has_state() {
                &self.state
            } else {
                &[]
            },
        }
    }

    fn message(&self) -> Vec<u8> {
        let raise = self.raise();
        let mut message = vec![0xa5; raise.size()];
        raise.encode(&mut message).expect("the buffer has its size");
        message
    }
}

/// Generates mostly short states, and sometimes the longest.
fn words() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u32>(), 0..80),
        1 => proptest::collection::vec(any::<u32>(), THREAD_STATE_MAX - 1..=THREAD_STATE_MAX),
    ]
}

prop_compose! {
    fn parts()(
        routine in proptest::sample::select(&Routine::ALL[..]),
        ports in any::<[u32; 2]>(),
        dispositions in [0u32..32, 0u32..32],
        names in any::<[u32; 2]>(),
        thread_id in any::<u64>(),
        exception in any::<i32>(),
        codes in proptest::collection::vec(any::<i64>(), 0..=2),
        flavor in any::<i32>(),
        state in words(),
    ) -> Parts {
        Parts { routine, ports, dispositions, names, thread_id, exception, codes, flavor, state }
    }
}

/// A change to a message.
#[derive(Debug, Clone)]
struct Damage {
    bytes: Vec<(usize, u8)>,
    size_change: i32,
    cut: usize,
    added: usize,
}

impl Damage {
    fn of(&self, mut message: Vec<u8>) -> Vec<u8> {
        for (at, byte) in &self.bytes {
            if let Some(to) = message.get_mut(*at) {
                *to = *byte;
            }
        }
        let size = i32::from_le_bytes(message[4..8].try_into().expect("four bytes"));
        let size = size.wrapping_add(self.size_change);
        message[4..8].copy_from_slice(&size.to_le_bytes());
        message.truncate(message.len() - self.cut);
        message.resize(message.len() + self.added, 0);
        message
    }
}

prop_compose! {
    /// Generates mostly one change at a time, so that the other checks pass.
    fn damage()(
        bytes in prop_oneof![
            2 => Just(Vec::new()),
            1 => proptest::collection::vec((0usize..100, prop_oneof![0u8..4, any::<u8>()]), 1..3),
        ],
        size_change in prop_oneof![
            Just(0),
            proptest::sample::select(vec![-8, -4, -1, 1, 4, 8]),
            any::<i32>(),
        ],
        cut in prop_oneof![3 => Just(0usize), 1 => 0usize..12],
        added in prop_oneof![Just(0usize), Just(8), Just(68)],
    ) -> Damage {
        Damage { bytes, size_change, cut, added }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn decoding_reverses_encoding(parts in parts()) {
        let message = parts.message();
        let raise = parts.raise();
        let request = decode(&message, Accept::Both).expect("what was encoded decodes");
        prop_assert_eq!(request.routine(), parts.routine);
        prop_assert_eq!(request.message(), &message[..]);
        prop_assert_eq!(request.reply_port(), parts.ports[0]);
        prop_assert_eq!(request.reply_disposition().raw(), parts.dispositions[0]);
        prop_assert_eq!(request.exception_port(), parts.ports[1]);
        prop_assert_eq!(request.identity(), raise.identity);
        prop_assert_eq!(request.exception(), raise.exception);
        let narrow = parts.routine.code_size() == 4;
        // Without 64-bit codes only the low half is sent, and the receiver sign-extends it (as Apple's own clients do).
        let codes: Vec<i64> = parts.codes.iter()
            .map(|code| if narrow { i64::from(*code as i32) } else { *code })
            .collect();
        prop_assert_eq!(request.codes(), &codes[..]);
        prop_assert_eq!(request.flavor(), parts.routine.has_state().then_some(parts.flavor));
        let state: Vec<u32> = request.old_state().iter().collect();
        prop_assert_eq!(&state[..], raise.state);
        checks::check(&message);
    }

    #[test]
    fn a_request_does_not_fit_in_fewer_bytes_than_its_size(parts in parts(), missing in 1usize..64) {
        let raise = parts.raise();
        let size = raise.size();
        let length = size - missing.min(size);
        let mut short = vec![0; length];
        prop_assert_eq!(raise.encode(&mut short), Err(EncodeError::Buffer { needed: size, length }));
        prop_assert!(short.iter().all(|byte| *byte == 0));
        prop_assert!(decode(&parts.message()[..length], Accept::Both).is_err());
    }

    /// G5.8: what is encoded has the size that the check wants.
    #[test]
    fn checking_a_reply_returns_what_was_encoded(
        parts in parts(),
        flavor in any::<i32>(),
        words in words(),
        code in any::<i32>(),
    ) {
        let message = parts.message();
        let request = decode(&message, Accept::Both).expect("what was encoded decodes");
        let routine = parts.routine;
        let limit = routine.reply_buffer_size();
        let reply_to = ReplyTo::request(&request);
        let mut reply = vec![0; REPLY_SIZE_MAX];
        // As received: the two ports are exchanged.
        let arrive = |reply: &mut [u8]| reply[8..16].rotate_left(4);
        if routine.has_state() {
            let size = reply_to.encode_state(&mut reply, flavor, &words).expect("every state fits");
            prop_assert_eq!(size, routine.reply_size(words.len()));
            arrive(&mut reply);
            let checked = check_reply(routine, &reply[..size], limit).expect("a good reply");
            prop_assert_eq!(checked.flavor, Some(flavor));
            let found: Vec<u32> = checked.new_state.iter().collect();
            prop_assert_eq!(found, words);
        }
        let size = reply_to.encode_status(&mut reply, KernReturn::new(code)).expect("it fits");
        arrive(&mut reply);
        let checked = check_reply(routine, &reply[..size], limit);
        match (KernReturn::new(code), routine.has_state()) {
            (KernReturn::SUCCESS, false) => prop_assert!(checked.is_ok()),
            // A reply of success needs a state if the routine has one (A6.4).
            (KernReturn::SUCCESS, true) => prop_assert_eq!(checked.err(), Some(ReplyError::Size { found: 36 })),
            (code, _) => prop_assert_eq!(checked.err(), KernError::new(code).map(ReplyError::Refused)),
        }
    }

    #[test]
    fn any_bytes_get_the_result_of_migs_code(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        id in 2395i32..2515,
    ) {
        checks::check(&bytes);
        // Random bytes rarely have a known id, so one is written.
        let mut bytes = bytes;
        if let Some(to) = bytes.get_mut(20..24) {
            to.copy_from_slice(&id.to_le_bytes());
            checks::check(&bytes);
        }
    }

    #[test]
    fn a_damaged_request_gets_the_result_of_migs_code(parts in parts(), damage in damage()) {
        checks::check(&parts.message());
        checks::check(&damage.of(parts.message()));
    }

    #[test]
    fn a_damaged_reply_gets_the_result_of_migs_code(
        parts in parts(),
        damage in damage(),
        code in prop_oneof![Just(0), Just(5), any::<i32>()],
    ) {
        let message = parts.message();
        let request = decode(&message, Accept::Both).expect("what was encoded decodes");
        let reply_to = ReplyTo { port: 0, ..ReplyTo::request(&request) };
        let mut reply = vec![0; REPLY_SIZE_MAX];
        let size = match code {
            0 if parts.routine.has_state() => reply_to.encode_state(&mut reply, 4, &parts.state),
            code => reply_to.encode_status(&mut reply, KernReturn::new(code)),
        };
        reply.truncate(size.expect("it fits"));
        checks::check(&reply);
        checks::check(&damage.of(reply));
    }

    #[test]
    fn a_handler_cannot_set_more_state_than_there_is_room_for(
        parts in parts(),
        room in 44usize..600,
        count in 0usize..1400,
    ) {
        let mut parts = parts;
        parts.routine = Routine::MachExceptionRaiseState;
        let mut reply = vec![0xa5; room];
        let words = vec![7; count];
        let mut set = None;
        let served = mach_exc_server(&parts.message(), &mut reply, |_, state| {
            set = Some(state.set_words(4, &words));
            KernReturn::SUCCESS
        });
        let served = served.expect("44 bytes are room for a reply");
        let capacity = ((room - 44) / 4).min(THREAD_STATE_MAX);
        let fits = count <= capacity;
        let refused = EncodeError::StateCount { found: count, maximum: capacity };
        prop_assert_eq!(set, Some(if fits { Ok(()) } else { Err(refused) }));
        prop_assert_eq!(served.reply_size, 44 + if fits { 4 * count } else { 0 });
    }

    #[test]
    fn decoding_reverses_encoding_of_notifications(name in any::<u32>(), port in any::<u32>()) {
        for notification in [
            Notification::PortDeleted { name },
            Notification::SendPossible { name },
            Notification::PortDestroyed { right: name },
            Notification::NoSenders { count: name },
            Notification::SendOnce,
            Notification::DeadName { name },
        ] {
            let mut message = [0; 40];
            let size = notification.encode(&mut message, port).expect("it fits");
            prop_assert_eq!(Notification::decode(&message[..size]), Ok(notification));
            for cut in 0..size {
                prop_assert!(Notification::decode(&message[..cut]).is_err());
            }
            checks::check(&message[..size]);
        }
    }

    #[test]
    fn a_state_converts_to_words_and_back(words in proptest::collection::vec(any::<u32>(), 700)) {
        fn check<S: ThreadState + PartialEq + std::fmt::Debug>(words: &[u32]) {
            let words = &words[..S::COUNT as usize];
            let state = S::from_words(words).expect("as many as it has");
            assert_eq!(state.as_words(), words);
            assert!(S::from_words(&words[1..]).is_err());
        }
        check::<x86_thread_state64_t>(&words);
        check::<x86_thread_state_t>(&words);
        check::<x86_avx512_state64_t>(&words);
        check::<arm_thread_state64_t>(&words);
        check::<arm_unified_thread_state_t>(&words);
        check::<arm_neon_state64_t>(&words);
    }

    #[test]
    fn the_printed_form_of_any_value_parses_to_it(raw in any::<i32>()) {
        let code = KernReturn::new(raw);
        prop_assert_eq!(code.to_string().parse(), Ok(code));
        let behavior = Behavior::new(raw);
        prop_assert_eq!(behavior.to_string().parse(), Ok(behavior));
        let mask = ExceptionMask::from_bits_retain(raw as u32);
        prop_assert_eq!(mask.to_string().parse(), Ok(mask));
    }

    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,40}") {
        let _ = text.parse::<KernReturn>();
        let _ = text.parse::<Behavior>();
        let _ = text.parse::<ExceptionMask>();
        let _ = text.parse::<ExceptionType>();
    }
}

#[test]
fn the_fuzzers_corpus_passes_the_checks() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/decode");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        checks::check(&bytes);
        seen += 1;
    }
    assert!(seen > 50, "{seen} files");
}

#[test]
fn one_word_more_than_the_maximum_is_refused_even_if_the_size_is_possible() {
    let parts = Parts {
        routine: Routine::MachExceptionRaiseState,
        ports: [1, 2],
        dispositions: [18, 17],
        names: [0, 0],
        thread_id: 0,
        exception: 1,
        codes: vec![],
        flavor: 4,
        state: vec![0; THREAD_STATE_MAX],
    };
    let mut message = parts.message();
    checks::check(&message);
    let words = THREAD_STATE_MAX as u32 + 1;
    message[44..48].copy_from_slice(&words.to_le_bytes());
    message.extend([0; 4]);
    let size = message.len() as u32;
    message[4..8].copy_from_slice(&size.to_le_bytes());
    checks::check(&message);
    let refused = decode(&message, Accept::Both).err();
    assert_eq!(refused, Some(DecodeError::StateCount { found: words }));
}
