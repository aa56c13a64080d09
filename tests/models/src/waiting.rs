//! The kernel's wait words: an event between a thread's look and its wait is not missed.

use crate::host::sync::{AtomicU32, Ordering};
use crate::run::Model;
use crate::the_lock::Lock;
use crate::the_wait_word::{WaitWord, Waited};
use loom::sync::Arc;
use loom::thread;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "wait word: a message, and a thread that waits for it",
        preemptions: 4,
        body: || messages(1),
    },
    Model {
        name: "wait word: two threads wait for a message each",
        preemptions: 3,
        body: || messages(2),
    },
    Model {
        name: "wait word: a reply that is left without the lock, and the next one",
        preemptions: 4,
        body: replies,
    },
];

struct Port {
    messages: Lock<u32>,
    word: WaitWord,
}

impl Port {
    /// Puts a message into the queue, and says so once the lock is given back, as the kernel does.
    fn send(&self) {
        *self.messages.lock() += 1;
        self.word.signal();
    }

    /// Takes a message, and waits as long as there is none.
    fn receive(&self) {
        loop {
            let sequence = {
                let mut messages = self.messages.lock();
                if *messages > 0 {
                    *messages -= 1;
                    return;
                }
                self.word.sequence()
            };
            assert_eq!(
                self.word.wait(sequence, None, false, || false),
                Waited::Event
            );
        }
    }
}

/// A thread that waits for ever is a deadlock, which loom finds.
fn messages(count: usize) {
    let port = Arc::new(Port {
        messages: Lock::new(0),
        word: WaitWord::new(),
    });
    let receivers: Vec<_> = (0..count)
        .map(|_| {
            let port = Arc::clone(&port);
            thread::spawn(move || port.receive())
        })
        .collect();
    for _ in 0..count {
        port.send();
    }
    for receiver in receivers {
        receiver.join().expect("it ends");
    }
    assert_eq!(*port.messages.lock(), 0);
}

/// The kernel's wait for a reply: it is left in a place that the waiting thread looks at without the lock, before the event is signalled.
struct ReplyPort {
    waiting: Lock<bool>,
    place: AtomicU32,
    word: WaitWord,
}

impl ReplyPort {
    /// Leaves a reply, if one is waited for, as the kernel does. Returns whether it was.
    fn reply(&self, reply: u32) -> bool {
        let left = {
            let mut waiting = self.waiting.lock();
            let left = core::mem::take(&mut *waiting);
            if left {
                let before = self.place.swap(reply, Ordering::AcqRel);
                assert_eq!(before, 0, "the last reply is still there");
            }
            left
        };
        if left {
            self.word.signal();
        }
        left
    }

    fn take(&self) -> Option<u32> {
        let reply = self.place.swap(0, Ordering::AcqRel);
        (reply != 0).then_some(reply)
    }

    /// Asks, and waits for the reply.
    fn ask(&self) -> u32 {
        let mut waiting = self.waiting.lock();
        *waiting = true;
        loop {
            let sequence = self.word.sequence();
            drop(waiting);
            let is_there = || self.place.load(Ordering::Relaxed) != 0;
            let waited = self.word.wait(sequence, None, false, is_there);
            assert_eq!(waited, Waited::Event);
            if let Some(reply) = self.take() {
                return reply;
            }
            waiting = self.waiting.lock();
            if let Some(reply) = self.take() {
                return reply;
            }
        }
    }
}

/// The second request begins while the first reply's event may not have been signalled yet.
fn replies() {
    let port = Arc::new(ReplyPort {
        waiting: Lock::new(false),
        place: AtomicU32::new(0),
        word: WaitWord::new(),
    });
    let server = {
        let port = Arc::clone(&port);
        thread::spawn(move || {
            for reply in [1, 2] {
                while !port.reply(reply) {
                    thread::yield_now();
                }
            }
        })
    };
    assert_eq!(port.ask(), 1);
    assert_eq!(port.ask(), 2);
    server.join().expect("it ends");
    assert_eq!(port.place.load(Ordering::Relaxed), 0);
}
