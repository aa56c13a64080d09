//! Threads that fault, make kernel calls and end, while others suspend, read, abort, resume and end them, and destroy their exception ports.

use crate::support::{
    Handler, Name, abort, abort_safely, get, own_name, resume, suspend, terminate,
};
use mach_sys::exception::EXC_MASK_BAD_INSTRUCTION;
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel::{self, Config, Generation, system};
use mach_sys::port::MACH_PORT_RIGHT_DEAD_NAME;
use mach_sys::rights::{Census, ReceiveRight};
use mach_sys::thread_state::Registers;
use std::ffi::c_void;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use test_support::emulator::is_emulated;
use test_support::flag::SetWhenDropped;
use test_support::instructions::{LENGTH, skip_undefined, undefined};
use test_support::isolated::isolated;
use test_support::random::Random;
use test_support::wait::wait_for;

/// Threads that work at a time.
const LANES: usize = 4;
/// Threads, one after the other, in each lane, and faults of each. `MACH_TEST_THREADS` says how many in all.
const THREADS: usize = 150;
const FAULTS: usize = 15;

/// The thread that works in a lane.
struct Seat {
    /// Its name; 0 while there is none to disturb.
    name: AtomicU32,
    /// True if it works until it is terminated. It holds nothing then, whenever that is.
    endless: AtomicBool,
    /// Users of the name: it is not released meanwhile, so that no other thread gets it.
    users: AtomicUsize,
}

static SEATS: [Seat; LANES] = [const {
    Seat {
        name: AtomicU32::new(0),
        endless: AtomicBool::new(false),
        users: AtomicUsize::new(0),
    }
}; LANES];
static FAULTED: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static LOST_PORTS: AtomicUsize = AtomicUsize::new(0);
static TERMINATED: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn skip(_: i32, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the context of a handler for the fault of an undefined instruction.
    unsafe { skip_undefined(context.cast()) };
}

/// Words between a thread and its lane.
struct Life {
    endless: bool,
    name: AtomicU32,
    may_begin: AtomicBool,
    faults: AtomicUsize,
}

/// A working thread. An endless one makes no calls of the C library and no kernel calls: it can be ended anywhere.
extern "C" fn work(life: *mut c_void) -> *mut c_void {
    // SAFETY: the lane's, which joins this thread before it ends.
    let life = unsafe { &*life.cast::<Life>() };
    life.name.store(own_name(), Ordering::SeqCst);
    while !life.may_begin.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    while life.endless || life.faults.load(Ordering::SeqCst) < FAULTS {
        undefined();
        FAULTED.fetch_add(1, Ordering::SeqCst);
        life.faults.fetch_add(1, Ordering::SeqCst);
        if !life.endless {
            drop(ReceiveRight::new().expect("a port"));
        }
    }
    core::ptr::null_mut()
}

/// Runs one thread from its beginning to its end.
fn live(seat: &Seat, endless: bool, handler: &RwLock<Handler>) {
    let life = Life {
        endless,
        name: AtomicU32::new(0),
        may_begin: AtomicBool::new(false),
        faults: AtomicUsize::new(0),
    };
    let mut thread = core::mem::MaybeUninit::uninit();
    let argument = core::ptr::from_ref(&life).cast_mut().cast();
    // SAFETY: the thread is joined below; until then its argument lives.
    let made =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), core::ptr::null(), work, argument) };
    assert_eq!(made, 0);
    wait_for("its name", || life.name.load(Ordering::SeqCst) != 0);
    let name = life.name.load(Ordering::SeqCst);
    let handler = handler.read().expect("a handler");
    handler.route(name, EXC_MASK_BAD_INSTRUCTION);
    drop(handler);
    seat.endless.store(endless, Ordering::SeqCst);
    seat.name.store(name, Ordering::SeqCst);
    life.may_begin.store(true, Ordering::SeqCst);
    if endless {
        // Some before their first fault, the others within the next ones. It may have been ended already.
        let enough = name as usize / 256 % 4;
        let begun = std::time::Instant::now();
        while life.faults.load(Ordering::SeqCst) < enough
            && begun.elapsed() < Duration::from_millis(2)
        {
            std::thread::yield_now();
        }
        assert_allowed("terminate", terminate(name));
        TERMINATED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: created above, and joined once. The kernel tells the end of a terminated thread, too.
    unsafe { libc::pthread_join(thread.assume_init(), core::ptr::null_mut()) };
    seat.name.store(0, Ordering::SeqCst);
    wait_for("the last use of the name", || {
        seat.users.load(Ordering::SeqCst) == 0
    });
    // D3.2: nothing releases the library's own reference of a thread that was terminated.
    let references = 1 + u32::from(endless);
    wait_for("a dead name", || {
        let mut count = 0;
        let task = system::task_self();
        // SAFETY: a local variable.
        let code = unsafe {
            kernel::mach_port_get_refs(task, name, MACH_PORT_RIGHT_DEAD_NAME, &mut count)
        };
        code == 0 && count == references
    });
    // SAFETY: the references are this thread's, which nothing uses any more.
    let released = unsafe { kernel::mach_port_destroy(system::task_self(), name) };
    assert_eq!(released, 0);
}

/// The codes that a thread's life allows.
fn assert_allowed(what: &str, code: KernReturn) {
    let allowed = [
        KernReturn::SUCCESS,
        KernReturn::TERMINATED,
        KernReturn::SEND_INVALID_DEST,
    ];
    assert!(allowed.contains(&code), "{what}: {code:?}");
}

