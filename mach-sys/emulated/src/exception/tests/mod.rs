//! Registration and the judgement of replies, in each generation, on kernels without system threads.

mod endings;
mod locks;
#[cfg(target_arch = "x86_64")]
mod oracle;

use super::deliver;
use super::hardened;
use super::level::{Level, LevelKind};
use super::list::Listed;
use super::ports::{self, Registration};
use super::rights::DeliveryRights;
use crate::config::Generation;
use crate::ipc::construct::{self, Options};
use crate::ipc::name::Name;
use crate::ipc::{copyout, insert, mach_port, right};
use crate::rules::{Limits, Rules};
use crate::thread::kernel::{self, Kernel, Mach};
use crate::thread::object::{TaskId, ThreadId, ThreadKind};
use crate::thread::{life, task};
use mach_wire::exception::{Behavior, BehaviorKind, ExceptionMask, ExceptionType};
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::message::Disposition;
use mach_wire::mig::Routine;
use mach_wire::port::{PortOptionFlags, PortRight};
use mach_wire::thread_state::Flavor;

const ALL: [Generation; 3] = [
    Generation::MacOs11,
    Generation::MacOs15,
    Generation::MacOs26,
];

fn rules(generation: Generation) -> Rules {
    Rules {
        generation,
        limits: Limits::SMALL,
    }
}

/// Returns the registration of a port for bad accesses, by `DEFAULT` with 64-bit codes.
fn for_bad_accesses(port: Name) -> Registration {
    Registration {
        mask: ExceptionMask::BAD_ACCESS,
        port,
        behavior: Behavior::new(1 | CODES),
        flavor: Flavor::new(Machine::NATIVE, 0),
    }
}

struct World {
    mach: Mach,
    task: TaskId,
    thread: ThreadId,
}

impl World {
    fn of(generation: Generation) -> Self {
        let mach = kernel::new(rules(generation)).expect("address space for a small kernel");
        let task = task::create(&mach).expect("memory").expect("room");
        let thread = {
            let mut held = mach.lock();
            life::create(&mut Kernel::of(&mut held), task, None, ThreadKind::Pthread).expect("room")
        };
        Self { mach, task, thread }
    }

    fn kernel<T>(&self, operate: impl FnOnce(&mut Kernel<'_, '_>) -> T) -> T {
        operate(&mut Kernel::of(&mut self.mach.lock()))
    }

    /// Returns a port with a send right.
    fn port(&self) -> Name {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            let ipc = &mut kernel.ipc;
            let name = mach_port::allocate(ipc, space, PortRight::RECEIVE).expect("room");
            insert::insert_right(ipc, space, name, name, Disposition::MAKE_SEND).expect("room");
            name
        })
    }

    fn thread_name(&self) -> Name {
        let name = self.kernel(|kernel| life::name(kernel, self.thread));
        name.expect("a thread has a name")
    }

    fn set(&self, port: Name, behavior: i32) -> Result<(), KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            let registration = Registration {
                mask: ExceptionMask::BAD_ACCESS | ExceptionMask::ARITHMETIC,
                port,
                behavior: Behavior::new(behavior),
                flavor: Flavor::new(Machine::NATIVE, 0),
            };
            ports::set(kernel, space, Level::Thread(self.thread), registration)
        })
    }

    fn get(&self) -> Vec<Listed> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            let mask = ExceptionMask::BAD_ACCESS;
            let list = ports::get(kernel, space, Level::Thread(self.thread), mask);
            list.expect("a valid mask").entries().to_vec()
        })
    }

    /// Returns whether the thread's level has a handler for a bad access.
    fn is_delivered(&self) -> bool {
        let level = Level::Thread(self.thread);
        self.kernel(|kernel| deliver::wanted(kernel, level, ExceptionType::BAD_ACCESS).is_ok())
    }

    /// Returns send rights and make-send count of the port behind a name.
    fn counts(&self, name: Name) -> (u32, u32) {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            let port = kernel.ipc.space(space).get(name).and_then(|e| e.port());
            let port = kernel.ipc.port(port.expect("a port"));
            (port.srights, port.mscount)
        })
    }
}

const CODES: i32 = i32::MIN;
const BACKTRACE: i32 = 0x2000_0000;
const REFUSED: Result<(), KernReturn> = Err(KernReturn::INVALID_ARGUMENT);

