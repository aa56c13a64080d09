//! Access to the general registers of every machine: program counter, stack and frame pointer, link register, flags, arguments.

use super::{
    ThreadState, arm_thread_state64_t, arm_unified_thread_state_t, x86_thread_full_state64_t,
    x86_thread_state_t, x86_thread_state64_t,
};

/// The general registers of a 64-bit thread. Sealed, as [`Pod`](crate::pod::Pod) is: only this crate's structures implement it.
///
/// On arm64e the pointers may be signed; see [`arm_thread_state64_t`].
///
/// ```
/// use mach_wire::thread_state::{NativeState, Registers};
///
/// /// Makes a stopped thread resume in `entry`, with one argument.
/// fn enter(state: &mut NativeState, entry: u64, argument: u64) -> bool {
///     state.set_pc(entry);
///     state.set_argument(0, argument)
/// }
/// # let mut state = NativeState::default();
/// # assert!(enter(&mut state, 0x1000, 7));
/// # assert_eq!((state.pc(), state.argument(0)), (0x1000, Some(7)));
/// ```
pub trait Registers: ThreadState {
    /// Returns the program counter: rip, pc.
    fn pc(&self) -> u64;
    /// Sets the program counter.
    fn set_pc(&mut self, pc: u64);
    /// Returns the stack pointer: rsp, sp.
    fn sp(&self) -> u64;
    /// Sets the stack pointer.
    fn set_sp(&mut self, sp: u64);
    /// Returns the frame pointer: rbp, x29.
    fn fp(&self) -> u64;
    /// Sets the frame pointer.
    fn set_fp(&mut self, fp: u64);
    /// Returns the link register, x30. `None` on x86, which keeps the return address on the stack.
    fn lr(&self) -> Option<u64>;
    /// Sets the link register. Returns `false` on x86, which has none.
    fn set_lr(&mut self, lr: u64) -> bool;
    /// Returns the condition and control flags: rflags, cpsr.
    fn flags(&self) -> u64;
    /// Sets the flags; on arm64 the low 32 bits of `flags`. The kernel applies only those that user code may change (A4.8, A4.9).
    fn set_flags(&mut self, flags: u64);
    /// Returns an argument register of the machine's C calling convention, by its number from 0: rdi, rsi, rdx, rcx, r8, r9; x0 to x7.
    /// `None` past the last.
    fn argument(&self, number: usize) -> Option<u64>;
    /// Sets an argument register by its number. Returns `false` past the last.
    fn set_argument(&mut self, number: usize, value: u64) -> bool;
}

impl x86_thread_state64_t {
    fn argument_register(&mut self, number: usize) -> Option<&mut u64> {
        Some(match number {
            0 => &mut self.rdi,
            1 => &mut self.rsi,
            2 => &mut self.rdx,
            3 => &mut self.rcx,
            4 => &mut self.r8,
            5 => &mut self.r9,
            _ => return None,
        })
    }
}

impl Registers for x86_thread_state64_t {
    fn pc(&self) -> u64 {
        self.rip
    }

    fn set_pc(&mut self, pc: u64) {
        self.rip = pc;
    }

    fn sp(&self) -> u64 {
        self.rsp
    }

    fn set_sp(&mut self, sp: u64) {
        self.rsp = sp;
    }

    fn fp(&self) -> u64 {
        self.rbp
    }

    fn set_fp(&mut self, fp: u64) {
        self.rbp = fp;
    }

    fn lr(&self) -> Option<u64> {
        None
    }

    fn set_lr(&mut self, _: u64) -> bool {
        false
    }

    fn flags(&self) -> u64 {
        self.rflags
    }

    fn set_flags(&mut self, flags: u64) {
        self.rflags = flags;
    }

    fn argument(&self, number: usize) -> Option<u64> {
        // A copy, because the table of registers returns mutable references.
        let mut copy = *self;
        copy.argument_register(number).copied()
    }

    fn set_argument(&mut self, number: usize, value: u64) -> bool {
        match self.argument_register(number) {
            Some(register) => {
                *register = value;
                true
            }
            None => false,
        }
    }
}

impl Registers for arm_thread_state64_t {
    fn pc(&self) -> u64 {
        self.pc
    }

    fn set_pc(&mut self, pc: u64) {
        self.pc = pc;
    }

    fn sp(&self) -> u64 {
        self.sp
    }

    fn set_sp(&mut self, sp: u64) {
        self.sp = sp;
    }

    fn fp(&self) -> u64 {
        self.fp
    }

    fn set_fp(&mut self, fp: u64) {
        self.fp = fp;
    }

    fn lr(&self) -> Option<u64> {
        Some(self.lr)
    }

    fn set_lr(&mut self, lr: u64) -> bool {
        self.lr = lr;
        true
    }

    fn flags(&self) -> u64 {
        u64::from(self.cpsr)
    }

    fn set_flags(&mut self, flags: u64) {
        self.cpsr = flags as u32;
    }

