//! A port that all threads use at once, with nothing between them: an answer has to be one that some order of the calls under way allows.

use crate::support::{
    Answer, DEAD, Message, NULL, Port, answered, deallocate, destroy, destroy_port, extract,
    insert, port, receive_now, refs, sends, set, try_status,
};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_SEND_MSG,
    MACH_SEND_TIMEOUT,
};
use mach_sys::port::MACH_PORT_RIGHT_DEAD_NAME;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use test_support::random::Random;

/// Messages that the queue takes: that of a new port (C2.1).
const LIMIT: i64 = 5;
const SEND_ONCE: u32 = 71;

/// Counts of something begun and done, over all threads.
#[derive(Default)]
struct Count {
    begun: AtomicI64,
    done: AtomicI64,
}

impl Count {
    fn begun(&self) -> i64 {
        self.begun.load(SeqCst)
    }

    fn done(&self) -> i64 {
        self.done.load(SeqCst)
    }

    /// Runs a call that does it if it succeeds.
    fn around<T>(&self, call: impl FnOnce() -> Answer<T>) -> Answer<T> {
        self.begun.fetch_add(1, SeqCst);
        let outcome = call();
        match outcome {
            Ok(_) => self.done.fetch_add(1, SeqCst),
            Err(_) => self.begun.fetch_sub(1, SeqCst),
        };
        outcome
    }
}

pub(super) struct Crowd {
    name: Port,
    set: Port,
    /// User references taken and released.
    taken: Count,
    released: Count,
    /// Of those, the ones that a `MAKE_SEND` made.
    made: Count,
    sent: Count,
    /// Send-once rights that were destroyed; each sends a notification, which no limit holds up.
    unused: Count,
    received: Count,
    joined: Count,
    parted: Count,
    /// The port's death has begun, and is over.
    dying: AtomicBool,
    dead: AtomicBool,
    /// The sum of the numbers in the messages sent, and in those received.
    sums: [AtomicUsize; 2],
}

/// One thread's part in a crowd.
pub(super) struct Member {
    thread: usize,
    /// User references that it holds.
    held: u32,
    steps: u32,
    sent: u32,
    /// The number of the last message that came from each thread.
    last: Vec<u32>,
}

