//! The wait for an exception's reply.
//!
//! A thread has one reply port, and one exception at a time: exactly one send-once right is out while it waits, and its end —
//! used by a reply, or destroyed — is what the thread waits for.

use super::peer;
use crate::ipc::buffer::{Buffer, Pool, Queue};
use crate::ipc::mach::{Locked, Mach};

/// What became of the exception that a thread waits in.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    progress: Progress,
    /// The reply, at most one.
    message: Queue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Progress {
    /// The thread waits in no exception.
    #[default]
    Idle,
    Waiting,
    Replied,
    /// The send-once right was destroyed unused (A6.8).
    Died,
}

impl Answer {
    /// The thread starts to wait.
    pub(super) fn begin(&mut self) {
        self.progress = Progress::Waiting;
    }

    pub(crate) fn take_message<'p>(&mut self, pool: &'p Pool) -> Option<Buffer<'p>> {
        self.progress = Progress::Idle;
        self.message.pop(pool)
    }
}

impl<'m> Locked<'m> {
    /// A message came through the right: the first one counts (A6.7).
    pub(crate) fn reply_arrived(&mut self, thread: u32, message: Buffer<'m>) {
        let answer = &mut self.state.threads[thread].answer;
        if answer.progress != Progress::Waiting {
            self.destroy_message(message);
            return;
        }
        answer.progress = Progress::Replied;
        answer.message.push(message);
        self.wake_victim(thread);
    }

    /// The right was destroyed unused: the thread goes on as if nobody had been there (A6.8).
    pub(crate) fn reply_died(&mut self, thread: u32) {
        let answer = &mut self.state.threads[thread].answer;
        if answer.progress == Progress::Waiting {
            answer.progress = Progress::Died;
            self.wake_victim(thread);
        }
    }

    fn wake_victim(&mut self, thread: u32) {
        let port = self.state.threads[thread].reply_port;
        peer::note_answer(self.wait_word(port).waiter_is_elsewhere());
        self.event(port);
    }
}

/// Waits, on the faulting thread, for the end of the right that its request carried. `None`: destroyed unused.
pub(super) fn wait_for_reply(mach: &Mach, thread: u32, spin: bool) -> Option<Buffer<'_>> {
    let mut spin = spin;
    loop {
        let mut kernel = mach.lock_with_signals_blocked();
        let port = kernel.state.threads[thread].reply_port;
        let sequence = kernel.wait_word(port).sequence();
        let pool = kernel.pool;
        let answer = &mut kernel.state.threads[thread].answer;
        if answer.progress != Progress::Waiting {
            return answer.take_message(pool);
        }
        drop(kernel);
        // Interrupted waits are waits: no signal but the five can arrive here (G2.3).
        mach.wait(port, sequence, None, spin);
        spin = false;
    }
}