    fn argument(&self, number: usize) -> Option<u64> {
        self.x.first_chunk::<8>()?.get(number).copied()
    }

    fn set_argument(&mut self, number: usize, value: u64) -> bool {
        let arguments = self.x.first_chunk_mut::<8>();
        match arguments.and_then(|registers| registers.get_mut(number)) {
            Some(register) => {
                *register = value;
                true
            }
            None => false,
        }
    }
}

impl AsRef<x86_thread_state64_t> for x86_thread_full_state64_t {
    /// Returns the general registers, without the segments of the full state.
    fn as_ref(&self) -> &x86_thread_state64_t {
        &self.ss64
    }
}

impl AsMut<x86_thread_state64_t> for x86_thread_full_state64_t {
    fn as_mut(&mut self) -> &mut x86_thread_state64_t {
        &mut self.ss64
    }
}

impl TryFrom<x86_thread_state_t> for x86_thread_state64_t {
    type Error = x86_thread_state_t;

    /// Returns the state of a 64-bit thread. Returns the unified state as the error if it is another.
    fn try_from(unified: x86_thread_state_t) -> Result<Self, Self::Error> {
        unified.wide().ok_or(unified)
    }
}

impl TryFrom<arm_unified_thread_state_t> for arm_thread_state64_t {
    type Error = arm_unified_thread_state_t;

    /// Returns the state of a 64-bit thread. Returns the unified state as the error if it is another.
    fn try_from(unified: arm_unified_thread_state_t) -> Result<Self, Self::Error> {
        unified.wide().ok_or(unified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread_state::StateMismatch;

    fn every_accessor_changes_its_own_word<S: Registers + Default + PartialEq>(words: &[usize]) {
        let setters: [fn(&mut S, u64); 4] = [S::set_pc, S::set_sp, S::set_fp, S::set_flags];
        let getters: [fn(&S) -> u64; 4] = [S::pc, S::sp, S::fp, S::flags];
        for ((set, get), at) in setters.into_iter().zip(getters).zip(words) {
            let mut state = S::default();
            set(&mut state, 0x1234_5678);
            assert_eq!(get(&state), 0x1234_5678);
            let changed = state.as_words().iter().position(|word| *word != 0);
            assert_eq!(changed, Some(*at));
            assert_eq!(state.as_words().iter().filter(|w| **w != 0).count(), 1);
        }
        for number in 0..=9 {
            let mut state = S::default();
            let has = state.set_argument(number, 7);
            assert_eq!(state.argument(number), has.then_some(7));
        }
    }

    #[test]
    fn accessors_of_both_machines_touch_one_register_each() {
        every_accessor_changes_its_own_word::<x86_thread_state64_t>(&[32, 14, 12, 34]);
        every_accessor_changes_its_own_word::<arm_thread_state64_t>(&[64, 62, 58, 66]);
        assert!(x86_thread_state64_t::default().lr().is_none());
        let mut arm = arm_thread_state64_t::default();
        assert!(arm.set_lr(9));
        assert_eq!((arm.lr(), arm.as_words()[60]), (Some(9), 9));
    }

    #[test]
    fn a4_14_a_unified_state_has_the_flavor_of_its_width() {
        let state = x86_thread_state64_t {
            rip: 0x77,
            ..Default::default()
        };
        let unified = x86_thread_state_t::from(state);
        assert_eq!(unified.as_words().get(..2), Some(&[4, 42][..]));
        // The offset of rip is eight bytes larger than in flavor 4.
        assert_eq!(unified.as_words().get(34), Some(&0x77));
        assert_eq!(unified.wide(), Some(state));
        assert_eq!(unified.narrow(), None);
        assert_eq!(x86_thread_state64_t::try_from(unified), Ok(state));
        let none = x86_thread_state_t::default();
        assert_eq!(x86_thread_state64_t::try_from(none), Err(none));
        let arm = arm_thread_state64_t::default();
        let unified = arm_unified_thread_state_t::from(arm);
        assert_eq!(unified.as_words().get(..2), Some(&[6, 68][..]));
    }

    #[test]
    fn words_of_another_count_are_an_error() {
        let words = [1; 43];
        let refused = x86_thread_state64_t::from_words(&words);
        assert!(matches!(
            refused,
            Err(StateMismatch::Count { found: 43, .. })
        ));
        let state = x86_thread_state64_t::from_words(&words[..42]);
        assert_eq!(state.map(|state| state.rax), Ok(0x1_0000_0001));
    }

    #[test]
    fn a4_11_flags_show_that_the_pointers_are_signed() {
        let mut state = arm_thread_state64_t::default();
        assert!(!state.is_signed());
        state.flags = arm_thread_state64_t::KERNEL_SIGNED_PC | 0x5a00_0000;
        assert!(state.is_signed());
        state.flags |= arm_thread_state64_t::NO_PTRAUTH;
        assert!(!state.is_signed());
    }
}