#[test]
fn b2_2_b2_5_a_live_port_takes_the_behaviors_that_its_generation_knows() {
    let ok = Ok(());
    for (behavior, expected) in [
        (0, [REFUSED; 3]),
        (1, [ok; 3]),
        (3 | CODES, [ok; 3]),
        (4 | CODES, [REFUSED, ok, ok]),
        (5 | CODES, [REFUSED, ok, ok]),
        (6 | CODES, [REFUSED; 3]),
        (1 | CODES | BACKTRACE, [REFUSED, ok, ok]),
        // Without codes (B2.5).
        (4, [REFUSED; 3]),
        (1 | BACKTRACE, [REFUSED; 3]),
    ] {
        for (generation, expected) in ALL.into_iter().zip(expected) {
            let world = World::of(generation);
            let found = world.set(world.port(), behavior);
            assert_eq!(found, expected, "{behavior:#x}, {generation:?}");
        }
    }
}

#[test]
fn b2_2_b2_5_without_a_port_only_missing_codes_are_refused_since_12() {
    let ok = Ok(());
    for (behavior, expected) in [
        (0, [ok; 3]),
        (77, [ok; 3]),
        (4, [ok, REFUSED, REFUSED]),
        (1 | BACKTRACE, [ok, REFUSED, REFUSED]),
        (1 | BACKTRACE | CODES, [ok; 3]),
    ] {
        for (generation, expected) in ALL.into_iter().zip(expected) {
            for port in [Name::NULL, Name::DEAD] {
                let found = World::of(generation).set(port, behavior);
                assert_eq!(found, expected, "{behavior:#x}, {port:?}, {generation:?}");
            }
        }
    }
}

/// D5.7: its own control port, by each generation. A2.7: whatever is in the slot, nothing is delivered to a kernel object.
/// F6.14: since 26 it is refused.
#[test]
fn a2_7_b1_6_b2_3_d5_7_a_control_port_is_stored_stored_as_null_or_refused_by_generation() {
    for generation in ALL {
        let world = World::of(generation);
        let name = world.thread_name();
        let found = world.set(name, 1 | CODES);
        let listed = world.get();
        let stored = listed.first().map(|entry| entry.port);
        let expected = match generation {
            // Stored, and returned as a send right.
            Generation::MacOs11 => (Ok(()), Some(name)),
            // Stored as null.
            Generation::MacOs15 => (Ok(()), Some(Name::NULL)),
            Generation::MacOs26 => (Err(KernReturn::INVALID_RIGHT), None),
        };
        assert_eq!((found, stored), expected, "{generation:?}");
        assert!(!world.is_delivered(), "{generation:?}");
        let own = world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            mach_port::get_refs(&mut kernel.ipc, space, name, PortRight::SEND)
        });
        let returned = u32::from(generation == Generation::MacOs11);
        assert_eq!(own, Ok(1 + returned), "{generation:?}");
    }
}

/// B2.3, C7.1: up to 15 an immovable receive right is refused that is no exception port's; since 26 the types of reply ports are. A connection is
/// in each.
#[test]
fn b2_3_immovable_ports_and_reply_ports_are_refused_by_generation() {
    use PortOptionFlags as Flags;
    let refused = Err(KernReturn::INVALID_RIGHT);
    let guarded = Flags::IMMOVABLE_RECEIVE | Flags::CONTEXT_AS_GUARD;
    for generation in ALL {
        let since_15 = generation >= Generation::MacOs15;
        let since_26 = generation >= Generation::MacOs26;
        for (flags, accepted) in [
            (Flags::empty(), true),
            (guarded, since_26),
            (Flags::EXCEPTION_PORT, since_15),
            (Flags::ENFORCE_REPLY_PORT_SEMANTICS, true),
            (Flags::REPLY_PORT, !since_26),
            (Flags::PROVISIONAL_REPLY_PORT, !since_26),
            (Flags::CONNECTION_PORT, false),
        ] {
            let world = World::of(generation);
            let name = world.kernel(|kernel| {
                let space = kernel.tables.task(world.task).space;
                let options = Options {
                    flags: flags | Flags::INSERT_SEND_RIGHT,
                    limit: 0,
                    context: 0,
                };
                construct::construct(&mut kernel.ipc, space, options).expect("made")
            });
            let expected = if accepted { Ok(()) } else { refused };
            let what = format!("{generation:?} {flags:?}");
            assert_eq!(world.set(name, 1 | CODES), expected, "{what}");
            assert_eq!(world.is_delivered(), accepted, "{what}");
        }
    }
}

