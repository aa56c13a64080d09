//! A stack that records writes, and the machines' properties for tests.
use core::mem::offset_of;
use core::ops::Range;

use mach_sys::darwin::{arm_mcontext64_t, x86_mcontext64_t};
use mach_sys::exception::ExceptionType;
use mach_sys::pod::{self, Pod};
use mach_sys::thread_state::Registers;
use signal_redirect::{
    Arm64, Fault, Frame, Key, Memory, Redirect, Rewriter, TrampolinePlan, Unmapped, VectorSave,
    X86_64,
};

/// Memory of one range of addresses, parts of which may be protected. It records every write.
pub(crate) struct Stack {
    pub(crate) base: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) protected: Vec<Range<u64>>,
    pub(crate) writes: Vec<Range<u64>>,
}

impl Stack {
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self {
            base: range.start,
            bytes: vec![0xa5; (range.end - range.start) as usize],
            protected: Vec::new(),
            writes: Vec::new(),
        }
    }

    fn at(&self, address: u64, len: usize) -> Result<Range<usize>, Unmapped> {
        let unmapped = Unmapped::at(address);
        let start = address.checked_sub(self.base).ok_or(unmapped)? as usize;
        let end = start.checked_add(len).ok_or(unmapped)?;
        let touches =
            |range: &Range<u64>| address < range.end && range.start < address + len as u64;
        if end > self.bytes.len() || self.protected.iter().any(touches) {
            return Err(unmapped);
        }
        Ok(start..end)
    }

    pub(crate) fn get<T: Pod>(&self, address: u64) -> T {
        let mut value: T = pod::zeroed();
        self.read(address, pod::bytes_of_mut(&mut value)).unwrap();
        value
    }

    pub(crate) fn put<T: Pod>(&mut self, address: u64, value: &T) {
        self.write(address, pod::bytes_of(value)).unwrap();
    }

    /// Returns the range from the lowest address written to the end of the highest write.
    pub(crate) fn written(&self) -> Range<u64> {
        let low = self.writes.iter().map(|range| range.start).min().unwrap();
        let high = self.writes.iter().map(|range| range.end).max().unwrap();
        low..high
    }

    /// Returns `true` if every page of a range was written to.
    pub(crate) fn touched_every_page(&self, range: Range<u64>) -> bool {
        (range.start >> 12..=(range.end - 1) >> 12).all(|page| {
            let page = page << 12..(page + 1) << 12;
            self.writes
                .iter()
                .any(|write| write.start < page.end && page.start < write.end)
        })
    }
}

impl Memory for Stack {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        into.copy_from_slice(&self.bytes[self.at(address, into.len())?]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let range = self.at(address, from.len())?;
        self.bytes[range].copy_from_slice(from);
        self.writes.push(address..address + from.len() as u64);
        Ok(())
    }
}

/// Returns a value with a pattern as its bytes.
pub(crate) fn patterned<T: Pod>(seed: u8) -> T {
    let mut value: T = pod::zeroed();
    for (at, byte) in pod::bytes_of_mut(&mut value).iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(31).wrapping_add(seed);
    }
    value
}

pub(crate) const TRAP: u64 = 0x5000_0000;
pub(crate) const HANDLER: u64 = 0x6000_0000;

pub(crate) fn key() -> Key {
    Key::new(0x0123_4567_89ab_cdef)
}

/// Returns a trampoline that saves AVX-512, which needs a large area.
pub(crate) fn avx512() -> TrampolinePlan<X86_64> {
    TrampolinePlan::at(TRAP, key()).vector_save(VectorSave::xsave(0xe7, 2696, 0xffff))
}

pub(crate) const BASE: u64 = 0x7000_0000;

pub(crate) const SIZE: u64 = 0x10_000;

pub(crate) const SP: u64 = BASE + 0x8000;

/// A redirect that is only computed.
pub(crate) type Plan<M> = Redirect<M, TrampolinePlan<M>>;

