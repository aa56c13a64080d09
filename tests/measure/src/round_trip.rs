//! The time of a fault that a server repairs: over the floor, a bare signal handler, and server loops by hand.

use crate::bare::{install, repair};
use crate::by_hand::{ByHand, Form, Registration};
use crate::effort::Effort;
use crate::faults::{KINDS, Kind};
use crate::floor::{COPY, Floor, STEPS};
use crate::line::{Line, Way};
use crate::messages::Messages;
use crate::rounds::{batch, medians};
use crate::served::{self, route};
use crate::{Error, NotHere, cpus, machine};
use exc_server::Server;
use mach_sys::rights::ThreadRight;
use std::time::Duration;

/// The most that a round trip may take over the floor of a server on another CPU.
const SPARE_CORE: f64 = 1.1;
/// The most that a round trip may take over two futex hand-offs on one CPU.
const ONE_CORE: f64 = 1.15;

/// The ways to serve a fault by a server thread.
struct Ways {
    server: Server,
    opening: Server,
    state: ByHand,
    default: ByHand,
    messages: Messages,
    thread: ThreadRight,
}

impl Ways {
    fn start() -> Result<Self, Error> {
        Ok(Self {
            server: served::start(true)?,
            opening: served::start(false)?,
            state: ByHand::start(Form::State, 1)?,
            default: ByHand::start(Form::Default, 1)?,
            messages: Messages::new()?,
            thread: ThreadRight::current()?,
        })
    }

    fn served(&self, server: &Server, kind: Kind, times: u32) -> Result<f64, Error> {
        let _route = route(server, &self.thread)?;
        batch(10, kind.take);
        Ok(batch(times, kind.take))
    }

    fn by_hand(&self, registration: Registration, kind: Kind, times: u32) -> Result<f64, Error> {
        registration.register()?;
        batch(10, kind.take);
        let figure = batch(times, kind.take);
        registration.remove()?;
        Ok(figure)
    }

    /// A fault after a pause, in which the server has gone to sleep.
    fn isolated(&self, kind: Kind) -> Result<f64, Error> {
        let _route = route(&self.server, &self.thread)?;
        std::thread::sleep(Duration::from_millis(2));
        Ok(batch(1, kind.take))
    }
}

fn bare(kind: Kind, times: u32) -> f64 {
    let _handler = install(kind.signal, repair);
    batch(times, kind.take)
}

/// A fault whose server runs on another CPU.
///
/// # Errors
/// There is no other CPU; or the kernel's.
pub fn spare_core(effort: Effort) -> Result<Vec<Line>, Error> {
    machine::needs_emulation()?;
    if !cpus::apart() {
        return Err(NotHere("there is no second CPU").into());
    }
    let mut ways = Ways::start()?;
    let times = effort.batch;
    let mut lines = Vec::new();
    for kind in KINDS {
        let [
            bare,
            call,
            stack,
            copy,
            hand_off,
            floor,
            served,
            opening,
            state,
            default,
            messages,
            isolated,
        ] = medians(effort.rounds, || {
            let floor = Floor::on_another_cpu()?;
            let mut steps = [0.0; STEPS.len()];
            for (step, figure) in steps.iter_mut().enumerate() {
                let _handler = floor.install(kind.signal, step);
                *figure = batch(times, kind.take);
            }
            // Its server spins, and would keep the others from their CPU.
            drop(floor);
            let [_, call, stack, copy, hand_off, lock] = steps;
            Ok::<_, Error>([
                bare(kind, times),
                call,
                stack,
                copy,
                hand_off,
                lock,
                ways.served(&ways.server, kind, times)?,
                ways.served(&ways.opening, kind, times)?,
                ways.by_hand(ways.state.registration(), kind, times)?,
                ways.by_hand(ways.default.registration(), kind, times)?,
                ways.messages.time(times)?,
                ways.isolated(kind)?,
            ])
        })?
        .map(|nanoseconds| nanoseconds / 1e3);
        let what = format!("round trip, {}, spare core", kind.name);
        let mut line = Line::over_floor(&what, "µs", served, Way::new("floor", floor), SPARE_CORE)
            .or("sigaction", bare)
            .or("by hand, STATE", state)
            .or("by hand, DEFAULT", default)
            .or("handler that may start threads", opening)
            .or("an isolated fault", isolated)
            .or("its two messages, by one thread", messages);
        for (step, figure) in STEPS[1..].iter().zip([call, stack, copy, hand_off]) {
            line = line.or(&format!("floor: {step}"), figure);
        }
        lines.push(line);
    }
    Ok(lines)
}

/// A fault whose server runs on the same CPU.
///
/// # Errors
/// The kernel's.
pub fn one_core(effort: Effort) -> Result<Vec<Line>, Error> {
    machine::needs_emulation()?;
    cpus::together();
    let mut ways = Ways::start()?;
    let floor_server = Floor::on_the_same_cpu()?;
    let times = effort.batch;
    let mut lines = Vec::new();
    for kind in KINDS {
        let [bare, floor, entered, served, state, default, messages] =
            medians(effort.rounds, || {
                let floor = |step| {
                    let _handler = floor_server.install(kind.signal, step);
                    batch(times, kind.take)
                };
                Ok::<_, Error>([
                    bare(kind, times),
                    floor(0),
                    floor(COPY),
                    ways.served(&ways.server, kind, times)?,
                    ways.by_hand(ways.state.registration(), kind, times)?,
                    ways.by_hand(ways.default.registration(), kind, times)?,
                    ways.messages.time(times)?,
                ])
            })?
            .map(|nanoseconds| nanoseconds / 1e3);
        let what = format!("round trip, {}, one core", kind.name);
        let floor = Way::new("two futex hand-offs", floor);
        lines.push(
            Line::over_floor(&what, "µs", served, floor, ONE_CORE)
                .or("sigaction", bare)
                .or("by hand, STATE", state)
                .or("by hand, DEFAULT", default)
                .or("its two messages, by one thread", messages)
                .or("floor: + two system calls, copy of 2.8 KB", entered),
        );
    }
    Ok(lines)
}
