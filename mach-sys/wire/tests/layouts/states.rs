//! Layouts, flavors and counts of thread states.

use mach_wire::machine::Machine;
use mach_wire::pod::Layout;
use mach_wire::thread_state::*;
use serde_json::Value;

use crate::resolve::compare;
use crate::types::{STATES, layout_of};
use crate::{facts, members, number, text};

/// The layout, machine, flavor and count of a type.
struct Tied {
    layout: &'static Layout,
    machine: Machine,
    flavor: i32,
    count: usize,
}

fn tied<S: ThreadState>() -> Tied {
    Tied {
        layout: S::LAYOUT,
        machine: S::MACHINE,
        flavor: S::FLAVOR,
        count: S::COUNT as usize,
    }
}

fn all_tied() -> Vec<Tied> {
    vec![
        tied::<x86_thread_state32_t>(),
        tied::<x86_float_state32_t>(),
        tied::<x86_exception_state32_t>(),
        tied::<x86_thread_state64_t>(),
        tied::<x86_float_state64_t>(),
        tied::<x86_exception_state64_t>(),
        tied::<x86_thread_state_t>(),
        tied::<x86_float_state_t>(),
        tied::<x86_exception_state_t>(),
        tied::<x86_debug_state32_t>(),
        tied::<x86_debug_state64_t>(),
        tied::<x86_debug_state_t>(),
        tied::<x86_avx_state32_t>(),
        tied::<x86_avx_state64_t>(),
        tied::<x86_avx_state_t>(),
        tied::<x86_avx512_state32_t>(),
        tied::<x86_avx512_state64_t>(),
        tied::<x86_avx512_state_t>(),
        tied::<x86_pagein_state_t>(),
        tied::<x86_thread_full_state64_t>(),
        tied::<x86_instruction_state_t>(),
        tied::<last_branch_state_t>(),
        tied::<arm_unified_thread_state_t>(),
        tied::<arm_vfp_state_t>(),
        tied::<arm_exception_state_t>(),
        tied::<arm_debug_state_t>(),
        tied::<arm_thread_state64_t>(),
        tied::<arm_exception_state64_t>(),
        tied::<arm_thread_state32_t>(),
        tied::<arm_exception_state64_v2_t>(),
        tied::<arm_debug_state32_t>(),
        tied::<arm_debug_state64_t>(),
        tied::<arm_neon_state_t>(),
        tied::<arm_neon_state64_t>(),
        tied::<arm_pagein_state_t>(),
        tied::<arm_sme_state_t>(),
        tied::<arm_sve_z_state_t>(),
        tied::<arm_sve_p_state_t>(),
        tied::<arm_sme_za_state_t>(),
        tied::<arm_sme2_state_t>(),
    ]
}

const MACHINES: [(&str, Machine); 3] = [
    ("x86_64", Machine::X86_64),
    ("arm64", Machine::Arm64),
    // The facts of arm64e list only the states with other names; the layouts are those of arm64.
    ("arm64e", Machine::Arm64),
];

/// Returns the flavors of a machine, with their facts.
fn flavors<'a>(states: &'a Value, machine: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    members(&states[machine]).filter(|(_, state)| state.is_object())
}

#[test]
fn every_state_has_its_size_and_every_field_its_offset() {
    let states = facts("states.json");
    let mut compared = 0;
    for (name, _) in MACHINES {
        for (flavor, state) in flavors(&states, name) {
            let c_type = text(&state["c_type"]);
            let layout = layout_of(c_type, &[STATES]);
            compared += compare(
                &format!("{name} {flavor} {c_type}"),
                layout,
                state,
                &state["fields"],
            );
        }
    }
    assert!(compared > 1000, "{compared} fields");
    println!("{compared} fields");
}

