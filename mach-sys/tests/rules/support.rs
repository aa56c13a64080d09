//! Kernel calls on names of this task, raw messages, and a thread that faults when it is told to.

use mach_sys::exception::{EXCEPTION_STATE, MACH_EXCEPTION_CODES};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_MSG_TYPE_MOVE_SEND_ONCE,
    MACH_MSGH_BITS_COMPLEX, MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG, MACH_SEND_TIMEOUT,
};
use mach_sys::mig::{self, Accept};
use mach_sys::port::{
    MACH_PORT_RECEIVE_STATUS, MACH_PORT_RIGHT_PORT_SET, MACH_PORT_RIGHT_RECEIVE,
    MACH_PORT_RIGHT_SEND,
};
use mach_sys::thread_state::{NativeState, Registers, ThreadState};
use mach_sys::types::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use test_support::instructions::LENGTH;

pub(crate) type Port = mach_port_name_t;
pub(crate) type Answer<T> = Result<T, KernReturn>;

pub(crate) const NULL: Port = 0;
pub(crate) const DEAD: Port = u32::MAX;
pub(crate) const STATE: i32 = EXCEPTION_STATE | MACH_EXCEPTION_CODES;

/// The longest time that a message or a thread is waited for.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn answered(code: kern_return_t) -> Answer<()> {
    match KernReturn::new(code) {
        KernReturn::SUCCESS => Ok(()),
        error => Err(error),
    }
}

pub(crate) fn allocate(right: u32) -> Port {
    let mut name = 0;
    // SAFETY: the result goes to a local variable.
    let made = answered(unsafe { kernel::mach_port_allocate(task_self(), right, &mut name) });
    assert_eq!(made, Ok(()));
    name
}

/// Returns a new receive right.
pub(crate) fn receive_right() -> Port {
    allocate(MACH_PORT_RIGHT_RECEIVE)
}

/// Returns a new receive right with one send right under the same name.
pub(crate) fn port() -> Port {
    let name = receive_right();
    assert_eq!(insert(name, name, MACH_MSG_TYPE_MAKE_SEND), Ok(()));
    name
}

pub(crate) fn set() -> Port {
    allocate(MACH_PORT_RIGHT_PORT_SET)
}

/// Returns a name that denotes nothing: its port is gone.
pub(crate) fn absent() -> Port {
    let name = receive_right();
    destroy_port(name);
    name
}

pub(crate) fn send_once(name: Port) -> Port {
    let made = extract(name, MACH_MSG_TYPE_MAKE_SEND_ONCE);
    made.expect("a receive right").0
}

pub(crate) fn insert(name: Port, poly: Port, disposition: u32) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::mach_port_insert_right(task_self(), name, poly, disposition) })
}

pub(crate) fn extract(name: Port, disposition: u32) -> Answer<(Port, u32)> {
    let (mut right, mut kind) = (0, 0);
    // SAFETY: the results go to local variables.
    answered(unsafe {
        kernel::mach_port_extract_right(task_self(), name, disposition, &mut right, &mut kind)
    })?;
    Ok((right, kind))
}

pub(crate) fn refs(name: Port, right: u32) -> Answer<u32> {
    let mut count = 0;
    // SAFETY: the result goes to a local variable.
    answered(unsafe { kernel::mach_port_get_refs(task_self(), name, right, &mut count) })?;
    Ok(count)
}

pub(crate) fn sends(name: Port) -> u32 {
    refs(name, MACH_PORT_RIGHT_SEND).expect("a name")
}

pub(crate) fn mod_refs(name: Port, right: u32, delta: i32) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::mach_port_mod_refs(task_self(), name, right, delta) })
}

pub(crate) fn kind(name: Port) -> Answer<u32> {
    let mut kind = 0;
    // SAFETY: the result goes to a local variable.
    answered(unsafe { kernel::mach_port_type(task_self(), name, &mut kind) })?;
    Ok(kind)
}

pub(crate) fn deallocate(name: Port) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::mach_port_deallocate(task_self(), name) })
}

pub(crate) fn destroy(name: Port) -> Answer<()> {
    // SAFETY: no pointers.
    answered(unsafe { kernel::mach_port_destroy(task_self(), name) })
}

pub(crate) fn destroy_port(name: Port) {
    assert_eq!(mod_refs(name, MACH_PORT_RIGHT_RECEIVE, -1), Ok(()));
}

/// Returns the number of a port's send rights, in name spaces and messages.
pub(crate) fn send_rights(name: Port) -> Answer<u32> {
    let mut count = 0;
    // SAFETY: the result goes to a local variable.
    answered(unsafe { kernel::mach_port_get_srights(task_self(), name, &mut count) })?;
    Ok(count)
}