/// B8: since 15.0. Without the calls MIG's server does not know their numbers.
#[test]
fn b8_1_b8_2_hardened_handlers_came_with_15() {
    for generation in ALL {
        let world = World::of(generation);
        let expected = match generation {
            Generation::MacOs11 => Err(KernReturn::MIG_BAD_ID),
            _ => Ok(()),
        };
        let (registered, adopted) = world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            let null = for_bad_accesses(Name::NULL);
            (
                hardened::register(kernel, space, world.task, null),
                hardened::adopt(kernel, space, world.thread, null),
            )
        });
        assert_eq!(
            (registered, adopted),
            (expected, expected),
            "{generation:?}"
        );
    }
}

#[test]
fn an_ordinary_port_is_a_handler_in_every_generation() {
    for generation in ALL {
        let world = World::of(generation);
        let port = world.port();
        assert_eq!(world.set(port, 1 | CODES), Ok(()));
        assert_eq!(world.get().first().map(|entry| entry.port), Some(port));
        assert!(world.is_delivered());
    }
}

/// B6.7: with its thread an action's rights are released.
#[test]
fn b1_3_b3_5_each_slot_and_each_returned_entry_is_a_send_right() {
    let world = World::of(Generation::MacOs26);
    let port = world.port();
    assert_eq!(world.counts(port), (1, 1), "the name's");
    world.set(port, 1 | CODES).expect("valid");
    assert_eq!(world.counts(port), (3, 1), "two types");
    world.set(port, 1 | CODES).expect("valid");
    assert_eq!(
        world.counts(port),
        (3, 1),
        "the old ones are released (B1.4)"
    );
    world.get();
    assert_eq!(
        world.counts(port),
        (3, 1),
        "a reference more under the same name"
    );
    assert_eq!(world.set(port, 9), REFUSED);
    assert_eq!(world.counts(port), (3, 1), "a refused call leaks nothing");
    world.set(Name::NULL, 0).expect("valid");
    assert_eq!(world.counts(port), (1, 1));
    world.set(port, 1 | CODES).expect("valid");
    world.kernel(|kernel| life::end(kernel, world.thread));
    assert_eq!(world.counts(port), (1, 1), "the thread ended");
}

#[test]
fn a2_11_the_kernel_holds_rights_on_all_ports_of_a_delivery_until_its_end() {
    let world = World::of(Generation::MacOs26);
    let (port, control) = (world.port(), world.thread_name());
    let task = world.kernel(|kernel| task::self_name(kernel, world.task));
    let task = task.expect("a task has a name");
    let all = || [port, control, task].map(|name| world.counts(name));
    let ports = || world.kernel(|kernel| kernel.ipc.live_ports());
    let (before, ports_before) = (all(), ports());
    for (routine, added, tokens) in [
        (Routine::MachExceptionRaise, [1, 1, 1], 0),
        (Routine::MachExceptionRaiseState, [1, 0, 0], 0),
        (Routine::MachExceptionRaiseStateIdentity, [1, 1, 1], 0),
        (Routine::MachExceptionRaiseIdentityProtected, [1, 0, 0], 1),
    ] {
        let now = all();
        let rights = world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            let object = kernel.ipc.space(space).get(port).and_then(|e| e.port());
            DeliveryRights::make(kernel, world.thread, object.expect("a port"), routine)
        });
        let rights = rights.expect("room");
        for ((found, before), added) in all().into_iter().zip(now).zip(added) {
            assert_eq!(found.0, before.0 + added, "{routine:?}");
        }
        assert_eq!(
            ports(),
            ports_before + tokens,
            "{routine:?}: tokens (A7.10)"
        );
        world.kernel(|kernel| {
            let release = |held| right::release(&mut kernel.ipc, held);
            rights.into_held().into_iter().for_each(release);
        });
        let sends = |counts: [(u32, u32); 3]| counts.map(|counts| counts.0);
        assert_eq!(sends(all()), sends(before), "{routine:?}");
        assert_eq!(
            ports(),
            ports_before,
            "{routine:?}: a token dies with its last sender"
        );
    }
}

/// Returns a reply of `size` bytes to a routine, as received, with the code given.
fn reply(routine: Routine, size: usize, code: KernReturn) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    put(0, Disposition::PORT_SEND_ONCE.raw() << 8);
    put(4, size as u32);
    put(20, routine.reply_id() as u32);
    put(32, code.raw() as u32);
    if size >= 44 {
        put(36, 1);
        put(40, (size as u32 - 44) / 4);
    }
    bytes
}

