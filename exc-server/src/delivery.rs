//! What a handler asks the kernel to send: behavior, code width and flavor.

use crate::error::DeliveryError;
use core::fmt;
use mach_sys::exception::{Behavior, BehaviorKind, BehaviorModifiers};
use mach_sys::machine::Machine;
use mach_sys::mig::Routine;
use mach_sys::thread_state::{Flavor, NativeState, ThreadState};
use mach_sys::types::thread_state_flavor_t;

/// The behavior and flavor of a registration: what `*_set_exception_ports` takes besides port and mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    behavior: Behavior,
    flavor: thread_state_flavor_t,
}

impl Delivery {
    /// Recommended delivery for a thread route: `EXCEPTION_STATE` with 64-bit codes and the general registers.
    pub const THREAD: Self = Self::state::<NativeState>();
    /// Recommended delivery for a task route: `EXCEPTION_STATE_IDENTITY` with 64-bit codes and the general
    /// registers.
    pub const TASK: Self = Self::state_identity::<NativeState>();

    /// Any behavior and flavor that the kernel can deliver.
    ///
    /// # Errors
    /// Combinations that the kernel accepts and then cannot deliver, or that crash it (B2.7): a behavior that it does not know, a
    /// protected one or one that prefers a backtrace without 64-bit codes (B2.5), a state-carrying one without a flavor of this
    /// machine's.
    pub const fn new(
        behavior: Behavior,
        flavor: thread_state_flavor_t,
    ) -> Result<Self, DeliveryError> {
        let plain = Behavior::of(
            behavior.kind(),
            if behavior.has_codes() {
                BehaviorModifiers::CODES
            } else {
                BehaviorModifiers::empty()
            },
        );
        let modifiers = behavior.modifiers();
        let backtrace = modifiers.contains(BehaviorModifiers::BACKTRACE_PREFERRED);
        if Routine::for_behavior(plain).is_none() || (backtrace && !behavior.has_codes()) {
            return Err(DeliveryError::Behavior(behavior));
        }
        let described = Flavor::new(Machine::NATIVE, flavor);
        if behavior.kind().has_state() && described.count().is_none() {
            return Err(DeliveryError::Flavor {
                behavior,
                flavor: described,
            });
        }
        Ok(Self { behavior, flavor })
    }