/// Disturbs the threads. Between a suspension and its resumption nothing is allocated: the thread may hold the allocator's lock.
fn disturb(seed: u64) -> usize {
    let mut numbers = Random::new(seed);
    let mut rounds = 0;
    while !DONE.load(Ordering::SeqCst) {
        let seat = &SEATS[numbers.below(LANES)];
        seat.users.fetch_add(1, Ordering::SeqCst);
        let name: Name = seat.name.load(Ordering::SeqCst);
        if name == 0 {
            seat.users.fetch_sub(1, Ordering::SeqCst);
            std::thread::yield_now();
            continue;
        }
        rounds += 1;
        disturb_one(&mut numbers, name, seat.endless.load(Ordering::SeqCst));
        seat.users.fetch_sub(1, Ordering::SeqCst);
    }
    rounds
}

fn disturb_one(numbers: &mut Random, name: Name, endless: bool) {
    // A thread that is suspended all the time gets nowhere, on any kernel.
    std::thread::sleep(Duration::from_micros(numbers.below(100) as u64));
    let read = |name| get(name).err().unwrap_or(KernReturn::SUCCESS);
    match numbers.below(8) {
        0 => assert_allowed("abort", abort(name)),
        1 => assert_allowed("abort_safely", abort_safely(name)),
        2 => assert_allowed("get", read(name)),
        3 if endless => assert_allowed("terminate", terminate(name)),
        _ => {
            let suspended = suspend(name);
            assert_allowed("suspend", suspended);
            if suspended != KernReturn::SUCCESS {
                return;
            }
            match numbers.below(5) {
                0 => assert_allowed("abort", abort(name)),
                1 => assert_allowed("get", read(name)),
                2 if endless => assert_allowed("terminate", terminate(name)),
                _ => {}
            }
            std::thread::sleep(Duration::from_micros(numbers.below(200) as u64));
            // Past its last code a suspended thread may be gone by now.
            assert_allowed("resume", resume(name));
        }
    }
}

/// Handles what comes, and destroys its port with what is queued there every now and then.
fn serve(handler: &RwLock<Handler>) {
    let mut numbers = Random::new(0x5eed);
    let mut left = 50;
    while !DONE.load(Ordering::SeqCst) {
        let current = handler.read().expect("a handler");
        if let Some(request) = current.receive_within(Duration::from_millis(20)) {
            let mut state = request.state;
            state.set_pc(state.pc() + LENGTH);
            // The reply to an aborted thread goes nowhere.
            let sent = current.reply(&request, Some(&state));
            assert_allowed("reply", sent);
            HANDLED.fetch_add(1, Ordering::SeqCst);
            left -= 1;
        }
        drop(current);
        if left == 0 {
            *handler.write().expect("a handler") = Handler::new();
            LOST_PORTS.fetch_add(1, Ordering::SeqCst);
            left = 20 + numbers.below(200);
        }
    }
}

/// Runs threads until as many as asked for have ended, and asserts that they leave nothing.
fn run(with_terminations: bool) {
    // SAFETY: zeroes are a valid action; the handler has three arguments.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = skip as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let installed = libc::sigaction(libc::SIGILL, &action, core::ptr::null_mut());
        assert_eq!(installed, 0);
    }
    if with_terminations {
        // Later ones refuse it for pthreads (D3.1).
        let mut config = Config::default();
        config.generation = Generation::MacOs11;
        // So few that threads soon get the records of those that were terminated.
        config.threads = 64;
        kernel::configure(config).expect("started");
    }
    let wanted = std::env::var("MACH_TEST_THREADS").ok();
    let wanted = wanted.and_then(|count| count.parse::<usize>().ok());
    let usual = if is_emulated() { 5 } else { THREADS };
    let threads = wanted.map_or(usual, |count| count / LANES);
    let before = Census::take().expect("a census");
    let handler = RwLock::new(Handler::new());
    let disturbances: usize = std::thread::scope(|scope| {
        let _done = SetWhenDropped(&DONE);
        let server = scope.spawn(|| serve(&handler));
        let disturbers: Vec<_> = (1..=2)
            .map(|seed| scope.spawn(move || disturb(0x1234_5677 * seed)))
            .collect();
        let lanes = SEATS.iter().map(|seat| {
            scope.spawn(|| {
                for count in 0..threads {
                    live(seat, with_terminations && count % 2 == 1, &handler);
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.join().expect("a lane");
        }
        DONE.store(true, Ordering::SeqCst);
        server.join().expect("the server");
        let counts = disturbers.into_iter();
        counts
            .map(|thread| thread.join().expect("a disturber"))
            .sum()
    });
    drop(handler);
    let counts = [&FAULTED, &HANDLED, &SIGNALS, &LOST_PORTS, &TERMINATED];
    let [faulted, handled, signals, lost, terminated] =
        counts.map(|count| count.load(Ordering::SeqCst));
    println!(
        "{} threads, {terminated} of them terminated; {disturbances} disturbances, {lost} ports lost; \
         {faulted} faults, {handled} handled, {signals} signals",
        LANES * threads
    );
    assert!(disturbances > if is_emulated() { 10 } else { 100 });
    // Each fault was handled, or became a signal.
    assert!(handled + signals >= faulted && handled > 0 && signals > 0);
    wait_for("the census from before", || {
        let now = Census::take().expect("a census");
        now.since(&before).is_leak_free()
    });
}

#[test]
fn a8_suspensions_aborts_and_faults_at_once_leave_nothing_and_no_thread_hangs() {
    isolated(
        "stress::a8_suspensions_aborts_and_faults_at_once_leave_nothing_and_no_thread_hangs",
        || run(false),
    );
}

#[test]
fn a8_4_terminations_and_faults_at_once_leave_nothing_and_no_thread_hangs() {
    isolated(
        "stress::a8_4_terminations_and_faults_at_once_leave_nothing_and_no_thread_hangs",
        || run(true),
    );
}
