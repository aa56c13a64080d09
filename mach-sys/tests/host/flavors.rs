//! Every flavor of this machine, read from and written to a thread that waits in an exception, with every count (A4.2, A4.6, A9.6).

use crate::faults::Kind;
use crate::support::{OwnStack, isolated, on_raw_thread};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::machine::Machine;
use mach_sys::rights::{Right, ThreadRight};
use mach_sys::thread_state::{Flavor, THREAD_STATE_MAX};
use port_server::{Fault, Server};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) static VICTIM: AtomicU32 = AtomicU32::new(0);

const SUCCESS: KernReturn = KernReturn::SUCCESS;
const INVALID: KernReturn = KernReturn::INVALID_ARGUMENT;
const FAILURE: KernReturn = KernReturn::FAILURE;

/// Reads with room for `room` words. Returns the result, the words, and how many they are.
pub(crate) fn get(flavor: i32, room: usize) -> (KernReturn, Vec<u32>) {
    let mut words = vec![0xdead_beef; room];
    let mut count = room as u32;
    let victim = VICTIM.load(Ordering::SeqCst);
    // SAFETY: the words are as many as the count says.
    let outcome =
        unsafe { kernel::thread_get_state(victim, flavor, words.as_mut_ptr(), &mut count) };
    words.truncate(count as usize);
    (KernReturn::new(outcome), words)
}

pub(crate) fn set(flavor: i32, words: &[u32]) -> KernReturn {
    let victim = VICTIM.load(Ordering::SeqCst);
    // SAFETY: the words are as many as the count says.
    KernReturn::new(unsafe {
        kernel::thread_set_state(victim, flavor, words.as_ptr(), words.len() as u32)
    })
}

/// Faults once on a thread of its own, and runs `look` while it waits.
pub(crate) fn while_it_waits(look: impl Fn() + Send + 'static) {
    let server = Server::start(0, move |served, fault: Fault, state| {
        look();
        crate::faults::skip(fault.exception, state);
        *served += 1;
        true
    });
    server.route_task();
    on_raw_thread(|| {
        let _own = OwnStack::register(0);
        let thread = ThreadRight::current().expect("the own thread");
        VICTIM.store(thread.name().raw(), Ordering::SeqCst);
        Kind::Undefined.raise();
    });
    assert_eq!(server.stop(), 1);
}

/// Result of a read with room for the flavor's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Its words, if there is room for at least as many.
    AtLeast,
    /// Its words, if there is room for exactly as many.
    Exactly,
    /// No words, if there is room for the flavor's.
    Nothing,
    /// An error, whatever the room.
    Never(KernReturn),
}

/// Result of a write of the words that were read, and of one more and one less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Exactly,
    AtLeast,
    Any,
    Never(KernReturn),
}

fn table() -> Vec<(&'static str, Read, Write)> {
    let refused = (Read::Never(INVALID), Write::Never(INVALID));
    let has = |feature: bool, read| match feature {
        true => (read, Write::Exactly),
        false => (Read::Never(FAILURE), Write::Never(FAILURE)),
    };
    #[cfg(target_arch = "x86_64")]
    let (avx, avx512) = (
        std::is_x86_feature_detected!("avx"),
        std::is_x86_feature_detected!("avx512f"),
    );
    #[cfg(not(target_arch = "x86_64"))]
    let (avx, avx512) = (false, false);
    let row = |name, (read, write)| (name, read, write);
    match Machine::NATIVE {
        Machine::X86_64 => vec![
            row("x86_THREAD_STATE32", refused),
            row("x86_FLOAT_STATE32", refused),
            row("x86_EXCEPTION_STATE32", refused),
            row("x86_THREAD_STATE64", (Read::AtLeast, Write::Exactly)),
            row("x86_FLOAT_STATE64", (Read::AtLeast, Write::Exactly)),
            row(
                "x86_EXCEPTION_STATE64",
                (Read::AtLeast, Write::Never(INVALID)),
            ),
            row("x86_THREAD_STATE", (Read::AtLeast, Write::Exactly)),
            row("x86_FLOAT_STATE", (Read::AtLeast, Write::Exactly)),
            row(
                "x86_EXCEPTION_STATE",
                (Read::AtLeast, Write::Never(INVALID)),
            ),
            row("x86_DEBUG_STATE32", refused),
            row("x86_DEBUG_STATE64", (Read::AtLeast, Write::Any)),
            row("x86_DEBUG_STATE", (Read::AtLeast, Write::Exactly)),
            row("x86_AVX_STATE32", refused),
            row("x86_AVX_STATE64", has(avx, Read::Exactly)),
            row("x86_AVX_STATE", has(avx, Read::AtLeast)),
            row("x86_AVX512_STATE32", refused),
            row("x86_AVX512_STATE64", has(avx512, Read::Exactly)),
            row("x86_AVX512_STATE", has(avx512, Read::AtLeast)),
            row("x86_PAGEIN_STATE", (Read::AtLeast, Write::Never(INVALID))),
            row("x86_THREAD_FULL_STATE64", refused),
            row(
                "x86_INSTRUCTION_STATE",
                (Read::Nothing, Write::Never(INVALID)),
            ),
            row("x86_LAST_BRANCH_STATE", refused),
        ],
        Machine::Arm64 => vec![
            row("ARM_THREAD_STATE", (Read::AtLeast, Write::AtLeast)),
            row("ARM_EXCEPTION_STATE", refused),
            row("ARM_DEBUG_STATE", refused),
            row("ARM_THREAD_STATE64", (Read::AtLeast, Write::Exactly)),
            row("ARM_EXCEPTION_STATE64", (Read::AtLeast, Write::Exactly)),
            row("ARM_THREAD_STATE32", refused),
            row("ARM_EXCEPTION_STATE64_V2", (Read::AtLeast, Write::Exactly)),
            row("ARM_DEBUG_STATE32", refused),
            row("ARM_DEBUG_STATE64", (Read::AtLeast, Write::Exactly)),
            row("ARM_NEON_STATE", refused),
            row("ARM_NEON_STATE64", (Read::AtLeast, Write::Exactly)),
            row("ARM_PAGEIN_STATE", (Read::AtLeast, Write::Never(INVALID))),
        ],
    }
}

