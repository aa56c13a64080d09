//! Layouts of messages: parts, requests, replies, ids, size formulas, trailers.

use mach_wire::exception::{Behavior, BehaviorKind, BehaviorModifiers, ExceptionType};
use mach_wire::message::{
    Disposition, MACH_MSGH_BITS, MACH_MSGH_BITS_COMPLEX, MACH_MSGH_BITS_SET, MAX_TRAILER_SIZE,
    REQUESTED_TRAILER_SIZE,
};
use mach_wire::mig::{
    HeaderPort, Identity, IdentityKind, NDR_record_t, Notification, Raise, Routine, Subsystem,
};
use mach_wire::pod;
use mach_wire::thread_state::THREAD_STATE_MAX;
use serde_json::Value;

use crate::resolve::compare;
use crate::types::{INTEGERS, MESSAGE_PARTS, MESSAGES, layout_of};
use crate::{facts, members, number, text};

fn routines(layouts: &Value, subsystem: &str) -> Vec<(Routine, Value)> {
    let routines = layouts["subsystems"][subsystem]["routines"]
        .as_array()
        .expect("routines");
    let routine = |facts: &Value| {
        let id = number(&facts["request_id"]) as i32;
        Routine::from_id(id).unwrap_or_else(|| panic!("no routine {id}"))
    };
    routines
        .iter()
        .map(|facts| (routine(facts), facts.clone()))
        .collect()
}

#[test]
fn every_integer_has_its_size_and_sign() {
    // boolean_t differs by machine, so it is compared only on its own machine.
    let native = mach_wire::machine::Machine::NATIVE.to_string();
    for (machine, types) in members(&facts("layouts.json")["primitive_types"]) {
        for (name, facts) in members(types) {
            let found = INTEGERS.iter().find(|(c_name, ..)| c_name == name);
            let (_, size, signed) = found.unwrap_or_else(|| panic!("no type {name}"));
            assert_eq!(*size, number(&facts["sizeof"]), "{machine} {name}");
            if name != "boolean_t" || machine.starts_with(&native) {
                assert_eq!(Some(*signed), facts["signed"].as_bool(), "{machine} {name}");
            }
        }
    }
}

#[test]
fn every_part_of_a_message_has_its_layout() {
    let layouts = facts("layouts.json");
    let mut compared = 0;
    for (name, part) in members(&layouts["common_types"]) {
        compared += compare(
            name,
            layout_of(name, &[MESSAGE_PARTS]),
            part,
            &part["fields"],
        );
    }
    println!("{compared} fields");
    assert!(compared > 200, "{compared} fields");
}

#[test]
fn every_request_and_reply_has_its_layout() {
    let layouts = facts("layouts.json");
    let mut compared = 0;
    for (subsystem, facts) in members(&layouts["subsystems"]) {
        for routine in facts["routines"].as_array().expect("routines") {
            for direction in ["request", "reply"] {
                let message = &routine[direction];
                if message.is_null() {
                    assert_eq!(subsystem, "notify", "only notifications have no reply");
                    continue;
                }
                let name = text(&message["c_type"]);
                let fields = &message["fields_at_declared_max"];
                compared += compare(name, layout_of(name, &[MESSAGES]), message, fields);
            }
        }
    }
    println!("{compared} fields");
    assert!(compared > 400, "{compared} fields");
}

#[test]
fn every_routine_has_its_ids_names_and_identity() {
    let layouts = facts("layouts.json");
    let mut seen = 0;
    for (name, subsystem) in [("exc", Subsystem::Exc), ("mach_exc", Subsystem::MachExc)] {
        let facts = &layouts["subsystems"][name];
        let ids = number(&facts["first_id"])..=number(&facts["last_id"]);
        for (routine, facts) in routines(&layouts, name) {
            assert_eq!(routine.subsystem(), subsystem);
            assert!(ids.contains(&(routine.id() as usize)));
            assert_eq!(routine.name(), text(&facts["name"]));
            assert_eq!(routine.reply_id() as usize, number(&facts["reply_id"]));
            let request = &facts["request"];
            assert_eq!(routine.code_size(), number(&request["code_element_size"]));
            assert_eq!(mach_wire::mig::CODES_MAX, number(&request["max_codeCnt"]));
            let descriptors = routine.identity().descriptors() as usize;
            assert_eq!(descriptors, number(&request["descriptor_count"]));
            assert_eq!(request["complex"].as_bool(), Some(descriptors != 0));
            assert_eq!(
                routine.reply_size(THREAD_STATE_MAX),
                number(&facts["max_reply_msg"])
            );
            seen += 1;
        }
    }
    assert_eq!(seen, Routine::ALL.len());
}

