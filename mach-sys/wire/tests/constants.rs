//! Compares the integer constants of Darwin's headers, as clang evaluates them, with this crate. Each constant is in the crate with its
//! name and value, or in a short list with a reason. Each typed constant prints its C name and parses back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use mach_wire::exception::*;
use mach_wire::kern_return::*;
use mach_wire::machine::Machine;
use mach_wire::message::*;
use mach_wire::mig::*;
use mach_wire::port::*;
use mach_wire::thread_state::*;
use mach_wire::types::*;
use serde_json::Value;

/// Constants that the crate does not have, with the reason.
const ABSENT: &[(&str, &[&str])] = &[
    (
        "null pointers of C, for which Rust has Option and None",
        &[
            "MACH_MSG_BODY_NULL",
            "MACH_MSG_DESCRIPTOR_NULL",
            "MACH_MSG_NULL",
            "MIG_ROUTINE_ARG_DESCRIPTOR_NULL",
            "MIG_ROUTINE_DESCRIPTOR_NULL",
            "MIG_SUBSYSTEM_NULL",
            "ERR_ROUTINE_NIL",
        ],
    ),
    (
        "switches of MIG's generated C; here the checks are always on and the structures always packed",
        &["__MigTypeCheck", "__MigPackStructs"],
    ),
    (
        "switches of data conversion, which is compiled out",
        &[
            "__NDR_convert__",
            "__NDR_convert__int_rep__",
            "__NDR_convert__char_rep__",
            "__NDR_convert__float_rep__",
        ],
    ),
];

type Constants = BTreeMap<&'static str, i128>;