#[test]
fn every_flavor_is_tied_to_its_structure_and_count() {
    let states = facts("states.json");
    let tied = all_tied();
    let mut seen = 0;
    for (name, machine) in MACHINES {
        for (flavor, state) in flavors(&states, name) {
            let layout = layout_of(text(&state["c_type"]), &[STATES]);
            let found = tied.iter().find(|tied| tied.layout == layout);
            let found = found.unwrap_or_else(|| panic!("{flavor} is tied to nothing"));
            assert_eq!(found.machine, machine, "{flavor}");
            assert_eq!(found.flavor as usize, number(&state["flavor"]), "{flavor}");
            assert_eq!(found.count, number(&state["count"]), "{flavor}");
            let by_number = Flavor::new(machine, found.flavor);
            let expected = if flavor == "ARM_THREAD_STATE" {
                // The unified state has two names.
                by_number.name().expect("a name")
            } else {
                flavor
            };
            assert_eq!(by_number.to_string(), expected);
            assert_eq!(Flavor::parse(machine, flavor), Ok(by_number));
            let ports_take_it = state["valid_for_exception_ports"]
                .as_bool()
                .expect("a truth value");
            let count = ports_take_it.then_some(found.count as u32);
            assert_eq!(by_number.count(), count, "{flavor}");
            seen += 1;
        }
    }
    assert_eq!(seen, tied.len() + 2, "arm64e repeats two");
}

#[test]
fn a_count_macro_has_its_value() {
    let states = facts("states.json");
    let counts: Vec<_> = X86_COUNTS.iter().chain(ARM_COUNTS).collect();
    for (name, _) in MACHINES {
        for (flavor, state) in flavors(&states, name) {
            let macro_name = text(&state["count_macro"]);
            let found = counts.iter().find(|(name, _)| *name == macro_name);
            let (_, value) = found.unwrap_or_else(|| panic!("no {macro_name} of {flavor}"));
            assert_eq!(*value as usize, number(&state["count"]), "{macro_name}");
        }
    }
}

/// A10.3: the bits.
#[test]
fn the_flags_of_arm64e_have_their_bits() {
    let flags = &facts("states.json")["misc"]["arm64e_thread_state64_flags"];
    for (name, value) in members(flags) {
        let ours = match name.as_str() {
            "NO_PTRAUTH" => arm_thread_state64_t::NO_PTRAUTH,
            "IB_SIGNED_LR" => arm_thread_state64_t::IB_SIGNED_LR,
            "KERNEL_SIGNED_PC" => arm_thread_state64_t::KERNEL_SIGNED_PC,
            "KERNEL_SIGNED_LR" => arm_thread_state64_t::KERNEL_SIGNED_LR,
            "USER_DIVERSIFIER_MASK" => arm_thread_state64_t::USER_DIVERSIFIER_MASK,
            other => panic!("no flag {other}"),
        };
        assert_eq!(ours as usize, number(value), "{name}");
    }
}

#[test]
fn the_constants_beside_the_states_have_their_values() {
    let misc = &facts("states.json")["misc"];
    for (name, machine) in [("x86_64", Machine::X86_64), ("arm64", Machine::Arm64)] {
        for (constant, value) in members(&misc[name]) {
            let ours = match (constant.as_str(), machine) {
                ("THREAD_STATE_MAX", _) => THREAD_STATE_MAX as u32,
                ("THREAD_MACHINE_STATE_MAX", _) => THREAD_MACHINE_STATE_MAX as u32,
                ("I386_THREAD_STATE_MAX", _) => I386_THREAD_STATE_MAX as u32,
                ("ARM_THREAD_STATE_MAX", _) => ARM_THREAD_STATE_MAX as u32,
                ("THREAD_STATE_NONE", _) => machine.thread_state_none().raw as u32,
                ("THREAD_STATE_FLAVORS", _) => machine.thread_state_flavors() as u32,
                ("MACHINE_THREAD_STATE", _) => machine.machine_thread_state().0.raw as u32,
                ("MACHINE_THREAD_STATE_COUNT", _) => machine.machine_thread_state().1,
                ("sizeof(thread_state_data_t)", _) => 4 * THREAD_STATE_MAX as u32,
                (name, _) => {
                    let flavors = X86_FLAVORS
                        .iter()
                        .chain(ARM_FLAVORS)
                        .map(|(n, v)| (*n, *v as u32));
                    let counts = X86_COUNTS
                        .iter()
                        .chain(ARM_COUNTS)
                        .chain(SELECTORS)
                        .copied();
                    let found = flavors.chain(counts).find(|(known, _)| *known == name);
                    found.unwrap_or_else(|| panic!("no {name}")).1
                }
            };
            assert_eq!(ours as usize, number(value), "{name} {constant}");
        }
    }
}
