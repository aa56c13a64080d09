//! Dispatch latency with many routed ports over few: the client raises the exceptions itself, at one port after the other.
#![allow(unsafe_code)]

use crate::by_hand::{ByHand, Form};
use crate::effort::Effort;
use crate::line::{Line, Way};
use crate::rounds::{batch, medians};
use crate::{Error, cpus, served};
use exc_server::{Delivery, Route, Routing, Server, Target};
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kern_return::KernReturn;
use mach_sys::kernel;
use mach_sys::message::{Disposition, MACH_RCV_MSG, MACH_SEND_MSG};
use mach_sys::mig::{HeaderPort, Identity, Raise, Routine};
use mach_sys::pod;
use mach_sys::rights::{Name, ReceiveRight, Right, ThreadRight};
use mach_sys::thread_state::{NativeState, ThreadState};
use std::sync::mpsc;

/// The most that dispatch may take with all ports over ten.
const TARGET: f64 = 1.1;

/// A thread's routes: one for each of these.
const MASKS: [ExceptionMask; 10] = [
    ExceptionMask::BAD_ACCESS,
    ExceptionMask::BAD_INSTRUCTION,
    ExceptionMask::ARITHMETIC,
    ExceptionMask::EMULATION,
    ExceptionMask::SOFTWARE,
    ExceptionMask::BREAKPOINT,
    ExceptionMask::SYSCALL,
    ExceptionMask::MACH_SYSCALL,
    ExceptionMask::RPC_ALERT,
    ExceptionMask::GUARD,
];

/// Threads that live until the senders are dropped.
fn live(count: usize) -> Result<(Vec<ThreadRight>, Vec<mpsc::Sender<()>>), Error> {
    let (mut threads, mut ends) = (Vec::new(), Vec::new());
    let (send, receive) = mpsc::channel();
    for _ in 0..count {
        let (end, wait) = mpsc::channel::<()>();
        let send = send.clone();
        let body = move || {
            let _ = send.send(ThreadRight::current());
            let _ = wait.recv();
        };
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(body)?;
        threads.push(receive.recv()??);
        ends.push(end);
    }
    Ok((threads, ends))
}

fn routes(server: &Server, threads: &[ThreadRight]) -> Result<Vec<Route>, Error> {
    let mut routes = Vec::new();
    for thread in threads {
        for mask in MASKS {
            let routing = Routing::new(mask, Delivery::state::<NativeState>());
            routes.push(server.route(Target::Thread(thread), &routing)?);
        }
    }
    Ok(routes)
}

/// Raises exceptions as the kernel would, at ports of this task, and waits for each reply.
struct Client {
    reply: ReceiveRight,
    state: NativeState,
    next: usize,
}

impl Client {
    /// Raises one at the next of these ports.
    fn raise(&mut self, ports: &[Name]) -> Result<(), Error> {
        let port = ports[self.next % ports.len()];
        self.next += 1;
        let raise = Raise {
            routine: Routine::MachExceptionRaiseState,
            remote: HeaderPort::new(port.raw(), Disposition::MAKE_SEND),
            local: HeaderPort::new(self.reply.name().raw(), Disposition::MAKE_SEND_ONCE),
            voucher: HeaderPort::NONE,
            identity: Identity::None,
            disposition: Disposition::COPY_SEND,
            exception: ExceptionType::EMULATION,
            codes: &[1, 2],
            flavor: NativeState::FLAVOR,
            state: self.state.as_words(),
        };
        let mut message = [0_u32; 512];
        let size = raise.encode(pod::word_bytes_mut(&mut message))?;
        // SAFETY: the buffer holds a message of that size, and is valid for its own.
        let code = unsafe {
            kernel::mach_msg(
                message.as_mut_ptr().cast(),
                MACH_SEND_MSG | MACH_RCV_MSG,
                size as u32,
                size_of_val(&message) as u32,
                self.reply.name().raw(),
                0,
                0,
            )
        };
        KernReturn::check(code)?;
        // The reply's return code.
        KernReturn::check(message[8] as i32)?;
        Ok(())
    }

    /// Nanoseconds of one dispatch.
    fn batch(&mut self, times: u32, ports: &[Name]) -> Result<f64, Error> {
        let mut failed = None;
        let figure = batch(times, || {
            if let Err(error) = self.raise(ports) {
                failed = Some(error);
            }
        });
        failed.map_or(Ok(figure), Err)
    }
}

/// Measures dispatch with ten times as many routes as threads, over ten routes.
///
/// # Errors
/// The kernel's, or no thread could be started.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    if !cpus::apart() {
        cpus::together();
    }
    let (few, many) = (served::start(true)?, served::start(true)?);
    let (threads, ends) = live(effort.live_threads + 1)?;
    let [first, rest @ ..] = threads.as_slice() else {
        return Err("no threads".into());
    };
    let few_routes = routes(&few, core::slice::from_ref(first))?;
    let many_routes = routes(&many, rest)?;
    let ports = |routes: &[Route]| routes.iter().map(Route::port).collect::<Vec<_>>();
    let (few_ports, many_ports) = (ports(&few_routes), ports(&many_routes));
    let few_by_hand = ByHand::start(Form::State, few_ports.len())?;
    let many_by_hand = ByHand::start(Form::State, many_ports.len())?;
    let few_by_hand_ports: Vec<_> = few_by_hand.ports().collect();
    let many_by_hand_ports: Vec<_> = many_by_hand.ports().collect();
    let mut client = Client {
        reply: ReceiveRight::new()?,
        state: NativeState::default(),
        next: 0,
    };
    let mut raise = |ports: &[Name]| {
        client.batch(effort.batch / 10, ports)?;
        client.batch(effort.batch, ports)
    };
    let [few, many, few_by_hand, many_by_hand] = medians(effort.rounds, || {
        Ok::<_, Error>([
            raise(&few_ports)?,
            raise(&many_ports)?,
            raise(&few_by_hand_ports)?,
            raise(&many_by_hand_ports)?,
        ])
    })?
    .map(|nanoseconds| nanoseconds / 1e3);
    let what = format!(
        "dispatch with {} routes, {} threads",
        many_ports.len(),
        effort.live_threads
    );
    let name = format!("{} routes", few_ports.len());
    let line = Line::over_floor(&what, "µs", many, Way::new(&name, few), TARGET)
        .or("by hand, STATE", many_by_hand)
        .or(&format!("by hand, {name}"), few_by_hand);
    drop((few_routes, many_routes));
    drop(ends);
    Ok(vec![line])
}
