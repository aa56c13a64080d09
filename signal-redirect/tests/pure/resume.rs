//! Returns from handlers, for both machines on every host: valid frames, forged frames, and the handler's edits.

use crate::common::{BASE, SIZE, SP, Stack, TRAP, TestedMachine, apply, key, on_both, patterned};
use mach_sys::pod;
use mach_sys::thread_state::Registers;
use signal_redirect::{
    Arm64, Frame, FrameId, Key, Memory, RedirectError, Return, ReturnError, Rewriter,
    Stack as Place, Unmapped, X86_64, return_to_caller,
};

on_both! {
    a_change_of_any_word_of_the_header_is_a_forgery
    a_frame_elsewhere_or_of_another_key_is_a_forgery
    a_frame_is_returned_from_once
    a_return_of_a_handler_that_must_not_return_is_an_error
    frames_nest
    r17_errno_comes_back_as_it_was
    r27_a_throw_ends_the_frames_that_it_leaves
    a_frame_inside_of_itself_does_not_loop
    a_handler_cannot_change_system_flags
    other_program_counters_are_not_the_return_trap
}

fn a_change_of_any_word_of_the_header_is_a_forgery<M: TestedMachine>() {
    let (entered, frame, memory) = apply::<M>(&M::plan().tag(5), SP);
    let trap = M::at_trap(&entered);
    let words = (frame.siginfo - frame.address) / 8;
    assert_eq!(words, 18);
    // The last word has the interrupted code's errno, which a thread that returns directly stores there itself.
    for word in 0..words - 1 {
        for change in [1, 1 << 63, u64::MAX] {
            let mut memory = Stack {
                bytes: memory.bytes.clone(),
                ..Stack::new(BASE..BASE + SIZE)
            };
            let address = frame.address + 8 * word;
            let old: u64 = memory.get(address);
            memory.put(address, &(old ^ change));
            let result = M::trampoline().return_from(&trap, &mut memory);
            assert_eq!(
                result,
                Err(ReturnError::Forged(frame.address)),
                "word {word}"
            );
        }
    }
}

fn a_frame_elsewhere_or_of_another_key_is_a_forgery<M: TestedMachine>() {
    let (entered, frame, mut memory) = apply::<M>(&M::plan(), SP);
    let trap = M::at_trap(&entered);
    let other = M::trampoline().with_key(Key::new(1));
    let forged = |address| Err(ReturnError::Forged(address));
    assert_eq!(other.return_from(&trap, &mut memory), forged(frame.address));
    let derived = M::trampoline().with_key(key().derive(3));
    assert_eq!(
        derived.return_from(&trap, &mut memory),
        forged(frame.address)
    );

    // A copy of the whole frame at another address.
    let mut copy = vec![0; (frame.high - frame.address) as usize];
    memory.read(frame.address, &mut copy).unwrap();
    let elsewhere = frame.address - 0x1000;
    memory.write(elsewhere, &copy).unwrap();
    let mut moved = trap;
    *M::frame_register(&mut moved) = elsewhere;
    moved.set_sp(elsewhere);
    assert_eq!(
        M::trampoline().return_from(&moved, &mut memory),
        forged(elsewhere)
    );

    // Misaligned; stack pointer and frame register disagree; nothing there; stack garbage.
    for (register, sp) in [
        (frame.address + 8, frame.address + 8),
        (frame.address, frame.address - 64),
        (frame.address - 64, frame.address),
        (BASE, BASE),
    ] {
        let mut state = trap;
        *M::frame_register(&mut state) = register;
        state.set_sp(sp);
        assert_eq!(
            M::trampoline().return_from(&state, &mut memory),
            forged(register)
        );
    }
    for nowhere in [0, 64, BASE + SIZE, u64::MAX - 63] {
        let mut state = trap;
        *M::frame_register(&mut state) = nowhere;
        state.set_sp(nowhere);
        let result = M::trampoline().return_from(&state, &mut memory);
        assert_eq!(result, Err(ReturnError::Memory(Unmapped::at(nowhere))));
    }
    // The original still works.
    assert!(
        M::trampoline()
            .return_from(&trap, &mut memory)
            .unwrap()
            .is_some()
    );
}

