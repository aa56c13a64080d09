//! The contents of a request, and the ways in which its send fails (A3, C10).

use crate::support::*;
use core::time::Duration;
use mach_sys::exception::ExceptionType;
use mach_sys::kern_return::{KernError, KernReturn};
use mach_sys::message::{MACH_MSGH_BITS, MACH_SEND_TIMEOUT, mach_msg_header_t};
use mach_sys::mig::{self, Accept, Identity, REPLY_SIZE_MAX, ReplyTo, Request, Routine};
use mach_sys::pod::{self};
use mach_sys::raise::{self, RaiseError, State};
use mach_sys::rights::{Borrowed, Name, ReceiveRight, Right, SendRight, TaskRight, ThreadRight};
use std::sync::mpsc::channel;

/// A request as a server saw it.
#[derive(Debug, PartialEq)]
struct Seen {
    routine: Routine,
    identity: Identity,
    codes: Vec<i64>,
    flavor: Option<i32>,
    state: Vec<u32>,
}

impl Seen {
    fn of(request: &Request<'_>) -> Self {
        assert_eq!(request.exception(), ExceptionType::SOFTWARE);
        Self {
            routine: request.routine(),
            identity: request.identity(),
            codes: request.codes().to_vec(),
            flavor: request.flavor(),
            state: request.old_state().iter().collect(),
        }
    }
}

/// Raises by each routine, and returns what the client made of the reply and what the server saw.
fn exchange(
    routine: Routine,
    call: impl FnOnce(&SendRight) -> Result<(i32, Vec<u32>), RaiseError>,
) -> (Result<(i32, Vec<u32>), RaiseError>, Seen) {
    let (tell, seen) = channel();
    let outcome = with_server(
        move |bytes| {
            let request = mig::decode(pod::word_bytes(bytes), Accept::Both).expect("well-formed");
            tell.send(Seen::of(&request)).expect("a listener");
            let mut reply = vec![0; REPLY_SIZE_MAX];
            let to = ReplyTo::request(&request);
            let size = if routine.has_state() {
                to.encode_state(&mut reply, 5, &[9, 8, 7, 6]).expect("room")
            } else {
                to.encode_status(&mut reply, KernReturn::SUCCESS)
                    .expect("room")
            };
            reply.truncate(size);
            Some(reply)
        },
        call,
    );
    (outcome, seen.recv().expect("a request"))
}