/// Returns the ten words of a port's status (C5.3): at 4 the messages, at 5 the send-once rights, at 6 whether there are send rights.
pub(crate) fn status(name: Port) -> [i32; 10] {
    try_status(name).expect("a receive right")
}

/// Returns the ten words of a port's status, or the kernel's refusal.
pub(crate) fn try_status(name: Port) -> Answer<[i32; 10]> {
    let (mut words, mut count) = ([0; 10], 10);
    // SAFETY: the results go to local variables, of the size that `count` says.
    answered(unsafe {
        let words = words.as_mut_ptr();
        kernel::mach_port_get_attributes(
            task_self(),
            name,
            MACH_PORT_RECEIVE_STATUS,
            words,
            &mut count,
        )
    })?;
    Ok(words)
}

/// A message, sent or received.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) words: Vec<u32>,
    /// Size in bytes.
    pub(crate) size: usize,
}

impl Message {
    pub(crate) fn empty() -> Self {
        Self {
            words: vec![0; 2048],
            size: 24,
        }
    }

    pub(crate) fn to(port: Port, disposition: u32, id: u32) -> Self {
        let mut message = Self::empty();
        message.words[0] = disposition;
        message.words[2] = port;
        message.words[5] = id;
        message
    }

    pub(crate) fn with_reply(mut self, port: Port, disposition: u32) -> Self {
        self.words[0] |= disposition << 8;
        self.words[3] = port;
        self
    }

    pub(crate) fn with_right(mut self, name: Port, disposition: u32) -> Self {
        if self.words[0] & MACH_MSGH_BITS_COMPLEX == 0 {
            self.words[0] |= MACH_MSGH_BITS_COMPLEX;
            self.size = 28;
        }
        let at = self.size / 4;
        self.words[6] += 1;
        self.words[at] = name;
        self.words[at + 2] = disposition << 16;
        self.size += 12;
        self
    }

    /// Sends it, without waiting for room.
    pub(crate) fn send(&self) -> Answer<()> {
        self.clone()
            .exchange(MACH_SEND_MSG | MACH_SEND_TIMEOUT, NULL, 0, 0)
    }

    /// Makes one call of mach_msg with this message and these options, from and into its buffer.
    pub(crate) fn exchange(
        &mut self,
        options: i32,
        from: Port,
        room: u32,
        timeout: u32,
    ) -> Answer<()> {
        assert!(room as usize <= 4 * self.words.len() && self.size <= 4 * self.words.len());
        // SAFETY: the buffer is valid for the sizes given.
        answered(unsafe {
            kernel::mach_msg(
                self.words.as_mut_ptr().cast(),
                options,
                if options & MACH_SEND_MSG == 0 {
                    0
                } else {
                    self.size as u32
                },
                room,
                from,
                timeout,
                NULL,
            )
        })
    }

    pub(crate) fn bits(&self) -> u32 {
        self.words[0]
    }

    pub(crate) fn remote(&self) -> Port {
        self.words[2]
    }

    pub(crate) fn local(&self) -> Port {
        self.words[3]
    }

    pub(crate) fn id(&self) -> u32 {
        self.words[5]
    }

    /// Returns name and disposition of a received descriptor.
    pub(crate) fn descriptor(&self, index: usize) -> (Port, u32) {
        let at = 7 + 3 * index;
        (self.words[at], self.words[at + 2] >> 16 & 0xff)
    }
}

/// Receives a message, waiting for it as long as a test may.
pub(crate) fn receive(from: Port) -> Message {
    let mut message = Message::empty();
    let options = MACH_RCV_MSG | MACH_RCV_TIMEOUT;
    let limit = LIMIT.as_millis() as u32;
    let received = message.exchange(options, from, 8192, limit);
    assert_eq!(received, Ok(()), "no message came");
    message.size = message.words[1] as usize;
    message
}

/// Receives a message that is there.
pub(crate) fn receive_now(from: Port) -> Answer<Message> {
    let mut message = Message::empty();
    message.exchange(MACH_RCV_MSG | MACH_RCV_TIMEOUT, from, 8192, 0)?;
    message.size = message.words[1] as usize;
    Ok(message)
}