fn a_frame_is_returned_from_once<M: TestedMachine>() {
    let (entered, frame, mut memory) = apply::<M>(&M::plan(), SP);
    let trap = M::at_trap(&entered);
    let resumed = M::trampoline()
        .return_from(&trap, &mut memory)
        .unwrap()
        .unwrap();
    assert_eq!(resumed.state, M::stopped(SP));
    for _ in 0..2 {
        let again = M::trampoline().return_from(&trap, &mut memory);
        assert_eq!(again, Err(ReturnError::Stale(frame.address)));
    }
    // A new frame at the same address works again.
    M::plan()
        .apply(&M::stopped(SP), &M::fault(), &mut memory)
        .unwrap();
    assert!(M::trampoline().return_from(&trap, &mut memory).is_ok());
    // A frame that cannot be marked as used is refused, because it could be used again.
    M::plan()
        .apply(&M::stopped(SP), &M::fault(), &mut memory)
        .unwrap();
    struct ReadOnly(Stack);
    impl Memory for ReadOnly {
        fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
            self.0.read(address, into)
        }
        fn write(&mut self, address: u64, _: &[u8]) -> Result<(), Unmapped> {
            Err(Unmapped::at(address))
        }
    }
    let result = M::trampoline().return_from(&trap, &mut ReadOnly(memory));
    let unmapped = Unmapped::at(frame.address);
    assert_eq!(result, Err(ReturnError::Memory(unmapped)));
}

fn a_return_of_a_handler_that_must_not_return_is_an_error<M: TestedMachine>() {
    let (entered, frame, mut memory) = apply::<M>(&M::plan().on_return(Return::Never), SP);
    let result = M::trampoline().return_from(&M::at_trap(&entered), &mut memory);
    assert_eq!(result, Err(ReturnError::NeverReturns(frame.address)));
}

/// A thread in its third handler: the registers that each fault interrupted, the frames, and the registers that enter each handler.
struct Nested<M: TestedMachine> {
    stopped: Vec<M::State>,
    frames: Vec<Frame>,
    entered: Vec<M::State>,
    memory: Stack,
}

/// Redirects a thread three times, nested. The third frame is on the emergency stack.
fn nested<M: TestedMachine>(emergency: core::ops::Range<u64>) -> Nested<M> {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let mut stopped = vec![M::stopped(SP)];
    let mut frames: Vec<Frame> = Vec::new();
    let mut entered = Vec::new();
    for depth in 0..3u32 {
        let mut plan = M::plan()
            .tag(u64::from(depth))
            .inside(frames.last().map(Frame::id));
        if depth == 2 {
            plan = plan.stack(Place::Alternate(emergency.clone()));
        }
        let (state, frame) = plan
            .apply(&stopped[depth as usize], &M::fault(), &mut memory)
            .unwrap();
        assert_eq!(frame.depth, depth);
        frames.push(frame);
        entered.push(state);
        // The handler has used some stack when it faults itself.
        let mut inner: M::State = patterned(40 + depth as u8);
        M::plausible(&mut inner);
        inner.set_sp(frame.low - 24 * u64::from(depth));
        stopped.push(inner);
    }
    Nested {
        stopped,
        frames,
        entered,
        memory,
    }
}

const EMERGENCY: core::ops::Range<u64> = BASE + 0xa000..BASE + 0xe000;

fn frames_nest<M: TestedMachine>() {
    let mut thread = nested::<M>(EMERGENCY);
    assert!(thread.frames[1].high <= thread.frames[0].low);
    for depth in (0..3).rev() {
        let trap = M::at_trap(&thread.entered[depth]);
        let resumed = M::trampoline()
            .return_from(&trap, &mut thread.memory)
            .unwrap()
            .unwrap();
        assert_eq!(resumed.state, thread.stopped[depth]);
        assert_eq!(resumed.tag, depth as u64);
        assert_eq!(resumed.frame, thread.frames[depth].id());
        let outer = depth.checked_sub(1).map(|outer| thread.frames[outer].id());
        assert_eq!(resumed.outer, outer);
    }
}

