//! Redirects, for both machines on every host: the frame and the registers that enter the handler.

use crate::common::{
    BASE, HANDLER, SIZE, SP, Stack, TRAP, TestedMachine, apply, key, on_both, patterned,
};
use mach_sys::darwin::{siginfo_t, stack_t, ucontext_t};
use mach_sys::pod::Pod;
use mach_sys::processor::Arm64Vectors;
use mach_sys::thread_state::Registers;
use signal_redirect::{
    Arm64, Redirect, RedirectError, Rewriter, Stack as Place, TrampolinePlan, Unmapped, VectorSave,
    X86_64,
};

on_both! {
    the_handler_is_entered_with_everything_else_carried_over
    the_handler_finds_darwins_structures
    any_stack_pointer_gives_an_aligned_frame_below_the_red_zone
    impossible_stack_pointers_are_errors
    every_page_down_to_the_lowest_used_is_written
    a_guard_page_anywhere_below_is_found_before_the_thread_runs
    nothing_below_a_guard_page_is_touched
    a_stack_with_bounds_holds_the_whole_frame
    an_alternate_stack_is_used_from_its_top_or_from_where_the_thread_is
    the_emergency_stack_takes_what_the_stack_cannot
    given_vector_registers_are_shown
}

fn the_handler_is_entered_with_everything_else_carried_over<M: TestedMachine>() {
    let mut stopped = M::stopped(SP);
    stopped.set_flags(M::FLAGS_STOPPED);
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let plan = M::plan().tag(0x7a6);
    let (entered, frame) = plan.apply(&stopped, &M::fault(), &mut memory).unwrap();

    assert_eq!(entered.pc(), TRAP + 16);
    assert_eq!(entered.sp(), frame.address);
    assert_eq!(entered.argument(0), Some(11), "SIGSEGV");
    assert_eq!(entered.argument(1), Some(frame.siginfo));
    assert_eq!(entered.argument(2), Some(frame.ucontext));
    assert_eq!(entered.argument(3), Some(0x7a6));
    assert_eq!(entered.flags(), M::FLAGS_ENTERED);

    // With these registers restored, the state is that of the stopped thread.
    let mut rest = entered;
    for number in 0..4 {
        rest.set_argument(number, stopped.argument(number).unwrap());
    }
    let mut original = stopped;
    let own = M::trampoline_registers(&mut rest);
    for (own, original) in own.into_iter().zip(M::trampoline_registers(&mut original)) {
        *own = *original;
    }
    rest.set_pc(stopped.pc());
    rest.set_sp(stopped.sp());
    rest.set_flags(stopped.flags());
    assert_eq!(rest, stopped);
}

fn the_handler_finds_darwins_structures<M: TestedMachine>() {
    let plan = M::plan().shown_mask(0x4002);
    let (_, frame, memory) = apply::<M>(&plan, SP);
    let info: siginfo_t = memory.get(frame.siginfo);
    assert_eq!((info.si_signo, info.si_errno), (11, 0));
    assert_eq!(info.si_addr, 0x1234_5678);
    let context: ucontext_t = memory.get(frame.ucontext);
    assert_eq!(context.uc_mcontext, frame.mcontext);
    assert_eq!(context.uc_mcsize, M::CONTEXT_SIZE);
    assert_eq!(frame.high - frame.mcontext, M::CONTEXT_SIZE);
    assert_eq!(context.uc_sigmask, 0x4002);
    assert_eq!((context.uc_onstack, context.uc_link), (0, 0));
    assert_eq!(context.uc_stack.ss_flags, 4, "SS_DISABLE");
    // `es` is first and has 16 bytes on both machines; `ss` follows.
    assert_eq!(M::REGISTERS_AT, 16);
    let registers: M::State = memory.get(frame.mcontext + M::REGISTERS_AT);
    assert_eq!(registers, M::stopped(SP));
    // Each part at the alignment of its C type; FXSAVE's image, 192 bytes in, at 16.
    assert_eq!(frame.mcontext % 16, 0);
    assert_eq!(frame.ucontext % 8, 0);
    assert_eq!(frame.siginfo % 8, 0);
}