    /// `EXCEPTION_STATE` with 64-bit codes: the reply sets the state, and no rights travel. For threads: it names neither thread nor task, so that
    /// at task level a child's exceptions cannot be told from the task's own.
    ///
    /// A state of another machine's, whose flavor this kernel cannot deliver, does not compile; nor for the two below.
    ///
    /// ```compile_fail,E0080
    /// use exc_server::Delivery;
    /// use mach_sys::thread_state::{arm_thread_state64_t, x86_thread_state64_t};
    ///
    /// let deliveries = (Delivery::state::<arm_thread_state64_t>(), Delivery::state::<x86_thread_state64_t>());
    /// ```
    #[must_use]
    pub const fn state<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE)
    }

    /// `EXCEPTION_STATE_IDENTITY` with 64-bit codes: state, thread and task.
    #[must_use]
    pub const fn state_identity<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY)
    }

    /// `EXCEPTION_STATE_IDENTITY_PROTECTED`: state, a token for the task, the thread's identifier. What a hardened process may
    /// still ask for (B5.3). macOS 15 and later.
    #[must_use]
    pub const fn state_identity_protected<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY_PROTECTED)
    }

    /// `EXCEPTION_IDENTITY_PROTECTED`: a token for the task, the thread's identifier, no state. macOS 12 and later.
    #[must_use]
    pub const fn identity_protected() -> Self {
        Self {
            behavior: Behavior::with_codes(BehaviorKind::IDENTITY_PROTECTED),
            flavor: 0,
        }
    }

    /// `EXCEPTION_DEFAULT` with 64-bit codes: thread and task, no state.
    #[must_use]
    pub const fn identity() -> Self {
        Self {
            behavior: Behavior::with_codes(BehaviorKind::DEFAULT),
            flavor: 0,
        }
    }

    const fn with_state<S: ThreadState>(kind: BehaviorKind) -> Self {
        const {
            let of_this_machine = S::MACHINE as u8 == Machine::NATIVE as u8;
            let probe = Self::new(Behavior::with_codes(BehaviorKind::STATE), S::FLAVOR);
            assert!(
                of_this_machine && probe.is_ok(),
                "the flavor is not that of a state which a thread of this machine has"
            );
        }
        Self {
            behavior: Behavior::with_codes(kind),
            flavor: S::FLAVOR,
        }
    }

    /// The same with 32-bit codes (`exc`): addresses lose their upper halves. Protected behaviors have no such form (B2.5).
    ///
    /// # Errors
    /// [`DeliveryError::Behavior`] for a protected behavior.
    pub const fn narrow(self) -> Result<Self, DeliveryError> {
        Self::new(
            Behavior::of(self.behavior.kind(), BehaviorModifiers::empty()),
            self.flavor,
        )
    }

    /// The behavior, with its modifiers.
    #[must_use]
    pub const fn behavior(self) -> Behavior {
        self.behavior
    }

    /// The flavor; 0 where no state is sent.
    #[must_use]
    pub const fn flavor(self) -> thread_state_flavor_t {
        self.flavor
    }

    /// Whether the message names the task, so that its exceptions can be told from its children's. A token does not: each message
    /// has a new one, which compares with none (A7.10).
    #[must_use]
    pub const fn names_task(self) -> bool {
        matches!(
            self.behavior.kind(),
            BehaviorKind::DEFAULT | BehaviorKind::STATE_IDENTITY
        )
    }

    /// Whether the message carries a state.
    #[must_use]
    pub const fn has_state(self) -> bool {
        self.behavior.kind().has_state()
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.behavior)?;
        if self.has_state() {
            write!(f, " with {}", Flavor::new(Machine::NATIVE, self.flavor))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: BehaviorModifiers = BehaviorModifiers::CODES;
    const FLAVOR: thread_state_flavor_t = NativeState::FLAVOR;

    fn refused(kind: BehaviorKind, modifiers: BehaviorModifiers, flavor: i32) -> bool {
        Delivery::new(Behavior::of(kind, modifiers), flavor).is_err()
    }

    #[test]
    fn b2_7_what_the_kernel_takes_and_cannot_deliver_is_refused() {
        let none = Machine::NATIVE.thread_state_none().raw;
        for kind in [
            BehaviorKind::STATE,
            BehaviorKind::STATE_IDENTITY,
            BehaviorKind::STATE_IDENTITY_PROTECTED,
        ] {
            for flavor in [0, none, 4711, -1] {
                assert!(refused(kind, CODES, flavor), "{kind} {flavor}");
            }
            assert!(!refused(kind, CODES, FLAVOR), "{kind}");
        }
        // It would stop the kernel.
        let protected = BehaviorKind::STATE_IDENTITY_PROTECTED;
        assert!(refused(protected, BehaviorModifiers::empty(), FLAVOR));
        assert!(
            Delivery::state_identity_protected::<NativeState>()
                .narrow()
                .is_err()
        );
    }

    #[test]
    fn b2_2_and_b2_5_behaviors_without_a_message_are_refused() {
        for kind in [0, 6, 7, 0x100] {
            assert!(refused(BehaviorKind::new(kind), CODES, FLAVOR), "{kind}");
        }
        let protected = BehaviorKind::IDENTITY_PROTECTED;
        assert!(refused(protected, BehaviorModifiers::empty(), 0));
        assert!(!refused(protected, CODES, 0));
        let backtrace = BehaviorModifiers::BACKTRACE_PREFERRED;
        assert!(refused(BehaviorKind::DEFAULT, backtrace, 0));
        assert!(!refused(BehaviorKind::DEFAULT, backtrace | CODES, 0));
    }

    #[test]
    fn what_is_made_by_name_is_what_would_be_accepted() {
        for delivery in [
            Delivery::THREAD,
            Delivery::TASK,
            Delivery::identity(),
            Delivery::identity_protected(),
            Delivery::state_identity_protected::<NativeState>(),
        ] {
            assert_eq!(
                Delivery::new(delivery.behavior(), delivery.flavor()),
                Ok(delivery)
            );
            assert!(delivery.behavior().has_codes());
        }
        assert_eq!(Delivery::THREAD.behavior().raw(), 0x8000_0002_u32 as i32);
        assert!(!Delivery::THREAD.names_task() && Delivery::TASK.names_task());
    }
}