fn r27_a_throw_ends_the_frames_that_it_leaves<M: TestedMachine>() {
    let mut thread = nested::<M>(EMERGENCY);
    let frames: Vec<_> = thread.frames.iter().map(Frame::id).collect();
    let at = |from: usize, sp| M::trampoline().still_inside(frames[from], sp, &thread.memory);
    for (from, sp, innermost) in [
        // In the third handler, on the emergency stack; at its trampoline's entry.
        (2, thread.frames[2].low - 64, Some(2)),
        (2, frames[2].address, Some(2)),
        // Off the emergency stack: in the second handler, in the first, in none.
        (2, thread.frames[1].low - 64, Some(1)),
        (2, frames[1].address, Some(1)),
        (2, thread.frames[1].high, Some(0)),
        (2, thread.frames[0].low - 64, Some(0)),
        (2, SP, None),
        (2, SP + 0x1000, None),
        (1, thread.frames[1].low, Some(1)),
        (1, SP, None),
        (0, 8, Some(0)),
        (0, SP, None),
    ] {
        assert_eq!(
            at(from, sp),
            Ok(innermost.map(|at: usize| frames[at])),
            "{from}, {sp:#x}"
        );
    }
    // Used up, overwritten, unmapped.
    let trap = M::at_trap(&thread.entered[2]);
    M::trampoline()
        .return_from(&trap, &mut thread.memory)
        .unwrap();
    let stale = M::trampoline().still_inside(frames[2], SP, &thread.memory);
    assert_eq!(stale, Err(ReturnError::Stale(frames[2].address)));
    thread.memory.put(frames[0].address + 40, &1u64);
    let forged = M::trampoline().still_inside(frames[1], SP, &thread.memory);
    assert_eq!(forged, Err(ReturnError::Forged(frames[0].address)));
    let nowhere = FrameId::new(64, 0);
    let unmapped = M::trampoline().still_inside(nowhere, SP, &thread.memory);
    assert_eq!(unmapped, Err(ReturnError::Memory(Unmapped::at(64))));
}

/// The outer frame that the server gives has already ended, and the new frame overwrites it.
fn a_frame_inside_of_itself_does_not_loop<M: TestedMachine>() {
    let (_, first, mut memory) = apply::<M>(&M::plan(), SP);
    for depth in [0, 7, u32::MAX] {
        let itself = FrameId::new(first.address, depth);
        let plan = M::plan().inside(Some(itself));
        let (_, frame) = plan
            .apply(&M::stopped(SP), &M::fault(), &mut memory)
            .unwrap();
        assert_eq!(frame.address, first.address);
        let left = M::trampoline().still_inside(frame.id(), SP, &memory);
        assert_eq!(left, Ok(None));
    }
}

fn a_handler_cannot_change_system_flags<M: TestedMachine>() {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let mut stopped = M::stopped(SP);
    stopped.set_flags(M::FLAGS_STOPPED);
    let (entered, frame) = M::plan().apply(&stopped, &M::fault(), &mut memory).unwrap();
    // The handler inverts every bit of every register, then sets a valid program counter and stack pointer.
    let mut edited: M::State = memory.get(frame.mcontext + M::REGISTERS_AT);
    for byte in pod::bytes_of_mut(&mut edited) {
        *byte = !*byte;
    }
    edited.set_pc(0x4000_5678);
    edited.set_sp(SP + 64);
    memory.put(frame.mcontext + M::REGISTERS_AT, &edited);
    let resumed = M::trampoline()
        .return_from(&M::at_trap(&entered), &mut memory)
        .unwrap()
        .unwrap();
    let user = M::USER_FLAGS;
    let mut expected = edited;
    expected.set_flags(edited.flags() & user | stopped.flags() & !user);
    assert_eq!(resumed.state.flags(), expected.flags());
    assert_eq!(resumed.state.pc(), 0x4000_5678);
    assert_eq!(resumed.state.sp(), SP + 64);
    for number in 0..6 {
        assert_eq!(resumed.state.argument(number), edited.argument(number));
    }
}

