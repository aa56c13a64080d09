//! Replays the exception cases of a recording of XNU's own code (`tests/oracle/README.md` at the workspace's root): registrations,
//! exceptions of any type and code, replies. The thread T is an object without a system thread, as in the reference; a thread of the test
//! waits in its place.
//!
//! `MACH_ORACLE_EXCEPTIONS` names another file of the same form; `MACH_ORACLE_CASE` picks one case.
#![allow(unsafe_code)]

use super::World;
use crate::config::Generation;
use crate::exception::deliver::{self, Fault};
use crate::exception::level::Level;
use crate::exception::list::Listed;
use crate::exception::ports::{self, Registration};
use crate::host::context::Context;
use crate::ipc::mach_port;
use crate::ipc::name::{Name, SpaceId};
use crate::ipc::port::PortKind;
use crate::ipc::receive::{ReceiveRequest, receive};
use crate::ipc::send::{SendRequest, send};
use crate::thread::task;
use mach_wire::exception::{Behavior, ExceptionMask, ExceptionType};
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::message::{MACH_MSGH_BITS_COMPLEX, MessageOptions};
use mach_wire::port::PortRight;
use mach_wire::thread_state::Flavor;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Offsets of the recorded registers in the kernel's `ucontext`, in bytes.
const RAX: usize = 144;
const RIP: usize = 168;
const FPSTATE: usize = 224;

/// The signal frame that T's registers are in: a context, and an image of the floating-point registers.
#[repr(C, align(64))]
struct Frame {
    context: [u64; 128],
    image: [u64; 128],
}

impl Frame {
    /// Makes the registers of T: pc 0x1000, rax 0x77, all others 0.
    fn new() -> Box<Self> {
        let mut frame = Box::new(Self {
            context: [0; 128],
            image: [0; 128],
        });
        frame.context[RIP / 8] = 0x1000;
        frame.context[RAX / 8] = 0x77;
        frame.context[FPSTATE / 8] = frame.image.as_ptr() as u64;
        frame
    }
}

/// The end of a case.
#[derive(Debug)]
enum End {
    Agrees,
    /// At a step whose answer the reference cannot give, or gives in its own way.
    Limit(&'static str),
    Differs(String),
}

type Outcome = Result<(), End>;

fn same<T: PartialEq + std::fmt::Debug>(field: &str, recorded: T, here: T) -> Outcome {
    if recorded == here {
        return Ok(());
    }
    Err(End::Differs(format!(
        "{field}: recorded {recorded:x?}, here {here:x?}"
    )))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{value}: no {field}"))
}

fn number(value: &Value, field: &str) -> i64 {
    let number = &value[field];
    let number = number
        .as_i64()
        .or_else(|| number.as_u64().map(|number| number as i64));
    number.unwrap_or_else(|| panic!("{value}: no {field}"))
}

struct Replay {
    world: World,
    x: Name,
    y: Name,
    frame: Box<Frame>,
    /// State of the raised exception: 0 none, 1 in flight, 2 handled, 3 not handled.
    raised: std::sync::Arc<AtomicUsize>,
    waiting: Option<std::thread::JoinHandle<()>>,
    /// Type and first code of the exception in flight.
    exception: (i64, i64),
    /// The request that was received last, unanswered.
    request: Option<Vec<u32>>,
}

impl Replay {
    fn new() -> Self {
        let world = World::of(Generation::MacOs11);
        let (x, y) = (world.port(), world.port());
        let own = world.kernel(|kernel| {
            let own = task::self_name(kernel, world.task).expect("a task has a name");
            let space = kernel.tables.task(world.task).space;
            // Its count starts at 2 in the recording.
            mach_port::mod_refs(&mut kernel.ipc, space, own, PortRight::SEND, 1).map(|()| own)
        });
        own.expect("a send right");
        Self {
            world,
            x,
            y,
            frame: Frame::new(),
            raised: std::sync::Arc::default(),
            waiting: None,
            exception: (0, 0),
            request: None,
        }
    }

    fn own_name(&self) -> Name {
        let name = self
            .world
            .kernel(|kernel| task::self_name(kernel, self.world.task));
        name.expect("a task has a name")
    }

    fn name(&self, recorded: &Value) -> Name {
        match recorded.as_str().expect("a name") {
            "NULL" => Name::NULL,
            "DEAD" => Name::DEAD,
            "BOGUS" => Name::new(0x7003),
            "x" => self.x,
            "y" => self.y,
            "T" => self.world.thread_name(),
            "self" => self.own_name(),
            other => panic!("unknown name {other}"),
        }
    }

