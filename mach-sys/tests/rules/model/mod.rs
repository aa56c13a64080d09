//! Random calls on several threads at once, held against a simple model of the rules.
//!
//! Each thread has names of its own, with a model that knows what every call returns; two models are used by all threads, each with a lock
//! around the model's step and the call; and two ports are used by all threads with nothing between them, where an answer has to be one
//! that some order of the calls allows. After each round the names of the task are the models'.

mod calls;
mod crowd;
mod messages;
mod nests;
mod ports;
mod steps;

use crate::support::{Port, destroy, names};
use crowd::{Crowd, Member};
use ports::Model;
use std::collections::BTreeMap;
use std::sync::Mutex;
use steps::step;
use test_support::emulator::is_emulated;
use test_support::random::Random;
use test_support::wait::wait_for;

const THREADS: usize = 4;
/// Steps of each thread in a round.
const STEPS: usize = 400;

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
}

/// Asserts that the names of the task are those from before and the models', with their types.
fn assert_census(before: &BTreeMap<Port, u32>, models: &[&Model]) {
    let mut expected = before.clone();
    for (name, kind) in models.iter().flat_map(|model| model.listing()) {
        assert_eq!(
            expected.insert(name, kind),
            None,
            "{name:#x} was given out twice"
        );
    }
    // The names of threads that have ended are gone a little later.
    wait_for("the models' census", || {
        BTreeMap::from_iter(names()) == expected
    });
}

isolated! {
    fn c0_1_random_calls_of_many_threads_answer_as_a_simple_model_does() {
        let seed = variable("MACH_TEST_SEED").unwrap_or(1);
        let rounds = variable("MACH_TEST_ROUNDS").unwrap_or(if is_emulated() { 5 } else { 120 });
        println!("MACH_TEST_SEED={seed} MACH_TEST_ROUNDS={rounds}");
        let before = BTreeMap::from_iter(names());
        let mut own: Vec<_> = (0..THREADS).map(|_| Model::default()).collect();
        let mut shared: Vec<_> = (0..2).map(|_| Mutex::new(Model::default())).collect();
        for round in 0..rounds {
            // One of them dies under way.
            let crowds = [Crowd::new(), Crowd::new()];
            let members = std::thread::scope(|scope| {
                let threads: Vec<_> = own.iter_mut().enumerate().map(|(thread, own)| {
                    let (crowds, shared) = (&crowds, &shared);
                    scope.spawn(move || {
                        let mut random = Random::new(seed ^ (round << 8 | thread as u64) << 20);
                        let mut members = [(); 2].map(|()| Member::new(thread, THREADS));
                        let ends_at = (round as usize % THREADS == thread).then(|| random.below(STEPS));
                        for count in 0..STEPS {
                            let id = (thread << 24 | 1 << 16 | count) as u32;
                            if ends_at == Some(count) {
                                crowds[0].kill();
                            }
                            match random.below(6) {
                                0 => step(&mut random.of(&[&shared[0], &shared[1]]).lock().expect("a model"), &mut random, id),
                                at @ 1..3 => {
                                    for _ in 0..4 {
                                        crowds[at - 1].step(&mut members[at - 1], &mut random);
                                    }
                                }
                                _ => step(own, &mut random, id),
                            }
                        }
                        members
                    })
                }).collect();
                let members = threads.into_iter().map(|thread| thread.join().expect("a thread"));
                members.map(|[first, second]| (first, second)).collect::<(Vec<_>, Vec<_>)>()
            });
            crowds[0].finish(members.0);
            crowds[1].finish(members.1);
            let shared = shared.iter_mut().map(|model| &*model.get_mut().expect("a model"));
            assert_census(&before, &own.iter().chain(shared).collect::<Vec<_>>());
        }
        let shared = shared.into_iter().map(|model| model.into_inner().expect("a model"));
        for mut model in own.into_iter().chain(shared) {
            while let Some(name) = model.names.keys().next().copied() {
                assert_eq!(destroy(name), model.destroy(name));
            }
        }
        assert_census(&before, &[]);
    }
}