fn other_program_counters_are_not_the_return_trap<M: TestedMachine>() {
    let (entered, _, mut memory) = apply::<M>(&M::plan(), SP);
    for pc in [0, TRAP - 1, TRAP + 1, TRAP + 4, TRAP + 16, u64::MAX] {
        let mut state = M::at_trap(&entered);
        state.set_pc(pc);
        assert_eq!(M::trampoline().return_from(&state, &mut memory), Ok(None));
    }
}

#[test]
fn a4_8_registers_that_the_kernel_would_refuse_are_an_error_and_can_be_repaired() {
    let (entered, frame, mut memory) = apply::<X86_64>(&X86_64::plan(), SP);
    let trap = X86_64::at_trap(&entered);
    let registers_at = frame.mcontext + X86_64::REGISTERS_AT;
    let good: mach_sys::thread_state::x86_thread_state64_t = memory.get(registers_at);
    for (rip, rsp) in [
        (0x7fff_ffff_f000, SP),
        (0x4000, 1 << 63),
        (u64::MAX, u64::MAX),
    ] {
        let mut bad = good;
        (bad.rip, bad.rsp) = (rip, rsp);
        memory.put(registers_at, &bad);
        let result = X86_64::trampoline().return_from(&trap, &mut memory);
        assert_eq!(result, Err(ReturnError::Unresumable { pc: rip, sp: rsp }));
    }
    memory.put(registers_at, &good);
    assert!(X86_64::trampoline().return_from(&trap, &mut memory).is_ok());
}

#[test]
fn r21_a_bad_call_is_returned_from() {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    memory.put(SP, &0x4000_5555u64);
    let stopped = X86_64::stopped(SP);
    let returned = return_to_caller::<X86_64>(&stopped, 42, &memory).unwrap();
    let mut expected = stopped;
    (expected.rax, expected.rip, expected.rsp) = (42, 0x4000_5555, SP + 8);
    assert_eq!(returned, expected);
    let nowhere = X86_64::stopped(64);
    let unmapped = Unmapped::at(64);
    let result = return_to_caller::<X86_64>(&nowhere, 42, &memory);
    assert_eq!(result, Err(RedirectError::Memory(unmapped)));

    let stopped = Arm64::stopped(64);
    let returned = return_to_caller::<Arm64>(&stopped, 42, &memory).unwrap();
    let mut expected = stopped;
    (expected.x[0], expected.pc) = (42, stopped.lr);
    assert_eq!(returned, expected);
}

/// arm64's trampoline sets a special stack pointer if the vector registers do not fit. On x86_64 that stack pointer is a forgery.
#[test]
fn vectors_that_are_too_long_are_not_reported_as_a_forgery() {
    let (entered, frame, mut memory) = apply::<Arm64>(&Arm64::plan(), SP);
    let mut refused = Arm64::at_trap(&entered);
    refused.sp -= 16;
    let trampoline = Arm64::trampoline();
    for _ in 0..2 {
        let result = trampoline.return_from(&refused, &mut memory);
        assert_eq!(result, Err(ReturnError::VectorLength(frame.address)));
    }
    // Only with a valid frame.
    let other = trampoline.with_key(Key::new(1));
    let result = other.return_from(&refused, &mut memory);
    assert_eq!(result, Err(ReturnError::Forged(frame.address)));
    let mut wrapping = refused;
    (wrapping.x[19], wrapping.sp) = (0, 0u64.wrapping_sub(16));
    let result = trampoline.return_from(&wrapping, &mut memory);
    assert_eq!(result, Err(ReturnError::Memory(Unmapped::at(0))));

    let (entered, frame, mut memory) = apply::<X86_64>(&X86_64::plan(), SP);
    let mut odd = X86_64::at_trap(&entered);
    odd.rsp -= 16;
    let result = X86_64::trampoline().return_from(&odd, &mut memory);
    assert_eq!(result, Err(ReturnError::Forged(frame.address)));
}

