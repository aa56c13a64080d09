//! Tasks and threads of a kernel without system threads.

use super::kernel::{self, Kernel, Mach};
use super::object::{TaskId, ThreadId, ThreadKind};
use super::{life, task};
use crate::config::Generation;
use crate::ipc::name::Name;
use crate::ipc::{insert, mach_port};
use crate::rules::{Limits, Rules};
use mach_wire::kern_return::KernReturn;
use mach_wire::message::Disposition;
use mach_wire::port::{PortRight, PortType};

struct World {
    mach: Mach,
    task: TaskId,
}

impl World {
    fn of(generation: Generation) -> Self {
        let mach = kernel::new(Rules {
            generation,
            limits: Limits::SMALL,
        });
        let mach = mach.expect("address space for a small kernel");
        let task = task::create(&mach).expect("memory").expect("room");
        Self { mach, task }
    }

    fn kernel<T>(&self, operate: impl FnOnce(&mut Kernel<'_, '_>) -> T) -> T {
        operate(&mut Kernel::of(&mut self.mach.lock()))
    }

    fn task_name(&self) -> Name {
        let name = self.kernel(|kernel| task::self_name(kernel, self.task));
        name.expect("a task has a name")
    }

    fn thread(&self, kind: ThreadKind) -> (ThreadId, Name) {
        self.kernel(|kernel| {
            let thread = life::create(kernel, self.task, None, kind).expect("room");
            let name = life::name(kernel, thread).expect("a thread has a name");
            (thread, name)
        })
    }

    fn refs(&self, name: Name) -> Result<u32, KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            mach_port::get_refs(&mut kernel.ipc, space, name, PortRight::SEND)
        })
    }

    fn mod_refs(&self, name: Name, delta: i32) -> Result<(), KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            mach_port::mod_refs(&mut kernel.ipc, space, name, PortRight::SEND, delta)
        })
    }

    fn deallocate(&self, name: Name) -> Result<(), KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            mach_port::deallocate(&mut kernel.ipc, space, name)
        })
    }

    fn destroy(&self, name: Name) -> Result<(), KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            mach_port::destroy(&mut kernel.ipc, space, name)
        })
    }

    fn dead_refs(&self, name: Name) -> Result<u32, KernReturn> {
        self.kernel(|kernel| {
            let space = kernel.tables.task(self.task).space;
            mach_port::get_refs(&mut kernel.ipc, space, name, PortRight::DEAD_NAME)
        })
    }
}

const OLDER: [Generation; 2] = [Generation::MacOs11, Generation::MacOs15];

/// F6.24, F6.27: the code, and that nothing changes.
#[test]
fn d1_3_d5_6_the_tasks_name_starts_at_two_and_cannot_be_dropped() {
    let world = World::of(Generation::MacOs26);
    let name = world.task_name();
    assert_eq!(world.refs(name), Ok(2));
    assert_eq!(world.deallocate(name), Ok(()));
    assert_eq!(world.deallocate(name), Err(KernReturn::INVALID_CAPABILITY));
    assert_eq!(
        world.mod_refs(name, -1),
        Err(KernReturn::INVALID_CAPABILITY)
    );
    assert_eq!(world.refs(name), Ok(1), "nothing changed");
    assert_eq!(world.mod_refs(name, 65_534), Ok(()));
    assert_eq!(
        world.mod_refs(name, -65_535),
        Err(KernReturn::INVALID_CAPABILITY),
        "a saturated pinned name cannot be cured"
    );
}

#[test]
fn d1_3_d5_2_up_to_macos_15_names_start_at_one_and_are_not_pinned() {
    for generation in OLDER {
        let world = World::of(generation);
        let names = [
            world.task_name(),
            world.thread(ThreadKind::Main).1,
            world.thread(ThreadKind::Pthread).1,
        ];
        for name in names {
            assert_eq!(world.refs(name), Ok(1), "{generation:?}");
            assert_eq!(world.deallocate(name), Ok(()), "{generation:?}");
            assert_eq!(world.refs(name), Err(KernReturn::INVALID_NAME));
        }
        let (_, saturated) = world.thread(ThreadKind::Pthread);
        assert_eq!(world.mod_refs(saturated, 65_534), Ok(()));
        assert_eq!(
            world.mod_refs(saturated, -65_535),
            Ok(()),
            "E38: it is cured"
        );
    }
}

/// D5.1: both are pinned.
/// F6.23, F6.27: pinned, and the count of the start.
#[test]
fn d1_3_d5_1_the_main_threads_name_starts_at_two_another_threads_at_one() {
    let world = World::of(Generation::MacOs26);
    for (kind, references) in [(ThreadKind::Main, 2), (ThreadKind::Pthread, 1)] {
        let (_, name) = world.thread(kind);
        assert_eq!(world.refs(name), Ok(references));
        assert_eq!(world.mod_refs(name, 1 - references as i32), Ok(()));
        assert_eq!(world.deallocate(name), Err(KernReturn::INVALID_CAPABILITY));
    }
}

/// F6.25: its own end unpins a name, and a dead name is not pinned.
#[test]
fn d2_2_d5_5_a_thread_that_ends_takes_its_reference_and_leaves_the_others_dead() {
    for generation in [OLDER[0], OLDER[1], Generation::MacOs26] {
        let world = World::of(generation);
        let ports = |kernel: &mut Kernel<'_, '_>| kernel.ipc.live_ports();
        let before = world.kernel(ports);
        let (trimmed, clean) = world.thread(ThreadKind::Pthread);
        let (leaky, left) = world.thread(ThreadKind::Pthread);
        world.kernel(|kernel| life::thread_self(kernel, leaky));
        for thread in [trimmed, leaky] {
            world.kernel(|kernel| life::end(kernel, thread));
        }
        assert_eq!(world.refs(clean), Err(KernReturn::INVALID_NAME));
        assert_eq!(world.dead_refs(left), Ok(1), "{generation:?}");
        assert_eq!(world.deallocate(left), Ok(()));
        assert_eq!(world.kernel(ports), before, "no port stays behind");
    }
}