#[test]
fn a3_1_a3_2_a3_3_each_routine_carries_what_its_behavior_says() {
    leaves_nothing(
        "requests::a3_1_a3_2_a3_3_each_routine_carries_what_its_behavior_says",
        || {
            let thread = thread();
            let task = Borrowed::current_task();
            let identity = Identity::ThreadAndTask {
                thread: thread.name().raw(),
                task: task.name().raw(),
            };
            let kind = ExceptionType::SOFTWARE;
            let narrow: [i32; 2] = [-1, 0x7000_0000];
            let wide: [i64; 2] = [0x1_0000_0001, -7];
            let old = State {
                flavor: 4,
                words: &[1, 2, 3],
            };
            let none = |outcome: Result<(), RaiseError>| outcome.map(|()| (0, Vec::new()));
            let some = |state: State<'_>| (state.flavor, state.words.to_vec());
            type Call<'c> = &'c dyn Fn(&SendRight) -> Result<(i32, Vec<u32>), RaiseError>;
            let calls: [(Routine, bool, Call<'_>); 6] = [
                (Routine::ExceptionRaise, true, &|port| {
                    none(raise::exception_raise(
                        port, &thread, &task, kind, &narrow, LONG,
                    ))
                }),
                (Routine::ExceptionRaiseState, false, &|port| {
                    let new = &mut [0; 8];
                    raise::exception_raise_state(port, kind, &narrow, old, new, LONG).map(some)
                }),
                (Routine::ExceptionRaiseStateIdentity, true, &|port| {
                    let new = &mut [0; 8];
                    raise::exception_raise_state_identity(
                        port, &thread, &task, kind, &narrow, old, new, LONG,
                    )
                    .map(some)
                }),
                (Routine::MachExceptionRaise, true, &|port| {
                    none(raise::mach_exception_raise(
                        port, &thread, &task, kind, &wide, LONG,
                    ))
                }),
                (Routine::MachExceptionRaiseState, false, &|port| {
                    let new = &mut [0; 8];
                    raise::mach_exception_raise_state(port, kind, &wide, old, new, LONG).map(some)
                }),
                (Routine::MachExceptionRaiseStateIdentity, true, &|port| {
                    let new = &mut [0; 8];
                    raise::mach_exception_raise_state_identity(
                        port, &thread, &task, kind, &wide, old, new, LONG,
                    )
                    .map(some)
                }),
            ];
            for (routine, named, call) in calls {
                let (outcome, seen) = exchange(routine, call);
                let state = routine.has_state();
                let codes = match routine.code_size() {
                    4 => vec![-1, 0x7000_0000],
                    _ => wide.to_vec(),
                };
                let wanted = Seen {
                    routine,
                    identity: if named { identity } else { Identity::None },
                    codes,
                    flavor: state.then_some(4),
                    state: if state { vec![1, 2, 3] } else { Vec::new() },
                };
                assert_eq!(seen, wanted);
                let new = if state {
                    (5, vec![9, 8, 7, 6])
                } else {
                    (0, Vec::new())
                };
                assert_eq!(outcome, Ok(new), "{routine}");
            }
        },
    );
}

#[test]
fn c10_2_a_dead_handler_is_a_send_error() {
    leaves_nothing("requests::c10_2_a_dead_handler_is_a_send_error", || {
        let port = ReceiveRight::new().expect("a port");
        let handler = port.make_send().expect("a send right");
        drop(port);
        let error = RaiseError::Send(KernError::SEND_INVALID_DEST);
        assert_eq!(raise(&handler, None), Err(error));
        assert_eq!(error.kern_return(), KernReturn::SEND_INVALID_DEST);
    });
}

#[test]
fn c10_4_a_right_that_is_not_there_is_a_send_error() {
    leaves_nothing(
        "requests::c10_4_a_right_that_is_not_there_is_a_send_error",
        || {
            let port = ReceiveRight::new().expect("a port");
            let handler = port.make_send().expect("a send right");
            let absent = Name::new(0xdead03).expect("a name");
            // SAFETY: not kept: a name that denotes nothing is what this test is about, and it is only put into a message.
            let absent: Borrowed<'_, ThreadRight> = unsafe { Borrowed::from_name(absent) };
            let task: Borrowed<'_, TaskRight> = Borrowed::current_task();
            let outcome =
                raise::exception_raise(&handler, &absent, &task, ExceptionType::CRASH, &[], None);
            assert_eq!(
                outcome,
                Err(RaiseError::Send(KernError::SEND_INVALID_RIGHT))
            );
        },
    );
}

/// Fills the port's queue, whose limit is 5.
fn fill(handler: &SendRight) {
    for _ in 0..5 {
        let header = mach_msg_header_t {
            msgh_bits: MACH_MSGH_BITS(19, 0),
            msgh_remote_port: handler.name().raw(),
            msgh_size: 24,
            ..mach_msg_header_t::default()
        };
        let mut message = pod::bytes_of(&header).to_vec();
        assert_eq!(send(&mut message, MACH_SEND_TIMEOUT), KernReturn::SUCCESS);
    }
}

#[test]
fn c10_7_a_request_that_is_given_back_is_released() {
    leaves_nothing(
        "requests::c10_7_a_request_that_is_given_back_is_released",
        || {
            let port = ReceiveRight::new().expect("a port");
            let handler = port.make_send().expect("a send right");
            fill(&handler);
            let before = handler.user_references();
            let error = RaiseError::Send(KernError::SEND_TIMED_OUT);
            assert_eq!(raise(&handler, SHORT), Err(error));
            assert_eq!(raise(&handler, Some(Duration::ZERO)), Err(error));
            assert_eq!(handler.user_references(), before);
        },
    );
}

#[test]
fn c10_5_an_interrupted_request_is_sent_again() {
    leaves_nothing(
        "requests::c10_5_an_interrupted_request_is_sent_again",
        || {
            // SAFETY: a handler that does nothing, which interrupts waits.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                action.sa_sigaction = nothing as *const () as usize;
                assert_eq!(
                    libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut()),
                    0
                );
            }
            let port = ReceiveRight::new().expect("a port");
            let handler = port.make_send().expect("a send right");
            fill(&handler);
            let before = handler.user_references().expect("alive");
            let (tell, client_thread) = channel();
            std::thread::scope(|scope| {
                let client = scope.spawn(|| {
                    // SAFETY: the own identifier.
                    tell.send(unsafe { libc::pthread_self() } as usize)
                        .expect("a listener");
                    raise(&handler, LONG)
                });
                let id = client_thread.recv().expect("a client") as libc::pthread_t;
                for _ in 0..20 {
                    std::thread::sleep(Duration::from_millis(2));
                    // SAFETY: the thread waits, and is joined later.
                    assert_eq!(unsafe { libc::pthread_kill(id, libc::SIGUSR1) }, 0);
                }
                let mut request = [0; WORDS];
                for _ in 0..5 {
                    assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
                }
                assert_eq!(receive(&port, &mut request), KernReturn::SUCCESS);
                let mut answer = reply(&request, 36, 0);
                assert_eq!(send(&mut answer, 0), KernReturn::SUCCESS);
                release(&mut request);
                assert_eq!(client.join().expect("the client"), Ok(()));
            });
            assert_eq!(handler.user_references(), Ok(before));
        },
    );
}
