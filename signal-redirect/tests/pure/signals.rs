//! Signals, codes and addresses of exceptions, as XNU has them (A12.3, A12.6, A12.7), in Darwin's numbers.

use crate::common::{BASE, SIZE, SP, Stack, TestedMachine};
use mach_sys::darwin::siginfo_t;
use mach_sys::exception::ExceptionType as Kind;
use mach_sys::thread_state::{Registers, arm_exception_state64_t, x86_exception_state64_t};
use signal_redirect::{Arm64, DarwinSignal, Fault, RedirectError, Rewriter, X86_64};

/// Program counter at the exception.
const PC: u64 = 0x4000_1234;
const ADDRESS: i64 = 0x1234_5678_9abc;

struct Seen<M: Rewriter> {
    signal: i32,
    code: i32,
    address: u64,
    exception: M::ExceptionState,
}

fn seen<M: TestedMachine>(fault: Fault<M>) -> Result<Seen<M>, RedirectError> {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let stopped = M::stopped(SP);
    assert_eq!(stopped.pc(), PC);
    let (entered, frame) = M::plan().apply(&stopped, &fault, &mut memory)?;
    let info: siginfo_t = memory.get(frame.siginfo);
    assert_eq!(entered.argument(0), Some(info.si_signo as u64));
    let rest = siginfo_t {
        si_signo: info.si_signo,
        si_code: info.si_code,
        si_addr: info.si_addr,
        ..Default::default()
    };
    assert_eq!(info, rest, "all other fields are 0");
    Ok(Seen {
        signal: info.si_signo,
        code: info.si_code,
        address: info.si_addr,
        // `es` is the first member on both machines.
        exception: memory.get(frame.mcontext),
    })
}

/// Exception type, code, subcode; expected signal, `si_code`, `si_addr`. Signal 0: XNU sends none.
type Row = (Kind, i64, i64, i32, i32, u64);

const X86: &[Row] = &[
    (Kind::BAD_ACCESS, 1, ADDRESS, 11, 1, ADDRESS as u64),
    (Kind::BAD_ACCESS, 2, ADDRESS, 10, 2, ADDRESS as u64),
    (Kind::BAD_ACCESS, 10, ADDRESS, 10, 2, ADDRESS as u64),
    (Kind::BAD_ACCESS, 50, ADDRESS, 10, 2, ADDRESS as u64),
    // General protection: the subcode is the error code, not an address.
    (Kind::BAD_ACCESS, 13, 0x2a, 11, 0, 0),
    (Kind::BAD_INSTRUCTION, 1, 0, 4, 1, PC),
    (Kind::BAD_INSTRUCTION, 10, 8, 4, 0, PC),
    (Kind::BAD_INSTRUCTION, 11, 8, 4, 0, PC),
    (Kind::BAD_INSTRUCTION, 12, 0, 4, 0, PC),
    (Kind::ARITHMETIC, 1, 0, 8, 7, PC),
    (Kind::ARITHMETIC, 2, 0, 8, 8, PC),
    (Kind::ARITHMETIC, 5, 0xb084, 8, 1, PC),
    (Kind::ARITHMETIC, 8, 0x1d84, 8, 1, PC),
    (Kind::ARITHMETIC, 8, 0x08, 8, 2, PC),
    (Kind::ARITHMETIC, 8, 0x10, 8, 3, PC),
    (Kind::ARITHMETIC, 8, 0x20, 8, 4, PC),
    (Kind::ARITHMETIC, 8, 0x01, 8, 5, PC),
    // The denormal flag is not tested. Of several flags the first counts: ZE, OE, UE, PE, IE.
    (Kind::ARITHMETIC, 8, 0x02, 8, 0, PC),
    (Kind::ARITHMETIC, 8, 0x3f, 8, 1, PC),
    (Kind::ARITHMETIC, 8, 0x3b, 8, 2, PC),
    (Kind::ARITHMETIC, 8, 0x31, 8, 3, PC),
    (Kind::ARITHMETIC, 8, 0x21, 8, 4, PC),
    (Kind::EMULATION, 0, 0, 7, 0, PC),
    (Kind::SOFTWARE, 7, 0, 5, 1, PC),
    (Kind::SOFTWARE, 0x1_0000, 0, 12, 0, PC),
    (Kind::SOFTWARE, 0x1_0001, 0, 13, 0, PC),
    (Kind::SOFTWARE, 0x1_0002, 0, 6, 0, PC),
    (Kind::SOFTWARE, 0x1_0003, 11, 9, 0, PC),
    (Kind::SOFTWARE, 1, 0, 0, 0, 0),
    (Kind::BREAKPOINT, 1, 0, 5, 1, PC),
    (Kind::BREAKPOINT, 2, 0, 5, 1, PC),
    (Kind::SYSCALL, 0x200_0001, 1, 12, 0, PC),
    (Kind::MACH_SYSCALL, 1, 0, 0, 0, 0),
    (Kind::RPC_ALERT, 1, 0, 0, 0, 0),
    (Kind::CRASH, 1, 0, 0, 0, 0),
    (Kind::RESOURCE, 1, 0, 0, 0, 0),
    (Kind::GUARD, 1, 0, 0, 0, 0),
    (Kind::new(77), 1, 0, 0, 0, 0),
];