    fn step(&mut self, step: &Value) -> Outcome {
        match text(step, "call") {
            "raise" => self.raise(step)?,
            "receive" => self.receive(step)?,
            "reply" => self.reply(step)?,
            "msg_destroy" => self.destroy(),
            "mod_refs" => {
                let (name, delta) = (self.name(&step["name"]), number(step, "delta") as i32);
                let outcome = self.world.kernel(|kernel| {
                    let space = kernel.tables.task(self.world.task).space;
                    mach_port::mod_refs(&mut kernel.ipc, space, name, PortRight::RECEIVE, delta)
                });
                same_result(step, outcome)?;
            }
            "get_refs" => {
                let name = self.name(&step["name"]);
                let outcome = self.world.kernel(|kernel| {
                    let space = kernel.tables.task(self.world.task).space;
                    mach_port::get_refs(&mut kernel.ipc, space, name, PortRight::SEND)
                });
                same_result(step, outcome.map(|_| ()))?;
                if let Ok(references) = outcome {
                    same("refs", number(step, "refs"), i64::from(references))?;
                }
            }
            "get_pc" => same("pc", number(step, "pc") as u64, self.frame.context[RIP / 8])?,
            call => self.registration(call, step)?,
        }
        self.returned(step)
    }

    fn raise(&mut self, step: &Value) -> Outcome {
        let exception = number(step, "exception");
        let code = |index: usize| {
            let code = &step["codes"][index];
            code.as_i64()
                .unwrap_or_else(|| code.as_u64().expect("a code") as i64)
        };
        let codes = [code(0), code(1)];
        self.exception = (exception, codes[0]);
        let fault = Fault {
            exception: ExceptionType::new(exception as i32),
            codes,
            thread_id: 77,
        };
        self.raised.store(1, Ordering::SeqCst);
        let raised = std::sync::Arc::clone(&self.raised);
        let (mach, thread) = (
            core::ptr::from_ref(&self.world.mach) as usize,
            self.world.thread,
        );
        let frame = self.frame.context.as_mut_ptr() as usize;
        self.waiting = Some(std::thread::spawn(move || {
            // SAFETY: the replay joins this thread before it drops the kernel and the frame, and touches T's registers only while the
            // kernel's lock or the end of this thread says that it does not.
            let handled = unsafe {
                let mut context = Context::from_raw(frame as *mut _);
                let mach = &*(mach as *const crate::thread::kernel::Mach);
                deliver::search(mach, thread, fault, &mut context)
            };
            let handled = matches!(handled, Ok(()) | Err(KernReturn::RCV_PORT_DIED));
            raised.store(if handled { 2 } else { 3 }, Ordering::SeqCst);
        }));
        let blocked = self.is_blocked_soon();
        same("blocked", step["blocked"] == true, blocked)
    }

    /// Returns whether an exception goes to a handler whose flavor the reference cannot fetch.
    fn wants_exception_state(&self, step: &Value) -> bool {
        let exception = ExceptionType::new(number(step, "exception") as i32);
        self.world.kernel(|kernel| {
            let task = kernel.tables.thread(self.world.thread).task;
            let wants = |level| {
                let wanted = deliver::wanted(kernel, level, exception);
                wanted.is_ok_and(|wanted| wanted.routine.has_state() && wanted.flavor.raw == 6)
            };
            wants(Level::Thread(self.world.thread)) || wants(Level::Task(task))
        })
    }

    /// Waits until T waits for a reply or the exception is over. Returns whether it waits.
    fn is_blocked_soon(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let waits = self.world.kernel(|kernel| {
                let reply_port = kernel.tables.thread(self.world.thread).reply_port;
                let reply_port = reply_port.expect("a reply port");
                match &kernel.ipc.port(reply_port).kind {
                    PortKind::Reply(reply) => reply.is_waiting(),
                    _ => false,
                }
            });
            if waits || self.raised.load(Ordering::SeqCst) != 1 {
                return waits;
            }
            assert!(Instant::now() < deadline, "T neither waits nor goes on");
            std::thread::yield_now();
        }
    }

