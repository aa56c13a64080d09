//! The crates embedded in a program whose `main` is C.

use mach_sys::kernel::{KERNEL, Kernel};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tests::own_process::{command, report_skipped, run_within};

/// The static library that cargo made beside this test.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("the test's own program");
    let folder = program.parent().expect("a folder");
    let newest = std::fs::read_dir(folder)
        .expect("a folder to read")
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libtests") && name.ends_with(".a")
        })
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.expect("the package's static library").path()
}

/// Whether a user-mode emulator runs this program.
fn is_emulated() -> bool {
    cfg!(target_arch = "aarch64")
        && std::env::var_os("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER").is_some()
}

/// The C compiler of this target.
fn compiler() -> String {
    let named = if cfg!(target_arch = "aarch64") {
        std::env::var("CC_aarch64_unknown_linux_gnu")
    } else {
        std::env::var("CC")
    };
    named.unwrap_or_else(|_| {
        if is_emulated() {
            "aarch64-linux-gnu-gcc".into()
        } else {
            "cc".into()
        }
    })
}

/// What the C compiler is told of this machine and of the libraries that the static one needs.
fn flags() -> &'static [&'static str] {
    if KERNEL == Kernel::Emulated {
        &["-lgcc_s", "-lpthread", "-ldl", "-lm"]
    } else if cfg!(target_arch = "aarch64") {
        &["-arch", "arm64"]
    } else {
        // The compiler's own choice is that of the machine, where this program may be translated.
        &["-arch", "x86_64"]
    }
}

/// Compiles a program of `tests/c` with the static library.
fn compile(name: &str) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("c/{name}.c"));
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiled = Command::new(compiler())
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([program.as_os_str(), source.as_ref(), library().as_os_str()])
        .args(flags())
        .output()
        .expect("a C compiler");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    program
}

#[test]
fn a_program_whose_main_is_c_takes_faults_and_shuts_down_in_order() {
    let (status, text) = run_within(LIMIT, command(compile("main")));
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
    let program = compile("main_leaves");
    for main in ["stranger", "attached"] {
        for worker in ["stranger", "attached", "started"] {
            let mut program = command(&program);
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