const ARM: &[Row] = &[
    (Kind::BAD_ACCESS, 1, ADDRESS, 11, 2, ADDRESS as u64),
    (Kind::BAD_ACCESS, 2, ADDRESS, 10, 1, ADDRESS as u64),
    (Kind::BAD_ACCESS, 10, ADDRESS, 10, 1, ADDRESS as u64),
    (Kind::BAD_ACCESS, 13, ADDRESS, 10, 1, ADDRESS as u64),
    (Kind::BAD_ACCESS, 0x101, ADDRESS, 10, 1, ADDRESS as u64),
    // far is 0 for these (A12.15).
    (Kind::BAD_ACCESS, 0x103, ADDRESS, 10, 1, 0),
    (Kind::BAD_ACCESS, 0x105, 0xd65f_0bff, 10, 1, 0),
    (Kind::BAD_INSTRUCTION, 1, 0x5254, 4, 2, PC),
    (Kind::ARITHMETIC, 0, 0, 8, 0, PC),
    (Kind::ARITHMETIC, 1, 0, 8, 5, PC),
    (Kind::ARITHMETIC, 2, 0, 8, 1, PC),
    (Kind::ARITHMETIC, 3, 0, 8, 2, PC),
    (Kind::ARITHMETIC, 4, 0, 8, 3, PC),
    (Kind::ARITHMETIC, 5, 0, 8, 4, PC),
    (Kind::ARITHMETIC, 6, 0, 8, 0, PC),
    (Kind::EMULATION, 0, 0, 7, 0, PC),
    (Kind::SOFTWARE, 7, 0, 0, 0, 0),
    (Kind::SOFTWARE, 0x1_0000, 0, 12, 0, PC),
    (Kind::SOFTWARE, 0x1_0003, 11, 9, 0, PC),
    (Kind::BREAKPOINT, 1, PC as i64, 5, 0, PC),
    (Kind::BREAKPOINT, 0x102, ADDRESS, 5, 0, PC),
    (Kind::SYSCALL, 999, 0, 12, 0, PC),
    (Kind::GUARD, 1, 0, 0, 0, 0),
];

fn check<M: TestedMachine>(rows: &[Row]) {
    for &(kind, code, subcode, signal, si_code, address) in rows {
        let result = seen::<M>(Fault::new(kind, code, subcode));
        let row = format!("{kind} {code:#x} {subcode:#x}");
        match result {
            Ok(seen) => {
                assert_eq!((seen.signal, seen.code), (signal, si_code), "{row}");
                assert_eq!(seen.address, address, "{row}");
            }
            Err(error) => {
                assert_eq!(signal, 0, "{row}");
                assert_eq!(error, RedirectError::NoSignal(kind, code));
            }
        }
    }
}

/// A12.6: `si_code` and `si_addr`.
#[test]
fn a12_3_a12_6_each_x86_64_exception_has_xnus_signal_code_and_address() {
    check::<X86_64>(X86);
}

/// A12.7: `si_code` and `si_addr`.
#[test]
fn a12_3_a12_7_each_arm64_exception_has_xnus_signal_code_and_address() {
    check::<Arm64>(ARM);
}

/// Without a given exception state, it is derived from the codes (A12.10).
#[test]
fn x86_64_exception_state_is_derived_from_the_codes() {
    for (kind, code, subcode, trapno, err, faultvaddr) in [
        (Kind::BAD_ACCESS, 2, ADDRESS, 14, 4, ADDRESS as u64),
        (Kind::BAD_ACCESS, 13, 0x2a, 13, 0x2a, 0),
        (Kind::BAD_INSTRUCTION, 1, 0, 6, 0, 0),
        (Kind::BAD_INSTRUCTION, 12, 3, 12, 3, 0),
        (Kind::ARITHMETIC, 1, 0, 0, 0, 0),
        (Kind::ARITHMETIC, 2, 0, 4, 0, 0),
        (Kind::ARITHMETIC, 5, 0xb084, 16, 0, 0),
        (Kind::ARITHMETIC, 8, 0x1d84, 19, 0, 0),
        (Kind::SOFTWARE, 7, 0, 5, 0, 0),
        (Kind::BREAKPOINT, 1, 0, 1, 0, 0),
        (Kind::BREAKPOINT, 2, 0, 3, 0, 0),
    ] {
        let seen = seen::<X86_64>(Fault::new(kind, code, subcode)).unwrap();
        let expected = x86_exception_state64_t {
            trapno,
            err,
            faultvaddr,
            ..Default::default()
        };
        assert_eq!(seen.exception, expected, "{kind} {code}");
    }
}

