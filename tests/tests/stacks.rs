//! Every thread that the crates start has the stack that it was given, beyond what the C library takes out of it: a program's static
//! thread-local variables, here more than the system's default stack.
#![allow(unsafe_code)]

use core::ffi::c_int;
use mach_sys::darwin::{siginfo_t, ucontext_t};
use mach_sys::kernel::{KERNEL, Kernel, system};
use signal_redirect::Entry;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::Command;
use tests::c_program::compiler;
use tests::emulator::is_emulated;
use tests::faults::{registers, skip};
use tests::isolated::{exit_status_with, report_partly, report_skipped};
use thread_mgr::Manager;
use thread_mgr::exc_server::ServerBuilder;

/// Bytes of thread-local variables: more than the default stack of 8 MiB.
const VARIABLES: usize = 12 << 20;
const KIB: usize = 1024;
/// Permitted surplus of a stack, in KiB: the C library's part is bounded from above, and rounded up to pages.
const SLACK: usize = 96;

/// Each thread by its name on the host: how many bytes below its frame it has at least, and at most.
const THREADS: [(&str, RangeInclusive<usize>); 4] = [
    ("mach-sys", 200 * KIB..=(256 + SLACK) * KIB),
    ("server-default", 200 * KIB..=(256 + SLACK) * KIB),
    (
        "server-small",
        40 * KIB..=ServerBuilder::MIN_STACK_SIZE + SLACK * KIB,
    ),
    ("manager", 200 * KIB..=(256 + SLACK) * KIB),
];

/// The same for managed threads, as they see it themselves: the size that was asked for.
/// From the smallest to the largest, since the C library gives a thread the stack of an earlier one that is large enough.
const MANAGED: [(Option<usize>, RangeInclusive<usize>); 4] = [
    (Some(0), 100 * KIB..=(128 + SLACK) * KIB),
    (Some(128 * KIB), 100 * KIB..=(128 + SLACK) * KIB),
    (Some(1024 * KIB), 1000 * KIB..=(1024 + SLACK) * KIB),
    // What the C library says is the default grows with the variables.
    (None, 1024 * KIB..=64 << 20),
];

/// A library whose variables are part of every thread's stack from its start.
fn library() -> PathBuf {
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("variables.c");
    let library = source.with_extension("so");
    std::fs::write(
        &source,
        format!(
            "static _Thread_local char all[{VARIABLES}];\nchar *some(void) {{ return all; }}\n"
        ),
    )
    .expect("a file");
    let compiled = Command::new(compiler())
        .args(["-shared", "-fPIC", "-ftls-model=initial-exec", "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler");
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    library
}

/// The bytes below the stack pointer of each thread but the calling one, by name. Each waits in a system call.
fn below_stack_pointers() -> BTreeMap<String, usize> {
    let own = std::fs::read_link("/proc/thread-self").expect("the own thread");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
    let number = |text: &str| usize::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    std::fs::read_dir("/proc/self/task")
        .expect("threads")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|thread| thread.file_name() != own.file_name())
        .filter_map(|thread| {
            let name = std::fs::read_to_string(thread.join("comm")).ok()?;
            let call = std::fs::read_to_string(thread.join("syscall")).ok()?;
            let sp = number(call.split_whitespace().rev().nth(1)?)?;
            let bottom = maps.lines().find_map(|line| {
                let (from, to) = line.split_whitespace().next()?.split_once('-')?;
                let (from, to) = (number(from)?, number(to)?);
                (from..to).contains(&sp).then_some(from)
            })?;
            Some((name.trim().to_owned(), sp - bottom))
        })
        .collect()
}

/// Looks at all threads when each waits.
fn look(expected: &[&str]) -> BTreeMap<String, usize> {
    for _ in 0..500 {
        let found = below_stack_pointers();
        if expected.iter().all(|name| found.contains_key(*name)) {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{expected:?}: {:?}", below_stack_pointers());
}

/// Uses the stack as far as it goes, but for what a fault and the thread's end need. Returns the bytes below the frame.
#[inline(never)]
fn own_stack() -> usize {
    let mut some = [0_u8; 64 * KIB];
    core::hint::black_box(&mut some);
    tests::faults::undefined();
    let here = core::ptr::from_ref(&some) as usize + some.len();
    here - system::stack_bounds().expect("the own stack").start
}

unsafe extern "C" fn handler(_: c_int, _: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the trampoline's own context.
    skip(unsafe { registers(context) });
}

/// Each thread that has a row waits on a stack of its size, and there is no other.
fn look_at_servers() {
    let names = THREADS.map(|(name, _)| name);
    let mut found = look(&names);
    for (name, expected) in THREADS {
        let below = found.remove(name).expect("it is there");
        assert!(expected.contains(&below), "{name}: {below}");
    }
    // The harness's own: a thread without a row here is one without a chosen size.
    let harness = ["stacks-", "every_thread_th"];
    found.retain(|name, _| !harness.iter().any(|known| name.starts_with(known)));
    assert!(found.is_empty(), "{found:?}");
}

fn all_threads(name: &str) {
    let servers = [
        ServerBuilder::default().name("server-default"),
        ServerBuilder::default()
            .name("server-small")
            .stack_size(ServerBuilder::MIN_STACK_SIZE),
    ];
    let servers = servers.map(|server| server.start(|exception| exception.decline()));
    // SAFETY: the handler is async-signal-safe and does not unwind.
    let entry = unsafe { Entry::new(handler) };
    let manager = Manager::builder(entry).server_name("manager").build();
    let manager = manager.expect("a manager");
    for (size, expected) in MANAGED {
        let thread = manager.thread();
        let thread = match size {
            Some(size) => thread.stack_size(size),
            None => thread,
        };
        let ended = thread.spawn(own_stack).expect("a thread").join();
        let below = ended
            .expect("no panic")
            .exit
            .returned()
            .expect("it returned");
        assert!(expected.contains(&below), "{size:?}: {below}");
    }
    if is_emulated() {
        // The host tells of the emulator's own stacks, on which it waits for the program's threads.
        report_partly(
            name,
            "a processor's emulator has threads and memory of its own",
        );
    } else {
        look_at_servers();
    }
    for server in servers {
        drop(server.expect("a server"));
    }
}

#[test]
fn every_thread_that_the_crates_start_has_its_stack_beyond_thread_local_variables() {
    let name = "every_thread_that_the_crates_start_has_its_stack_beyond_thread_local_variables";
    if KERNEL == Kernel::Xnu {
        return report_skipped(name, "thread-local variables are not on the stack here");
    }
    let library = library();
    let library = library.to_str().expect("a path in UTF-8");
    // The harness's thread has the standard library's size; a thread of the crates that had it would be too large for its row.
    let environment = [("LD_PRELOAD", library), ("RUST_MIN_STACK", "100000000")];
    let outcome = exit_status_with(name, &environment, || {
        assert!(
            system::stack_overhead() > VARIABLES,
            "the variables are there"
        );
        all_threads(name);
    });
    if let Some((status, text)) = outcome {
        assert!(
            status.success() && text.contains("1 passed"),
            "{status}\n{text}"
        );
    }
}
