//! Models the emulation's synchronization: its lock, wait words, table of threads and suspension. Runs each model in all interleavings of a
//! few threads, up to a number of preemptions, with the concurrency checker loom. The files of `mach-emulated` are compiled into this program; their atomics are loom's, and the futexes are
//! those of `host/sys/futex.rs` here.
//!
//! `.ci/run models`, or `RUSTFLAGS="--cfg loom" cargo run --release -p models`. Prints each model with the number of interleavings that were
//! tried. A model that fails panics, with the interleaving's number.

#[cfg(loom)]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod host;
#[cfg(loom)]
mod keys;
#[cfg(loom)]
mod lock;
#[cfg(loom)]
mod run;
#[cfg(loom)]
mod suspension;
#[cfg(loom)]
mod waiting;

#[cfg(loom)]
#[allow(dead_code, unreachable_pub)]
#[path = "../../../mach-sys/emulated/src/ipc/lock.rs"]
mod the_lock;
#[cfg(loom)]
#[allow(dead_code, unreachable_pub)]
#[path = "../../../mach-sys/emulated/src/ipc/wait_word.rs"]
mod the_wait_word;

#[cfg(loom)]
fn main() {
    for model in [
        lock::MODELS,
        waiting::MODELS,
        keys::MODELS,
        suspension::MODELS,
    ]
    .into_iter()
    .flatten()
    {
        model.run();
    }
}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    eprintln!("models: built without RUSTFLAGS=\"--cfg loom\": there is nothing to run");
    std::process::ExitCode::from(2)
}
