//! G6.1: which calls make their thread a MIG reply port.
//!
//! The other names that a process's libraries take cannot be made here on every kernel: a thread's first blocking park makes a semaphore
//! in XNU (G6.2), and nothing on the emulation, whose system parks without Mach.
#![allow(unsafe_code)]

use mach_sys::exception::{EXC_MASK_BAD_INSTRUCTION, EXC_TYPES_COUNT, EXCEPTION_DEFAULT};
use mach_sys::info::{TASK_DYLD_INFO, THREAD_BASIC_INFO};
use mach_sys::kernel::{self, CALLS, system::task_self};
use mach_sys::message::{
    MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE, MACH_RCV_MSG, MACH_RCV_TIMEOUT,
    mach_msg_header_t,
};
use mach_sys::mig::MACH_NOTIFY_DEAD_NAME;
use mach_sys::port::{
    KobjectType, MACH_PORT_LIMITS_INFO, MACH_PORT_QLIMIT_MAX, MACH_PORT_RECEIVE_STATUS,
    MACH_PORT_RIGHT_DEAD_NAME, MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_SEND,
    MACH_PORT_TYPE_RECEIVE, MPO_QLIMIT, mach_port_options_t,
};
use mach_sys::rights::{PortSet, ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use mach_sys::types::*;
use mach_sys::vm::{VM_INHERIT_COPY, VM_PROT_ALL};
use std::ptr::null_mut;
use std::sync::mpsc::{Receiver, Sender, channel};
use test_support::wait::wait_for;

/// Returns the task's names that hold a receive right.
fn receive_names() -> Vec<mach_port_name_t> {
    let (mut names, mut types) = (null_mut(), null_mut());
    let (mut count, mut also) = (0, 0);
    // SAFETY: the results go to local variables; the arrays are as long as the counts say, and released as they were given out.
    unsafe {
        let code =
            kernel::mach_port_names(task_self(), &mut names, &mut count, &mut types, &mut also);
        assert_eq!((code, count), (0, also));
        let found = (0..count as usize)
            .filter(|&at| *types.add(at) & MACH_PORT_TYPE_RECEIVE != 0)
            .map(|at| *names.add(at))
            .collect();
        for array in [names as u64, types as u64] {
            kernel::mach_vm_deallocate(task_self(), array, 4 * u64::from(count));
        }
        found
    }
}

/// The objects that calls are made on. All of it is made and released by another thread than the one that calls.
#[derive(Clone, Copy)]
struct Given {
    /// A port of this task's with a send right.
    port: mach_port_name_t,
    /// A set in which that port is, and one in which it is not.
    sets: [mach_port_name_t; 2],
    /// The thread that gives.
    thread: mach_port_name_t,
}

const MASK: exception_mask_t = EXC_MASK_BAD_INSTRUCTION;

/// Return value of a call. Most calls fail or change nothing, which does not matter to the reply port.
type Answer = kern_return_t;

/// A call, whether it makes its thread's reply port, and how it is made here.
type Case = (&'static str, bool, fn(Given) -> Answer);

/// Is called for no request: there is no port to receive one from.
unsafe extern "C" fn serves_nothing(
    _: *mut mach_msg_header_t,
    _: *mut mach_msg_header_t,
) -> boolean_t {
    unreachable!("a request")
}

/// Declares cases: a call, whether it makes a reply port, its arguments.
macro_rules! cases {
    ($($call:ident: $makes:literal, |$given:pat_param, $room:pat_param| ($($argument:expr),* $(,)?) $(=> |$result:pat_param| $answer:expr)?;)*) => {
        &[$((stringify!($call), $makes, |$given| {
            #[allow(unused_mut)]
            let mut room = Room { count: EXC_TYPES_COUNT as u32, ..Room::default() };
            let $room = &mut room;
            // SAFETY: pointers are to local variables of the sizes that the headers state, or to arrays that are leaked; names are the
            // test's own.
            let answer = unsafe { kernel::$call($($argument),*) };
            cases!(@answer answer $(, |$result| $answer)?)
        })),*]
    };
    (@answer $answer:ident) => { $answer };
    (@answer $answer:ident, |$result:pat_param| $other:expr) => { match $answer { $result => $other } };
}

static CASES: &[Case] = cases! {
    mach_thread_self: false, |_, _| () => |_| 0;
    mach_msg: false, |given, room| (
        room.words.as_mut_ptr().cast(), MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 256, given.port, 0, 0,
    );
    mach_msg_overwrite: false, |given, room| (
        room.words.as_mut_ptr().cast(), MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 256, given.port, 0, 0, null_mut(), 0,
    );
    mach_msg_server: false, |_, _| (serves_nothing, 100, 0, 0);
    mach_msg_server_once: false, |_, _| (serves_nothing, 100, 0, 0);
    mach_msg_destroy: false, |given, room| (room.message(given.port, MACH_MSG_TYPE_MAKE_SEND)) => |_| 0;
    mach_msg_destroy: true, |given, room| (room.message(given.port, MACH_MSG_TYPE_MAKE_SEND_ONCE)) => |_| 0;
    mig_get_reply_port: true, |_, _| () => |_| 0;
    mach_port_allocate: false, |_, room| (task_self(), MACH_PORT_RIGHT_DEAD_NAME, &mut room.word);
    mach_port_allocate_name: true, |_, _| (task_self(), MACH_PORT_RIGHT_DEAD_NAME, 0);
    mach_reply_port: false, |_, _| () => |name| {
        // SAFETY: the receive right was made just now, under a name that no other thread has.
        unsafe { kernel::mach_port_mod_refs(task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1) }
    };
    mach_port_construct: false, |_, room| (task_self(), room.refused_options(), 0, &mut room.word);
    mach_port_destruct: false, |_, _| (task_self(), 0, 0, 0);
    mach_port_destroy: true, |_, _| (task_self(), 0);
    mach_port_deallocate: false, |_, _| (task_self(), 0);
    mach_port_mod_refs: false, |given, _| (task_self(), given.port, MACH_PORT_RIGHT_SEND, 0);
    mach_port_get_refs: true, |given, room| (task_self(), given.port, MACH_PORT_RIGHT_SEND, &mut room.word);
    mach_port_insert_right: false, |given, _| (task_self(), given.port, given.port, MACH_MSG_TYPE_MAKE_SEND);
    mach_port_extract_right: true, |given, room| (
        task_self(), given.port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &mut room.word, &mut room.count,
    );
    mach_port_type: false, |given, room| (task_self(), given.port, &mut room.word);
    mach_port_names: true, |_, room| (
        task_self(), &mut room.names, &mut room.word, &mut room.types, &mut room.count,
    );
    mach_port_insert_member: false, |given, _| (task_self(), given.port, given.sets[1]);
    mach_port_extract_member: false, |given, _| (task_self(), given.port, given.sets[1]);
    mach_port_move_member: false, |given, _| (task_self(), given.port, given.sets[0]);
    mach_port_get_set_status: true, |given, room| (
        task_self(), given.sets[0], &mut room.names, &mut room.word,
    );
    mach_port_set_context: true, |given, _| (task_self(), given.port, 7);
    mach_port_get_context: true, |given, room| (task_self(), given.port, &mut room.context);
    mach_port_set_mscount: true, |given, _| (task_self(), given.port, 7);
    mach_port_set_seqno: true, |given, _| (task_self(), given.port, 7);
    mach_port_get_srights: true, |given, room| (task_self(), given.port, &mut room.word);
    mach_port_get_attributes: false, |given, room| (
        task_self(), given.port, MACH_PORT_RECEIVE_STATUS, room.words.as_mut_ptr().cast(), &mut room.count,
    );
    mach_port_set_attributes: true, |given, room| (
        task_self(), given.port, MACH_PORT_LIMITS_INFO, room.words.as_ptr().cast(), 1,
    );
    mach_port_guard: false, |_, _| (task_self(), 0, 7, 0);
    mach_port_guard_with_flags: true, |_, _| (task_self(), 0, 7, 0);
    mach_port_unguard: false, |_, _| (task_self(), 0, 7);
    mach_port_swap_guard: true, |_, _| (task_self(), 0, 7, 8);
    mach_port_request_notification: false, |given, room| (
        task_self(), given.port, MACH_NOTIFY_DEAD_NAME, 0, 0, MACH_MSG_TYPE_MAKE_SEND_ONCE, &mut room.word,
    );
    mach_port_kobject: true, |given, room| (task_self(), given.thread, &mut room.word, &mut room.long);
    thread_set_exception_ports: true, |given, _| (given.thread, MASK, 0, EXCEPTION_DEFAULT, 0);
    task_set_exception_ports: true, |_, _| (task_self(), MASK, 0, EXCEPTION_DEFAULT, 0);
    thread_get_exception_ports: true, |given, room| (
        given.thread, MASK, room.masks.as_mut_ptr(), &mut room.count, room.ports.as_mut_ptr(),
        room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    task_get_exception_ports: true, |_, room| (
        task_self(), MASK, room.masks.as_mut_ptr(), &mut room.count, room.ports.as_mut_ptr(),
        room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    thread_swap_exception_ports: true, |given, room| (
        given.thread, MASK, 0, EXCEPTION_DEFAULT, 0, room.masks.as_mut_ptr(), &mut room.count,
        room.ports.as_mut_ptr(), room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    task_swap_exception_ports: true, |_, room| (
        task_self(), MASK, 0, EXCEPTION_DEFAULT, 0, room.masks.as_mut_ptr(), &mut room.count,
        room.ports.as_mut_ptr(), room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    thread_get_state: true, |given, room| (
        given.thread, NativeState::FLAVOR, room.words.as_mut_ptr(), room.state_count(),
    );
    // A count that no flavor has: refused by the kernel, not by MIG.
    thread_set_state: true, |given, room| (given.thread, NativeState::FLAVOR, room.words.as_ptr(), 1);
    // More than MIG's messages have room for: the stub itself refuses, and sends nothing.
    thread_set_state: false, |given, room| (given.thread, NativeState::FLAVOR, room.words.as_ptr(), 5000);
    // Of no thread: each routine makes the port before it looks at its target.
    thread_suspend: true, |_, _| (0);
    thread_resume: true, |_, _| (0);
    thread_abort: true, |_, _| (0);
    thread_abort_safely: true, |_, _| (0);
    thread_terminate: true, |_, _| (0);
    thread_info: true, |_, room| (
        0, THREAD_BASIC_INFO, room.words.as_mut_ptr().cast(), &mut room.count,
    );
    task_threads: true, |_, room| (0, &mut room.names, &mut room.count);
    task_info: true, |_, room| (
        task_self(), TASK_DYLD_INFO, room.words.as_mut_ptr().cast(), &mut room.count,
    );
    mach_vm_read_overwrite: true, |_, room| (
        task_self(), MASK_AT.as_ptr() as u64, 4, room.words.as_mut_ptr() as u64, &mut room.long,
    );
    mach_vm_write: true, |_, room| (
        task_self(), room.words.as_mut_ptr() as u64, MASK_AT.as_ptr() as usize, 4,
    );
    mach_vm_deallocate: false, |_, _| (task_self(), 0, 0);
    mach_vm_allocate: false, |_, room| (task_self(), &mut room.long, 0, 0);
    mach_vm_protect: false, |_, _| (task_self(), 0, 0, 0, 0);
    mach_vm_read: true, |_, room| (task_self(), 8, 4, &mut room.long, &mut room.count);
    mach_vm_region: true, |_, room| (
        task_self(), &mut room.long, &mut room.context, 0, room.words.as_mut_ptr().cast(), &mut room.count, &mut room.word,
    );
    vm_allocate: false, |_, room| (task_self(), &mut room.long, 0, 0);
    vm_deallocate: false, |_, _| (task_self(), 0, 0);
    vm_protect: false, |_, _| (task_self(), 0, 0, 0, 0);
    vm_read: true, |_, room| (task_self(), 8, 4, &mut room.long, &mut room.count);
    vm_read_overwrite: true, |_, room| (
        task_self(), MASK_AT.as_ptr() as u64, 4, room.words.as_mut_ptr() as u64, &mut room.long,
    );
    vm_write: true, |_, room| (
        task_self(), room.words.as_mut_ptr() as u64, MASK_AT.as_ptr() as usize, 4,
    );
    vm_region_64: true, |_, room| (
        task_self(), &mut room.long, &mut room.context, 0, room.words.as_mut_ptr().cast(), &mut room.count, &mut room.word,
    );
    mach_vm_region_recurse: true, |_, room| (
        0, &mut room.long, &mut room.context, &mut room.word, room.words.as_mut_ptr().cast(), &mut room.count,
    );
    vm_region_recurse_64: true, |_, room| (
        0, &mut room.long, &mut room.context, &mut room.word, room.words.as_mut_ptr().cast(), &mut room.count,
    );
    mach_vm_remap: true, |_, room| (
        0, &mut room.long, 0, 0, 0, 0, 0, 0, room.words.as_mut_ptr().cast(), room.words.as_mut_ptr().cast(), 0,
    );
    vm_remap: true, |_, room| (
        0, &mut room.long, 0, 0, 0, 0, 0, 0, room.words.as_mut_ptr().cast(), room.words.as_mut_ptr().cast(), 0,
    );
    mach_vm_copy: true, |_, _| (0, 0, 0, 0);
    vm_copy: true, |_, _| (0, 0, 0, 0);
    // What most programs ask for has a trap; the rest goes by a message, as all of the older call's does.
    mach_vm_map: false, |_, room| (task_self(), &mut room.long, 0, 0, 0, 0, 0, 0, 3, VM_PROT_ALL, VM_INHERIT_COPY);
    mach_vm_map: true, |_, room| (task_self(), &mut room.long, 0, 0, 0, 0, 0, 0, 3, 3, VM_INHERIT_COPY);
    vm_map: true, |_, room| (task_self(), &mut room.long, 0, 0, 0, 0, 0, 0, 3, VM_PROT_ALL, VM_INHERIT_COPY);
    mach_vm_purgable_control: false, |_, room| (task_self(), 0, 9, room.words.as_mut_ptr().cast());
    vm_purgable_control: false, |_, room| (task_self(), 0, 9, room.words.as_mut_ptr().cast());
    mach_host_self: false, |_, _| () => |_| 0;
    thread_create: true, |_, room| (0, &mut room.word);
    thread_create_running: true, |_, room| (0, NativeState::FLAVOR, room.words.as_ptr(), 1, &mut room.word);
    // More than MIG's messages have room for.
    thread_create_running: false, |_, room| (0, NativeState::FLAVOR, room.words.as_ptr(), 5000, &mut room.word);
    task_suspend: true, |_, _| (0);
    task_resume: true, |_, _| (0);
    semaphore_create: true, |_, room| (task_self(), &mut room.word, SYNC_POLICY_FIFO, -1);
    semaphore_destroy: true, |_, _| (task_self(), 0);
    semaphore_signal: false, |_, _| (0);
    semaphore_signal_all: false, |_, _| (0);
    semaphore_signal_thread: false, |_, _| (0, 0);
    semaphore_wait: false, |_, _| (0);
    semaphore_timedwait: false, |_, _| (0, mach_timespec_t::default());
    semaphore_wait_signal: false, |_, _| (0, 0);
    semaphore_timedwait_signal: false, |_, _| (0, 0, mach_timespec_t::default());
    host_get_clock_service: true, |_, room| (task_self(), 0, &mut room.word);
    clock_get_time: true, |_, room| (task_self(), room.words.as_mut_ptr().cast());
    host_page_size: false, |_, room| (0, &mut room.long);
    host_info: true, |_, room| (0, 0, room.words.as_mut_ptr().cast(), &mut room.count);
    host_statistics: true, |_, room| (0, 0, room.words.as_mut_ptr().cast(), &mut room.count);
    host_statistics64: true, |_, room| (0, 0, room.words.as_mut_ptr().cast(), &mut room.count);
    clock_get_attributes: true, |_, room| (0, 0, room.words.as_mut_ptr().cast(), &mut room.count);
    clock_alarm: true, |_, _| (0, 0, mach_timespec_t::default(), 0);
    mk_timer_create: false, |_, _| () => |timer| {
        // SAFETY: the timer was made just now, under a name that no other thread has.
        unsafe { kernel::mk_timer_destroy(timer) }
    };
    mk_timer_destroy: false, |_, _| (0);
    mk_timer_arm: false, |_, _| (0, 0);
    mk_timer_arm_leeway: false, |_, _| (0, 0, 0, 0);
    mk_timer_cancel: false, |_, _| (0, null_mut());
    clock_sleep: false, |_, _| (0, 7, mach_timespec_t::default(), null_mut());
    mach_wait_until: false, |_, _| (0);
    mach_approximate_time: false, |_, _| () => |_| 0;
    mach_continuous_time: false, |_, _| () => |_| 0;
    mach_continuous_approximate_time: false, |_, _| () => |_| 0;
    thread_switch: false, |_, _| (0, 0, 0);
    thread_policy_set: true, |_, room| (0, 0, room.words.as_ptr().cast(), 0);
    // More than MIG's messages have room for, as above.
    thread_policy_set: false, |_, room| (0, 0, room.words.as_ptr().cast(), 17);
    thread_policy_get: true, |_, room| (
        0, 0, room.words.as_mut_ptr().cast(), &mut room.count, (&raw mut room.word).cast(),
    );
    task_for_pid: false, |_, room| (task_self(), 0, &mut room.word);
    task_create_identity_token: true, |_, room| (0, &mut room.word);
    task_identity_token_get_task_port: true, |_, room| (0, 0, &mut room.word);
    mach_error_string: false, |_, _| (5) => |_| 0;
    mach_absolute_time: false, |_, _| () => |_| 0;
    mach_timebase_info: false, |_, room| ((&raw mut room.time));
    pid_for_task: false, |_, room| (task_self(), room.words.as_mut_ptr().cast());
    task_get_exc_guard_behavior: true, |_, room| (task_self(), &mut room.word);
    task_set_exc_guard_behavior: true, |_, _| (task_self(), 0x100);
    task_register_hardened_exception_handler: true, |_, _| (task_self(), 0, 1, 0, 0, 0);
    thread_adopt_exception_handler: true, |given, _| (given.thread, 0, 0, 0, 0);
    thread_convert_thread_state: true, |given, room| (
        given.thread, 0, 0, room.words.as_ptr(), 0, room.words.as_mut_ptr(), &mut room.count,
    );
    mach_port_allocate_full: true, |_, room| (
        task_self(), 99, 0, room.words.as_mut_ptr().cast(), &mut room.word,
    );
    mach_port_allocate_qos: true, |_, room| (
        task_self(), 99, room.words.as_mut_ptr().cast(), &mut room.word,
    );
    task_get_special_port: true, |_, room| (task_self(), 0, &mut room.word);
    thread_get_special_port: true, |given, room| (given.thread, 0, &mut room.word);
    host_set_exception_ports: true, |given, _| (given.thread, MASK, 0, EXCEPTION_DEFAULT, 0);
    host_get_exception_ports: true, |given, room| (
        given.thread, MASK, room.masks.as_mut_ptr(), &mut room.count, room.ports.as_mut_ptr(),
        room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    host_swap_exception_ports: true, |given, room| (
        given.thread, MASK, 0, EXCEPTION_DEFAULT, 0, room.masks.as_mut_ptr(), &mut room.count,
        room.ports.as_mut_ptr(), room.behaviors.as_mut_ptr(), room.flavors.as_mut_ptr(),
    );
    // A trap that the kernel refuses for its task is tried as a routine of MIG's.
    mach_port_deallocate: true, |_, _| (0, 0);
};

static MASK_AT: [exception_mask_t; 1] = [MASK];

/// Room for the results of any of the calls.
struct Room {
    masks: [exception_mask_t; EXC_TYPES_COUNT],
    count: mach_msg_type_number_t,
    ports: [mach_port_name_t; EXC_TYPES_COUNT],
    behaviors: [exception_behavior_t; EXC_TYPES_COUNT],
    flavors: [thread_state_flavor_t; EXC_TYPES_COUNT],
    words: [u32; 5000],
    word: u32,
    long: u64,
    time: mach_timebase_info_data_t,
    context: mach_port_context_t,
    options: mach_port_options_t,
    names: *mut mach_port_name_t,
    types: *mut mach_port_type_t,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            masks: [0; EXC_TYPES_COUNT],
            count: 0,
            ports: [0; EXC_TYPES_COUNT],
            behaviors: [0; EXC_TYPES_COUNT],
            flavors: [0; EXC_TYPES_COUNT],
            words: [0; 5000],
            word: 0,
            long: 0,
            time: mach_timebase_info_data_t::default(),
            context: 0,
            options: mach_port_options_t::default(),
            names: null_mut(),
            types: null_mut(),
        }
    }
}

impl Room {
    /// Returns a message that carries one right, to its destination.
    fn message(&mut self, port: mach_port_name_t, disposition: u32) -> *mut core::ffi::c_void {
        self.words[..6].copy_from_slice(&[disposition, 24, port, 0, 0, 0]);
        self.words.as_mut_ptr().cast()
    }

    /// Options that no port can have: nothing is made.
    fn refused_options(&mut self) -> *mut mach_port_options_t {
        self.options.flags = MPO_QLIMIT;
        self.options.mpl.mpl_qlimit = MACH_PORT_QLIMIT_MAX + 1;
        &mut self.options
    }

    fn state_count(&mut self) -> *mut mach_msg_type_number_t {
        self.count = NativeState::COUNT;
        &mut self.count
    }
}

/// A thread that does what it is told, and says when it did. It is told by channels: what these make of a waiting thread is no receive
/// right.
struct Puppet {
    tell: Option<Sender<Box<dyn FnOnce() -> u32 + Send>>>,
    done: Receiver<u32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Puppet {
    fn new() -> Self {
        let (tell, told) = channel::<Box<dyn FnOnce() -> u32 + Send>>();
        let (says, done) = channel();
        let thread = std::thread::spawn(move || {
            for job in told {
                says.send(job()).expect("the test listens");
            }
        });
        Self {
            tell: Some(tell),
            done,
            thread: Some(thread),
        }
    }

    fn does(&self, job: impl FnOnce() -> u32 + Send + 'static) -> u32 {
        let tell = self.tell.as_ref().expect("the thread lives");
        tell.send(Box::new(job)).expect("the thread lives");
        self.done.recv().expect("the thread answers")
    }

    /// Returns the thread's reply port, which this makes if nothing did.
    fn reply_port(&self) -> mach_port_name_t {
        // SAFETY: no arguments.
        self.does(|| unsafe { kernel::mig_get_reply_port() })
    }

    fn ends(mut self) {
        drop(self.tell.take());
        let thread = self.thread.take().expect("the thread");
        thread.join().expect("the thread ended");
    }
}

/// Waits until no receive right is under a name.
fn wait_until_gone(name: mach_port_name_t, what: &str) {
    wait_for(&format!("{what}: the end of {name:#x}"), || {
        !receive_names().contains(&name)
    });
}

/// One test for all: the names are the process's.
#[test]
fn g6_1_a_routine_of_migs_makes_its_threads_reply_port_and_a_trap_none() {
    let port = ReceiveRight::new().expect("a port");
    let send = port.make_send().expect("a send right");
    let sets = [PortSet::new(), PortSet::new()].map(|set| set.expect("a set"));
    sets[0].insert(&port).expect("a member");
    let thread = ThreadRight::current().expect("the thread");
    let given = Given {
        port: port.name().raw(),
        sets: [sets[0].name().raw(), sets[1].name().raw()],
        thread: thread.name().raw(),
    };
    // SAFETY: no arguments.
    let own = unsafe { kernel::mig_get_reply_port() };
    for &(call, makes, run) in CASES {
        let puppet = Puppet::new();
        // Whatever the thread's start and its channels take is there from here on.
        puppet.does(|| 0);
        let before = receive_names();
        puppet.does(move || run(given) as u32);
        let after = receive_names();
        let reply_port = puppet.reply_port();
        assert_ne!(reply_port, own, "{call}: a port for each thread");
        assert!(
            !before.contains(&reply_port),
            "{call}: made before it was called"
        );
        assert_eq!(after.contains(&reply_port), makes, "{call}");
        assert_eq!(after.len(), before.len() + usize::from(makes), "{call}");
        // Once made, it stays the same.
        puppet.does(move || run(given) as u32);
        assert_eq!(puppet.reply_port(), reply_port, "{call}");
        assert_eq!(receive_names().len(), before.len() + 1, "{call}, again");
        // What `mach_port_kobject` says of it: not a kernel object's port.
        let (mut kind, mut address) = (77, 77);
        // SAFETY: the results go to local variables.
        let code =
            unsafe { kernel::mach_port_kobject(task_self(), reply_port, &mut kind, &mut address) };
        assert_eq!(
            (code, KobjectType::new(kind)),
            (0, KobjectType::NONE),
            "{call}"
        );
        puppet.ends();
        wait_until_gone(reply_port, call);
    }
    for call in &CALLS {
        assert!(
            CASES.iter().any(|(known, ..)| known == call),
            "{call} is not in the table"
        );
    }
    drop((send, sets, port));
}
