//! The kernel's wait words: an event between a thread's look and its wait is not missed.

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
