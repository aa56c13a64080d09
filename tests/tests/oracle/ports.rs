//! Replays the port cases: each step is made through the kernel calls, and every field of its answer is compared.

use crate::report::{Difference, Outcome, Report};
use crate::space::{NULL, Space, right_number};
use mach_sys::exception::GuardCode;
use mach_sys::kernel::system::task_self;
use mach_sys::kernel::{
    mach_msg, mach_port_allocate, mach_port_construct, mach_port_deallocate, mach_port_destroy,
    mach_port_destruct, mach_port_extract_member, mach_port_extract_right,
    mach_port_get_attributes, mach_port_get_refs, mach_port_get_set_status,
    mach_port_insert_member, mach_port_insert_right, mach_port_mod_refs, mach_port_move_member,
    mach_port_request_notification, mach_port_set_context, mach_port_type, mach_vm_deallocate,
};
use mach_sys::mig::{
    MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED,
    MACH_NOTIFY_SEND_POSSIBLE,
};
use mach_sys::port::{PortFlavor, mach_port_options_t, mach_port_status_t};
use serde_json::Value;

/// Replays one case, step by step.
pub(crate) fn replay(case: &Value, report: &mut Report) {
    let name = case["case"].as_str().expect("the case's name");
    let steps = case["steps"].as_array().expect("steps");
    let mut replay = Replay {
        space: Space::new(),
    };
    let (mut at, mut class) = (0, "census".to_owned());
    let mut outcome = Ok(());
    for step in steps {
        class = replay.class(step);
        // What the case before or the listing raised is none of this step's.
        let _ = mach_sys::emulated::take_guard();
        outcome = replay.step(step);
        let guard = mach_sys::emulated::take_guard();
        outcome = outcome
            .and_then(|()| same_guard(step, guard))
            .and_then(|()| replay.space.compare_changes(step.get("changed")));
        if outcome.is_err() {
            break;
        }
        report.step();
        at += 1;
    }
    if outcome.is_ok() {
        class = "census".to_owned();
        outcome = replay.space.compare_census(&case["census"]);
    }
    report.case(name, at, &class, &outcome);
    replay.space.clear();
}

/// Compares what the step raised `EXC_GUARD` for.
fn same_guard(step: &Value, here: Option<GuardCode>) -> Outcome {
    let recorded = step.get("guard").map(|guard| {
        let (flavor, subcode) = (number(guard, "flavor"), number(guard, "subcode"));
        format!("flavor {flavor}, subcode {subcode}")
    });
    let here = here.map(|guard| format!("flavor {}, subcode {}", guard.flavor, guard.payload));
    let none = || "none".to_owned();
    Difference::unless_equal(
        "guard",
        recorded.unwrap_or_else(none),
        here.unwrap_or_else(none),
    )
}

struct Replay {
    space: Space,
}

fn text<'v>(step: &'v Value, field: &str) -> &'v str {
    step[field]
        .as_str()
        .unwrap_or_else(|| panic!("{step}: no {field}"))
}

fn number(step: &Value, field: &str) -> i64 {
    step[field]
        .as_i64()
        .unwrap_or_else(|| panic!("{step}: no {field}"))
}

fn disposition(name: &str) -> u32 {
    match name {
        "MOVE_RECEIVE" => 16,
        "MOVE_SEND" => 17,
        "MOVE_SEND_ONCE" => 18,
        "COPY_SEND" => 19,
        "MAKE_SEND" => 20,
        "MAKE_SEND_ONCE" => 21,
        other => panic!("unknown disposition {other}"),
    }
}

/// Returns the recording's name for a received right.
fn received(disposition: u32) -> &'static str {
    match disposition {
        0 => "NONE",
        16 => "RECEIVE",
        17 => "SEND",
        18 => "SEND_ONCE",
        _ => "?",
    }
}

const COMPLEX: u32 = 1 << 31;

/// A message buffer, word by word.
struct Buffer(Vec<u32>);

impl Buffer {
    fn as_mut_ptr(&mut self) -> *mut core::ffi::c_void {
        self.0.as_mut_ptr().cast()
    }

    fn bytes(&self, range: core::ops::Range<usize>) -> Vec<u8> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes[range].to_vec()
    }
}