/// F6.5: that of 26 is larger.
#[test]
fn a6_4_a_reply_that_the_kernels_buffer_cannot_hold_is_too_large() {
    let plain = Routine::MachExceptionRaise;
    let state = Routine::MachExceptionRaiseState;
    let bad = Err(KernReturn::MIG_TYPE_ERROR);
    let large = Err(KernReturn::RCV_TOO_LARGE);
    let old_x86 = cfg!(target_arch = "x86_64");
    for (routine, size, expected) in [
        (plain, 36, [Ok(()); 3]),
        (plain, 44, [bad, bad, bad]),
        (plain, 48, [large, large, bad]),
        (plain, 104, [large, large, bad]),
        (plain, 108, [large; 3]),
        (state, 2500, [Ok(()); 3]),
        (
            state,
            2508,
            [if old_x86 { bad } else { Ok(()) }, Ok(()), Ok(())],
        ),
        (
            state,
            2512,
            [if old_x86 { large } else { Ok(()) }, Ok(()), Ok(())],
        ),
        (
            state,
            5228,
            [if old_x86 { large } else { Ok(()) }, Ok(()), Ok(())],
        ),
        (state, 5236, [if old_x86 { large } else { bad }, bad, bad]),
        (state, 5240, [large, large, bad]),
        (state, 5296, [large, large, bad]),
        (state, 5300, [large; 3]),
    ] {
        for (generation, expected) in ALL.into_iter().zip(expected) {
            let bytes = reply(routine, size, KernReturn::SUCCESS);
            let found = deliver::judge(&bytes, routine, &rules(generation));
            assert_eq!(
                found.map(|_| ()),
                expected,
                "{routine:?} {size}, {generation:?}"
            );
        }
    }
}

#[test]
fn b1_2_only_a_control_port_is_a_target() {
    let world = World::of(Generation::MacOs26);
    let (port, thread) = (world.port(), world.thread_name());
    world.kernel(|kernel| {
        let space = kernel.tables.task(world.task).space;
        let own = task::self_name(kernel, world.task).expect("a task has a name");
        let mut find = |name, kind| Level::find(kernel, space, name, kind);
        let (of_thread, of_task) = (LevelKind::Thread, LevelKind::Task);
        assert_eq!(find(thread, of_thread), Ok(Level::Thread(world.thread)));
        assert_eq!(find(own, of_task), Ok(Level::Task(world.task)));
        for (name, kind) in [(thread, of_task), (own, of_thread), (port, of_task)] {
            assert_eq!(find(name, kind), Err(KernReturn::INVALID_ARGUMENT));
        }
        for name in [Name::NULL, Name::DEAD, Name::new(0x7003)] {
            assert_eq!(find(name, of_task), Err(KernReturn::SEND_INVALID_DEST));
        }
    });
}

#[test]
fn a2_5_behaviors_choose_the_routine() {
    let world = World::of(Generation::MacOs26);
    world
        .set(world.port(), 1 | CODES | BACKTRACE)
        .expect("valid");
    let level = Level::Thread(world.thread);
    let wanted = world.kernel(|kernel| deliver::wanted(kernel, level, ExceptionType::BAD_ACCESS));
    assert_eq!(
        wanted.map(|wanted| wanted.routine),
        Ok(Routine::for_behavior(Behavior::with_codes(BehaviorKind::DEFAULT)).expect("one"))
    );
}

/// The engine may have several tasks; a process has one.
#[test]
fn b5_6_a_threads_control_port_suffices_for_another_task() {
    let world = World::of(Generation::MacOs26);
    let other = task::create(&world.mach).expect("memory").expect("room");
    let (level, port, listed) = world.kernel(|kernel| {
        let space = kernel.tables.task(other).space;
        let control = kernel.tables.thread(world.thread).port;
        let name = copyout::name_send(&mut kernel.ipc, space, control).expect("room");
        let port = mach_port::allocate(&mut kernel.ipc, space, PortRight::RECEIVE).expect("room");
        let made = Disposition::MAKE_SEND;
        insert::insert_right(&mut kernel.ipc, space, port, port, made).expect("room");
        let level = Level::find(kernel, space, name, LevelKind::Thread).expect("a thread");
        ports::set(kernel, space, level, for_bad_accesses(port)).expect("valid");
        let list = ports::get(kernel, space, level, ExceptionMask::BAD_ACCESS).expect("valid");
        (level, port, list.entries().to_vec())
    });
    assert_eq!(level, Level::Thread(world.thread));
    assert_eq!(listed.first().map(|entry| entry.port), Some(port));
    assert!(world.is_delivered());
}
