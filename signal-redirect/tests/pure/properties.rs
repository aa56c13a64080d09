//! Properties of redirects and returns with any registers, any stack pointer and any memory.

use crate::common::{BASE, HANDLER, SIZE, Stack, TRAP, TestedMachine};
use mach_sys::exception::ExceptionType;
use mach_sys::pod;
use mach_sys::thread_state::Registers;
use proptest::prelude::*;
use signal_redirect::{Arm64, Fault, Redirect, Return, ReturnError, Stack as Place, X86_64};
use test_support::emulator::is_emulated;

/// Bytes of the larger thread state.
const STATE: usize = 272;

fn any_stack_pointer() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => BASE..BASE + SIZE,
        1 => any::<u64>(),
        1 => (0u64..4096).prop_map(|below| 0u64.wrapping_sub(below)),
        1 => 0u64..4096,
        1 => (0u64..16, -200i64..200).prop_map(|(page, off)| (BASE + (page << 12)).wrapping_add_signed(off)),
    ]
}

fn any_place() -> impl Strategy<Value = Place> {
    let range = || {
        (any_stack_pointer(), 0u64..0x8000)
            .prop_map(|(start, size)| start..start.saturating_add(size))
    };
    prop_oneof![
        Just(Place::Interrupted),
        range().prop_map(Place::Within),
        range().prop_map(Place::Alternate),
    ]
}

#[derive(Debug)]
struct Case {
    bytes: Vec<u8>,
    sp: u64,
    place: Place,
    room: u64,
    tag: u64,
    kind: i32,
    codes: (i64, i64),
    guard: Option<u64>,
    edits: Vec<(usize, u8)>,
}

prop_compose! {
    fn any_case()(
        bytes in prop::collection::vec(any::<u8>(), STATE),
        sp in any_stack_pointer(),
        place in any_place(),
        room in prop_oneof![0u64..10_000, any::<u64>()],
        tag in any::<u64>(),
        kind in 1i32..8,
        codes in (prop_oneof![0i64..20, any::<i64>()], any::<i64>()),
        guard in prop::option::of(0u64..16),
        edits in prop::collection::vec((0usize..STATE, any::<u8>()), 0..6),
    ) -> Case {
        Case { bytes, sp, place, room, tag, kind, codes, guard, edits }
    }
}

/// Redirects a thread and returns it from its handler.
fn there_and_back<M: TestedMachine>(case: &Case) -> Result<(), TestCaseError> {
    let mut stopped: M::State = pod::read(&case.bytes).expect("STATE is enough");
    M::plausible(&mut stopped);
    stopped.set_sp(case.sp);
    let mut memory = Stack::new(BASE..BASE + SIZE);
    if let Some(page) = case.guard {
        memory
            .protected
            .push(BASE + (page << 12)..BASE + ((page + 1) << 12));
    }
    let before = memory.bytes.clone();
    let fault = Fault::new(ExceptionType::new(case.kind), case.codes.0, case.codes.1);
    let plan = Redirect::plan(HANDLER, M::trampoline())
        .stack(case.place.clone())
        .room(case.room)
        .tag(case.tag);
    let Ok((entered, frame)) = plan.apply(&stopped, &fault, &mut memory) else {
        // Nothing at or above the interrupted frame's red zone was written.
        if case.place == Place::Interrupted {
            for write in &memory.writes {
                prop_assert!(write.end <= case.sp - M::RED_ZONE);
            }
        }
        return Ok(());
    };

    prop_assert_eq!(entered.sp() % 16, 0);
    prop_assert!(frame.low < frame.address && frame.address < frame.high);
    for write in &memory.writes {
        prop_assert!(frame.low <= write.start && write.end <= frame.high);
    }
    prop_assert!(memory.touched_every_page(frame.low..frame.high));
    match &case.place {
        Place::Interrupted => prop_assert!(frame.high <= case.sp - M::RED_ZONE),
        Place::Within(range) => {
            prop_assert!(range.start <= frame.low && frame.high <= case.sp - M::RED_ZONE);
        }
        Place::Alternate(range) => {
            prop_assert!(range.start <= frame.low && frame.high <= range.end)
        }
        place => prop_assert!(false, "this place is never generated: {place:?}"),
    }
    for (at, byte) in before.iter().enumerate() {
        let address = BASE + at as u64;
        if !(frame.low..frame.high).contains(&address) {
            prop_assert_eq!(*byte, memory.bytes[at]);
        }
    }

    // The handler edits some bytes of the registers.
    let mut expected = stopped;
    for &(at, value) in &case.edits {
        if let Some(byte) = pod::bytes_of_mut(&mut expected).get_mut(at) {
            *byte = value;
        }
    }
    memory.put(frame.mcontext + M::REGISTERS_AT, &expected);
    let trap = M::at_trap(&entered);
    let came_back = M::trampoline().return_from(&trap, &mut memory);
    if case.edits.is_empty() {
        match came_back {
            Ok(Some(resumed)) => {
                prop_assert_eq!(resumed.state, stopped);
                prop_assert_eq!(resumed.tag, case.tag);
            }
            // x86_64: a stack pointer that the kernel would refuse.
            Err(ReturnError::Unresumable { sp, .. }) => prop_assert!(sp >= 0x7fff_ffff_f000),
            other => prop_assert!(false, "{other:?}"),
        }
    } else if let Ok(Some(resumed)) = came_back {
        prop_assert_eq!(resumed.state.pc(), expected.pc());
        prop_assert_eq!(resumed.state.sp(), expected.sp());
        for number in 0..6 {
            prop_assert_eq!(resumed.state.argument(number), expected.argument(number));
        }
        // The handler may change only the user flags.
        let differ = resumed.state.flags() ^ expected.flags();
        prop_assert_eq!(differ & M::USER_FLAGS, 0);
        prop_assert_eq!(
            (resumed.state.flags() ^ stopped.flags()) & !M::USER_FLAGS,
            0
        );
        prop_assert_eq!(
            M::trampoline().return_from(&trap, &mut memory),
            Err(ReturnError::Stale(frame.address))
        );
    }
    Ok(())
}