fn add<T: Copy>(all: &mut Constants, table: &[(&'static str, T)])
where
    i128: From<T>,
{
    for &(name, value) in table {
        let value = i128::from(value);
        if let Some(before) = all.insert(name, value) {
            assert_eq!(before, value, "{name} has two values");
        }
    }
}

macro_rules! singles {
    ($($name:ident)*) => { [$((stringify!($name), $name as i128)),*] };
}

/// Returns every constant with the same value on both machines.
fn constants() -> Constants {
    let mut all = Constants::new();
    add(&mut all, KernReturn::NAMES);
    add(&mut all, SPACE_BITS);
    add(&mut all, ERROR_PARTS);
    add(&mut all, ExceptionType::NAMES);
    add(&mut all, ExceptionMask::NAMES);
    add(&mut all, BehaviorKind::NAMES);
    add(&mut all, BehaviorModifiers::NAMES);
    add(&mut all, I386_CODES);
    add(&mut all, ARM_CODES);
    add(&mut all, SOFTWARE_CODES);
    add(&mut all, GuardType::NAMES);
    add(&mut all, PortGuardFlavor::NAMES);
    add(&mut all, GUARD_FLAVOR_LIMITS);
    add(&mut all, GUARD_PAYLOADS);
    add(&mut all, ResourceType::NAMES);
    add(&mut all, RESOURCE_FLAVORS);
    add(&mut all, Disposition::NAMES);
    add(&mut all, MessageFlags::NAMES);
    add(&mut all, MSGH_BITS);
    add(&mut all, MessageOptions::NAMES);
    add(&mut all, TRAILER_OPTIONS);
    add(&mut all, DescriptorKind::NAMES);
    add(&mut all, COPY_OPTIONS);
    add(&mut all, MSG_GUARD_FLAGS);
    add(&mut all, NDR_CONSTANTS);
    add(&mut all, NOTIFY_IDS);
    add(&mut all, PortRight::NAMES);
    add(&mut all, PortType::NAMES);
    add(&mut all, PortStatusFlags::NAMES);
    add(&mut all, PortFlavor::NAMES);
    add(&mut all, PORT_INFO_COUNTS);
    add(&mut all, PORT_LIMITS);
    add(&mut all, PortOptionFlags::NAMES);
    add(&mut all, GuardFlags::NAMES);
    add(&mut all, X86_FLAVORS);
    add(&mut all, ARM_FLAVORS);
    add(&mut all, X86_COUNTS);
    add(&mut all, ARM_COUNTS);
    add(&mut all, SELECTORS);
    add(
        &mut all,
        &singles![
            FIRST_EXCEPTION EXC_TYPES_COUNT EXCEPTION_CODE_MAX EXC_MASK_MACHINE MACH_EXCEPTION_MASK
            MACH_MSG_TIMEOUT_NONE MACH_MSG_SIZE_NULL MACH_MSG_SIZE_MAX MACH_MSG_SIZE_RELIABLE
            MACH_MSG_PRIORITY_UNSPECIFIED MACH_MSG_DESCRIPTOR_MAX MACH_MSG_TYPE_LAST
            MACH_MSG_TRAILER_FORMAT_0 MACH_MSG_TRAILER_FORMAT_0_SIZE MACH_MSG_TRAILER_MINIMUM_SIZE
            MAX_TRAILER_SIZE MACH_MSG_FILTER_POLICY_ALLOW MACH_MSGH_KIND_NORMAL
            MACH_MSGH_KIND_NOTIFICATION MACH_PORT_NULL MACH_PORT_DEAD MACH_PORT_TYPE_NONE
            THREAD_STATE_MAX I386_THREAD_STATE_MAX ARM_THREAD_STATE_MAX THREAD_MACHINE_STATE_MAX
        ],
    );
    all
}

/// Returns the value of a constant that has another value in each machine's header.
fn of_machine(header: &str, name: &str) -> Option<i128> {
    let machine = match header {
        "mach/i386/thread_status.h" => Machine::X86_64,
        "mach/arm/thread_status.h" => Machine::Arm64,
        _ => return None,
    };
    let (flavor, count) = machine.machine_thread_state();
    Some(match name {
        "THREAD_STATE_NONE" => machine.thread_state_none().raw.into(),
        "THREAD_STATE_FLAVORS" => machine.thread_state_flavors().into(),
        "MACHINE_THREAD_STATE" => flavor.raw.into(),
        "MACHINE_THREAD_STATE_COUNT" => count.into(),
        _ => return None,
    })
}

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/constants.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{path}: {why}"));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Returns a constant's value and its width in bits.
fn value(fact: &Value) -> (i128, u32) {
    // The facts have no size for a member of an enumeration: it is an int.
    let size = fact.get("c_size").and_then(Value::as_u64).unwrap_or(4);
    let value = &fact["value"];
    let value = value
        .as_i64()
        .map(i128::from)
        .or(value.as_u64().map(i128::from));
    (value.expect("a number"), 8 * size as u32)
}

/// A13.3: the flavors of guards on ports are among them. C0.6: the rights' numbers.
/// H1.2 to H1.7, H1.9: each number.
#[test]
fn every_constant_has_its_value() {
    let ours = constants();
    let (mut compared, mut absent, mut missing) = (0, 0, Vec::new());
    for (header, constants) in facts().as_object().expect("headers") {
        let Some(constants) = constants.as_object() else {
            continue;
        };
        for (name, fact) in constants {
            if ABSENT
                .iter()
                .any(|(_, names)| names.contains(&name.as_str()))
            {
                assert!(
                    !ours.contains_key(name.as_str()),
                    "{name} is in the crate and in the list"
                );
                absent += 1;
                continue;
            }
            let (wanted, bits) = value(fact);
            let found = of_machine(header, name).or(ours.get(name.as_str()).copied());
            let Some(found) = found else {
                missing.push(format!("{header}: {name}"));
                continue;
            };
            // The signs of C's types do not count: -67108864 and 0xfc000000 are the same bit pattern.
            let mask = (1 << bits) - 1;
            assert_eq!(found & mask, wanted & mask, "{header}: {name}");
            compared += 1;
        }
    }
    assert!(missing.is_empty(), "missing: {missing:#?}");
    let listed: usize = ABSENT.iter().map(|(_, names)| names.len()).sum();
    assert_eq!(absent, listed, "a name in the list is not a constant");
    assert!(compared > 500, "{compared} constants");
    println!("{compared} constants compared, {absent} absent with a reason");
}

/// Checks that every value prints one of its names, and that every name parses to its value.
fn names_round_trip<T, R>(names: &[(&'static str, R)], new: fn(R) -> T, unknown: R)
where
    T: Display + FromStr + PartialEq + std::fmt::Debug + Copy,
    T::Err: std::fmt::Debug,
    R: Copy + PartialEq,
{
    for &(name, raw) in names {
        let value = new(raw);
        assert_eq!(name.parse::<T>().expect("a name"), value, "{name}");
        let printed = value.to_string();
        assert!(
            names
                .iter()
                .any(|(known, of)| *known == printed && *of == raw),
            "{name} prints {printed}"
        );
        assert_eq!(printed.parse::<T>().expect("a name"), value, "{name}");
    }
    let kept = new(unknown);
    let printed = kept.to_string();
    assert_eq!(printed.parse::<T>().expect("a number"), kept, "{printed}");
    assert!("NO_SUCH_NAME".parse::<T>().is_err());
}

#[test]
fn every_typed_value_prints_its_c_name_and_parses_back() {
    names_round_trip(KernReturn::NAMES, KernReturn::new, -123_456);
    names_round_trip(KernReturn::NAMES, KernReturn::new, 0x1000_7777);
    names_round_trip(ExceptionType::NAMES, ExceptionType::new, 77);
    names_round_trip(BehaviorKind::NAMES, BehaviorKind::new, 6);
    names_round_trip(GuardType::NAMES, GuardType::new, 7);
    names_round_trip(PortGuardFlavor::NAMES, PortGuardFlavor::new, 0x1234_5678);
    names_round_trip(ResourceType::NAMES, ResourceType::new, 7);
    names_round_trip(Disposition::NAMES, Disposition::new, 23);
    names_round_trip(DescriptorKind::NAMES, DescriptorKind::new, 99);
    names_round_trip(PortRight::NAMES, PortRight::new, 99);
    names_round_trip(PortFlavor::NAMES, PortFlavor::new, -4);
    names_round_trip(
        mach_wire::darwin::DarwinSignal::NAMES,
        mach_wire::darwin::DarwinSignal::new,
        0,
    );
}

/// Checks that any bits print as text that parses to the same bits, and that every name parses to its bits.
fn flags_round_trip<F, B: Copy>(names: &[(&'static str, B)], of: fn(B) -> F, samples: &[B])
where
    F: Display + FromStr + PartialEq + std::fmt::Debug + Copy,
    F::Err: std::fmt::Debug,
{
    for &(name, bits) in names {
        assert_eq!(name.parse::<F>().expect("a name"), of(bits), "{name}");
    }
    for bits in samples
        .iter()
        .copied()
        .chain(names.iter().map(|(_, bits)| *bits))
    {
        let printed = of(bits).to_string();
        assert_eq!(
            printed.parse::<F>().expect("what was printed"),
            of(bits),
            "{printed}"
        );
    }
    assert!("NO_SUCH_FLAG".parse::<F>().is_err());
}

#[test]
fn every_set_of_flags_prints_c_names_and_parses_back() {
    let words = [0, 1, 2, 0x8000_0001, u32::MAX, 0xdead_beef];
    let signed = words.map(|word| word as i32);
    flags_round_trip(
        ExceptionMask::NAMES,
        ExceptionMask::from_bits_retain,
        &words,
    );
    flags_round_trip(
        BehaviorModifiers::NAMES,
        BehaviorModifiers::from_bits_retain,
        &signed,
    );
    flags_round_trip(MessageFlags::NAMES, MessageFlags::from_bits_retain, &words);
    flags_round_trip(
        MessageOptions::NAMES,
        MessageOptions::from_bits_retain,
        &signed,
    );
    flags_round_trip(PortType::NAMES, PortType::from_bits_retain, &words);
    flags_round_trip(
        PortStatusFlags::NAMES,
        PortStatusFlags::from_bits_retain,
        &words,
    );
    flags_round_trip(
        PortOptionFlags::NAMES,
        PortOptionFlags::from_bits_retain,
        &words,
    );
    flags_round_trip(
        GuardFlags::NAMES,
        GuardFlags::from_bits_retain,
        &[u64::MAX, 3 << 40],
    );
}

#[test]
fn an_error_of_mach_msg_prints_its_space_bits() {
    let error = KernReturn::new(MACH_RCV_BODY_ERROR | MACH_MSG_VM_SPACE);
    assert_eq!(error.to_string(), "MACH_RCV_BODY_ERROR|MACH_MSG_VM_SPACE");
    assert_eq!(error.without_space_bits(), KernReturn::RCV_BODY_ERROR);
    assert_eq!(error.to_string().parse(), Ok(error));
    // The same bits have no such meaning in another system's numbers.
    let other = KernReturn::new(MACH_MSG_VM_SPACE);
    assert_eq!(other.without_space_bits(), other);
    assert_eq!(other.to_string(), "4096");
}