/// Returns the value of a formula such as `76 + 8*codeCnt + 4*old_stateCnt`.
fn evaluate(formula: &str, variables: &[(&str, usize)]) -> usize {
    let factor = |text: &str| match text.parse() {
        Ok(number) => number,
        Err(_) => {
            let found = variables.iter().find(|(name, _)| *name == text);
            found
                .unwrap_or_else(|| panic!("{formula}: unknown {text}"))
                .1
        }
    };
    let product = |term: &str| {
        term.split('*')
            .map(str::trim)
            .map(factor)
            .product::<usize>()
    };
    formula.split('+').map(str::trim).map(product).sum()
}

#[test]
fn every_size_formula_holds() {
    let layouts = facts("layouts.json");
    for subsystem in ["exc", "mach_exc"] {
        for (routine, facts) in routines(&layouts, subsystem) {
            let sizes = &facts["request"]["msgh_size"];
            let (minimum, maximum) = routine.request_size_range();
            assert_eq!(minimum, number(&sizes["minimum"]));
            assert_eq!(maximum, number(&sizes["maximum"]));
            for codes in 0..=2 {
                let by_codes = &sizes["stateCnt0_by_codeCnt"][codes.to_string()];
                assert_eq!(routine.request_size(codes, 0), number(by_codes));
                for words in [0, 1, 42, 68, THREAD_STATE_MAX] {
                    let variables = [("codeCnt", codes), ("old_stateCnt", words)];
                    let wanted = evaluate(text(&sizes["formula"]), &variables);
                    assert_eq!(routine.request_size(codes, words), wanted, "{routine}");
                }
            }
            if let Some(by_state) = sizes.get("codeCnt2_by_state") {
                for (state, size) in members(by_state) {
                    let (_, words) = state.split_once('(').expect("a count");
                    let words = words.trim_end_matches(')').parse().expect("a count");
                    assert_eq!(routine.request_size(2, words), number(size), "{state}");
                }
            }
            let reply = &facts["reply"];
            for words in [0, 1, 44, THREAD_STATE_MAX] {
                let wanted = evaluate(
                    text(&reply["success_msgh_size"]),
                    &[("new_stateCnt", words)],
                );
                assert_eq!(routine.reply_size(words), wanted, "{routine}");
            }
            assert_eq!(
                routine.reply_size(0),
                number(&reply["success_msgh_size_min"])
            );
            assert_eq!(
                routine.reply_size(THREAD_STATE_MAX),
                number(&reply["success_msgh_size_max"])
            );
            assert_eq!(
                mach_wire::mig::STATUS_REPLY_SIZE,
                number(&reply["error_reply_msgh_size"])
            );
            let buffer = &facts["request"]["receive_buffer_size"];
            assert_eq!(maximum + 8, number(&buffer["with_minimum_trailer_8"]));
            let with_trailer = maximum + MAX_TRAILER_SIZE as usize;
            assert_eq!(with_trailer, number(&buffer["with_max_trailer_68"]));
        }
    }
}

const CODES: [i64; 2] = [0x1111_1111, 0x2222_2222];
const FLAVOR: i32 = 0x0f1a_f0f0;
const STATE: [u32; 3] = [0x0501, 0x0502, 0x0503];

/// Returns a request as the kernel sends it, with a different value in each part.
fn sample(routine: Routine, codes: &[i64]) -> Vec<u8> {
    let raise = Raise {
        routine,
        remote: HeaderPort::new(0x0a0a, Disposition::MOVE_SEND_ONCE),
        local: HeaderPort::new(0x0b0b, Disposition::MOVE_SEND),
        voucher: HeaderPort::NONE,
        identity: match routine.identity() {
            IdentityKind::None => Identity::None,
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: 0x1101,
                task: 0x1102,
            },
            IdentityKind::Token => Identity::Token {
                token: 0x1101,
                thread_id: 0x77,
            },
            IdentityKind::Kcdata => Identity::Kcdata { object: 0x1101 },
            other => panic!("{other:?}"),
        },
        disposition: Disposition::MOVE_SEND,
        exception: ExceptionType::BREAKPOINT,
        codes,
        flavor: FLAVOR,
        state: if routine.has_state() { &STATE } else { &[] },
    };
    let mut message = vec![0; raise.size()];
    raise.encode(&mut message).expect("it fits");
    message
}

