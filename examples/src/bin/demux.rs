//! Decodes a message of an exception, given in hex, and shows the reply that a server would give.
//!
//! ```console
//! $ cargo run --release --bin demux
//! $ cargo run --release --bin demux -- --routine mach_exception_raise --answer decline
//! $ pbpaste | cargo run --release --bin demux -- -
//! ```
//!
//! What to look at: each field with its offset, as `mach_exc.defs` lays it out; what the codes mean; what a server of MIG's kind answers,
//! byte for byte. Without bytes it makes a message of its own. A message that is not well-formed is answered too: with the reason, and
//! the code that MIG's generated servers return for it.
//!
//! This program uses `mach-wire` alone: it runs on any machine, for messages of either.

#[path = "demux/fields.rs"]
mod fields;
#[path = "demux/layout.rs"]
mod layout;

use clap::{Parser, ValueEnum};
use examples::program::exit_code;
use examples::say;
use fields::Field;
use mach_wire::exception::ExceptionType;
use mach_wire::kern_return::KernReturn;
use mach_wire::machine::Machine;
use mach_wire::message::Disposition;
use mach_wire::mig::{
    self, Accept, HeaderPort, Identity, IdentityKind, Notification, REPLY_SIZE_MAX,
    REQUEST_SIZE_MAX, Raise, Routine,
};
use mach_wire::thread_state::{ThreadState, arm_thread_state64_t, x86_thread_state64_t};
use serde_json::{Value, json};
use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

/// Decodes a message of an exception, given in hex, and shows the reply that a server would give.
#[derive(Debug, Parser)]
struct Options {
    /// The message's bytes in hex, with or without spaces; `-` reads them from standard input.
    hex: Vec<String>,
    /// The routine whose message is made when no bytes are given.
    #[arg(long, default_value = "mach_exception_raise_state", value_parser = routine)]
    routine: Routine,
    /// The machine that the message is from.
    #[arg(long, value_enum, default_value = "arm64")]
    machine: From,
    /// Answer of the server.
    #[arg(long, value_enum, default_value = "resume")]
    answer: Answer,
    /// Prints both messages as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// Handled: with the state that came, where the routine has one
    Resume,
    /// Not handled: the kernel tries the next level
    Decline,
}

fn main() -> ExitCode {
    exit_code("demux", run(&Options::parse()))
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let machine = match options.machine {
        From::Arm64 => Machine::Arm64,
        From::X86_64 => Machine::X86_64,
    };
    let bytes = match options.hex.as_slice() {
        [] => example(options.routine, machine)?,
        [dash] if dash == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            parse(&text)?
        }
        words => parse(&words.join(" "))?,
    };
    let (reply, verdict) = serve(&bytes, options.answer, machine)?;
    let request = layout::request(&bytes, machine);
    let reply = layout::reply(&reply, machine);
    if options.json {
        let [request, reply] = [&request, &reply].map(|fields| as_json(fields));
        say!(
            "{:#}",
            json!({ "request": request, "verdict": verdict, "reply": reply })
        );
    } else {
        print("request", &request);
        say!("{verdict}");
        print("reply", &reply);
    }
    Ok(true)
}

/// Serves the message as a server would. Returns the reply's bytes and what the message was.
fn serve(
    bytes: &[u8],
    answer: Answer,
    machine: Machine,
) -> Result<(Vec<u8>, String), Box<dyn Error>> {
    let mut reply = vec![0; REPLY_SIZE_MAX];
    let mut verdict = String::new();
    let served = mig::serve(Accept::Both, bytes, &mut reply, |request, new_state| {
        verdict = format!("{}: {}", request.exception(), request.meaning(machine));
        if answer == Answer::Decline {
            return KernReturn::FAILURE;
        }
        match request.flavor() {
            // It fits: the buffer has room for the largest.
            Some(flavor) => match new_state.copy(flavor, request.old_state()) {
                Ok(()) => KernReturn::SUCCESS,
                Err(_) => KernReturn::FAILURE,
            },
            None => KernReturn::SUCCESS,
        }
    })?;
    reply.truncate(served.reply_size);
    if let Some(reason) = served.malformed {
        verdict = match Notification::decode(bytes) {
            Ok(notification) => format!("no exception: {notification:?}"),
            Err(_) => format!("not served: {reason}"),
        };
    }
    Ok((reply, verdict))
}

/// A message of a routine, as the kernel sends it: a store to address 0x18.
fn example(routine: Routine, machine: Machine) -> Result<Vec<u8>, Box<dyn Error>> {
    let arm64 = arm_thread_state64_t {
        x: core::array::from_fn(|number| 0x1000 + number as u64),
        sp: 0x1_6fd8_0f00,
        pc: 0x1_0000_4000,
        ..Default::default()
    };
    let x86_64 = x86_thread_state64_t {
        rax: 0x18,
        rsp: 0x7ff7_bfef_f000,
        rip: 0x1_0000_4000,
        ..Default::default()
    };
    let (flavor, state) = match machine {
        Machine::Arm64 => (arm_thread_state64_t::FLAVOR, arm64.as_words()),
        Machine::X86_64 => (x86_thread_state64_t::FLAVOR, x86_64.as_words()),
    };
    let raise = Raise {
        routine,
        remote: HeaderPort::new(0x1203, Disposition::PORT_SEND_ONCE),
        local: HeaderPort::new(0x1107, Disposition::PORT_SEND),
        voucher: HeaderPort::NONE,
        identity: match routine.identity() {
            IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                thread: 0x1403,
                task: 0x203,
            },
            IdentityKind::Token => Identity::Token {
                token: 0x1503,
                thread_id: 0x51d7,
            },
            IdentityKind::Kcdata => Identity::Kcdata { object: 0x1603 },
            _ => Identity::None,
        },
        disposition: Disposition::PORT_SEND,
        exception: ExceptionType::BAD_ACCESS,
        codes: &[1, 0x18],
        flavor,
        state: if routine.has_state() { state } else { &[] },
    };
    let mut bytes = vec![0; REQUEST_SIZE_MAX];
    let size = raise.encode(&mut bytes)?;
    bytes.truncate(size);
    Ok(bytes)
}

fn parse(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut digits = Vec::new();
    for word in text.split_whitespace() {
        for letter in word.strip_prefix("0x").unwrap_or(word).chars() {
            let digit = letter.to_digit(16);
            digits.push(digit.ok_or_else(|| format!("{letter:?} is no hex digit"))? as u8);
        }
    }
    if digits.is_empty() {
        return Err("there are no bytes".into());
    }
    if digits.len() % 2 != 0 {
        return Err(format!("{} hex digits do not make whole bytes", digits.len()).into());
    }
    Ok(digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

fn routine(name: &str) -> Result<Routine, String> {
    let named = |routine: &Routine| routine.name() == name;
    Routine::ALL.into_iter().find(named).ok_or_else(|| {
        let names = Routine::ALL.map(Routine::name).join(", ");
        format!("the routines are {names}")
    })
}

fn print(title: &str, fields: &[Field]) {
    let size: usize = fields.iter().map(|field| field.size).sum();
    say!("{title}, {size} bytes");
    for field in fields {
        let line = format!(
            "{:>6} {:<28} {:<24} {}",
            field.offset, field.name, field.value, field.note
        );
        say!("{}", line.trim_end());
    }
}

fn as_json(fields: &[Field]) -> Vec<Value> {
    fields
        .iter()
        .map(|field| {
            json!({
                "offset": field.offset,
                "size": field.size,
                "name": field.name,
                "value": field.value,
                "note": field.note,
            })
        })
        .collect()
}