/// A given exception state replaces the one derived from the codes, also for `si_addr`.
#[test]
fn a_given_exception_state_is_shown() {
    let state = x86_exception_state64_t {
        trapno: 14,
        cpu: 3,
        err: 6,
        faultvaddr: 0x9000,
    };
    let fault = Fault::new(Kind::BAD_ACCESS, 1, ADDRESS).exception_state(state);
    let x86 = seen::<X86_64>(fault).unwrap();
    assert_eq!((x86.address, x86.exception), (0x9000, state));

    let state = arm_exception_state64_t {
        far: 0xff00_0000_0000_9000,
        esr: 0x9200_0047,
        exception: 0,
    };
    let fault = Fault::new(Kind::BAD_ACCESS, 1, ADDRESS).exception_state(state);
    let arm = seen::<Arm64>(fault).unwrap();
    assert_eq!((arm.address, arm.exception), (state.far, state));
}

/// The stopped thread is looked at if the codes do not say all, and what the kernel has not filled in is not taken (R22).
#[test]
fn the_thread_is_looked_at_only_if_the_codes_do_not_tell() {
    let found = x86_exception_state64_t {
        trapno: 14,
        cpu: 0,
        err: 6,
        faultvaddr: ADDRESS as u64,
    };
    for (kind, code, subcode, looks) in [
        (Kind::BAD_ACCESS, 1, ADDRESS, true),
        (Kind::BAD_ACCESS, 2, ADDRESS, true),
        (Kind::BAD_ACCESS, 5, 0, true),
        (Kind::BAD_ACCESS, 13, 0x2a, false),
        (Kind::BAD_INSTRUCTION, 1, 0, false),
        (Kind::BAD_INSTRUCTION, 2, 0, true),
        (Kind::BAD_INSTRUCTION, 10, 3, false),
        (Kind::BAD_INSTRUCTION, 12, 3, false),
        (Kind::BAD_INSTRUCTION, 13, 3, true),
        (Kind::ARITHMETIC, 1, 0, false),
        (Kind::ARITHMETIC, 2, 0, false),
        (Kind::ARITHMETIC, 3, 0, true),
        (Kind::ARITHMETIC, 5, 0xb084, false),
        (Kind::ARITHMETIC, 8, 0x1d84, false),
        (Kind::SOFTWARE, 7, 0, false),
        (Kind::BREAKPOINT, 1, 0, false),
        (Kind::BREAKPOINT, 2, 0, false),
        (Kind::BREAKPOINT, 3, 0, true),
    ] {
        let plain = Fault::<X86_64>::new(kind, code, subcode);
        let derived = seen(plain).unwrap().exception;
        for answer in [Some(found), Some(Default::default()), None] {
            let mut looked = false;
            let fault = plain.look_up(|| {
                looked = true;
                answer
            });
            assert_eq!(looked, looks, "{kind} {code}");
            let expected = match answer {
                Some(answer) if looks && answer.trapno != 0 => x86_exception_state64_t {
                    // A page fault's address is in its codes.
                    faultvaddr: match derived.trapno {
                        14 => subcode as u64,
                        _ => answer.faultvaddr,
                    },
                    ..answer
                },
                _ => derived,
            };
            assert_eq!(seen(fault).unwrap().exception, expected, "{kind} {code}");
        }
    }
    let found = arm_exception_state64_t {
        far: ADDRESS as u64,
        esr: 0x9200_0047,
        exception: 0,
    };
    for (kind, code) in [
        (Kind::BAD_ACCESS, 1),
        (Kind::BAD_INSTRUCTION, 1),
        (Kind::ARITHMETIC, 1),
        (Kind::BREAKPOINT, 1),
    ] {
        let plain = Fault::<Arm64>::new(kind, code, 0);
        assert_eq!(
            seen(plain.look_up(|| Some(found))).unwrap().exception,
            found
        );
        let unfilled = plain.look_up(|| Some(Default::default()));
        assert_eq!(
            seen(unfilled).unwrap().exception,
            seen(plain).unwrap().exception
        );
    }
}

/// The caller chooses the signal of an interrupt, and of an exception that XNU sends no signal for.
#[test]
fn a_chosen_signal_is_passed_on() {
    let none = seen::<Arm64>(Fault::new(Kind::GUARD, 0x77, 0)).map(|_| ());
    assert_eq!(none, Err(RedirectError::NoSignal(Kind::GUARD, 0x77)));
    let seen = seen::<Arm64>(Fault::signal(DarwinSignal::USR1, 0x10001, 9)).unwrap();
    assert_eq!((seen.signal, seen.code, seen.address), (30, 0x10001, 9));
    assert_eq!(seen.exception, arm_exception_state64_t::default());
}
