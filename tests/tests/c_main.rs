//! The crates embedded in a program whose `main` is C.

use mach_sys::kernel::{KERNEL, Kernel};
use std::path::PathBuf;
use std::process::Command;
use tests::c_compiler::compiler;
use tests::own_process::command;

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

#[test]
fn a_program_whose_main_is_c_takes_faults_and_shuts_down_in_order() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/c/main.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("c-main");
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
    let ran = command(&program).output().expect("the C program");
    assert_eq!(
        (
            ran.status.code(),
            String::from_utf8_lossy(&ran.stdout).trim()
        ),
        (Some(0), "3 faults handled"),
        "{}: {}",
        ran.status,
        String::from_utf8_lossy(&ran.stderr)
    );
}
