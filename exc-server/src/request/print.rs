//! A fingerprint of a request, by which its receiver finds the forward that sent it.

use mach_sys::exception::ExceptionType;
use mach_sys::mig::{Identity, Raise, Request, Routine};

/// A fingerprint that is equal for a request as sent and as received in this process: rights on a thread or task keep their names. Requests
/// about different threads have different fingerprints, since the thread or its registers differ. Requests that name no thread and carry a
/// state without registers, such as an exception state, may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print(pub(crate) u64);

impl Print {
    /// Returns the fingerprint of a received request.
    pub(crate) fn of_request(request: &Request<'_>) -> Self {
        let print = Self::new(
            request.routine(),
            request.identity(),
            request.exception(),
            request.codes(),
        );
        match request.flavor() {
            Some(flavor) => print.with([flavor as u32]).with(request.old_state().iter()),
            None => print,
        }
    }

    /// Returns the fingerprint of a request to be sent.
    pub(crate) fn of_raise(raise: &Raise<'_>) -> Self {
        let print = Self::new(raise.routine, raise.identity, raise.exception, raise.codes);
        if raise.routine.has_state() {
            print
                .with([raise.flavor as u32])
                .with(raise.state.iter().copied())
        } else {
            print
        }
    }

    fn new(routine: Routine, identity: Identity, exception: ExceptionType, codes: &[i64]) -> Self {
        // FNV-1a over words.
        let print = Self(0xcbf2_9ce4_8422_2325).with([routine.id() as u32]);
        let print = match identity {
            Identity::ThreadAndTask { thread, task } => print.with([1, thread, task]),
            Identity::Token { token, thread_id } => {
                print.with([2, token, thread_id as u32, (thread_id >> 32) as u32])
            }
            _ => print,
        };
        // Only the low halves count: they are all that a handler of 32-bit codes receives.
        print
            .with([exception.raw() as u32, codes.len() as u32])
            .with(codes.iter().map(|code| *code as u32))
    }

    fn with(self, words: impl IntoIterator<Item = u32>) -> Self {
        let step = |print: u64, word: u32| (print ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
        Self(words.into_iter().fold(self.0, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mach_sys::message::Disposition;
    use mach_sys::mig::{Accept, HeaderPort, IdentityKind, decode};
    use mach_sys::pod;

    #[test]
    fn what_is_sent_and_what_arrives_have_one_print_and_other_requests_another() {
        let state: Vec<u32> = (0..44).collect();
        let mut prints = Vec::new();
        for routine in Routine::ALL {
            let identity = match routine.identity() {
                IdentityKind::None => Identity::None,
                IdentityKind::ThreadAndTask => Identity::ThreadAndTask {
                    thread: 0x103,
                    task: 0x203,
                },
                IdentityKind::Token => Identity::Token {
                    token: 0x303,
                    thread_id: 7 << 40,
                },
                _ => continue,
            };
            for code in [1, -2, 5 << 40] {
                let raise = Raise {
                    routine,
                    remote: HeaderPort::new(0x503, Disposition::COPY_SEND),
                    local: HeaderPort::new(0x603, Disposition::MAKE_SEND_ONCE),
                    voucher: HeaderPort::NONE,
                    identity,
                    disposition: Disposition::MOVE_SEND,
                    exception: ExceptionType::BAD_ACCESS,
                    codes: &[code, 9],
                    flavor: 4,
                    state: if routine.has_state() { &state } else { &[] },
                };
                let mut bytes = [0_u32; 1400];
                let size = raise.encode(pod::word_bytes_mut(&mut bytes));
                let size = size.expect("a good request");
                let bytes = &pod::word_bytes(&bytes)[..size];
                let request = decode(bytes, Accept::Both).expect("a good request");
                assert_eq!(Print::of_request(&request), Print::of_raise(&raise));
                prints.push(Print::of_raise(&raise).0);
            }
        }
        let all = prints.len();
        assert!(all >= 15);
        prints.sort_unstable();
        prints.dedup();
        // Codes that differ only in their upper halves have the same fingerprint.
        assert!(prints.len() > all / 2);
    }
}
