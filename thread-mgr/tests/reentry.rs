//! Filters that call back into their manager, on the server's own thread: each call works or returns a typed error, and nothing hangs.
#![allow(unsafe_code)]

mod support;

use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use support::{builder, isolated};
use test_support::instructions::undefined;
use test_support::wait::wait_for;
use thread_mgr::{AttachError, JoinError, Manager};

const LONG: Duration = Duration::from_secs(20);

/// Runs `act` in the filter at the first fault of a manager's thread, and returns its result. The fault is handled nevertheless.
fn in_the_filter<T: Send + 'static>(act: impl Fn(&Manager) -> T + Send + Sync + 'static) -> T {
    let manager: Arc<OnceLock<Manager>> = Arc::default();
    let theirs = Arc::clone(&manager);
    let asked = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    let send = Mutex::new(send);
    let built = builder()
        .only_if(move |_| {
            if !asked.swap(true, Ordering::Relaxed) {
                let result = act(theirs.get().expect("the manager"));
                send.lock()
                    .expect("a sender")
                    .send(result)
                    .expect("a receiver");
            }
            true
        })
        .build()
        .expect("a manager");
    let manager = manager.get_or_init(|| built);
    let handle = manager
        .spawn(|| {
            undefined();
            undefined();
            9
        })
        .expect("a thread");
    let result = receive
        .recv_timeout(LONG)
        .expect("the filter ran to its end");
    assert_eq!(handle.join().expect("a thread").exit.returned(), Some(9));
    // A thread that the filter started may still be in its handler.
    wait_for("each handler returns", || {
        let stats = manager.redirect_stats();
        stats.entered == stats.returned
    });
    result
}

#[test]
fn the_servers_own_thread_is_not_attached() {
    isolated("the_servers_own_thread_is_not_attached", || {
        let refused = in_the_filter(|manager| match manager.attach() {
            Err(error) => Some(error.to_string()),
            // The attachment must not be leaked: the server's thread would wait for itself at its next fault.
            Ok(attached) => {
                drop(attached);
                None
            }
        });
        let expected = AttachError::ServerThread.to_string();
        assert_eq!(refused, Some(expected));
    });
}

#[test]
fn another_managers_server_thread_is_not_attached_either() {
    isolated(
        "another_managers_server_thread_is_not_attached_either",
        || {
            let other = support::reporting();
            let refused =
                in_the_filter(move |_| matches!(other.attach(), Err(AttachError::ServerThread)));
            assert!(refused);
        },
    );
}

#[test]
fn threads_are_started_and_not_waited_for() {
    isolated("threads_are_started_and_not_waited_for", || {
        static RAN: AtomicBool = AtomicBool::new(false);
        // The second one needs the server, which could not answer while it waits.
        for faults in [false, true] {
            RAN.store(false, Ordering::Relaxed);
            let refused = in_the_filter(move |manager| {
                let handle = manager
                    .spawn(move || {
                        if faults {
                            undefined();
                        }
                        RAN.store(true, Ordering::Relaxed);
                    })
                    .expect("a thread");
                handle.join().map(|_| ())
            });
            assert!(
                matches!(refused, Err(JoinError::ServerThread)),
                "{refused:?}"
            );
            wait_for("it goes on detached", || RAN.load(Ordering::Relaxed));
        }
    });
}

#[test]
fn the_threads_are_listed_and_the_statistics_read() {
    isolated("the_threads_are_listed_and_the_statistics_read", || {
        let seen = in_the_filter(|manager| {
            let _ = (manager.server_stats(), manager.end_stats());
            (manager.threads().len(), manager.redirect_stats().entered)
        });
        assert_eq!(seen, (1, 0));
    });
}

#[test]
fn the_last_manager_may_be_dropped_in_the_filter() {
    isolated("the_last_manager_may_be_dropped_in_the_filter", || {
        static MANAGER: Mutex<Option<Manager>> = Mutex::new(None);
        let manager = builder()
            .only_if(|_| {
                drop(MANAGER.lock().expect("a lock").take());
                true
            })
            .build()
            .expect("a manager");
        let handle = manager.spawn(|| {
            undefined();
            undefined();
            9
        });
        // The thread may have faulted already; then the filter found nothing to drop.
        *MANAGER.lock().expect("a lock") = Some(manager);
        let ended = handle.expect("a thread").join().expect("a thread");
        assert_eq!(ended.exit.returned(), Some(9));
    });
}