fn any_stack_pointer_gives_an_aligned_frame_below_the_red_zone<M: TestedMachine>() {
    // A stack pointer just above a page's beginning: the frame is in two pages.
    const PAGE: u64 = SP & !0xfff;
    for given in [false, true] {
        let mut plan = M::plan();
        if given {
            plan = plan.float_state(patterned(3));
        }
        for sp in (SP - 130..SP + 130).chain(PAGE..PAGE + 2500) {
            let (entered, frame, memory) = apply::<M>(&plan, sp);
            assert_eq!(entered.sp() % 64, 0);
            assert!(frame.high <= sp - 128, "{sp:#x}");
            assert!(
                sp - 128 - frame.high < 64,
                "only the alignment leaves bytes free"
            );
            let written = memory.written();
            assert!(frame.low <= written.start && written.end <= frame.high);
            assert!(memory.touched_every_page(frame.low..frame.high));
            // The vector registers, which are last, are the trampoline's to write unless they are given.
            if given {
                assert_eq!(written.end, frame.high);
            }
            assert!(written.end >= frame.mcontext + M::REGISTERS_AT + size_of::<M::State>() as u64);
        }
    }
}

fn impossible_stack_pointers_are_errors<M: TestedMachine>() {
    let full = |sp| {
        let mut memory = Stack::new(0..0x1000);
        let mut stopped = M::stopped(sp);
        stopped.set_sp(sp);
        let result = M::plan().apply(&stopped, &M::fault(), &mut memory);
        assert!(memory.writes.is_empty());
        result.map(|_| ()).unwrap_err()
    };
    for sp in [0, 1, 16, 127, 128, 129, 600] {
        assert!(
            matches!(full(sp), RedirectError::StackFull { .. }),
            "{sp:#x}"
        );
    }
    for sp in [
        0x8000,
        0x7fff_ffff_f000,
        1 << 47,
        0xdead_beef_dead_beef,
        u64::MAX - 15,
        u64::MAX,
    ] {
        assert!(matches!(full(sp), RedirectError::Memory(_)), "{sp:#x}");
    }
    // Room that extends below address 0.
    let mut memory = Stack::new(0..0x10_000);
    for room in [0x1_0000, u64::MAX] {
        let result = M::plan()
            .room(room)
            .apply(&M::stopped(0xf000), &M::fault(), &mut memory);
        assert!(matches!(result, Err(RedirectError::StackFull { .. })));
    }
}

fn every_page_down_to_the_lowest_used_is_written<M: TestedMachine>() {
    for room in [0, 1, 4095, 4096, 9000] {
        for sp in (BASE + 0x7000..BASE + 0x9000).step_by(72) {
            let (_, frame, memory) = apply::<M>(&M::plan().room(room), sp);
            assert!(frame.address - frame.low >= room + 16);
            assert!(
                memory.touched_every_page(frame.low..frame.high),
                "{sp:#x}, {room}"
            );
            assert!(frame.low <= memory.written().start);
        }
    }
}