/// An exception request.
impl Message {
    pub(crate) fn request(&self) -> mig::Request<'_> {
        let bytes = &mach_sys::pod::word_bytes(&self.words)[..self.size];
        mig::decode(bytes, Accept::Both).expect("an exception request")
    }

    pub(crate) fn state(&self) -> NativeState {
        self.request().state().expect("the native state")
    }

    /// Makes the reply to a request of a code, without a state.
    pub(crate) fn reply(&self, code: KernReturn) -> Self {
        let mut reply = Self::to(self.remote(), MACH_MSG_TYPE_MOVE_SEND_ONCE, self.id() + 100);
        reply.words[7] = 1;
        reply.words[8] = code.raw() as u32;
        reply.size = 36;
        reply
    }

    /// Makes the reply to a request with a state.
    pub(crate) fn reply_with(&self, code: KernReturn, flavor: i32, state: &[u32]) -> Self {
        let mut reply = self.reply(code);
        reply.words[9] = flavor as u32;
        reply.words[10] = state.len() as u32;
        reply.words[11..][..state.len()].copy_from_slice(state);
        reply.size = 44 + 4 * state.len();
        reply
    }

    /// Answers a request with the native state that it came with, edited.
    pub(crate) fn resume(&self, edit: impl FnOnce(&mut NativeState)) {
        let mut state = self.state();
        skip(&mut state);
        edit(&mut state);
        let reply = self.reply_with(KernReturn::SUCCESS, NativeState::FLAVOR, state.as_words());
        assert_eq!(reply.send(), Ok(()));
    }

    /// Declines a request.
    pub(crate) fn decline(&self) {
        assert_eq!(self.reply(KernReturn::FAILURE).send(), Ok(()));
    }
}

/// Value of a thread's first register (rax, x0) when it faults.
pub(crate) const MARK: u64 = 0x1122_3344_5566_7788;

pub(crate) fn first_register(state: &NativeState) -> u64 {
    let words = state.as_words();
    u64::from(words[0]) | u64::from(words[1]) << 32
}

pub(crate) fn set_first_register(state: &mut NativeState, value: u64) {
    let words = state.as_words_mut();
    (words[0], words[1]) = (value as u32, (value >> 32) as u32);
}

/// Moves a state past the undefined instruction.
pub(crate) fn skip(state: &mut NativeState) {
    state.set_pc(state.pc() + LENGTH);
}

/// Runs an undefined instruction with [`MARK`] in the first register, and returns what the handler made of that.
pub(crate) fn undefined_instruction() -> u64 {
    let mut word = MARK;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the handler skips the instruction, and changes no other register.
    unsafe {
        core::arch::asm!("ud2", inout("rax") word);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the handler skips the instruction, and changes no other register.
    unsafe {
        core::arch::asm!("udf #0", inout("x0") word);
    }
    word
}

type Job = Box<dyn FnOnce() -> u64 + Send>;

/// A thread that does what it is told, in order.
pub(crate) struct Victim {
    /// Its name, with a reference of the test's.
    pub(crate) thread: Port,
    tell: Option<Sender<Job>>,
    done: Receiver<u64>,
    handle: Option<std::thread::JoinHandle<()>>,
}

impl Victim {
    pub(crate) fn start() -> Self {
        let (tell, told) = channel::<Job>();
        let (says, done) = channel();
        let handle = std::thread::spawn(move || {
            // SAFETY: no arguments.
            says.send(u64::from(unsafe { kernel::mach_thread_self() }))
                .expect("the test listens");
            for job in told {
                says.send(job()).expect("the test listens");
            }
        });
        let mut victim = Self {
            thread: NULL,
            tell: Some(tell),
            done,
            handle: Some(handle),
        };
        victim.thread = victim.result() as Port;
        victim
    }

    /// Starts a job and does not wait for it.
    pub(crate) fn starts(&self, job: impl FnOnce() -> u64 + Send + 'static) {
        let tell = self.tell.as_ref().expect("the thread lives");
        tell.send(Box::new(job)).expect("the thread lives");
    }

    /// Lets it run an undefined instruction.
    pub(crate) fn faults(&self) {
        self.starts(undefined_instruction);
    }

    /// Waits for the job started first.
    pub(crate) fn result(&self) -> u64 {
        self.done.recv_timeout(LIMIT).expect("the thread goes on")
    }

    /// Returns whether the thread is still busy after a while.
    pub(crate) fn is_waiting(&self) -> bool {
        self.done.recv_timeout(Duration::from_millis(50)).is_err()
    }

    /// Registers a port at the thread's level for undefined instructions and bad accesses.
    pub(crate) fn handled_by(&self, port: Port, behavior: i32, flavor: i32) -> Answer<()> {
        // SAFETY: no pointers.
        answered(unsafe {
            kernel::thread_set_exception_ports(self.thread, MASK, port, behavior, flavor)
        })
    }

    /// Reads the thread's registers while it waits in an exception.
    pub(crate) fn registers(&self) -> NativeState {
        let mut state = NativeState::default();
        let mut count = NativeState::COUNT;
        // SAFETY: the state has as many words as the count says.
        let read = answered(unsafe {
            let words = state.as_words_mut().as_mut_ptr();
            kernel::thread_get_state(self.thread, NativeState::FLAVOR, words, &mut count)
        });
        assert_eq!((read, count), (Ok(()), NativeState::COUNT));
        state
    }

    pub(crate) fn set_registers(&self, state: &NativeState) -> Answer<()> {
        let words = state.as_words();
        // SAFETY: the state has as many words as the count says.
        answered(unsafe {
            kernel::thread_set_state(
                self.thread,
                NativeState::FLAVOR,
                words.as_ptr(),
                words.len() as u32,
            )
        })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The thread may wait for an answer that does not come.
            return;
        }
        drop(self.tell.take());
        let handle = self.handle.take().expect("a thread");
        handle.join().expect("the thread ended");
        let _ = deallocate(self.thread);
    }
}

