//! One emulated kernel.

use super::arena::{Arena};
use crate::error::ReserveError;
use super::buffer::{Pool, Queue};
use super::lock::{Guard, Lock, WaitWord, WaitWords, Waited};
use super::object::Object;
use super::set::Link;
use super::space::Space;
use crate::exception::action::Actions;
use crate::host::copy::{self, CopyFault};
use crate::host::InKernel;
use crate::thread::Thread;
use mach_wire::kern_return::KernReturn;
use std::time::Instant;

/// How much of everything one kernel can hold. Address space is reserved for all of it; memory is used for what is touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) objects: u32,
    pub(crate) messages: u32,
    pub(crate) threads: u32,
    pub(crate) names: u32,
}

impl Limits {
    /// For the process's own kernel.
    pub(crate) const PROCESS: Self = Self {
        objects: 1 << 17,
        messages: 1 << 14,
        threads: 1 << 13,
        names: super::space::LARGEST_TABLE,
    };
}

/// How many tasks, each with its space, one kernel can hold. The process's own kernel has one; more are made by tests.
const TASKS: usize = 16;

/// A kernel: objects, message buffers, and the lock over them.
#[derive(Debug)]
pub(crate) struct Mach {
    state: Lock<State>,
    pool: Pool,
    words: WaitWords,
    limits: Limits,
}

/// All that the lock covers.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) objects: Arena<Object>,
    pub(super) links: Arena<Link>,
    pub(crate) threads: Arena<Thread>,
    pub(crate) tasks: [Task; TASKS],
    /// Messages that are to be destroyed once the operation under way is done (C1.7).
    pub(super) doomed: Queue,
}

/// A task: a name space and exception actions. A place in the table that no task has taken has port 0 and an empty space.
#[derive(Debug, Default)]
pub(crate) struct Task {
    pub(crate) space: Space,
    /// Its control port.
    pub(crate) port: u32,
    pub(crate) actions: Actions,
}

/// Identifies a task of a kernel, and the name space that goes with it. Only [`Mach::create_task`] makes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskId(u8);

impl Mach {
    /// A kernel with no task.
    pub(crate) fn new(limits: Limits) -> Result<Self, ReserveError> {
        Ok(Self {
            state: Lock::new(State {
                objects: Arena::new(limits.objects)?,
                links: Arena::new(limits.objects)?,
                threads: Arena::new(limits.threads)?,
                tasks: core::array::from_fn(|_| Task::default()),
                doomed: Queue::default(),
            }),
            pool: Pool::new(limits.messages)?,
            words: WaitWords::new(limits.objects)?,
            limits,
        })
    }

    /// A new task with an empty name space, but for its own name, which is pinned and starts with two user references (D1.3,
    /// D5.1). `None` when the kernel holds as many tasks as it can.
    pub(crate) fn create_task(&self) -> Result<Option<TaskId>, ReserveError> {
        let space = Space::new(self.limits.names)?;
        let mut kernel = self.lock();
        let Some(index) = kernel.state.tasks.iter().position(|task| task.port == 0) else {
            return Ok(None);
        };
        let id = TaskId(index as u8);
        let Some(port) = kernel.create_object(Object::task(id)) else {
            return Ok(None);
        };
        kernel.state.tasks[index] = Task {
            space,
            port,
            actions: Actions::default(),
        };
        for _ in 0..2 {
            kernel.name_send_right(id, port);
        }
        kernel.pin(id, port);
        Ok(Some(id))
    }

