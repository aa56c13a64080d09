//! The probe of this process's capabilities, and the function that reads a thread's registers.
#![allow(unsafe_code)]

use crate::capabilities::{Capabilities, CodeSigning, Policy, judge_thread_state};
use crate::kern_return::{KernError, KernReturn};
use crate::types::{mach_msg_type_number_t, mach_port_name_t, natural_t, thread_state_flavor_t};
use core::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_vendor = "apple")]
use super::apple as host;
#[cfg(not(target_vendor = "apple"))]
use mach_emulated::system as host;

/// Returns the capabilities of this process. Makes system calls that no policy forbids, and allocates nothing.
///
/// On the emulation no process is translated, signed, hardened or in Apple's sandbox. A process that is traced with `ptrace` is debugged.
///
/// ```
/// println!("{}", mach_sys::kernel::system::capabilities());
/// ```
#[must_use]
#[doc(alias("sysctl.proc_translated", "csops", "sandbox_check", "P_TRACED"))]
pub fn capabilities() -> Capabilities {
    Capabilities {
        translated: translated(),
        debugged: host::is_debugged(),
        code_signing: host::code_signing().map(CodeSigning::from_raw),
        policy: policy(),
        sandboxed: host::is_sandboxed(),
    }
}

/// Returns `true` if Rosetta translates this process; `None` if the system does not report it. Only the first call makes a system call.
#[must_use]
#[doc(alias = "sysctl.proc_translated")]
pub fn translated() -> Option<bool> {
    static FOUND: AtomicU8 = AtomicU8::new(UNPROBED);
    match FOUND.load(Ordering::Relaxed) {
        NO => Some(false),
        YES => Some(true),
        UNKNOWN => None,
        _ => {
            let found = host::is_translated();
            let number = found.map_or(UNKNOWN, |yes| if yes { YES } else { NO });
            FOUND.store(number, Ordering::Relaxed);
            found
        }
    }
}

const UNPROBED: u8 = 0;
const UNKNOWN: u8 = 1;
const NO: u8 = 2;
const YES: u8 = 3;

/// Returns the policy of this process, which does not change after the program starts; `None` if the system does not report it. Only
/// the first call makes system calls.
#[must_use]
pub fn policy() -> Option<Policy> {
    static FOUND: AtomicU8 = AtomicU8::new(UNPROBED);
    let found = FOUND.load(Ordering::Relaxed);
    if found != UNPROBED {
        return policy_of(found);
    }
    let flags = host::code_signing().map(CodeSigning::from_raw);
    let policy = host::with_entitlements(|text| Policy::of(translated(), flags, text));
    FOUND.store(number_of(policy), Ordering::Relaxed);
    policy
}

/// The policies. Their numbers start after [`UNKNOWN`].
const POLICIES: [Policy; 4] = [
    Policy::Ordinary,
    Policy::HardenedRuntime,
    Policy::Restricted,
    Policy::Platform,
];

fn number_of(policy: Option<Policy>) -> u8 {
    let at = POLICIES.iter().position(|known| Some(*known) == policy);
    at.map_or(UNKNOWN, |at| UNKNOWN + 1 + at as u8)
}

fn policy_of(number: u8) -> Option<Policy> {
    let at = number.checked_sub(UNKNOWN + 1)?;
    POLICIES.get(usize::from(at)).copied()
}

/// Reads a thread's state of a flavor into `to`, and returns its number of 32-bit words.
///
/// It calls [`thread_get_state`](super::thread_get_state) and corrects its wrong return code under Rosetta: if the words changed, the
/// call succeeded ([`judge_thread_state`]).
///
/// # Errors
/// - Any error that the kernel returns.
/// - `KERN_INVALID_ARGUMENT`: the kernel reports more words than `to` has room for.
#[doc(alias = "thread_get_state")]
pub fn read_thread_state(
    thread: mach_port_name_t,
    flavor: thread_state_flavor_t,
    to: &mut [natural_t],
) -> Result<usize, KernError> {
    read_with(translated(), to, |to, count| {
        // SAFETY: the buffer has room for `count` words.
        unsafe { super::thread_get_state(thread, flavor, to.as_mut_ptr(), count) }
    })
}

/// Does the work of [`read_thread_state`] with any call that fills the words and sets their count.
fn read_with(
    translated: Option<bool>,
    to: &mut [natural_t],
    call: impl FnOnce(&mut [natural_t], &mut mach_msg_type_number_t) -> i32,
) -> Result<usize, KernError> {
    /// Value of the words before the call. No thread has it in all registers.
    const UNWRITTEN: natural_t = 0xdead_5a5a;
    // No state has more words, and the kernel refuses a larger count.
    let room = to.len().min(crate::thread_state::THREAD_STATE_MAX);
    let to = &mut to[..room];
    if translated != Some(false) {
        to.fill(UNWRITTEN);
    }
    let mut count = room as mach_msg_type_number_t;
    let answer = KernReturn::new(call(to, &mut count));
    let written = translated != Some(false) && to.iter().any(|word| *word != UNWRITTEN);
    judge_thread_state(translated, answer, written)?;
    let count = count as usize;
    if count > room {
        return Err(KernError::INVALID_ARGUMENT);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIE: i32 = 0x1000_0003;

    #[test]
    fn registers_that_were_read_are_returned_although_the_call_returns_an_error() {
        let mut words = [0; 4];
        let read = read_with(Some(true), &mut words, |to, count| {
            to[1] = 7;
            *count = 2;
            LIE
        });
        assert_eq!((read, words[1]), (Ok(2), 7));
    }

    #[test]
    fn a_thread_that_has_exited_is_an_error_although_the_buffer_was_not_empty() {
        for translated in [Some(true), Some(false), None] {
            let mut words = [1, 2, 3, 4];
            let read = read_with(translated, &mut words, |_, _| LIE);
            assert_eq!(read, Err(KernError::SEND_INVALID_DEST), "{translated:?}");
        }
    }

    #[test]
    fn a_count_beyond_the_room_is_an_error() {
        let mut words = [0; 4];
        let read = read_with(Some(false), &mut words, |_, count| {
            *count = 5;
            0
        });
        assert_eq!(read, Err(KernError::INVALID_ARGUMENT));
    }

    #[test]
    fn every_policy_and_an_unknown_one_are_cached() {
        for policy in POLICIES.map(Some).into_iter().chain([None]) {
            assert_ne!(number_of(policy), UNPROBED);
            assert_eq!(policy_of(number_of(policy)), policy);
        }
    }

    #[test]
    fn a_second_probe_returns_the_same() {
        assert_eq!((translated(), policy()), (translated(), policy()));
        let found = capabilities();
        assert_eq!((found.translated, found.policy), (translated(), policy()));
    }
}