/// Undefined instructions and bad accesses.
pub(crate) const MASK: u32 =
    mach_sys::exception::EXC_MASK_BAD_INSTRUCTION | mach_sys::exception::EXC_MASK_BAD_ACCESS;

/// A thread with a handler of its own over the task's. To be used in a process of its own.
pub(crate) struct Scene {
    pub(crate) victim: Victim,
    /// The thread's handler.
    pub(crate) upper: Port,
    /// The task's handler, by `EXCEPTION_STATE`.
    pub(crate) lower: Port,
}

impl Scene {
    /// The thread's handler gets this behavior, with the native flavor.
    pub(crate) fn new(behavior: i32) -> Self {
        let scene = Self::without_upper();
        let set = scene
            .victim
            .handled_by(scene.upper, behavior, NativeState::FLAVOR);
        assert_eq!(set, Ok(()));
        scene
    }

    /// The thread has no handler yet.
    pub(crate) fn without_upper() -> Self {
        let (upper, lower) = (port(), port());
        // SAFETY: no pointers.
        let set = answered(unsafe {
            kernel::task_set_exception_ports(task_self(), MASK, lower, STATE, NativeState::FLAVOR)
        });
        assert_eq!(set, Ok(()));
        Self {
            victim: Victim::start(),
            upper,
            lower,
        }
    }

    /// The task's handler gets the exception, and its registers are as they were at the fault.
    pub(crate) fn goes_to_the_task(&self, what: &str) {
        let request = receive(self.lower);
        let state = request.state();
        assert_eq!(first_register(&state), MARK, "{what}");
        assert_eq!(request.request().exception().raw(), 2, "{what}");
        request.resume(|state| set_first_register(state, 77));
        assert_eq!(self.victim.result(), 77, "{what}");
        let more = receive_now(self.upper).err();
        assert_ne!(more, None, "{what}: nothing is left at the thread's level");
    }
}

/// Releases the rights that a request of behavior 1 or 3 brought.
pub(crate) fn release_rights(request: &Message) {
    for index in 0..request.words[6] as usize {
        assert_eq!(deallocate(request.descriptor(index).0), Ok(()));
    }
}

/// Returns all names of this task, with their types.
pub(crate) fn names() -> Vec<(Port, u32)> {
    let (mut names, mut types) = (core::ptr::null_mut(), core::ptr::null_mut());
    let (mut count, mut also) = (0, 0);
    // SAFETY: the results go to local variables; the arrays are as long as the counts say, and released as they were given out.
    unsafe {
        let code =
            kernel::mach_port_names(task_self(), &mut names, &mut count, &mut types, &mut also);
        assert_eq!((code, count), (0, also));
        let found = (0..count as usize)
            .map(|at| (*names.add(at), *types.add(at)))
            .collect();
        for array in [names as u64, types as u64] {
            kernel::mach_vm_deallocate(task_self(), array, 4 * u64::from(count));
        }
        found
    }
}

/// A page that is shut and opened.
pub(crate) struct Page(usize);

impl Page {
    pub(crate) fn new() -> Self {
        // SAFETY: a new mapping.
        let address = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                Self::size(),
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED);
        Self(address as usize)
    }

    fn size() -> usize {
        kernel::system::page_size()
    }

    pub(crate) fn address(&self) -> usize {
        self.0
    }

    pub(crate) fn open(&self) {
        self.protect(libc::PROT_READ | libc::PROT_WRITE);
    }

    pub(crate) fn shut(&self) {
        self.protect(libc::PROT_NONE);
    }

    fn protect(&self, protection: i32) {
        // SAFETY: the page is this value's, and nothing refers to it.
        let result = unsafe { libc::mprotect(self.0 as *mut _, Self::size(), protection) };
        assert_eq!(result, 0);
    }

    /// Stores into a page's first word, which faults while it is shut.
    pub(crate) fn store(address: usize) -> u64 {
        // SAFETY: the page lives as long as its test, and the handler of the fault opens it.
        unsafe { (address as *mut u32).write_volatile(1) };
        0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the page is this value's, and nothing refers to it.
        unsafe { libc::munmap(self.0 as *mut _, Self::size()) };
    }
}
