//! A crash report: what a minidump has of the thread that crashed, as text.
#![allow(unsafe_code)]

use examples::registers;
use exc_server::Exception;
use mach_sys::machine::Machine;
use mach_sys::rights::{Name, Right};
use mach_sys::thread_state::{NativeState, Registers};
use serde_json::{Value, json};
use signal_redirect::{Memory, OwnMemory};

/// Facts about a crash.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    exception: String,
    meaning: String,
    codes: [i64; 2],
    thread: Option<Name>,
    state: NativeState,
    stack: Vec<u8>,
    code: Vec<u8>,
}

impl Report {
    /// Looks at the exception and at the memory of its thread, which is stopped. No address that it reads at can fault.
    pub(crate) fn new(exception: &Exception<'_>, state: &NativeState) -> Self {
        Self {
            exception: exception.exception_type().to_string(),
            meaning: exception.meaning().to_string(),
            codes: exception.codes(),
            thread: exception.thread().map(Right::name),
            state: *state,
            stack: read(state.sp(), 96),
            code: read(state.pc(), 16),
        }
    }

    pub(crate) fn text(&self) -> String {
        let [code, subcode] = self.codes;
        let thread = match self.thread {
            Some(name) => name.to_string(),
            None => "not named by this behavior".to_owned(),
        };
        let text = [
            format!("exception {}: {}", self.exception, self.meaning),
            format!("codes     {code:#x}, {subcode:#x}"),
            format!("process   {}, {}", std::process::id(), Machine::NATIVE),
            format!("thread    {thread}"),
            registers::table(&self.state),
            format!(
                "code at the program counter\n{}",
                dump(self.state.pc(), &self.code)
            ),
            format!("stack\n{}", dump(self.state.sp(), &self.stack)),
        ];
        text.join("\n")
    }

    pub(crate) fn json(&self) -> Value {
        let registers: serde_json::Map<_, _> = registers::named(&self.state)
            .into_iter()
            .map(|(name, value)| (name, json!(format!("{value:#x}"))))
            .collect();
        json!({
            "exception": self.exception,
            "meaning": self.meaning,
            "codes": self.codes,
            "thread": self.thread.map(Name::raw),
            "registers": registers,
            "code": hex(&self.code),
            "stack": hex(&self.stack),
        })
    }
}

/// Bytes of this process's memory; fewer where it ends.
fn read(address: u64, size: usize) -> Vec<u8> {
    // SAFETY: it is only read from.
    let memory = unsafe { OwnMemory::new() };
    let mut bytes = vec![0; size];
    match memory.read(address, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

fn dump(address: u64, bytes: &[u8]) -> String {
    let rows: Vec<String> = bytes
        .chunks(16)
        .zip((address..).step_by(16))
        .map(|(row, at)| format!("{at:>14x}  {}", hex(row)))
        .collect();
    match rows.is_empty() {
        true => "  not readable".to_owned(),
        false => rows.join("\n"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
