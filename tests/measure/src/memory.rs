//! Memory of managed threads, routes and server threads, by the process's resident pages.

use crate::bare::{install, repair};
use crate::effort::Effort;
use crate::faults::{KINDS, undefined};
use crate::line::{Line, Way};
use crate::redirect::entry;
use crate::{Error, NotHere, child, served};
use exc_server::{Delivery, Routing, Server, Target};
use mach_sys::exception::ExceptionMask;
use mach_sys::kernel::system;
use mach_sys::rights::{ReceiveRight, ThreadRight};
use mach_sys::thread_state::NativeState;
use std::sync::{Arc, Barrier};
use thread_mgr::Manager;

/// The most KiB for a managed thread beyond a plain one.
const THREAD: f64 = 16.0;
/// The most KiB for a route.
const ROUTE: f64 = 1.0;
/// The most KiB for a server thread.
const SERVER: f64 = 64.0;

/// Measures each kind of object in a process of its own: what was freed by one would be used again by another.
///
/// # Errors
/// The system does not tell how many pages are resident; or a part failed.
pub fn measure(effort: Effort) -> Result<Vec<Line>, Error> {
    resident()?;
    let kib = |part: &str, count: usize| -> Result<f64, Error> {
        Ok(child::start(&format!("memory {part} {count}"))?
            .trim()
            .parse()?)
    };
    let threads = effort.memory_threads;
    let (managed, plain) = (kib("managed", threads)?, kib("plain", threads)?);
    let (routes, ports) = (kib("routes", threads)?, kib("ports", threads)?);
    let servers = kib("servers", threads.div_ceil(10))?;
    Ok(vec![
        Line::of(
            "memory of a managed thread beyond a plain one",
            "KiB",
            managed - plain,
            THREAD,
        )
        .or("all of a managed thread", managed)
        .or("all of a std::thread", plain),
        Line::of("memory of a route", "KiB", routes, ROUTE).or("a bare port", ports),
        Line::of(
            "memory of a server thread, with its stack",
            "KiB",
            servers,
            SERVER,
        )
        .with_floor(Way::new("all of a std::thread", plain)),
    ])
}

/// Bytes of the process's resident pages.
fn resident() -> Result<f64, Error> {
    let text = std::fs::read_to_string("/proc/self/statm")
        .map_err(|_| NotHere("this system does not tell how many pages are resident"))?;
    let pages: u64 = text.split_whitespace().nth(1).ok_or("statm")?.parse()?;
    Ok(pages as f64 * system::page_size() as f64)
}

/// Prints the KiB that each of some objects takes: the body of a process of its own.
///
/// # Errors
/// The objects could not be made.
pub(crate) fn part(words: &str) -> Result<(), Error> {
    let (what, count) = words.split_once(' ').ok_or("memory: no count")?;
    let count: usize = count.parse()?;
    let kib = match what {
        "managed" => managed(count)?,
        "plain" => plain(count)?,
        "routes" => routes(10 * count)?,
        "ports" => ports(10 * count)?,
        "servers" => servers(count)?,
        _ => return Err(format!("memory: there is no part {what}").into()),
    };
    println!("{kib}");
    Ok(())
}

/// KiB for each, of what `make` made; what it made is kept until both figures are taken.
fn grown<T>(count: usize, make: impl FnOnce() -> Result<T, Error>) -> Result<(f64, T), Error> {
    let before = resident()?;
    let made = make()?;
    let grown = resident()? - before;
    Ok((grown / 1024.0 / count as f64, made))
}

/// Threads that have faulted once and live.
fn managed(count: usize) -> Result<f64, Error> {
    let manager = Manager::builder(entry()).build()?;
    let _ = manager.spawn(undefined)?.join()?;
    let [all, end] = [(); 2].map(|()| Arc::new(Barrier::new(count + 1)));
    let (kib, threads) = grown(count, || {
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let (all, end) = (Arc::clone(&all), Arc::clone(&end));
            threads.push(manager.spawn(move || {
                undefined();
                all.wait();
                end.wait();
            })?);
        }
        all.wait();
        Ok(threads)
    })?;
    end.wait();
    for thread in threads {
        let _ = thread.join()?;
    }
    Ok(kib)
}

/// Threads of std that have faulted once and live; a signal handler repaired it.
fn plain(count: usize) -> Result<f64, Error> {
    let _handler = install(KINDS[0].signal, repair);
    std::thread::spawn(undefined)
        .join()
        .map_err(|_| "a panic")?;
    let [all, end] = [(); 2].map(|()| Arc::new(Barrier::new(count + 1)));
    let (kib, threads) = grown(count, || {
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let (all, end) = (Arc::clone(&all), Arc::clone(&end));
            threads.push(std::thread::Builder::new().spawn(move || {
                undefined();
                all.wait();
                end.wait();
            })?);
        }
        all.wait();
        Ok(threads)
    })?;
    end.wait();
    for thread in threads {
        thread.join().map_err(|_| "a panic")?;
    }
    Ok(kib)
}

/// Routes of one thread to one server.
fn routes(count: usize) -> Result<f64, Error> {
    let server = served::start(true)?;
    let thread = ThreadRight::current()?;
    let routing = Routing::new(
        ExceptionMask::BAD_INSTRUCTION,
        Delivery::state::<NativeState>(),
    );
    let _first = server.route(Target::Thread(&thread), &routing)?;
    let (kib, mut routes) = grown(count, || {
        let mut routes = Vec::with_capacity(count);
        for _ in 0..count {
            routes.push(server.route(Target::Thread(&thread), &routing)?);
        }
        Ok(routes)
    })?;
    // Each puts back what it displaced: the newest first.
    while let Some(route) = routes.pop() {
        drop(route);
    }
    Ok(kib)
}

/// Ports alone.
fn ports(count: usize) -> Result<f64, Error> {
    let _first = ReceiveRight::new()?;
    let (kib, _ports) = grown(count, || {
        let mut ports = Vec::with_capacity(count);
        for _ in 0..count {
            ports.push(ReceiveRight::new()?);
        }
        Ok(ports)
    })?;
    Ok(kib)
}

/// Server threads that have served a fault each.
fn servers(count: usize) -> Result<f64, Error> {
    let thread = ThreadRight::current()?;
    let start = || -> Result<Server, Error> {
        let server = served::start(true)?;
        let route = served::route(&server, &thread)?;
        undefined();
        drop(route);
        Ok(server)
    };
    let _first = start()?;
    let (kib, _servers) = grown(count, || {
        (0..count).map(|_| start()).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(kib)
}
