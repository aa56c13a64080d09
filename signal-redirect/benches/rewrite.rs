//! Cost of a redirect for its server, without the kernel: writing the frame, and checking it when the handler has returned.
//!
//! Run with `cargo bench -p signal-redirect`. It measures both machines on every host.

use mach_sys::exception::ExceptionType;
use mach_sys::thread_state::Registers;
use signal_redirect::{
    Arm64, Fault, Key, Redirect, Region, Rewriter, TrampolinePlan, VectorSave, X86_64,
};

const BASE: u64 = 0x7000_0000;

fn main() {
    divan::main();
}

fn trampoline<M: Rewriter>() -> TrampolinePlan<M> {
    TrampolinePlan::at(0x5000_0000, Key::new(1))
}

fn avx512() -> TrampolinePlan<X86_64> {
    trampoline().vector_save(VectorSave::xsave(0xe4, 2696, 0xffff))
}

fn there<M: Rewriter>(bencher: divan::Bencher<'_, '_>, trampoline: TrampolinePlan<M>) {
    let mut bytes = vec![0; 0x4000];
    let mut memory = Region::new(BASE, &mut bytes);
    let mut state = M::State::default();
    state.set_sp(BASE + 0x3f00);
    let plan = Redirect::plan(0x6000_0000, trampoline);
    let fault = Fault::new(ExceptionType::BAD_ACCESS, 1, 0x1234);
    bencher.bench_local(|| plan.apply(divan::black_box(&state), &fault, &mut memory));
}

fn there_and_back<M: Rewriter>(bencher: divan::Bencher<'_, '_>, trampoline: TrampolinePlan<M>) {
    let mut bytes = vec![0; 0x4000];
    let mut memory = Region::new(BASE, &mut bytes);
    let mut state = M::State::default();
    state.set_sp(BASE + 0x3f00);
    let plan = Redirect::plan(0x6000_0000, trampoline);
    let fault = Fault::new(ExceptionType::BAD_ACCESS, 1, 0x1234);
    bencher.bench_local(|| {
        let (mut trapped, _) = plan
            .apply(divan::black_box(&state), &fault, &mut memory)
            .ok()?;
        // At the trap, the frame register and the stack pointer have the same values as at the entry.
        trapped.set_pc(trampoline.trap());
        trampoline.return_from(&trapped, &mut memory).ok()?
    });
}

#[divan::bench]
fn apply_x86_64(bencher: divan::Bencher<'_, '_>) {
    there(bencher, avx512());
}

#[divan::bench]
fn apply_arm64(bencher: divan::Bencher<'_, '_>) {
    there(bencher, trampoline::<Arm64>());
}

#[divan::bench]
fn apply_and_return_x86_64(bencher: divan::Bencher<'_, '_>) {
    there_and_back(bencher, avx512());
}

#[divan::bench]
fn apply_and_return_arm64(bencher: divan::Bencher<'_, '_>) {
    there_and_back(bencher, trampoline::<Arm64>());
}
