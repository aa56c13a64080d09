//! Programs in C, and the libraries that cargo made of this package for them.

use crate::emulator::is_emulated;
use mach_sys::kernel::{KERNEL, Kernel};
use std::path::PathBuf;
use std::process::Command;

/// Returns the static library that cargo made beside the calling test.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn static_library() -> PathBuf {
    library(".a").expect("the package's static library")
}

/// Returns the dynamic library that cargo made beside the calling test; `None` for targets that have none.
#[must_use]
pub fn dynamic_library() -> Option<PathBuf> {
    library(std::env::consts::DLL_SUFFIX)
}

fn library(suffix: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().expect("the test's own program");
    let folder = program.parent().expect("a folder");
    let newest = std::fs::read_dir(folder)
        .expect("a folder to read")
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libtests") && name.ends_with(suffix)
        })
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path())
}

/// Returns the C compiler of this target.
#[must_use]
pub fn compiler() -> String {
    let named = if cfg!(target_arch = "aarch64") {
        std::env::var("CC_aarch64_unknown_linux_gnu")
    } else {
        std::env::var("CC")
    };
    named.unwrap_or_else(|_| match is_emulated() {
        true => "aarch64-linux-gnu-gcc".into(),
        false => "cc".into(),
    })
}

/// Returns the C compiler's flags for this machine and for the libraries that the static one needs.
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

/// Compiles a program of `tests/c` with these libraries, into a folder. Returns the program's path.
///
/// # Panics
/// If it does not compile.
#[must_use]
pub fn compile(name: &str, folder: &str, libraries: &[PathBuf]) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("c/{name}.c"));
    let program = PathBuf::from(folder).join(name);
    let compiled = Command::new(compiler())
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &source])
        .args(libraries)
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