impl Replay {
    /// The call and what its names are, for the classes of the report.
    fn class(&self, step: &Value) -> String {
        let mut class = text(step, "call").to_owned();
        for field in ["name", "right_name", "set", "notify"] {
            if let Some(name) = step.get(field) {
                class += &format!(" {field}={}", self.space.kind(name));
            }
        }
        for field in ["disposition", "right", "variant"] {
            if let Some(value) = step.get(field) {
                class += &format!(" {}", value.as_str().unwrap_or("?"));
            }
        }
        if let Some(local) = step.get("local") {
            class += &format!(
                " local={}:{}",
                self.space.kind(&local[0]),
                local[1].as_str().unwrap_or("?")
            );
            if local[0] == step["name"] {
                class += " (same name)";
            }
        }
        for port in step
            .get("ports")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            class += &format!(
                " port={}:{}",
                self.space.kind(&port[0]),
                port[1].as_str().unwrap_or("?")
            );
        }
        class
    }

    fn step(&mut self, step: &Value) -> Outcome {
        let task = task_self();
        let call = text(step, "call");
        let name = match step.get("name") {
            Some(name) => self.space.argument(name)?,
            None => NULL,
        };
        match call {
            "allocate" => {
                let mut result = 0;
                // SAFETY: one result, valid for a write.
                let kr = unsafe {
                    mach_port_allocate(task, right_number(text(step, "right")), &mut result)
                };
                same_kr(step, kr)?;
                self.same_result(step, kr, result)?;
            }
            "insert_right" => {
                let poly = self.space.argument(&step["right_name"])?;
                // SAFETY: the case's own names.
                let kr = unsafe {
                    mach_port_insert_right(task, name, poly, disposition(text(step, "disposition")))
                };
                same_kr(step, kr)?;
            }
            "extract_right" => {
                let (mut result, mut kind) = (0, 0);
                let wanted = disposition(text(step, "disposition"));
                // SAFETY: two results, valid for a write.
                let kr =
                    unsafe { mach_port_extract_right(task, name, wanted, &mut result, &mut kind) };
                same_kr(step, kr)?;
                if kr == 0 {
                    Difference::unless_equal(
                        "result_type",
                        number(step, "result_type"),
                        i64::from(kind),
                    )?;
                }
                self.same_result(step, kr, result)?;
            }
            "get_refs" => {
                let mut count = 0;
                // SAFETY: one result, valid for a write.
                let kr = unsafe {
                    mach_port_get_refs(task, name, right_number(text(step, "right")), &mut count)
                };
                same_kr(step, kr)?;
                if kr == 0 {
                    Difference::unless_equal("refs", number(step, "refs"), i64::from(count))?;
                }
            }
            "mod_refs" => {
                let delta = number(step, "delta") as i32;
                // SAFETY: the case's own names.
                let kr = unsafe {
                    mach_port_mod_refs(task, name, right_number(text(step, "right")), delta)
                };
                same_kr(step, kr)?;
            }
            // SAFETY: the case's own names.
            "deallocate" => same_kr(step, unsafe { mach_port_deallocate(task, name) })?,
            "type" => {
                let mut bits = 0;
                // SAFETY: one result, valid for a write.
                let kr = unsafe { mach_port_type(task, name, &mut bits) };
                same_kr(step, kr)?;
                if kr == 0 {
                    Difference::unless_equal("type", number(step, "type"), i64::from(bits))?;
                }
            }
            "insert_member" | "extract_member" | "move_member" => {
                let set = self.space.argument(&step["set"])?;
                let member_call = match call {
                    "insert_member" => mach_port_insert_member,
                    "extract_member" => mach_port_extract_member,
                    _ => mach_port_move_member,
                };
                // SAFETY: numbers only.
                same_kr(step, unsafe { member_call(task, name, set) })?;
            }
            "set_context" => {
                let context = number(step, "context") as u64;
                self.space.guard_seen(context);
                // SAFETY: numbers only.
                same_kr(step, unsafe { mach_port_set_context(task, name, context) })?;
            }
            "send" => self.send(step, name)?,
            "recv" => self.receive(step, name)?,
            // SAFETY: the case's own names.
            "destroy" => same_kr(step, unsafe { mach_port_destroy(task, name) })?,
            "destruct" => {
                let (delta, guard) = (number(step, "srdelta"), number(step, "guard_value"));
                // SAFETY: the case's own names.
                let kr = unsafe { mach_port_destruct(task, name, delta as i32, guard as u64) };
                same_kr(step, kr)?;
            }
            "construct" => {
                let mut options = mach_port_options_t {
                    flags: number(step, "flags") as u32,
                    ..mach_port_options_t::default()
                };
                options.mpl.mpl_qlimit =
                    step.get("qlimit").map_or(0, |_| number(step, "qlimit")) as u32;
                let (context, mut result) = (number(step, "context") as u64, 0);
                self.space.guard_seen(context);
                // SAFETY: options to read, and one result that is valid for a write.
                let kr = unsafe { mach_port_construct(task, &mut options, context, &mut result) };
                same_kr(step, kr)?;
                self.same_result(step, kr, result)?;
            }
            "status" => self.status(step, name)?,
            "get_set_status" => self.members(step, name)?,
            "request_notification" => self.request_notification(step, name)?,
            call => panic!("a case with the unknown call {call}"),
        }
        Ok(())
    }

    fn same_result(&mut self, step: &Value, kr: i32, result: u32) -> Outcome {
        if kr == 0 {
            self.space.answer("result", &step["result"], result)?;
        }
        Ok(())
    }

    fn send(&mut self, step: &Value, name: u32) -> Outcome {
        let mut words = vec![0; 6];
        let mut bits = disposition(text(step, "disposition"));
        words[2] = name;
        if let Some(local) = step.get("local") {
            words[3] = self.space.argument(&local[0])?;
            bits |= disposition(local[1].as_str().expect("a disposition")) << 8;
        }
        words[5] = number(step, "id") as u32;
        if let Some(ports) = step.get("ports").and_then(Value::as_array) {
            bits |= COMPLEX;
            words.push(ports.len() as u32);
            for port in ports {
                let wanted = disposition(port[1].as_str().expect("a disposition"));
                words.extend([self.space.argument(&port[0])?, 0, wanted << 16]);
            }
        }
        let body: Vec<u8> = (1..=number(step, "body") as u8).collect();
        words.extend(
            body.chunks(4)
                .map(|word| u32::from_le_bytes(word.try_into().expect("whole words"))),
        );
        let size = 4 * words.len() as u32;
        (words[0], words[1]) = (bits, size);
        let mut message = Buffer(words);
        const SEND_MSG_WITH_TIMEOUT: i32 = 0x11;
        // SAFETY: a buffer of `size` bytes.
        let kr = unsafe {
            mach_msg(
                message.as_mut_ptr(),
                SEND_MSG_WITH_TIMEOUT,
                size,
                0,
                0,
                0,
                0,
            )
        };
        same_kr(step, kr)?;
        if let Some(pseudo) = step.get("pseudo") {
            let Buffer(words) = message;
            Difference::unless_equal("pseudo.bits", number(pseudo, "bits"), i64::from(words[0]))?;
            self.space
                .answer("pseudo.remote", &pseudo["remote"], words[2])?;
            self.space
                .answer("pseudo.local", &pseudo["local"], words[3])?;
        }
        Ok(())
    }

    fn receive(&mut self, step: &Value, name: u32) -> Outcome {
        const TOO_LARGE: i32 = 0x1000_4004;
        const RCV_MSG_WITH_TIMEOUT: i32 = 0x102;
        const RCV_LARGE: i32 = 4;
        let size = number(step, "size") as u32;
        // As the reference's buffer: what is not written is seen.
        let mut buffer = Buffer(vec![0xaaaa_aaaa; 65536 / 4 + 64]);
        let options = RCV_MSG_WITH_TIMEOUT | if step["large"] == true { RCV_LARGE } else { 0 };
        // SAFETY: the buffer has room for `size` bytes and more.
        let kr = unsafe { mach_msg(buffer.as_mut_ptr(), options, 0, size, name, 0, 0) };
        same_kr(step, kr)?;
        let words = |at: usize| i64::from(buffer.0[at]);
        if kr == TOO_LARGE {
            if let Some(reported) = step.get("size_reported") {
                Difference::unless_equal(
                    "size_reported",
                    reported.as_i64().expect("a size"),
                    words(1),
                )?;
            }
        }
        let Some(message) = step.get("message") else {
            return Ok(());
        };
        Difference::unless_equal("message.id", number(message, "id"), words(5))?;
        Difference::unless_equal("message.size", number(message, "size"), words(1))?;
        Difference::unless_equal("message.bits", number(message, "bits"), words(0))?;
        let bits = buffer.0[0];
        for (field, disposition, at) in [("remote", bits & 0x1f, 2), ("local", bits >> 8 & 0x1f, 3)]
        {
            let recorded = &message[field];
            self.space.answer(field, &recorded[0], buffer.0[at])?;
            Difference::unless_equal(
                field,
                recorded[1].as_str().expect("a right"),
                received(disposition),
            )?;
        }
        let mut body = 24;
        let count = if bits & COMPLEX != 0 {
            buffer.0[6] as usize
        } else {
            0
        };
        let none = Vec::new();
        let ports = message
            .get("ports")
            .and_then(Value::as_array)
            .unwrap_or(&none);
        Difference::unless_equal("message.ports.len", ports.len(), count)?;
        for (index, recorded) in ports.iter().enumerate() {
            let at = 7 + 3 * index;
            self.space
                .answer("message.port", &recorded[0], buffer.0[at])?;
            let kind = received(buffer.0[at + 2] >> 16 & 0xff);
            Difference::unless_equal("message.port", recorded[1].as_str().expect("a right"), kind)?;
        }
        if count > 0 {
            body = 28 + 12 * count;
        }
        if let Some(notified) = message.get("notified") {
            // Eight bytes of NDR, then the name.
            self.space
                .answer("message.notified", notified, buffer.0[body / 4 + 2])?;
        } else {
            let here: String = buffer
                .bytes(body..buffer.0[1] as usize)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let recorded = message.get("body").and_then(Value::as_str).unwrap_or("");
            Difference::unless_equal("message.body", recorded, &here)?;
        }
        Ok(())
    }

    fn status(&self, step: &Value, name: u32) -> Outcome {
        let mut status = mach_port_status_t::default();
        let mut count = (size_of_val(&status) / 4) as u32;
        let (flavor, info) = (PortFlavor::RECEIVE_STATUS.raw(), (&raw mut status).cast());
        // SAFETY: the status has as many words as the count says.
        let kr = unsafe { mach_port_get_attributes(task_self(), name, flavor, info, &mut count) };
        same_kr(step, kr)?;
        if kr != 0 {
            return Ok(());
        }
        let recorded = &step["status"];
        for (field, here) in [
            ("seqno", status.mps_seqno),
            ("mscount", status.mps_mscount),
            ("qlimit", status.mps_qlimit),
            ("msgcount", status.mps_msgcount),
            ("sorights", status.mps_sorights),
            ("srights", status.mps_srights),
            ("pdrequest", status.mps_pdrequest),
            ("nsrequest", status.mps_nsrequest),
            ("flags", status.mps_flags),
        ] {
            Difference::unless_equal(field, number(recorded, field), i64::from(here))?;
        }
        Ok(())
    }

    fn members(&mut self, step: &Value, name: u32) -> Outcome {
        let (mut members, mut count) = (core::ptr::null_mut(), 0);
        // SAFETY: two results, valid for a write.
        let kr = unsafe { mach_port_get_set_status(task_self(), name, &mut members, &mut count) };
        same_kr(step, kr)?;
        if kr != 0 {
            return Ok(());
        }
        let mut here = match count {
            // Of no entries there is no array.
            0 => Vec::new(),
            // SAFETY: the call made the array, of this many entries.
            _ => unsafe { core::slice::from_raw_parts(members, count as usize) }.to_vec(),
        };
        // SAFETY: the array is not used any more.
        unsafe { mach_vm_deallocate(task_self(), members as u64, 4 * u64::from(count)) };
        let recorded = step["members"].as_array().expect("members");
        let mut names = Vec::new();
        for member in recorded {
            names.push(self.space.argument(member)?);
        }
        names.sort_unstable();
        here.sort_unstable();
        Difference::unless_equal("members", format!("{names:x?}"), format!("{here:x?}"))
    }

    fn request_notification(&mut self, step: &Value, name: u32) -> Outcome {
        let id = match text(step, "variant") {
            "PORT_DESTROYED" => MACH_NOTIFY_PORT_DESTROYED,
            "NO_SENDERS" => MACH_NOTIFY_NO_SENDERS,
            "DEAD_NAME" => MACH_NOTIFY_DEAD_NAME,
            "SEND_POSSIBLE" => MACH_NOTIFY_SEND_POSSIBLE,
            other => panic!("unknown notification {other}"),
        };
        let notify = self.space.argument(&step["notify"])?;
        let (sync, mut previous) = (number(step, "sync") as u32, 0);
        let wanted = disposition(text(step, "disposition"));
        // SAFETY: the case's own names; one result that is valid for a write.
        let kr = unsafe {
            mach_port_request_notification(
                task_self(),
                name,
                id,
                sync,
                notify,
                wanted,
                &mut previous,
            )
        };
        same_kr(step, kr)?;
        if kr == 0 {
            self.space.answer("previous", &step["previous"], previous)?;
        }
        Ok(())
    }
}

fn same_kr(step: &Value, here: i32) -> Result<(), Difference> {
    // The recording shows negative codes nowhere.
    Difference::unless_equal("kr", code(number(step, "kr") as i32), code(here))
}

fn code(kr: i32) -> String {
    match kr {
        0 => "success".to_owned(),
        kr if kr > 0xffff => format!("{kr:#x}"),
        kr => kr.to_string(),
    }
}