/// Checks that a thread at the return trap gets an error if its memory is garbage.
fn nothing_is_a_frame<M: TestedMachine>(bytes: &[u8], garbage: &[u8], sp: u64) {
    let mut state: M::State = pod::read(bytes).expect("STATE is enough");
    state.set_pc(TRAP);
    state.set_sp(sp);
    *M::frame_register(&mut state) = sp;
    let mut memory = Stack::new(BASE..BASE + SIZE);
    for (at, byte) in memory.bytes.iter_mut().enumerate() {
        *byte = garbage[at % garbage.len()];
    }
    let result = M::trampoline().return_from(&state, &mut memory);
    assert!(matches!(
        result,
        Err(ReturnError::Forged(_) | ReturnError::Memory(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if is_emulated() { 100 } else { 600 },
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn redirect_and_return_is_the_identity_x86_64(case in any_case()) {
        there_and_back::<X86_64>(&case)?;
    }

    #[test]
    fn redirect_and_return_is_the_identity_arm64(case in any_case()) {
        there_and_back::<Arm64>(&case)?;
    }

    #[test]
    fn garbage_is_never_a_frame(
        bytes in prop::collection::vec(any::<u8>(), STATE),
        garbage in prop::collection::vec(any::<u8>(), 1..300),
        sp in any_stack_pointer(),
    ) {
        for sp in [sp, sp & !63] {
            nothing_is_a_frame::<X86_64>(&bytes, &garbage, sp);
            nothing_is_a_frame::<Arm64>(&bytes, &garbage, sp);
        }
    }
}

/// The strategy generates enough cases that are redirected.
#[test]
fn enough_cases_are_redirected() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut redirected = 0;
    for _ in 0..400 {
        let case = any_case().new_tree(&mut runner).unwrap().current();
        let mut stopped: <X86_64 as signal_redirect::Rewriter>::State =
            pod::read(&case.bytes).unwrap();
        X86_64::plausible(&mut stopped);
        stopped.rsp = case.sp;
        let plan = X86_64::plan()
            .stack(case.place)
            .room(case.room)
            .on_return(Return::Never);
        let fault = Fault::new(ExceptionType::new(case.kind), case.codes.0, case.codes.1);
        let mut memory = Stack::new(BASE..BASE + SIZE);
        redirected += u32::from(plan.apply(&stopped, &fault, &mut memory).is_ok());
    }
    assert!(redirected > 40, "{redirected}");
}
