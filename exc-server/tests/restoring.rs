//! The handlers that an installation puts back, with every combination of dead ports.

mod support;

use exc_server::{Delivery, Installation, Restored, Target};
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::kernel;
use mach_sys::rights::{ReceiveRight, Right, SendRight, ThreadRight};
use mach_sys::types::MACH_PORT_NULL;
use support::registered;

const KIND: ExceptionType = ExceptionType::BAD_INSTRUCTION;
const MASK: ExceptionMask = ExceptionMask::BAD_INSTRUCTION;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Previous {
    Alive,
    Dead,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Now {
    /// The installation's own registration.
    Installed,
    /// Another's, whose port lives.
    Other,
    /// Another's, with another delivery, whose port has died.
    DeadOther,
    /// Another's, with the same delivery, whose port has died.
    DeadTwin,
    /// Another cleared the slot.
    Cleared,
}

/// A port, its send right, and its installation.
struct Party {
    port: Option<ReceiveRight>,
    send: SendRight,
}

impl Party {
    fn new() -> Self {
        let port = ReceiveRight::new().expect("a port");
        let send = port.make_send().expect("a send right");
        Self {
            port: Some(port),
            send,
        }
    }

    fn install(&self, thread: &ThreadRight, delivery: Delivery) -> Installation {
        Installation::install(Target::Thread(thread), MASK, &self.send, delivery)
            .expect("a live thread")
    }

    fn die(&mut self) {
        self.port = None;
    }
}

/// Returns the expected result of uninstalling, and the port that is registered afterwards: the previous one, the other's, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Previous,
    Other,
    Empty,
}

fn expected(alive: bool, previous: Previous, now: Now) -> (Restored, Slot) {
    let displaced = Restored::Displaced(MASK);
    let back = match previous {
        Previous::Alive => Slot::Previous,
        Previous::Dead | Previous::None => Slot::Empty,
    };
    match (now, alive) {
        (Now::Installed, _) => (Restored::Clean, back),
        // A living registration is left alone, and so is a slot that other code cleared. With nothing to put back, the result is clean.
        (Now::Other, _) => (displaced, Slot::Other),
        (Now::Cleared, _) if back == Slot::Previous => (displaced, Slot::Empty),
        (Now::Cleared, _) => (Restored::Clean, Slot::Empty),
        // A dead registration serves nothing: the previous handler is put back. It is known to be another's while the own port lives, or
        // by its delivery.
        (Now::DeadOther, _) | (Now::DeadTwin, true) => (displaced, back),
        (Now::DeadTwin, false) => (Restored::Clean, back),
    }
}

fn check(thread: &ThreadRight, alive: bool, previous: Previous, now: Now) {
    let what = format!("own alive: {alive}, previous {previous:?}, now {now:?}");
    let (mut below, mut own, mut other) = (Party::new(), Party::new(), Party::new());
    let first = (previous != Previous::None).then(|| below.install(thread, Delivery::identity()));
    let installation = own.install(thread, Delivery::THREAD);
    let over = match now {
        Now::Installed => None,
        Now::Other | Now::DeadOther => Some(other.install(thread, Delivery::TASK)),
        Now::DeadTwin => Some(other.install(thread, Delivery::THREAD)),
        Now::Cleared => {
            clear(thread);
            None
        }
    };
    if let Some(over) = over {
        over.leave_installed();
    }
    if matches!(now, Now::DeadOther | Now::DeadTwin) {
        other.die();
    }
    if previous == Previous::Dead {
        below.die();
    }
    if !alive {
        own.die();
    }
    let restored = installation.uninstall();
    let slot = match registered(thread, KIND) {
        MACH_PORT_NULL => Slot::Empty,
        name if name == below.send.name().raw() => Slot::Previous,
        name if name == other.send.name().raw() => Slot::Other,
        // Includes a dead port.
        name => panic!("{what}: {name:#x}"),
    };
    let (outcome, left) = expected(alive, previous, now);
    assert_eq!((restored, slot), (Ok(outcome), left), "{what}");
    if let Some(first) = first {
        first.leave_installed();
    }
    clear(thread);
}

/// Registers no handler.
#[allow(unsafe_code)]
fn clear(thread: &ThreadRight) {
    // SAFETY: no pointers.
    let code =
        unsafe { kernel::thread_set_exception_ports(thread.name().raw(), MASK.bits(), 0, 0, 0) };
    assert_eq!(code, 0);
}

#[test]
fn b3_5_the_previous_handler_is_back_whichever_port_died() {
    let thread = ThreadRight::current().expect("the own thread");
    let nows = [
        Now::Installed,
        Now::Other,
        Now::DeadOther,
        Now::DeadTwin,
        Now::Cleared,
    ];
    for alive in [true, false] {
        for previous in [Previous::Alive, Previous::Dead, Previous::None] {
            for now in nows {
                check(&thread, alive, previous, now);
            }
        }
    }
}