isolated! {
    fn a9_6_a4_6_every_flavor_has_its_count() {
        while_it_waits(|| {
            for (name, read, write) in table() {
                let flavor = Flavor::parse(Machine::NATIVE, name).expect("a flavor");
                let count = flavor.count().expect("a registrable flavor") as usize;
                let rooms = [0, count - 1, count, count + 1, THREAD_STATE_MAX];
                for room in rooms {
                    let (outcome, words) = get(flavor.raw, room);
                    let expected = match read {
                        Read::AtLeast | Read::Nothing if room >= count => SUCCESS,
                        Read::Exactly if room == count => SUCCESS,
                        // A state of either width that the thread does not have has the flavor's error only with room.
                        Read::Never(FAILURE) if room < count || name.ends_with("64") && room != count => INVALID,
                        Read::Never(error) => error,
                        _ => INVALID,
                    };
                    assert_eq!(outcome, expected, "{name} read with room for {room} of {count}");
                    if outcome == SUCCESS {
                        let length = if read == Read::Nothing { 0 } else { count };
                        assert_eq!(words.len(), length, "{name} with room for {room}");
                    }
                }
                let (_, mut words) = get(flavor.raw, count);
                words.resize(count, 0);
                for length in [count, count - 1, count + 1] {
                    words.resize(length, 0);
                    let expected = match write {
                        Write::Any => SUCCESS,
                        Write::AtLeast if length >= count => SUCCESS,
                        Write::Exactly if length == count => SUCCESS,
                        Write::Never(FAILURE) if length != count => INVALID,
                        Write::Never(FAILURE) if !name.ends_with("64") => INVALID,
                        Write::Never(error) => error,
                        _ => INVALID,
                    };
                    assert_eq!(set(flavor.raw, &words), expected, "{name} written as {length} words of {count}");
                }
            }
        });
    }
}

isolated! {
    /// Checks that each listed flavor can be read, except those that a 64-bit thread does not have.
    fn a9_6_flavors_are_listed() {
        let lists: &[(i32, usize)] = match Machine::NATIVE {
            Machine::X86_64 => &[(0, 3), (128, 4), (129, 5), (130, 6), (131, 7)],
            Machine::Arm64 => &[(0, 4), (128, 4), (131, 5)],
        };
        while_it_waits(move || {
            for &(list, count) in lists {
                assert_eq!(get(list, count - 1).0, INVALID);
                for room in [count, count + 1] {
                    let (outcome, flavors) = get(list, room);
                    assert_eq!((outcome, flavors.len()), (SUCCESS, count), "list {list}");
                    for flavor in flavors {
                        assert!(Flavor::new(Machine::NATIVE, flavor as i32).count().is_some(), "{flavor} of list {list}");
                    }
                }
                assert_eq!(set(list, &[0; 7]), INVALID);
            }
            for unknown in [-1, 127, 132, 999] {
                assert_eq!(get(unknown, THREAD_STATE_MAX).0, INVALID, "{unknown}");
            }
            let too_many = THREAD_STATE_MAX + 1;
            assert_eq!(set(list_of_general_registers(), &vec![0; too_many]), KernReturn::MIG_ARRAY_TOO_LARGE);
        });
    }
}

fn list_of_general_registers() -> i32 {
    Machine::NATIVE.machine_thread_state().0.raw
}
