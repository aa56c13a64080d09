//! The stable numeric codes of errors, which C callers compare. A failure here is a breaking change.

use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::{KernError, KernReturn};
use mach_wire::machine::Machine;
use mach_wire::message::TrailerError;
use mach_wire::mig::{DecodeError, EncodeError, ReplyError, ServeError};
use mach_wire::thread_state::{Flavor, StateMismatch};

#[test]
fn codes_of_decode_errors_never_change() {
    for (error, code) in [
        (DecodeError::NoHeader { length: 0 }, 0x1101),
        (DecodeError::UnknownId { id: 0 }, 0x1102),
        (DecodeError::Truncated { size: 0, length: 0 }, 0x1103),
        (DecodeError::NotComplex, 0x1104),
        (DecodeError::Complex, 0x1105),
        (
            DecodeError::DescriptorCount {
                found: 0,
                wanted: 0,
            },
            0x1106,
        ),
        (
            DecodeError::SizeRange {
                found: 0,
                minimum: 0,
                maximum: 0,
            },
            0x1107,
        ),
        (DecodeError::DescriptorKind { index: 0, found: 0 }, 0x1108),
        (
            DecodeError::Disposition {
                index: 0,
                found: 0,
                wanted: 0,
            },
            0x1109,
        ),
        (DecodeError::CodeCount { found: 0 }, 0x110a),
        (DecodeError::StateCount { found: 0 }, 0x110b),
        (
            DecodeError::Size {
                found: 0,
                wanted: 0,
            },
            0x110c,
        ),
    ] {
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(ServeError::Decode(error).code(), code);
    }
}

#[test]
fn codes_of_encode_errors_never_change() {
    for (error, code) in [
        (
            EncodeError::Buffer {
                needed: 0,
                length: 0,
            },
            0x1201,
        ),
        (EncodeError::CodeCount { found: 0 }, 0x1202),
        (
            EncodeError::StateCount {
                found: 0,
                maximum: 0,
            },
            0x1203,
        ),
        (EncodeError::Identity, 0x1204),
    ] {
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(ServeError::Encode(error).code(), code);
    }
}

#[test]
fn codes_of_reply_errors_never_change() {
    for (error, code) in [
        (ReplyError::TooLarge { found: 0, limit: 0 }, 0x1301),
        (ReplyError::ServerDied, 0x1302),
        (
            ReplyError::Id {
                found: 0,
                wanted: 0,
            },
            0x1303,
        ),
        (ReplyError::Complex, 0x1304),
        (ReplyError::Size { found: 0 }, 0x1305),
        (ReplyError::ReplyPort { port: 0 }, 0x1306),
        (ReplyError::StateCount { found: 0 }, 0x1307),
        (ReplyError::Refused(KernError::FAILURE), 0x1308),
    ] {
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn codes_of_other_errors_never_change() {
    let flavor = Flavor::new(Machine::X86_64, 4);
    let none = TrailerError::Missing {
        size: 0,
        needed: 0,
        length: 0,
    };
    let codes = [
        none.code(),
        TrailerError::Format { found: 0 }.code(),
        TrailerError::Short {
            found: 0,
            needed: 0,
        }
        .code(),
        StateMismatch::Flavor {
            found: flavor,
            wanted: flavor,
        }
        .code(),
        StateMismatch::Count {
            flavor,
            found: 0,
            wanted: 0,
        }
        .code(),
    ];
    assert_eq!(codes, [0x1401, 0x1402, 0x1403, 0x1501, 0x1502]);
    let parse = "nonsense"
        .parse::<ExceptionType>()
        .map_err(|error| error.code());
    assert_eq!(parse, Err(0x1001));
    assert_eq!(KernError::INVALID_RIGHT.code(), 17);
    assert_eq!(KernError::MIG_SERVER_DIED.code(), -308_i32 as u32);
}

#[test]
fn an_error_is_never_a_success_and_matches_as_a_pattern() {
    assert_eq!(KernError::new(KernReturn::SUCCESS), None);
    assert_eq!(KernReturn::SUCCESS.ok(), Ok(()));
    for &(name, raw) in KernReturn::NAMES {
        let Some(error) = KernError::new(KernReturn::new(raw)) else {
            assert_eq!(raw, 0, "{name}");
            continue;
        };
        assert_eq!(KernReturn::check(raw), Err(error));
        assert_eq!(error.to_string(), KernReturn::new(raw).to_string());
    }
    let kind = match KernReturn::check(46) {
        Err(KernError::NOT_SUPPORTED | KernError::DENIED) => 1,
        _ => 0,
    };
    assert_eq!(kind, 1);
}

#[test]
fn no_error_prints_its_source() {
    let refused = ReplyError::Refused(KernError::NO_SPACE);
    let source = core::error::Error::source(&refused).map(|source| source.to_string());
    assert_eq!(source.as_deref(), Some("KERN_NO_SPACE"));
    assert!(!refused.to_string().contains("KERN_NO_SPACE"));
}