impl Member {
    pub(super) fn new(thread: usize, threads: usize) -> Self {
        Self {
            thread,
            held: 0,
            steps: 0,
            sent: 0,
            last: vec![0; threads],
        }
    }
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self {
            name: port(),
            set: set(),
            taken: Count::default(),
            released: Count::default(),
            made: Count::default(),
            sent: Count::default(),
            unused: Count::default(),
            received: Count::default(),
            joined: Count::default(),
            parted: Count::default(),
            dying: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            sums: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    /// Destroys the receive right while the others go on.
    pub(super) fn kill(&self) {
        self.dying.store(true, SeqCst);
        destroy_port(self.name);
        self.dead.store(true, SeqCst);
    }

    /// Asserts that a call's answer fits the port's life: `dead` is what a dead port answers, and every other error is wrong. Returns
    /// whether the port lived.
    fn lived<T>(&self, was_dead: bool, outcome: &Answer<T>, dead: KernReturn) -> bool {
        match outcome {
            Ok(_) => assert!(!was_dead, "success after the death"),
            Err(error) => {
                assert_eq!(*error, dead);
                assert!(self.dying.load(SeqCst), "{error:?} of a living port");
            }
        }
        outcome.is_ok()
    }

    pub(super) fn step(&self, member: &mut Member, random: &mut Random) {
        let was_dead = self.dead.load(SeqCst);
        member.steps += 1;
        // In turn more messages are sent than received, and fewer: the queue gets full, and empty.
        let sends_more = member.steps / 32 % 2 == 0;
        match random.below(16) {
            0 => {
                let taken = self
                    .taken
                    .around(|| insert(self.name, self.name, MACH_MSG_TYPE_COPY_SEND));
                let lived = self.lived(was_dead, &taken, KernReturn::INVALID_CAPABILITY);
                member.held += u32::from(lived);
            }
            1 => {
                let make = || {
                    self.taken
                        .around(|| insert(self.name, self.name, MACH_MSG_TYPE_MAKE_SEND))
                };
                let taken = self.made.around(make);
                let lived = self.lived(was_dead, &taken, KernReturn::INVALID_CAPABILITY);
                member.held += u32::from(lived);
            }
            2 | 3 if member.held > 0 => {
                // A dead name has as many references as the send right had (C1.1).
                let released = self.released.around(|| deallocate(self.name));
                assert_eq!(released, Ok(()));
                member.held -= 1;
            }
            4 => {
                let (taken, released) = (self.taken.done(), self.released.done());
                let count = i64::from(sends(self.name));
                if count == 0 {
                    assert!(self.dying.load(SeqCst), "no send right is left");
                } else {
                    assert!(!was_dead, "send rights of a dead port");
                    let least = 1 + taken - self.released.begun();
                    let most = 1 + self.taken.begun() - released;
                    assert!(
                        (least..=most).contains(&count),
                        "{count} is not in {least}..={most}"
                    );
                }
            }
            5 | 6 => self.send(was_dead, member),
            7..12 if sends_more => self.send(was_dead, member),
            7..13 => self.receive(
                was_dead,
                member,
                random.of(&[self.name, self.name, self.set]),
            ),
            13 => {
                let join = || {
                    // SAFETY: no pointers.
                    answered(unsafe {
                        kernel::mach_port_insert_member(task_self(), self.name, self.set)
                    })
                };
                self.member(
                    was_dead,
                    self.joined.around(join),
                    KernReturn::ALREADY_IN_SET,
                );
            }
            14 => {
                let part = || {
                    // SAFETY: no pointers.
                    answered(unsafe {
                        kernel::mach_port_extract_member(task_self(), self.name, self.set)
                    })
                };
                self.member(was_dead, self.parted.around(part), KernReturn::NOT_IN_SET);
            }
            // The port may die between the two calls, which `send_once` would not forgive.
            _ => self.unused(was_dead),
        }
    }

    fn send(&self, was_dead: bool, member: &mut Member) {
        let number = member.sent + 1;
        let received = self.received.done();
        let mut message = Message::to(
            self.name,
            MACH_MSG_TYPE_COPY_SEND,
            (member.thread as u32 + 1) << 24 | number,
        );
        // If it comes back, then with a user reference (C10.7).
        self.taken.begun.fetch_add(1, SeqCst);
        let outcome = self
            .sent
            .around(|| message.exchange(MACH_SEND_MSG | MACH_SEND_TIMEOUT, NULL, 0, 0));
        if outcome == Err(KernReturn::SEND_TIMED_OUT) {
            assert!(!was_dead, "a dead port is not full");
            let most = self.sent.begun() + self.unused.begun() - received;
            assert!(most >= LIMIT, "there was room: {most} messages at the most");
            if message.remote() != DEAD {
                self.taken.done.fetch_add(1, SeqCst);
                member.held += 1;
                return;
            }
            assert!(self.dying.load(SeqCst));
        } else if self.lived(was_dead, &outcome, KernReturn::SEND_INVALID_DEST) {
            member.sent = number;
            self.sums[0].fetch_add(number as usize, SeqCst);
            let sent = self.sent.done();
            let least = sent - self.received.begun();
            // C10.6: a send to a port that dies meanwhile succeeds, and its message is gone.
            assert!(
                least <= LIMIT || self.dying.load(SeqCst),
                "{least} messages at the least in the queue"
            );
        }
        self.taken.begun.fetch_sub(1, SeqCst);
    }

    fn receive(&self, was_dead: bool, member: &mut Member, from: Port) {
        let sent = self.sent.done() + self.unused.done();
        let outcome = self.received.around(|| receive_now(from));
        if outcome.as_ref().err() == Some(&KernReturn::RCV_TIMED_OUT) {
            assert!(
                !was_dead || from == self.set,
                "a dead port is received from"
            );
            let taken = self.received.begun();
            let has_to_come = from == self.name && sent > taken;
            assert!(
                !has_to_come || self.dying.load(SeqCst),
                "{sent} sent, {taken} taken at the most"
            );
        } else if outcome.as_ref().err() == Some(&KernReturn::RCV_PORT_CHANGED) {
            // C11.3: it died between the look at its name and that at its queue.
            assert!(!was_dead && self.dying.load(SeqCst), "a port that lives");
        } else if self.lived(was_dead, &outcome, KernReturn::RCV_INVALID_NAME) {
            self.count(member, &outcome.expect("alive"));
        }
    }

    /// Counts a message that came: those of one sender come in order (C10.8).
    fn count(&self, member: &mut Member, message: &Message) {
        if message.id() == SEND_ONCE {
            return;
        }
        let (sender, number) = (message.id() >> 24, message.id() & 0xff_ffff);
        let last = &mut member.last[sender as usize - 1];
        assert!(number > *last, "message {number} of {sender} after {last}");
        *last = number;
        self.sums[1].fetch_add(number as usize, SeqCst);
    }

    /// Makes a send-once right, and destroys it unused (C8.8).
    fn unused(&self, was_dead: bool) {
        let made = extract(self.name, MACH_MSG_TYPE_MAKE_SEND_ONCE);
        if !self.lived(was_dead, &made, KernReturn::INVALID_RIGHT) {
            return;
        }
        match made.expect("alive").0 {
            DEAD => assert!(self.dying.load(SeqCst)),
            name => assert_eq!(self.unused.around(|| deallocate(name)), Ok(())),
        }
    }

    fn member(&self, was_dead: bool, outcome: Answer<()>, already: KernReturn) {
        // A dead name is no receive right.
        if outcome != Err(already) {
            self.lived(was_dead, &outcome, KernReturn::INVALID_RIGHT);
        } else {
            assert!(!was_dead, "a member that is dead");
        }
        // No more than one of the two is ahead of the other.
        let (joined, parted) = (self.joined.done(), self.parted.begun());
        assert!(
            joined - parted <= 1,
            "{joined} joined, {parted} left at the most"
        );
    }

    /// Asserts what is left when no thread uses the port any more, and releases it.
    pub(super) fn finish(&self, mut members: Vec<Member>) {
        let held = members.iter().map(|member| member.held).sum::<u32>() + 1;
        let counted = 1 + self.taken.done() - self.released.done();
        assert_eq!(i64::from(held), counted);
        if self.dead.load(SeqCst) {
            assert_eq!(refs(self.name, MACH_PORT_RIGHT_DEAD_NAME), Ok(held));
        } else {
            // One that has received nothing yet, to take what is left.
            let mut last = Member::new(members.len(), members.len());
            while let Ok(message) = self.received.around(|| receive_now(self.name)) {
                self.count(&mut last, &message);
            }
            members.push(last);
            assert_eq!(sends(self.name), held);
            let joined = self.joined.done() - self.parted.done();
            let expected = [
                joined,
                self.received.done(),
                1 + self.made.done(),
                LIMIT,
                0,
                0,
                1,
                0,
                0,
                0,
            ];
            assert_eq!(
                try_status(self.name).map(|words| words.map(i64::from)),
                Ok(expected)
            );
            assert_eq!(self.received.done(), self.sent.done() + self.unused.done());
            let [sent, received] = &self.sums;
            assert_eq!(
                received.load(SeqCst),
                sent.load(SeqCst),
                "each message came once"
            );
        }
        for name in [self.name, self.set] {
            assert_eq!(destroy(name), Ok(()));
        }
    }
}
