//! The fields of a request and of a reply, in the layout that MIG generates for `exc` and `mach_exc`.

use crate::fields::{Field, Fields};
use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::message::{
    Disposition, MACH_MSGH_BITS_IS_COMPLEX, MACH_MSGH_BITS_LOCAL, MACH_MSGH_BITS_REMOTE,
};
use mach_wire::mig::{IdentityKind, REPLY_ID_OFFSET, Routine};
use mach_wire::thread_state::{
    Flavor, THREAD_STATE_MAX, arm_thread_state64_t, x86_thread_state64_t,
};

/// The fields of a request, as far as its bytes go.
pub(crate) fn request(bytes: &[u8], machine: Machine) -> Vec<Field> {
    let mut fields = Fields::of(bytes);
    let Some(routine) = Routine::from_id(header(&mut fields)) else {
        return words(fields, "body");
    };
    if routine.identity() != IdentityKind::None {
        let count = fields.word("msgh_descriptor_count", |_| String::new());
        for index in 0..count.min(2) {
            descriptor(&mut fields, descriptor_name(routine, index));
        }
    }
    ndr(&mut fields);
    if routine.identity() == IdentityKind::Token {
        fields.long("thread_id");
    }
    fields.number("exception", |raw| ExceptionType::new(raw).to_string());
    let codes = fields.word("codeCnt", |_| String::new());
    for index in 0..codes.min(2) {
        let name = format!("code[{index}]");
        if routine.code_size() == 8 {
            fields.long(&name);
        } else {
            fields.word(&name, |_| String::new());
        }
    }
    if routine.has_state() {
        state(&mut fields, machine, "old_state");
    }
    words(fields, "trailer")
}

/// The fields of a reply.
pub(crate) fn reply(bytes: &[u8], machine: Machine) -> Vec<Field> {
    let mut fields = Fields::of(bytes);
    let id = header(&mut fields);
    ndr(&mut fields);
    fields.number("RetCode", |raw| KernReturn::new(raw).to_string());
    let routine = Routine::from_id(id.wrapping_sub(REPLY_ID_OFFSET));
    if routine.is_some_and(Routine::has_state) && fields.rest() > 0 {
        state(&mut fields, machine, "new_state");
    }
    words(fields, "rest")
}

/// The header's fields. Returns the id.
fn header(fields: &mut Fields<'_>) -> i32 {
    fields.word("msgh_bits", |bits| {
        let [remote, local] = [MACH_MSGH_BITS_REMOTE(bits), MACH_MSGH_BITS_LOCAL(bits)];
        let complex = if MACH_MSGH_BITS_IS_COMPLEX(bits) {
            ", complex"
        } else {
            ""
        };
        let [remote, local] = [remote, local].map(Disposition::new);
        format!("remote {remote}, local {local}{complex}")
    });
    fields.word("msgh_size", |size| format!("{size} bytes"));
    fields.word("msgh_remote_port", |_| String::new());
    fields.word("msgh_local_port", |_| String::new());
    fields.word("msgh_voucher_port", |_| String::new());
    fields.number("msgh_id", |id| {
        let (routine, what) = match Routine::from_id(id) {
            Some(routine) => (Some(routine), "request"),
            None => (Routine::from_id(id.wrapping_sub(REPLY_ID_OFFSET)), "reply"),
        };
        match routine {
            Some(routine) => format!("{what} of {}", routine.name()),
            None => "of neither exc nor mach_exc".to_owned(),
        }
    })
}

fn descriptor_name(routine: Routine, index: u32) -> &'static str {
    match (routine.identity(), index) {
        (IdentityKind::ThreadAndTask, 0) => "thread",
        (IdentityKind::ThreadAndTask, _) => "task",
        (IdentityKind::Token, 0) => "task_id_token_t",
        (IdentityKind::Kcdata, 0) => "kcdata_object_t",
        _ => "descriptor",
    }
}

/// A port descriptor: name, padding, and in one word padding, disposition and type.
fn descriptor(fields: &mut Fields<'_>, name: &str) {
    fields.word(&format!("{name}.name"), |_| String::new());
    fields.word(&format!("{name}.pad1"), |_| String::new());
    fields.word(&format!("{name}.disposition, type"), |word| {
        let [_, _, disposition, kind] = word.to_le_bytes();
        format!("{}, type {kind}", Disposition::new(disposition.into()))
    });
}

fn ndr(fields: &mut Fields<'_>) {
    fields.bytes::<8>("NDR", "what MIG writes: little-endian integers");
}

fn state(fields: &mut Fields<'_>, machine: Machine, name: &str) {
    let raw = fields.number("flavor", |raw| Flavor::new(machine, raw).to_string());
    let count = fields.word(&format!("{name}Cnt"), |count| format!("{count} words"));
    let most = count.min(THREAD_STATE_MAX as u32);
    let mut left = most;
    for register in registers(Flavor::new(machine, raw)) {
        if left >= 2 && fields.rest() >= 8 {
            fields.long(&format!("{name}.{register}"));
            left -= 2;
        }
    }
    for index in most - left..most {
        fields.word(&format!("{name}[{index}]"), |_| String::new());
    }
}

/// The registers of 64 bits that a state begins with. Of other flavors than those of the general registers, none.
fn registers(flavor: Flavor) -> Vec<String> {
    if flavor == Flavor::of::<x86_thread_state64_t>() {
        let names =
            "rax rbx rcx rdx rdi rsi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags cs fs gs";
        return names.split(' ').map(str::to_owned).collect();
    }
    if flavor == Flavor::of::<arm_thread_state64_t>() {
        let numbered = (0..29).map(|number| format!("x{number}"));
        return numbered
            .chain(["fp", "lr", "sp", "pc"].map(str::to_owned))
            .collect();
    }
    Vec::new()
}

/// Returns the rest of the message, word by word, and the bytes that make no word.
fn words(mut fields: Fields<'_>, name: &str) -> Vec<Field> {
    let mut index = 0;
    while fields.rest() >= 4 {
        fields.word(&format!("{name}[{index}]"), |_| String::new());
        index += 1;
    }
    fields.odd(&format!("{name}[{index}]"));
    fields.finish()
}
