//! Random sequences of operations: after each, every port's counts are what a walk over all names and queued messages finds.

use super::walk::assert_counts;
use super::*;
use mach_wire::mig::{
    MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED,
    MACH_NOTIFY_SEND_POSSIBLE,
};

/// Numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const DISPOSITIONS: [Disposition; 6] = [
    Disposition::MOVE_RECEIVE,
    Disposition::MOVE_SEND,
    Disposition::MOVE_SEND_ONCE,
    Disposition::COPY_SEND,
    Disposition::MAKE_SEND,
    Disposition::MAKE_SEND_ONCE,
];

/// Values that ports are guarded with.
const GUARDS: [u64; 2] = [0, 85];

/// Returns the names of the space, and some that are none.
fn names(world: &World) -> Vec<Name> {
    let mut names = vec![Name::NULL, Name::DEAD, Name::new(0x7003)];
    world.ipc(|ipc| {
        let space = ipc.space(world.space);
        names.extend(space.range(1, u32::MAX).map(|(name, _)| name));
    });
    names
}

/// Does one thing; what it answers is not the point.
fn step(world: &World, other_space: SpaceId, random: &mut Random) -> String {
    let names = names(world);
    let (name, other) = (random.of(&names), random.of(&names));
    let disposition = random.of(&DISPOSITIONS);
    let rights = [PortRight::SEND, PortRight::RECEIVE, PortRight::SEND_ONCE];
    let rights = rights
        .into_iter()
        .chain([PortRight::PORT_SET, PortRight::DEAD_NAME]);
    let right = random.of(&rights.collect::<Vec<_>>());
    match random.below(20) {
        0 | 1 if names.len() < 40 => format!("{:?}", world.try_allocate(PortRight::RECEIVE)),
        2 if names.len() < 40 => format!("{:?}", world.try_allocate(PortRight::PORT_SET)),
        3 => format!("{:?}", world.deallocate(name)),
        4 => {
            let delta = random.of(&[-1, -1, 1, 2, -2, 65_535, -65_535]);
            format!("{right:?} {delta} {:?}", world.mod_refs(name, right, delta))
        }
        5 | 6 => format!(
            "{disposition:?} {:?}",
            world.insert(name, name, disposition)
        ),
        7 => {
            let chosen = random.of(&[name, Name::new(0x5003), Name::new(0x5007)]);
            format!(
                "{disposition:?} {:?}",
                world.insert(chosen, other, disposition)
            )
        }
        8 => format!("{disposition:?} {:?}", world.extract(name, disposition)),
        9 => format!("{:?} {:?}", world.join(name, other), world.kind(name)),
        10 => format!("{:?}", world.move_to(name, other)),
        11 | 12 => {
            let mut message = Message::to(name, random.of(&DISPOSITIONS), 1);
            if random.below(2) == 0 {
                message = message.with_reply(other, disposition);
            }
            for _ in 0..random.below(3) {
                message = message.with_right(random.of(&names), random.of(&DISPOSITIONS));
            }
            format!("{:x?} {:?}", &message.words[..16], world.send(&message))
        }
        13 => {
            // A send right for the other space.
            let port = world.ipc(|ipc| ipc.space(world.space).get(name).and_then(|e| e.port()));
            let live = port.filter(|port| world.ipc(|ipc| ipc.port(*port).alive));
            let given =
                live.map(|port| world.ipc(|ipc| copyout::name_send(ipc, other_space, port)));
            format!("{given:?}")
        }
        14 => format!("destroy {:?}", world.destroy(name)),
        15 => {
            let (delta, guard) = (random.of(&[0, 0, -1, -2, 1]), random.of(&GUARDS));
            format!(
                "destruct {delta} {guard} {:?}",
                world.destruct(name, delta, guard)
            )
        }
        16 if names.len() < 40 => {
            let flags = PortOptionFlags::from_bits_retain(random.below(0x200) as u32);
            format!("{flags} {:?}", world.construct(flags, random.of(&GUARDS)))
        }
        17 | 18 => {
            let id = random.of(&[
                MACH_NOTIFY_NO_SENDERS,
                MACH_NOTIFY_PORT_DESTROYED,
                MACH_NOTIFY_DEAD_NAME,
                MACH_NOTIFY_SEND_POSSIBLE,
            ]);
            let makes = [Disposition::MAKE_SEND_ONCE, Disposition::MOVE_SEND_ONCE];
            let wish = Wish {
                id,
                sync: random.below(2) as u32,
                notify: other,
                disposition: random.of(&makes),
            };
            format!("{wish:?} {:?}", world.request(name, wish))
        }
        _ => {
            let room = random.of(&[512, 512, 40, 20]);
            let options = random.of(&[0, MACH_RCV_LARGE]);
            let got = world.receive_with(name, options, room);
            format!("{room} {:?}", got.map(|message| message.id()))
        }
    }
}

/// The first of the seeds: 1, or what `MACH_TEST_SEED` says. A failure names its seed.
fn first_seed() -> u64 {
    let seed = std::env::var("MACH_TEST_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
fn counts_are_what_a_walk_finds_after_any_sequence_of_operations() {
    for generation in [
        Generation::MacOs11,
        Generation::MacOs15,
        Generation::MacOs26,
    ] {
        for seed in (0..40).map(|number| first_seed().wrapping_add(number)) {
            let mut world = World::of(generation);
            let mut other = world.another_space();
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
            for count in 0..250 {
                if random.below(8) == 0 {
                    core::mem::swap(&mut world.space, &mut other);
                }
                let what = step(&world, other, &mut random);
                assert_counts(
                    &world,
                    &format!("{generation:?}, seed {seed}, step {count}: {what}"),
                );
            }
        }
    }
}
