//! A thread that ends itself (D3).

use crate::support::terminate;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, Generation, system};
use mach_sys::port::PortRight;
use mach_sys::rights::{Name, user_references};
use std::sync::mpsc::channel;
use test_support::isolated::isolated;
use test_support::wait::wait_for;

/// D3.1, D3.2: nothing is deallocated for a thread that calls `thread_terminate` on itself.
#[test]
fn d3_2_a_thread_that_ends_itself_leaves_the_reference_of_that_call() {
    isolated(
        "ended::d3_2_a_thread_that_ends_itself_leaves_the_reference_of_that_call",
        || {
            let mut config = Config::default();
            config.generation = Generation::MacOs11;
            kernel::configure(config).expect("started");
            let (says, named) = channel();
            // It never returns, and cannot be joined.
            drop(std::thread::spawn(move || {
                let own = system::own_thread_port();
                says.send(own).expect("the test listens");
                // SAFETY: no arguments.
                let same = unsafe { kernel::mach_thread_self() };
                assert_eq!(same, own);
                let code = terminate(same);
                assert_eq!(code, KernReturn::SUCCESS);
            }));
            let name = Name::new(named.recv().expect("a thread")).expect("a name");
            // The library's own, and that of the call.
            wait_for("the dead name", || {
                user_references(name, PortRight::DEAD_NAME) == Ok(2)
            });
        },
    );
}