    /// Compares whether T went on with the step.
    fn returned(&mut self, step: &Value) -> Outcome {
        let Some(returned) = step.get("raise_returned") else {
            if self.waiting.is_some() {
                same("blocked", true, self.is_blocked_again())?;
            }
            return Ok(());
        };
        let thread = self.waiting.take().expect("an exception is out");
        // It is over, or the test's own limit ends the test.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !thread.is_finished() {
            if Instant::now() > deadline || self.is_out_again() {
                self.waiting = Some(thread);
                return same("raise_returned", true, false);
            }
            std::thread::yield_now();
        }
        thread.join().expect("the walk ends well");
        self.request = None;
        let handled = self.raised.load(Ordering::SeqCst) == 2;
        // EXC_SOFTWARE without a Unix code has no signal, handled or not, nor have system calls.
        if self.exception.0 == 5 || self.exception.0 > 6 {
            return Ok(());
        }
        same("handled", returned["signal"] == 0, handled)
    }

    /// Returns whether another message of the exception is waiting to be received although the step says that it is over.
    fn is_out_again(&self) -> bool {
        self.request.is_none()
            && [self.x, self.y]
                .into_iter()
                .any(|name| self.queued(name) > 0)
    }

    /// Returns whether T waits, after a step that may have sent the exception to the next level.
    fn is_blocked_again(&self) -> bool {
        self.is_blocked_soon() || self.raised.load(Ordering::SeqCst) == 1
    }

    fn queued(&self, name: Name) -> u32 {
        self.world.kernel(|kernel| {
            let space = kernel.tables.task(self.world.task).space;
            let port = kernel
                .ipc
                .space(space)
                .get(name)
                .and_then(|entry| entry.port());
            port.map_or(0, |port| u32::from(kernel.ipc.has_messages(port)))
        })
    }

    fn registration(&mut self, call: &str, step: &Value) -> Outcome {
        let level = match call.starts_with("thread") {
            true => Level::Thread(self.world.thread),
            false => Level::Task(self.world.task),
        };
        let mask = ExceptionMask::from_bits_retain(number(step, "mask") as u32);
        let registration = step.get("port").map(|port| Registration {
            mask,
            port: self.name(port),
            behavior: Behavior::new(number(step, "behavior") as i32),
            flavor: Flavor::new(Machine::NATIVE, number(step, "flavor") as i32),
        });
        let listed = self.world.kernel(|kernel| {
            let space = kernel.tables.task(self.world.task).space;
            let list = match registration {
                None => ports::get(kernel, space, level, mask)?,
                Some(registration) if call.contains("swap") => {
                    ports::swap(kernel, space, level, registration)?
                }
                Some(registration) => {
                    ports::set(kernel, space, level, registration)?;
                    return Ok(Vec::new());
                }
            };
            Ok(list.entries().to_vec())
        });
        same_result(step, listed.as_ref().map(|_| ()).map_err(|error| *error))?;
        let recorded = step
            .get("rows")
            .or_else(|| step.get("old"))
            .and_then(Value::as_array);
        let (Some(recorded), Ok(listed)) = (recorded, listed) else {
            return Ok(());
        };
        let row = |entry: &Listed| {
            let (mask, behavior) = (entry.mask.bits(), entry.behavior.raw());
            (mask, entry.port, behavior, entry.flavor.raw)
        };
        let here: Vec<_> = listed.iter().map(row).collect();
        let recorded: Vec<_> = recorded
            .iter()
            .map(|row| {
                let (mask, behavior) = (number(row, "mask") as u32, number(row, "behavior") as i32);
                (
                    mask,
                    self.name(&row["port"]),
                    behavior,
                    number(row, "flavor") as i32,
                )
            })
            .collect();
        same("rows", recorded, here)
    }

    fn receive(&mut self, step: &Value) -> Outcome {
        let mut words = vec![0_u32; 65_536 / 4];
        let request = ReceiveRequest {
            address: words.as_mut_ptr() as u64,
            size: 65_536,
            options: MessageOptions::RCV_TIMEOUT,
            timeout: if step["kr"] == 0 { 20_000 } else { 0 },
            name: self.name(&step["name"]),
        };
        let outcome = receive(&self.world.mach, self.space(), request, &mut None);
        if outcome.is_ok() && matches!(words[5], 2401..=2410) {
            self.request = Some(words[..words[1] as usize / 4].to_vec());
        }
        same_result(step, outcome)?;
        let Some(message) = step.get("message") else {
            return Ok(());
        };
        same("id", number(message, "id"), i64::from(words[5]))?;
        same("size", number(message, "size"), i64::from(words[1]))?;
        same("bits", number(message, "bits"), i64::from(words[0]))?;
        same(
            "local",
            self.name(&message["local"][0]),
            Name::new(words[3]),
        )?;
        let mut at = 6;
        if words[0] & MACH_MSGH_BITS_COMPLEX != 0 {
            let recorded = message["ports"].as_array().expect("ports");
            same("ports", recorded.len(), words[6] as usize)?;
            for (index, port) in recorded.iter().enumerate() {
                same("port", self.name(&port[0]), Name::new(words[7 + 3 * index]))?;
                same("port type", 17, words[9 + 3 * index] >> 16 & 0xff)?;
            }
            at = 7 + 3 * recorded.len();
        }
        let recorded = text(message, "body");
        let bytes = words[at..].iter().flat_map(|word| word.to_le_bytes());
        let here: String = bytes
            .take(recorded.len() / 2)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        same("body", recorded, here.as_str())
    }

    fn space(&self) -> SpaceId {
        self.world
            .kernel(|kernel| kernel.tables.task(self.world.task).space)
    }

    fn reply(&mut self, step: &Value) -> Outcome {
        let request = self.request.take().expect("a request");
        let mut words = vec![
            18,
            0,
            request[2],
            0,
            0,
            request[5] + 100,
            0,
            1,
            number(step, "code") as u32,
        ];
        let mut limit = None;
        if matches!(request[5], 2406 | 2407) {
            // NDR, exception, code count, two wide codes; before them the descriptors of 2407.
            let state = if request[5] == 2406 { 14 } else { 21 };
            let (flavor, count) = (request[state], request[state + 1]);
            let mut registers = request[state + 2..][..count as usize].to_vec();
            if let (4, Some(pc)) = (flavor, step["pc"].as_u64()) {
                (registers[32], registers[33]) = (pc as u32, (pc >> 32) as u32);
                if pc >= 0x7fff_ffff_f000 && step["code"] == 0 {
                    limit = Some("the reference does not check a reply's pc (A4.8)");
                }
            }
            words.extend([flavor, count]);
            words.extend(registers);
        }
        words[1] = 4 * words.len() as u32;
        let message = SendRequest {
            address: words.as_ptr() as u64,
            size: words[1],
            options: MessageOptions::empty(),
            timeout: 0,
        };
        same_result(
            step,
            send(&self.world.mach, self.space(), message, &mut None),
        )?;
        limit.map_or(Ok(()), |limit| Err(End::Limit(limit)))
    }

    /// Calls `mach_msg_destroy` on the last request.
    fn destroy(&mut self) {
        let request = self.request.take().expect("a request");
        let space = self.space();
        let mut names = vec![request[2]];
        if request[0] & MACH_MSGH_BITS_COMPLEX != 0 {
            names.extend((0..request[6] as usize).map(|index| request[7 + 3 * index]));
        }
        self.world.kernel(|kernel| {
            for name in names {
                // What is no right any more is none to release.
                let _ = mach_port::deallocate(&mut kernel.ipc, space, Name::new(name));
            }
        });
    }

    /// Ends what is out, so that the thread that waits in T's place ends. The kernel stays where that thread knows it: the replay is not
    /// moved, which would copy a lock that the thread may hold at that moment.
    fn end(&mut self) {
        for name in [self.x, self.y] {
            let _ = self.world.kernel(|kernel| {
                let space = kernel.tables.task(self.world.task).space;
                mach_port::mod_refs(&mut kernel.ipc, space, name, PortRight::RECEIVE, -1)
            });
        }
        if self.request.is_some() {
            self.destroy();
        }
        if let Some(thread) = self.waiting.take() {
            thread.join().expect("the walk ends well");
        }
    }
}