/// A machine with the properties that the tests need beyond [`Rewriter`].
pub(crate) trait TestedMachine: Rewriter {
    fn trampoline() -> TrampolinePlan<Self>;
    /// Flags at the fault: those that must be clear when the handler starts, and some that stay.
    const FLAGS_STOPPED: u64;
    /// Flags at the handler's start after [`FLAGS_STOPPED`](Self::FLAGS_STOPPED).
    const FLAGS_ENTERED: u64;
    /// Bytes of the machine context, with AVX.
    const CONTEXT_SIZE: u64;
    /// Offset of the general registers in the machine context, in bytes.
    const REGISTERS_AT: u64;
    /// The flags that a handler may change.
    const USER_FLAGS: u64;
    /// Returns the register that holds the frame's address.
    fn frame_register(state: &mut Self::State) -> &mut u64;

    /// Returns the registers that the trampoline has for itself.
    fn trampoline_registers(state: &mut Self::State) -> Vec<&mut u64>;
    /// Changes any bit pattern to a state that a redirect accepts.
    fn plausible(state: &mut Self::State);
    fn fault() -> Fault<Self> {
        Fault::new(ExceptionType::BAD_ACCESS, 1, 0x1234_5678)
    }
    fn stopped(sp: u64) -> Self::State {
        let mut state: Self::State = patterned(7);
        Self::plausible(&mut state);
        state.set_sp(sp);
        state.set_pc(0x4000_1234);
        state
    }
    fn plan() -> Plan<Self> {
        Redirect::plan(HANDLER, Self::trampoline())
    }
    /// Returns the registers of a thread at the return trap, after its handler changed all others.
    fn at_trap(entered: &Self::State) -> Self::State {
        let mut state = patterned(99);
        Self::plausible(&mut state);
        *Self::frame_register(&mut state) = entered.sp();
        state.set_sp(entered.sp());
        state.set_pc(TRAP);
        state
    }
}

impl TestedMachine for X86_64 {
    // TF, DF, NT, RF, AC; CF, ZF, IF, OF, ID stay.
    const FLAGS_STOPPED: u64 = 0x255f41;
    const FLAGS_ENTERED: u64 = 0x200a41 | 0x1000;
    const CONTEXT_SIZE: u64 = 1032;
    const REGISTERS_AT: u64 = offset_of!(x86_mcontext64_t, ss) as u64;
    // CF, PF, AF, ZF, SF, TF, DF, OF, AC, ID.
    const USER_FLAGS: u64 = 0x24_0dd5;
    fn trampoline() -> TrampolinePlan<Self> {
        avx512()
    }
    fn frame_register(state: &mut Self::State) -> &mut u64 {
        &mut state.rbx
    }

    fn trampoline_registers(state: &mut Self::State) -> Vec<&mut u64> {
        vec![&mut state.rbx, &mut state.r12]
    }
    fn plausible(state: &mut Self::State) {
        state.cs = 0x2b;
        state.rip &= 0x7fff_ffff_efff;
        state.rsp &= 0x7fff_ffff_efff;
    }
}

impl TestedMachine for Arm64 {
    // BTYPE, SS, IL; N, C, DIT, SSBS stay.
    const FLAGS_STOPPED: u64 = 0xa130_1c00;
    const FLAGS_ENTERED: u64 = 0xa100_1000;
    const CONTEXT_SIZE: u64 = 816;
    const REGISTERS_AT: u64 = offset_of!(arm_mcontext64_t, ss) as u64;
    // N, Z, C, V.
    const USER_FLAGS: u64 = 0xf000_0000;
    fn trampoline() -> TrampolinePlan<Self> {
        TrampolinePlan::at(TRAP, key())
    }
    fn frame_register(state: &mut Self::State) -> &mut u64 {
        &mut state.x[19]
    }

    fn trampoline_registers(state: &mut Self::State) -> Vec<&mut u64> {
        vec![Self::frame_register(state)]
    }
    fn plausible(state: &mut Self::State) {
        state.flags = 0;
    }
}

/// Defines a test for each machine from a generic function.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod x86_64 {
            $(#[test] fn $name() { super::$name::<signal_redirect::X86_64>(); })*
        }
        mod arm64 {
            $(#[test] fn $name() { super::$name::<signal_redirect::Arm64>(); })*
        }
    };
}

pub(crate) fn apply<M: TestedMachine>(plan: &Plan<M>, sp: u64) -> (M::State, Frame, Stack) {
    let mut memory = Stack::new(BASE..BASE + SIZE);
    let (entered, frame) = plan
        .apply(&M::stopped(sp), &M::fault(), &mut memory)
        .unwrap();
    (entered, frame, memory)
}

pub(crate) use on_both;
