//! The crates embedded in a program whose `main` is C.

use mach_sys::kernel::{KERNEL, Kernel};
use std::path::PathBuf;
use std::time::Duration;
use tests::c_program::{compile, static_library};
use tests::emulator::is_emulated;
use tests::isolated::{command, report_skipped, run_within};

/// Compiles a program of `tests/c` with the static library.
fn program(name: &str) -> PathBuf {
    compile(name, env!("CARGO_TARGET_TMPDIR"), &[static_library()])
}

#[test]
fn a_program_whose_main_is_c_takes_faults_and_shuts_down_in_order() {
    let (status, text) = run_within(LIMIT, command(program("main")));
    assert_eq!(
        (status.code(), text.trim()),
        (Some(0), "3 faults handled"),
        "{status}"
    );
}

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn r28_the_process_ends_with_its_last_thread_after_main_left_by_pthread_exit() {
    const NAME: &str = "r28_the_process_ends_with_its_last_thread_after_main_left_by_pthread_exit";
    if KERNEL != Kernel::Emulated {
        return report_skipped(
            NAME,
            "on this kernel the server's thread keeps the process alive",
        );
    }
    if is_emulated() {
        return report_skipped(NAME, "a processor's emulator has threads of its own");
    }
    let compiled = program("main_leaves");
    for main in ["stranger", "attached"] {
        for worker in ["stranger", "attached", "started"] {
            let mut program = command(&compiled);
            program.args([main, worker]);
            let (status, text) = run_within(LIMIT, program);
            assert_eq!(
                (status.code(), text.trim()),
                (Some(0), "the last thread ends\nexit"),
                "main {main}, worker {worker}: {status}"
            );
        }
    }
}