#[test]
fn under_rosetta_the_return_trap_may_raise_either_exception() {
    use mach_sys::capabilities::Capabilities;
    use mach_sys::exception::ExceptionMask;

    let access = ExceptionMask::BAD_ACCESS;
    let instruction = ExceptionMask::BAD_INSTRUCTION;
    for (translated, x86_64, arm64) in [
        (Some(false), access, instruction),
        (Some(true), access | instruction, access | instruction),
        (None, access | instruction, access | instruction),
    ] {
        let mut capabilities = Capabilities::ORDINARY;
        capabilities.translated = translated;
        let found = (
            X86_64::return_mask(&capabilities),
            Arm64::return_mask(&capabilities),
        );
        assert_eq!(found, (x86_64, arm64), "{translated:?}");
    }
}

/// R17: the interrupted code's `errno` is restored after a handler that changes it.
fn r17_errno_comes_back_as_it_was<M: TestedMachine>() {
    let errno = BASE + 0x40;
    let mut memory = Stack::new(BASE..BASE + SIZE);
    memory.put(errno, &77_u32);
    let plan = M::plan().errno_at(Some(errno));
    // Nested, with another value inside.
    let (outer, frame) = plan
        .apply(&M::stopped(SP), &M::fault(), &mut memory)
        .unwrap();
    memory.put(errno, &88_u32);
    let stopped = M::stopped(frame.low);
    let inner = plan.clone().inside(Some(frame.id()));
    let (inner, _) = inner.apply(&stopped, &M::fault(), &mut memory).unwrap();
    for (entered, expected) in [(inner, 88_u32), (outer, 77)] {
        memory.put(errno, &5_u32);
        let at_trap = M::at_trap(&entered);
        let resumed = M::trampoline().return_from(&at_trap, &mut memory).unwrap();
        assert!(resumed.is_some());
        assert_eq!(memory.get::<u32>(errno), expected);
    }
    // A used frame restores nothing.
    memory.put(errno, &5_u32);
    let again = M::trampoline().return_from(&M::at_trap(&outer), &mut memory);
    assert_eq!(again, Err(ReturnError::Stale(frame.address)));
    assert_eq!(memory.get::<u32>(errno), 5);
    // With an unmapped address of errno no thread is redirected.
    for nowhere in [BASE - 4, BASE + SIZE - 3, u64::MAX] {
        let plan = M::plan().errno_at(Some(nowhere));
        let refused = plan.apply(&M::stopped(SP), &M::fault(), &mut memory);
        let unmapped = RedirectError::Memory(Unmapped::at(nowhere));
        assert_eq!(refused.unwrap_err(), unmapped);
    }
}

#[test]
fn only_resumable_refuses_a_stack_pointer_that_the_kernel_refuses() {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let plan = X86_64::plan().emergency(BASE..BASE + SIZE);
    for (sp, refused) in [
        (0, false),
        (0x7fff_ffff_efff, false),
        (0x7fff_ffff_f000, true),
        (u64::MAX, true),
    ] {
        let stopped = X86_64::stopped(sp);
        let fault = X86_64::fault();
        assert!(plan.apply(&stopped, &fault, &mut memory).is_ok(), "{sp:#x}");
        let only = plan.clone().only_resumable();
        let result = only.apply(&stopped, &fault, &mut memory).map(|_| ());
        let expected = if refused {
            Err(RedirectError::Unresumable(sp))
        } else {
            Ok(())
        };
        assert_eq!(result, expected);
    }
}

#[test]
fn a_thread_that_holds_redirects_off_is_refused_and_its_memory_is_unchanged() {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let mask = signal_redirect::RedirectMask::new();
    let (stopped, fault) = (X86_64::stopped(SP), X86_64::fault());
    let held = mask.hold();
    let refused = X86_64::plan().apply_unless_held(&mask, &stopped, &fault, &mut memory);
    assert_eq!(refused.map(|_| ()), Err(RedirectError::Held));
    assert!(memory.writes.is_empty());
    assert!(held.release(), "one was refused");
    let redirected = X86_64::plan().apply_unless_held(&mask, &stopped, &fault, &mut memory);
    assert!(redirected.is_ok());
}