fn same_result(step: &Value, here: Result<(), KernReturn>) -> Outcome {
    let here = here.err().unwrap_or(KernReturn::SUCCESS);
    same("kr", KernReturn::new(number(step, "kr") as i32), here)
}

fn replay(case: &Value) -> End {
    let mut replay = Replay::new();
    let mut end = End::Agrees;
    for (at, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        let unfetchable = step["call"] == "raise" && replay.wants_exception_state(step);
        if unfetchable {
            end = End::Limit("the reference has no exception state");
            break;
        }
        match replay.step(step) {
            Ok(()) => {}
            Err(End::Differs(what)) => {
                end = End::Differs(format!("step {at}, {what}\n    {step}"));
                break;
            }
            Err(limit) => {
                end = limit;
                break;
            }
        }
    }
    replay.end();
    end
}

#[test]
fn exceptions_are_delivered_as_xnu_did() {
    let own = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/oracle/exceptions.jsonl"
    );
    let file = std::env::var("MACH_ORACLE_EXCEPTIONS").unwrap_or_else(|_| own.to_owned());
    let cases = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{file}: {why}"));
    let only = std::env::var("MACH_ORACLE_CASE").ok();
    let (mut agree, mut differ) = (0, Vec::new());
    let mut limits = std::collections::BTreeMap::<_, u32>::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).expect("a case");
        if only.as_deref().is_some_and(|only| case["case"] != only) {
            continue;
        }
        match replay(&case) {
            End::Agrees => agree += 1,
            End::Limit(why) => *limits.entry(why).or_default() += 1,
            End::Differs(what) => differ.push(format!("{}: {what}", case["case"])),
        }
    }
    println!(
        "{agree} cases agree to the end, {} differ; cut short: {limits:?}",
        differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let limited: u32 = limits.values().sum();
    assert!(agree + limited > 0, "nothing was replayed");
    assert!(
        only.is_some() || limited * 5 < agree,
        "too many are cut short: {limits:?}"
    );
}