#[test]
fn every_part_has_the_offset_that_the_counts_require() {
    let layouts = facts("layouts.json");
    let word = |message: &[u8], at: usize| pod::read::<u32>(&message[at..]).expect("a word");
    for subsystem in ["exc", "mach_exc"] {
        for (routine, facts) in routines(&layouts, subsystem) {
            let request = &facts["request"];
            for codes in 0..=2 {
                let message = sample(routine, &CODES[..codes]);
                let code_at = number(&request["code_offset"]);
                assert_eq!(word(&message, code_at - 4) as usize, codes);
                for (index, code) in CODES[..codes].iter().enumerate() {
                    let at = code_at + index * routine.code_size();
                    assert_eq!(i64::from(word(&message, at)), *code);
                }
                if let Some(moving) = request.get("moving_fields_by_codeCnt") {
                    let at = &moving[codes.to_string()];
                    assert_eq!(word(&message, number(&at["flavor"])), FLAVOR as u32);
                    assert_eq!(word(&message, number(&at["old_stateCnt"])), 3);
                    assert_eq!(word(&message, number(&at["old_state"])), STATE[0]);
                } else {
                    assert!(!routine.has_state());
                }
                let descriptors = request["descriptors"].as_array().expect("descriptors");
                for (name, descriptor) in [0x1101, 0x1102].into_iter().zip(descriptors) {
                    let at = number(&descriptor["offset"]);
                    assert_eq!(word(&message, at), name);
                    let disposition = message[at + 10] as usize;
                    assert_eq!(disposition, number(&descriptor["disposition_as_received"]));
                    assert_eq!(
                        message[at + 11] as usize,
                        number(&descriptor["type_as_received"])
                    );
                }
            }
        }
    }
}

#[test]
fn a_raised_requests_header_has_the_kernels_bits() {
    let layouts = facts("layouts.json");
    let parse = |value: &Value| {
        let hex = text(value).trim_start_matches("0x");
        u32::from_str_radix(hex, 16).expect("hexadecimal")
    };
    for subsystem in ["exc", "mach_exc"] {
        for (routine, facts) in routines(&layouts, subsystem) {
            let header = &facts["request"]["header_as_received_from_kernel"];
            let bits: u32 = pod::read(&sample(routine, &CODES)).expect("bits");
            assert_eq!(
                bits,
                parse(&header["msgh_bits_without_voucher"]),
                "{routine}"
            );
            let complex = bits & MACH_MSGH_BITS_COMPLEX;
            let with_voucher = MACH_MSGH_BITS_SET(18, 17, 17, complex);
            assert_eq!(
                with_voucher,
                parse(&header["msgh_bits_with_voucher"]),
                "{routine}"
            );
            assert_eq!(
                complex != 0,
                header["complex"].as_bool().expect("a truth value")
            );
            let ports = MACH_MSGH_BITS(
                number(&header["remote_disposition"]) as u32,
                number(&header["local_disposition"]) as u32,
            );
            assert_eq!(bits & !MACH_MSGH_BITS_COMPLEX, ports);
        }
    }
}

#[test]
fn a_behavior_selects_its_message() {
    let layouts = facts("layouts.json");
    for row in layouts["behavior_to_message"]
        .as_array()
        .expect("behaviors")
    {
        let (kind, modifiers) = match row["behavior"].as_i64() {
            Some(kind) => (BehaviorKind::new(kind as i32), BehaviorModifiers::empty()),
            // The row of the backtrace is that of a modifier.
            None => (
                BehaviorKind::DEFAULT,
                BehaviorModifiers::BACKTRACE_PREFERRED,
            ),
        };
        for (key, codes) in [
            ("without_MACH_EXCEPTION_CODES", BehaviorModifiers::empty()),
            ("with_MACH_EXCEPTION_CODES", BehaviorModifiers::CODES),
        ] {
            let behavior = Behavior::of(kind, modifiers | codes);
            let id = Routine::for_behavior(behavior).map(Routine::id);
            assert_eq!(id.map(i64::from), row[key].as_i64(), "{behavior}");
        }
    }
}

#[test]
fn a_requested_trailer_has_its_size() {
    let layouts = facts("layouts.json");
    for (name, option) in members(&layouts["trailer_options"]) {
        let size = REQUESTED_TRAILER_SIZE(number(option) as i32);
        assert_eq!(size as usize, number(&layouts["trailers"][name]), "{name}");
    }
}

#[test]
fn the_ndr_record_has_its_bytes() {
    let bytes = pod::bytes_of(&NDR_record_t::RECORD)
        .iter()
        .map(|byte| u64::from(*byte));
    let wanted = facts("layouts.json")["NDR_record"].clone();
    assert_eq!(Value::from(bytes.collect::<Vec<_>>()), wanted);
}

#[test]
fn every_notification_has_its_id_and_size() {
    let layouts = facts("layouts.json");
    let all = [
        Notification::PortDeleted { name: 1 },
        Notification::SendPossible { name: 2 },
        Notification::PortDestroyed { right: 3 },
        Notification::NoSenders { count: 4 },
        Notification::SendOnce,
        Notification::DeadName { name: 5 },
    ];
    let routines = layouts["subsystems"]["notify"]["routines"]
        .as_array()
        .expect("routines");
    assert_eq!(routines.len(), all.len());
    for (notification, facts) in all.into_iter().zip(routines) {
        assert_eq!(notification.id() as usize, number(&facts["request_id"]));
        let mut message = [0; 64];
        let size = notification.encode(&mut message, 0x0b0b).expect("it fits");
        assert_eq!(
            size,
            number(&facts["request"]["sizeof"]),
            "{notification:?}"
        );
        assert_eq!(Notification::decode(&message[..size]), Ok(notification));
    }
}