fn a_guard_page_anywhere_below_is_found_before_the_thread_runs<M: TestedMachine>() {
    let guard = BASE + 0x6000..BASE + 0x7000;
    let (mut stopped_by_guard, mut fits) = (0, 0);
    for sp in (guard.start..guard.end + 0x2000).step_by(8) {
        let mut memory = Stack::new(BASE..BASE + SIZE);
        memory.protected.push(guard.clone());
        match M::plan()
            .room(512)
            .apply(&M::stopped(sp), &M::fault(), &mut memory)
        {
            Ok((_, frame)) => {
                assert!(frame.low >= guard.end || frame.high <= guard.start);
                fits += 1;
            }
            Err(RedirectError::Memory(Unmapped { .. })) => stopped_by_guard += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stopped_by_guard > 0x1000 / 8 && fits > 0x400 / 8);
}

fn nothing_below_a_guard_page_is_touched<M: TestedMachine>() {
    let guard = BASE + 0x4000..BASE + 0x5000;
    let emergency = BASE + 0x8000..BASE + 0xc000;
    for sp in (guard.start..guard.end + 0x3000).step_by(8) {
        for room in [0, 9000] {
            let plan = M::plan().room(room);
            for (plan, is_caught) in [
                (plan.clone(), false),
                (plan.emergency(emergency.clone()), true),
            ] {
                let mut memory = Stack::new(BASE..BASE + SIZE);
                memory.protected.push(guard.clone());
                let result = plan.apply(&M::stopped(sp), &M::fault(), &mut memory);
                if sp <= guard.end {
                    assert_eq!(result.is_ok(), is_caught, "{sp:#x}, {room}");
                }
                for write in &memory.writes {
                    assert!(write.start >= guard.end, "{sp:#x}, {room}: {write:x?}");
                }
            }
        }
    }
}

fn a_stack_with_bounds_holds_the_whole_frame<M: TestedMachine>() {
    let bounds = BASE + 0x2000..BASE + 0x8000;
    let plan = M::plan().stack(Place::Within(bounds.clone()));
    let at = |sp| {
        let mut memory = Stack::new(BASE..BASE + SIZE);
        plan.clone()
            .apply(&M::stopped(sp), &M::fault(), &mut memory)
    };
    assert_eq!(
        at(bounds.end + 1),
        Err(RedirectError::ForeignStack(bounds.end + 1))
    );
    assert_eq!(
        at(bounds.start - 1),
        Err(RedirectError::ForeignStack(bounds.start - 1))
    );
    assert!(matches!(
        at(bounds.start),
        Err(RedirectError::StackFull { .. })
    ));
    let (_, frame) = at(bounds.end).unwrap();
    assert!(frame.high <= bounds.end - 128);
    // With this room, the frame of the lowest stack pointer that works starts exactly at the stack's start.
    let plan = plan.room(48);
    let at = |sp| {
        let mut memory = Stack::new(BASE..BASE + SIZE);
        plan.apply(&M::stopped(sp), &M::fault(), &mut memory)
    };
    let lowest = (bounds.start..bounds.end).find(|sp| at(*sp).is_ok());
    let (_, frame) = at(lowest.unwrap()).unwrap();
    assert_eq!(frame.low, bounds.start);
}

fn an_alternate_stack_is_used_from_its_top_or_from_where_the_thread_is<M: TestedMachine>() {
    let alternate = BASE..BASE + 0x4000;
    let plan = M::plan().stack(Place::Alternate(alternate.clone()));
    let (entered, frame, memory) = apply::<M>(&plan, 0x1234);
    assert!(frame.high <= alternate.end && alternate.end - frame.high < 64);
    let context: ucontext_t = memory.get(frame.ucontext);
    assert_eq!(context.uc_onstack, 0);
    let stack = stack_t {
        ss_sp: alternate.start,
        ss_size: 0x4000,
        ..Default::default()
    };
    assert_eq!(context.uc_stack, stack);

    // The frame of a fault in the handler is below the first one.
    let sp = entered.sp() - 0x200;
    let (_, inner, memory) = apply::<M>(&plan, sp);
    assert!(inner.high <= sp - 128);
    let context: ucontext_t = memory.get(inner.ucontext);
    assert_eq!((context.uc_onstack, context.uc_stack.ss_flags), (1, 1));

    let tiny = M::plan().stack(Place::Alternate(BASE..BASE + 512));
    let result = tiny.apply(
        &M::stopped(SP),
        &M::fault(),
        &mut Stack::new(BASE..BASE + SIZE),
    );
    assert_eq!(result, Err(RedirectError::StackFull { top: BASE + 512 }));
}

fn the_emergency_stack_takes_what_the_stack_cannot<M: TestedMachine>() {
    let emergency = BASE + 0x4000..BASE + 0x8000;
    let own = BASE + 0x9000..BASE + 0xc000;
    let on_emergency = |frame: &signal_redirect::Frame| {
        emergency.start <= frame.low && frame.high <= emergency.end
    };
    for place in [Place::Interrupted, Place::Within(own.clone())] {
        let plan = M::plan().stack(place).emergency(emergency.clone());
        for sp in [0, 40, own.start + 16, BASE + SIZE + 0x1000, u64::MAX] {
            let mut memory = Stack::new(BASE..BASE + SIZE);
            memory.protected.push(own.start - 0x1000..own.start);
            let mut stopped = M::stopped(sp);
            stopped.set_sp(sp);
            let (entered, frame) = plan.apply(&stopped, &M::fault(), &mut memory).unwrap();
            assert!(on_emergency(&frame), "{sp:#x}");
            // Nested: the handler on the emergency stack faults.
            let nested = M::stopped(entered.sp() - 64);
            let (_, inner) = plan.apply(&nested, &M::fault(), &mut memory).unwrap();
            assert!(on_emergency(&inner) && inner.high <= nested.sp() - 128);
        }
        let (_, frame, _) = apply::<M>(&plan, own.end - 8);
        assert!(
            frame.low >= own.start,
            "the emergency stack is not used without need"
        );
    }
    // If neither stack has room, the error is that of the first one.
    let plan = M::plan().emergency(0x10..0x20);
    let result = plan.apply(
        &M::stopped(64),
        &M::fault(),
        &mut Stack::new(BASE..BASE + SIZE),
    );
    assert!(matches!(
        result,
        Err(RedirectError::StackFull { top: 64.. })
    ));
}

fn given_vector_registers_are_shown<M: TestedMachine>() {
    // Offset of the vector registers in the machine context: `fs` at 184, `ns` at 288.
    let offset = if M::RETURN_MASK == X86_64::RETURN_MASK {
        184
    } else {
        288
    };
    let given: M::FloatState = patterned(3);
    let (_, frame, memory) = apply::<M>(&M::plan().float_state(given), SP);
    assert_eq!(memory.get::<M::FloatState>(frame.mcontext + offset), given);
}

#[test]
fn r19_zeroed_vector_registers_mean_those_of_a_new_thread() {
    let (_, frame, memory) = apply::<X86_64>(&X86_64::plan().float_state(Default::default()), SP);
    let state: mach_sys::thread_state::x86_float_state64_t = memory.get(frame.mcontext + 184);
    assert_eq!(state.fpu_mxcsr, 0x1f80);
    assert_eq!(memory.get::<u16>(frame.mcontext + 184 + 8), 0x37f);
}

#[test]
fn r20_threads_in_32_bit_code_are_refused_before_anything_is_written() {
    for cs in [0x1b, 0x23] {
        let mut memory = Stack::new(BASE..BASE + SIZE);
        let mut state = X86_64::stopped(SP);
        state.cs = cs;
        let plan = X86_64::plan().emergency(BASE..BASE + 0x4000);
        let result = plan.apply(&state, &X86_64::fault(), &mut memory);
        assert_eq!(result, Err(RedirectError::CodeSegment(cs)));
        assert!(memory.writes.is_empty());
    }
}

#[test]
fn a4_11_signed_pointers_are_refused_before_anything_is_written() {
    for flags in [2, 4, 8, 0x5500_000c] {
        let mut memory = Stack::new(BASE..BASE + SIZE);
        let mut state = Arm64::stopped(SP);
        state.flags = flags;
        let result = Arm64::plan().apply(&state, &Arm64::fault(), &mut memory);
        assert_eq!(result, Err(RedirectError::Signed(flags)));
        assert!(memory.writes.is_empty());
        state.flags = flags | 1;
        assert!(
            Arm64::plan()
                .apply(&state, &Arm64::fault(), &mut memory)
                .is_ok()
        );
    }
}

/// Checks at compile time that contexts are plain data, as `Stack::get` requires.
const _: fn() = || {
    fn plain<T: Pod>() {}
    plain::<<X86_64 as Rewriter>::Context>();
    plain::<<Arm64 as Rewriter>::Context>();
};

#[test]
fn without_avx_the_machine_context_is_the_short_one() {
    let trampoline = TrampolinePlan::<X86_64>::at(TRAP, key());
    let plan = Redirect::plan(HANDLER, trampoline);
    let (_, frame, memory) = apply::<X86_64>(&plan, SP);
    assert_eq!(frame.high - frame.mcontext, 712);
    let context: ucontext_t = memory.get(frame.ucontext);
    assert_eq!(context.uc_mcsize, 712);
    assert_eq!(frame.address - frame.low, 16);
}

/// Streaming mode's registers have room below the frame, and every page of it is written, up to the longest vectors.
#[test]
fn arm64s_streaming_mode_has_room_below_the_frame() {
    let mut vectors = Arm64Vectors::default();
    vectors.sme = true;
    for (length, size) in [(16, 960), (64, 6528), (256, 74_880)] {
        let save = VectorSave::scalable(vectors, 16, length);
        assert_eq!(save.size(), size);
        let trampoline = TrampolinePlan::<Arm64>::at(TRAP, key()).vector_save(save);
        let plan = Redirect::plan(HANDLER, trampoline).room(700);
        let range = BASE..BASE + 0x2_0000;
        let sp = range.end - 0x100;
        let mut memory = Stack::new(range.clone());
        let (_, frame) = plan
            .apply(&Arm64::stopped(sp), &Arm64::fault(), &mut memory)
            .unwrap();
        assert_eq!(frame.address - frame.low, size + 16 + 700);
        assert!(memory.touched_every_page(frame.low..frame.high));
        assert_eq!(frame.high - frame.mcontext, 816);

        // If the frame does not fit, the thread is not redirected.
        let plan = plan.stack(Place::Within(frame.low + 1..range.end));
        let mut memory = Stack::new(range);
        let result = plan.apply(&Arm64::stopped(sp), &Arm64::fault(), &mut memory);
        assert!(matches!(result, Err(RedirectError::StackFull { .. })));
    }
}
