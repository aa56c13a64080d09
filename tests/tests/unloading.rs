//! R10: a host loads a library that contains the crates, takes faults with it, ends it and unloads it.

use mach_sys::kernel::{KERNEL, Kernel};
use std::time::Duration;
use tests::c_program::{compile, dynamic_library};
use tests::emulator::is_emulated;
use tests::isolated::{command, report_partly, report_skipped, run_within};

/// Runs a scenario of the program in `tests/c`.
fn host(name: &str, scenario: &str) {
    if KERNEL != Kernel::Emulated {
        return report_skipped(name, "on this kernel nothing is taken from the process");
    }
    let Some(library) = dynamic_library() else {
        return report_skipped(name, "this target has no shared libraries");
    };
    // Each test compiles its own: they run side by side.
    let folder = format!("{}/{scenario}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut program = command(compile("unload", &folder, &[]));
    program.arg(library).arg(scenario);
    if is_emulated() {
        report_partly(
            name,
            "a processor's emulator has threads and memory of its own",
        );
        program.arg("emulated");
    }
    let (status, text) = run_within(Duration::from_secs(120), program);
    assert_eq!((status.code(), text.trim()), (Some(0), "done"), "{status}");
}

/// Dispositions of all kinds are as before, and the host's own handler is called, on the thread that used the library and on another.
#[test]
fn r10_a_library_that_ended_is_unloaded_and_leaves_nothing_behind() {
    host(
        "r10_a_library_that_ended_is_unloaded_and_leaves_nothing_behind",
        "loaded_and_unloaded",
    );
}

/// Mappings, memory, threads and keys after 100 lives are those after the third.
#[test]
fn r10_a_library_that_is_loaded_many_times_takes_no_more_than_once() {
    host(
        "r10_a_library_that_is_loaded_many_times_takes_no_more_than_once",
        "many_lives",
    );
}

/// The start and the end of the library do not wait for a thread that waits for them.
#[test]
fn r10_a_library_starts_while_other_threads_load_and_unload_others() {
    host(
        "r10_a_library_starts_while_other_threads_load_and_unload_others",
        "while_others_load",
    );
}

/// The library stays, serves the thread until its end, and the host's fault is the host's.
#[test]
fn r10_a_library_with_an_attached_thread_stays_loaded() {
    host(
        "r10_a_library_with_an_attached_thread_stays_loaded",
        "attached_while_unloaded",
    );
}

/// The library stays, and hands the host's faults on.
#[test]
fn r10_a_library_whose_handler_another_one_may_chain_to_stays_loaded() {
    host(
        "r10_a_library_whose_handler_another_one_may_chain_to_stays_loaded",
        "displaced",
    );
}

/// It faults and ends when the library is gone.
#[test]
fn r10_a_thread_that_was_detached_outlives_the_library() {
    host(
        "r10_a_thread_that_was_detached_outlives_the_library",
        "threads_live_on",
    );
}

/// The child faults, and loads the library itself.
#[test]
fn r10_a_child_forked_after_the_unloading_is_as_without_the_library() {
    host(
        "r10_a_child_forked_after_the_unloading_is_as_without_the_library",
        "forked_afterwards",
    );
}
