//! The part of x86_64's direct return that checks the frame: the thread does for itself what its server does at the return trap.
#![allow(unsafe_code)]

use core::arch::asm;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use mach_sys::thread_state::x86_thread_state64_t;

use crate::frame::{HEADER_WORDS, word};
use crate::innermost::Innermost;
use crate::machine::X86_64;
use crate::memory::{Memory, Unmapped};
use crate::opened::{self, Opened};

/// Index of the first of the five words that `iretq` pops: rip, cs, rflags, rsp, ss. They overwrite words of the header that nothing reads
/// once the frame is used.
pub(super) const POPPED: usize = HEADER_WORDS - 5;
static_assertions::const_assert!(POPPED > word::SAVE_SIZE);

/// The flags that `iretq` restores at a user's privilege, without the trace flag: CF, PF, AF, ZF, SF, DF, OF, RF, AC, ID. Those of
/// the interrupt flag and of bit 1, always set, are 1 on both sides.
const RESTORED: u64 = 0x24_0000 | 1 << 16 | 0xcd5 | 1 << 9 | 1 << 1;

/// Darwin's selector of 64-bit user code (`USER64_CS`, `osfmk/i386/seg.h`). States have it on every system.
const DARWIN_CODE: u64 = 0x2b;

/// Ends the frame at `frame` and prepares the five words that `iretq` pops, if the thread may return by itself. Otherwise returns `false`
/// and leaves everything to the server.
///
/// It uses no thread-local storage, and accesses the frame, `errno` and the thread's [`Innermost`] only.
///
/// # Safety
/// The trampoline calls it when the handler has returned: `frame` is the value of the register that held the frame's address, `innermost`
/// the address that [`Redirect::return_directly`](crate::Redirect::return_directly) was given.
pub(super) unsafe extern "C" fn prepare(frame: u64, innermost: u64) -> bool {
    // SAFETY: the contract of `return_directly`; it is valid until the thread has left the frame.
    let innermost = unsafe { &*with_exposed_provenance::<Innermost>(innermost as usize) };
    let mut memory = Mapped;
    let Ok(header) = opened::header(innermost.key(), frame, &memory) else {
        return false;
    };
    if header[word::STACK_START] != header[word::STACK_END] {
        // Between the end of the frame and the last instruction the thread is still on that stack, and the record would not say so: the
        // handler of a signal that faults meanwhile could be sent to the stack's top. The server ends the frame while the thread is stopped.
        return false;
    }
    let Ok(opened) = Opened::<X86_64>::read(frame, header, &memory) else {
        return false;
    };
    let Some(popped) = popped(&opened.state) else {
        return false;
    };
    innermost.set(opened.outer());
    if opened.close(innermost.key(), &mut memory).is_err() {
        return false;
    }
    innermost.count_return();
    let to = with_exposed_provenance_mut::<[u64; 5]>(frame as usize + POPPED * 8);
    // SAFETY: the frame's seal was valid, so its header is there, aligned, and no reference points to it.
    unsafe { to.write(popped) };
    true
}

/// Returns the words to pop; `None` if `iretq` would not restore all of the state.
fn popped(state: &x86_thread_state64_t) -> Option<[u64; 5]> {
    let (cs, ss, fs, gs): (u64, u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!(
            "mov {0:e}, cs", "mov {1:e}, ss", "mov {2:e}, fs", "mov {3:e}, gs",
            out(reg) cs, out(reg) ss, out(reg) fs, out(reg) gs,
            options(nomem, nostack, preserves_flags),
        );
    }
    let same = |kept: u64, now: u64| kept & 0xffff == now & 0xffff;
    let is_ordinary = state.rflags & !RESTORED == 0
        && (state.cs == DARWIN_CODE || same(state.cs, cs))
        && same(state.fs, fs)
        && same(state.gs, gs);
    is_ordinary.then_some([state.rip, cs & 0xffff, state.rflags, state.rsp, ss & 0xffff])
}

/// The memory of a frame whose handler has just returned, on its own thread.
struct Mapped;

impl Memory for Mapped {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Unmapped> {
        let from = with_exposed_provenance::<u8>(address as usize);
        // SAFETY: only `prepare` creates the value. It reads the frame, which lies on the thread's own stack above the stack pointer.
        unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Unmapped> {
        let to = with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: as above. The addresses written are the frame's, and that of the thread's errno (contract of `return_directly`).
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }
}
