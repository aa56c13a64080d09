//! A thread's beginning and end in the emulated kernel (D1, D2, D4).

use super::Thread;
use crate::exception::action::Actions;
use crate::exception::answer::Answer;
use crate::ipc::mach::{Locked, TaskId};
use crate::ipc::object::{Carried, Kind, Object};
use mach_wire::types::mach_port_name_t;

impl Locked<'_> {
    /// A thread object for a host thread, and its name in its task: pinned, with the one reference that is the thread's own until
    /// its end; the main thread's name starts with two (D1.3). `None` when the kernel is full.
    pub(crate) fn create_thread(&mut self, task: TaskId, main: bool) -> Option<u32> {
        let thread = self.state.threads.insert(Thread {
            task,
            port: 0,
            reply_port: 0,
            actions: Actions::default(),
            answer: Answer::default(),
            context: 0,
        })?;
        let made = self.make_ports(task, thread, main);
        if made.is_none() {
            self.forget_thread(thread);
            return None;
        }
        Some(thread)
    }

    fn make_ports(&mut self, task: TaskId, thread: u32, main: bool) -> Option<()> {
        let port = self.create_object(Object::of_thread(Kind::Thread, thread))?;
        self.state.threads[thread].port = port;
        let reply_port = self.create_object(Object::of_thread(Kind::Reply, thread))?;
        self.state.threads[thread].reply_port = reply_port;
        for _ in 0..if main { 2 } else { 1 } {
            self.name_send_right(task, port)?;
        }
        self.pin(task, port);
        Some(())
    }

    /// The host thread is gone: the one deallocation of its name that the kernel does (D2.2), then the death of its port (D4).
    pub(crate) fn end_thread(&mut self, thread: u32) {
        let Thread { task, port, .. } = self.state.threads[thread];
        self.unpin_and_deallocate(task, port);
        self.forget_thread(thread);
    }

    /// Releases what a thread object holds, and the object.
    fn forget_thread(&mut self, thread: u32) {
        let ports = self.state.threads[thread].actions.take_ports();
        for port in ports {
            if let Carried::Object(object) = port {
                self.release_object(object);
            }
        }
        let mut answer = core::mem::take(&mut self.state.threads[thread].answer);
        if let Some(message) = answer.take_message(self.pool) {
            self.destroy_message(message);
        }
        let Thread {
            port, reply_port, ..
        } = self.state.threads[thread];
        for object in [port, reply_port] {
            if object != 0 {
                self.kill(object);
            }
        }
        self.state.threads.remove(thread);
    }

    /// `mach_thread_self`: one more reference on the thread's name (D1.1).
    pub(crate) fn thread_self(&mut self, thread: u32) -> Option<mach_port_name_t> {
        let Thread { task, port, .. } = self.state.threads[thread];
        self.name_send_right(task, port)
    }

    /// The name that a thread has in its task, without a new reference (D1.2).
    pub(crate) fn thread_name(&self, thread: u32) -> Option<mach_port_name_t> {
        let Thread { task, port, .. } = self.state.threads[thread];
        self.name_of(task, port)
    }
}