/// The release at the end finds what the destruction left: nothing, or on macOS 26, which refuses it, all references.
#[test]
fn e39_c3_1_a_thread_that_destroys_its_own_name_may_end() {
    for generation in [OLDER[0], OLDER[1], Generation::MacOs26] {
        for (more, left) in [
            (0, Err(KernReturn::INVALID_NAME)),
            (4, Ok(4)),
            (65_534, Ok(65_535)),
        ] {
            let world = World::of(generation);
            let (thread, name) = world.thread(ThreadKind::Pthread);
            assert_eq!(world.mod_refs(name, more), Ok(()));
            let (destroyed, left) = match generation {
                Generation::MacOs26 => (Err(KernReturn::INVALID_CAPABILITY), left),
                _ => (Ok(()), Err(KernReturn::INVALID_NAME)),
            };
            assert_eq!(world.destroy(name), destroyed, "{generation:?}");
            world.kernel(|kernel| life::end(kernel, thread));
            assert_eq!(world.dead_refs(name), left, "{generation:?}, {more}");
        }
    }
}

/// D2.12: up to macOS 15 the deallocation at a thread's end is by the number that its name had, whatever that denotes by then. Since 26 a
/// pthread's name is pinned until it.
#[test]
fn d2_12_a_stolen_name_that_is_in_use_again_loses_a_reference() {
    for (generation, left) in [
        (Generation::MacOs11, 1),
        (Generation::MacOs15, 1),
        (Generation::MacOs26, 2),
    ] {
        let world = World::of(generation);
        let (thread, name) = world.thread(ThreadKind::Pthread);
        let stolen = world.deallocate(name);
        let other = match generation {
            // Refused: the last reference of a pinned name (D5.3).
            Generation::MacOs26 => {
                assert!(stolen.is_err());
                Name::new(name.raw() + 0x100)
            }
            _ => {
                assert_eq!(stolen, Ok(()));
                name
            }
        };
        world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            let ipc = &mut kernel.ipc;
            mach_port::allocate_name(ipc, space, PortRight::RECEIVE, other).expect("free");
            for _ in 0..2 {
                insert::insert_right(ipc, space, other, other, Disposition::MAKE_SEND)
                    .expect("room");
            }
            // That of the refused call above.
            let _ = kernel.ipc.take_guard();
            life::end(kernel, thread);
            assert_eq!(kernel.ipc.take_guard(), None);
        });
        assert_eq!(world.refs(other), Ok(left), "{generation:?}");
    }
}

/// D2.12: a name that denotes nothing is passed over.
#[test]
fn d2_12_a_stolen_name_that_is_free_is_passed_over() {
    for generation in [Generation::MacOs11, Generation::MacOs15] {
        let world = World::of(generation);
        let (thread, name) = world.thread(ThreadKind::Pthread);
        assert_eq!(world.deallocate(name), Ok(()));
        world.kernel(|kernel| {
            life::end(kernel, thread);
            assert_eq!(kernel.ipc.take_guard(), None, "no call misused it");
        });
    }
}

#[test]
fn a_kernel_full_of_threads_says_so_and_loses_nothing() {
    let world = World::of(Generation::MacOs26);
    let mut threads = Vec::new();
    while let Some(thread) =
        world.kernel(|kernel| life::create(kernel, world.task, None, ThreadKind::Pthread))
    {
        threads.push(thread);
    }
    assert_eq!(threads.len(), 16);
    let ports = world.kernel(|kernel| kernel.ipc.live_ports());
    assert!(
        world
            .kernel(|kernel| life::create(kernel, world.task, None, ThreadKind::Pthread))
            .is_none()
    );
    assert_eq!(world.kernel(|kernel| kernel.ipc.live_ports()), ports);
}

#[test]
fn g6_1_a_reply_port_is_made_where_there_is_room_and_goes_with_its_thread() {
    let world = World::of(Generation::MacOs26);
    let ports = || world.kernel(|kernel| kernel.ipc.live_ports());
    let before = ports();
    let (thread, _) = world.thread(ThreadKind::Pthread);
    let make = || world.kernel(|kernel| life::make_mig_reply_port(kernel, thread));
    let type_of = |name| {
        world.kernel(|kernel| {
            let space = kernel.tables.task(world.task).space;
            mach_port::port_type(&mut kernel.ipc, space, name)
        })
    };
    // Every name is taken: none is made, and nothing is left of the try.
    let mut names = Vec::new();
    let full = world.kernel(|kernel| {
        let space = kernel.tables.task(world.task).space;
        loop {
            match mach_port::allocate(&mut kernel.ipc, space, PortRight::DEAD_NAME) {
                Ok(name) => names.push(name),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(full, KernReturn::NO_SPACE);
    let living = ports();
    assert_eq!(make(), None);
    assert_eq!(ports(), living);
    world.deallocate(names[0]).expect("released");
    let name = make().expect("room");
    assert_eq!(type_of(name), Ok(PortType::RECEIVE));
    world.kernel(|kernel| life::end(kernel, thread));
    assert_eq!(type_of(name), Err(KernReturn::INVALID_NAME));
    assert_eq!(ports(), before);
}
