//! Impossible settings of a server are typed errors, never a panic or an abort.

mod support;

use exc_server::{
    Answered, Deferrals, Exception, Routing, Server, ServerBuilder, ServerStartError, Timeout,
};
use std::error::Error;
use std::time::Duration;
use support::{UNDEFINED, fallback, faults_on_a_thread, isolated, skip};
use test_support::emulator::is_emulated;
use test_support::wait::wait_for;

fn decline(exception: Exception<'_>) -> Answered {
    exception.decline()
}

/// The result of a setting.
#[derive(Debug, PartialEq)]
enum Ends {
    Starts,
    Name,
    StackSize,
    Deferrals,
    /// The system may refuse; the sizes that it refuses differ between systems.
    StartsOrThread,
}

#[test]
fn a_builder_never_panics() {
    let stack = |bytes| Server::builder().stack_size(bytes);
    let name = |name: &str| Server::builder().name(name);
    // An emulator keeps a record of each page.
    let huge = if is_emulated() { 1 << 32 } else { 1 << 40 };
    let rows = [
        (Server::builder(), Ends::Starts),
        (name(""), Ends::Starts),
        (name(&"long".repeat(100)), Ends::Starts),
        (name("ümläute"), Ends::Starts),
        (name("\0"), Ends::Name),
        (name("a\0b"), Ends::Name),
        (name("ends\0"), Ends::Name),
        (stack(0), Ends::StackSize),
        (stack(1), Ends::StackSize),
        (stack(ServerBuilder::MIN_STACK_SIZE - 1), Ends::StackSize),
        (stack(ServerBuilder::MIN_STACK_SIZE), Ends::Starts),
        (stack(ServerBuilder::MIN_STACK_SIZE + 1), Ends::Starts),
        (stack(huge), Ends::StartsOrThread),
        (stack(ServerBuilder::MAX_STACK_SIZE), Ends::StartsOrThread),
        (stack(ServerBuilder::MAX_STACK_SIZE + 1), Ends::StackSize),
        (stack(1 << 62), Ends::StackSize),
        (stack(isize::MAX as usize), Ends::StackSize),
        (stack(usize::MAX - 4095), Ends::StackSize),
        (stack(usize::MAX), Ends::StackSize),
        (Server::builder().deferrals(Deferrals::MAX), Ends::Starts),
        (
            Server::builder().deferrals(Deferrals::MAX + 1),
            Ends::Deferrals,
        ),
        (Server::builder().deferrals(usize::MAX), Ends::Deferrals),
    ];
    for (builder, expected) in rows {
        let what = format!("{builder:?}");
        let ends = match builder.start(decline) {
            Ok(server) => {
                server.shutdown();
                Ends::Starts
            }
            Err(error) => {
                said_once(&error);
                match error {
                    ServerStartError::Name { .. } => Ends::Name,
                    ServerStartError::StackSize { .. } => Ends::StackSize,
                    ServerStartError::Deferrals(_) => Ends::Deferrals,
                    ServerStartError::Thread(_) => Ends::StartsOrThread,
                    error => panic!("{what}: {error}"),
                }
            }
        };
        let as_expected =
            ends == expected || (ends, &expected) == (Ends::Starts, &Ends::StartsOrThread);
        assert!(as_expected, "{what}: not {expected:?}");
    }
}

/// Checks that each cause appears once in a report that prints the chain of causes.
fn said_once(error: &dyn Error) {
    let text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        assert!(!text.contains(&inner.to_string()), "{text}: {inner}");
        cause = inner.source();
    }
}

#[test]
fn a_table_of_deferred_exceptions_has_a_largest_capacity() {
    for capacity in [0, 1, Deferrals::MAX] {
        assert_eq!(Deferrals::new(capacity).expect("fits").capacity(), capacity);
    }
    for capacity in [Deferrals::MAX + 1, usize::MAX] {
        let refused = Deferrals::new(capacity).expect_err("does not fit");
        assert_eq!((refused.capacity, refused.max), (capacity, Deferrals::MAX));
    }
}

#[test]
fn the_smallest_stack_serves() {
    isolated("the_smallest_stack_serves", || {
        let (below, _route) = fallback();
        for delivery in support::every_delivery() {
            let smallest = Server::builder()
                .stack_size(ServerBuilder::MIN_STACK_SIZE)
                .deferrals(1);
            let server = smallest
                .start(|exception: Exception<'_>| {
                    if exception.tag() == 1 {
                        return skip(exception);
                    }
                    // The server declines it, on its own stack.
                    let limit = Timeout::After(Duration::from_millis(1));
                    let (answered, deferred) = exception.defer(limit).expect("room");
                    core::mem::forget(deferred);
                    answered
                })
                .expect("a server");
            let routing = Routing::new(UNDEFINED, delivery);
            if delivery.has_state() {
                faults_on_a_thread(&server, &routing.tag(1), 1);
            }
            faults_on_a_thread(&server, &routing, 1);
        }
        assert_eq!(below.stats().resumed, 8);
    });
}

/// `look_around` is called after a wake, and again until it returns `None`; thread-mgr uses it to find threads that are gone.
#[test]
fn a_server_that_is_woken_looks_around_until_it_says_that_it_need_not() {
    use exc_server::{Answered, Exception, Handler};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[derive(Default)]
    struct Looking(AtomicU32);
    impl Handler for Looking {
        fn handle(&self, exception: Exception<'_>) -> Answered {
            exception.decline()
        }
        fn look_around(&self) -> Option<u32> {
            let looks = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            (looks % 3 != 0).then_some(5)
        }
    }

    let looking = Arc::new(Looking::default());
    let server = Server::start_handler(Arc::clone(&looking)).expect("a server");
    let looks = || looking.0.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(looks(), 0, "no call before a wake");
    for wanted in [3, 6] {
        server.wake();
        wait_for("the handler looks", || looks() >= wanted);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(looks(), wanted, "not again");
    }
    // A wake is not counted as a malformed message.
    let stats = server.shutdown();
    assert_eq!(stats.malformed, 0, "{stats:?}");
}

/// Its thread's kernel calls would fail, and a fault that is routed to it would wait for ever.
#[test]
#[cfg(not(target_vendor = "apple"))]
fn a_server_whose_thread_the_kernel_has_no_room_for_is_not_started() {
    use mach_sys::kern_return::KernError;
    use mach_sys::kernel::{self, Config};
    isolated(
        "a_server_whose_thread_the_kernel_has_no_room_for_is_not_started",
        || {
            let mut config = Config::default();
            config.threads = 1;
            kernel::configure(config).expect("started");
            // The calling thread's first kernel call takes the only place.
            let refused = Server::start(decline).expect_err("no room for another thread");
            assert!(
                matches!(
                    refused,
                    ServerStartError::Port(KernError::RESOURCE_SHORTAGE)
                ),
                "{refused}"
            );
        },
    );
}