    /// Takes the lock, with all signals but the five synchronous ones blocked until it is given back.
    pub(crate) fn lock(&self) -> Locked<'_> {
        self.locked(Some(InKernel::enter()))
    }

    /// As [`lock`](Self::lock), for a caller that has those signals blocked anyway: the fault handler, the reaper.
    pub(crate) fn lock_with_signals_blocked(&self) -> Locked<'_> {
        self.locked(None)
    }

    fn locked(&self, inside: Option<InKernel>) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            events: Events {
                words: &self.words,
                objects: [0; EVENTS],
                count: 0,
            },
            pool: &self.pool,
            _inside: inside,
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits until something happens to an object after `sequence` was read under the lock.
    pub(crate) fn wait(
        &self,
        object: u32,
        sequence: u32,
        deadline: Option<Instant>,
        spin: bool,
    ) -> Waited {
        self.state.assert_not_held();
        self.words.of(object).wait(sequence, deadline, spin)
    }

    /// Copies from user memory; a bad address is an error, never a fault.
    pub(crate) fn copy_from_user(&self, from: u64, into: &mut [u8]) -> Result<(), CopyFault> {
        self.state.assert_not_held();
        copy::read(from, into)
    }

    /// Copies between two places in user memory, either of which may turn out bad half-way.
    pub(crate) fn copy_within_user(&self, from: u64, to: u64, size: u64) -> Result<(), KernReturn> {
        let mut chunk = [0; 1024];
        let mut done = 0;
        while done < size {
            let length = (size - done).min(chunk.len() as u64);
            let bytes = &mut chunk[..length as usize];
            let address = |start: u64| start.checked_add(done).ok_or(KernReturn::INVALID_ADDRESS);
            self.copy_from_user(address(from)?, bytes)?;
            self.copy_to_user(address(to)?, bytes)?;
            done += length;
        }
        Ok(())
    }

    /// Copies to user memory; a bad address is an error, never a fault.
    pub(crate) fn copy_to_user(&self, to: u64, from: &[u8]) -> Result<(), CopyFault> {
        self.state.assert_not_held();
        copy::write(to, from)
    }
}

/// A kernel whose lock is held. Threads that an operation wakes are woken when it is dropped, after the lock is given back.
#[derive(Debug)]
pub(crate) struct Locked<'m> {
    // Declared first, hence dropped first.
    pub(crate) state: Guard<'m, State>,
    events: Events<'m>,
    pub(crate) pool: &'m Pool,
    // Declared last, hence dropped last: the thread leaves the kernel when the lock is free and every waiter is woken.
    _inside: Option<InKernel>,
}

const EVENTS: usize = 32;

#[derive(Debug)]
struct Events<'m> {
    words: &'m WaitWords,
    objects: [u32; EVENTS],
    count: usize,
}

impl Events<'_> {
    fn flush(&mut self) {
        for object in &self.objects[..self.count] {
            self.words.of(*object).signal();
        }
        self.count = 0;
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<'m> Locked<'m> {
    /// Notes that whoever waits on this object has to look again.
    pub(crate) fn event(&mut self, object: u32) {
        let seen = &self.events.objects[..self.events.count];
        if seen.contains(&object) {
            return;
        }
        if self.events.count == EVENTS {
            // More threads woken by one operation than usual (a port in many sets died): wake these now.
            self.events.flush();
        }
        self.events.objects[self.events.count] = object;
        self.events.count += 1;
    }

    /// What threads wait on that wait for something to happen to this object.
    pub(crate) fn wait_word(&self, object: u32) -> &'m WaitWord {
        self.events.words.of(object)
    }

    pub(crate) fn task(&self, id: TaskId) -> &Task {
        &self.state.tasks[id.0 as usize]
    }

    pub(crate) fn task_mut(&mut self, id: TaskId) -> &mut Task {
        &mut self.state.tasks[id.0 as usize]
    }

    /// The object behind a name, for tests that look inside.
    #[cfg(test)]
    pub(super) fn space_object(&self, task: TaskId, name: u32) -> u32 {
        self.space(task).get(name).map_or(0, |entry| entry.object)
    }

    pub(super) fn space(&self, id: TaskId) -> &Space {
        &self.task(id).space
    }

    pub(super) fn space_mut(&mut self, id: TaskId) -> &mut Space {
        &mut self.task_mut(id).space
    }
}
