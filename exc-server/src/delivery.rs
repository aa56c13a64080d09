//! What the kernel sends: behavior, code width and flavor.

use crate::error::DeliveryError;
use core::fmt;
use mach_sys::capabilities::Capabilities;
use mach_sys::exception::{Behavior, BehaviorKind, BehaviorModifiers};
use mach_sys::machine::Machine;
use mach_sys::mig::Routine;
use mach_sys::thread_state::{
    ARM_DEBUG_STATE, ARM_DEBUG_STATE32, ARM_EXCEPTION_STATE, ARM_NEON_STATE, ARM_THREAD_STATE32,
    Flavor, NativeState, ThreadState, x86_AVX_STATE32, x86_AVX512_STATE32, x86_DEBUG_STATE32,
    x86_EXCEPTION_STATE32, x86_FLOAT_STATE32, x86_LAST_BRANCH_STATE, x86_THREAD_FULL_STATE64,
    x86_THREAD_STATE32,
};
use mach_sys::types::thread_state_flavor_t;

/// The behavior and flavor of a registration: what `*_set_exception_ports` takes besides port and mask.
///
/// A value that the kernel would accept and could not deliver cannot be made. The state of another machine, whose flavor is the number
/// of an unrelated state here, does not compile:
///
/// ```compile_fail,E0080
/// use exc_server::Delivery;
/// use mach_sys::thread_state::{arm_thread_state64_t, x86_thread_state64_t};
///
/// let deliveries = (Delivery::state::<arm_thread_state64_t>(), Delivery::state::<x86_thread_state64_t>());
/// ```
///
/// Nor does a state that a 64-bit thread has not:
///
/// ```compile_fail,E0080
/// use exc_server::Delivery;
/// use mach_sys::thread_state::x86_thread_state32_t;
///
/// println!("{}", Delivery::state_identity::<x86_thread_state32_t>());
/// ```
///
/// ```
/// use exc_server::Delivery;
/// use mach_sys::thread_state::NativeState;
///
/// assert_eq!(Delivery::state::<NativeState>(), Delivery::THREAD);
/// assert_eq!(Delivery::state_identity::<NativeState>(), Delivery::TASK);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    behavior: Behavior,
    flavor: Option<Flavor>,
}

impl Delivery {
    /// Recommended delivery for a thread route: `EXCEPTION_STATE` with 64-bit codes and the general registers.
    pub const THREAD: Self = Self::state::<NativeState>();
    /// Recommended delivery for a task route of an ordinary process: `EXCEPTION_STATE_IDENTITY` with 64-bit codes and the general
    /// registers. It ends a hardened process; [`for_task`](Self::for_task) chooses.
    pub const TASK: Self = Self::state_identity::<NativeState>();

    /// Returns the recommended delivery for a task route of a process with these capabilities: [`TASK`](Self::TASK), or
    /// `EXCEPTION_STATE_IDENTITY_PROTECTED` where that would end the process at the first try (B5.3, B5.4).
    ///
    /// A protected behavior does not name the task: such a route needs
    /// [`Routing::accept_child_tasks`](crate::Routing::accept_child_tasks), and handles the exceptions of child processes too.
    ///
    /// ```
    /// use exc_server::Delivery;
    /// use exc_server::mach_sys::capabilities::{Capabilities, Policy};
    ///
    /// assert_eq!(Delivery::for_task(&Capabilities::ORDINARY), Delivery::TASK);
    ///
    /// let mut hardened = Capabilities::ORDINARY;
    /// hardened.policy = Some(Policy::Restricted);
    /// assert!(hardened.allows(Delivery::for_task(&hardened).behavior()));
    /// ```
    #[must_use]
    pub const fn for_task(capabilities: &Capabilities) -> Self {
        if capabilities.allows(Self::TASK.behavior()) {
            Self::TASK
        } else {
            Self::state_identity_protected::<NativeState>()
        }
    }

    /// Makes a delivery of any behavior and flavor that the kernel can deliver. A behavior with a state needs a flavor; one without takes
    /// none.
    ///
    /// # Errors
    /// Combinations that the kernel accepts and then cannot deliver, or that crash it (B2.7):
    /// - [`DeliveryError::Behavior`]: a behavior that the kernel does not know, or a protected one or one that prefers a backtrace
    ///   without 64-bit codes (B2.5).
    /// - [`DeliveryError::NoFlavor`], [`DeliveryError::NeedlessFlavor`]: a flavor is missing, or would never be sent.
    /// - [`DeliveryError::Flavor`]: a flavor of another machine, or one that its 64-bit threads do not have (A4.2).
    pub const fn new(behavior: Behavior, flavor: Option<Flavor>) -> Result<Self, DeliveryError> {
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
        match (behavior.kind().has_state(), flavor) {
            (true, None) => Err(DeliveryError::NoFlavor { behavior }),
            (true, Some(flavor)) if !is_deliverable(flavor) => {
                Err(DeliveryError::Flavor { behavior, flavor })
            }
            (false, Some(flavor)) => Err(DeliveryError::NeedlessFlavor { behavior, flavor }),
            (true, Some(_)) | (false, None) => Ok(Self { behavior, flavor }),
        }
    }

    /// Makes `EXCEPTION_STATE` with 64-bit codes: the reply sets the state, and no rights travel. For threads: it names neither thread
    /// nor task, so that at task level a child's exceptions cannot be told from the task's own.
    ///
    /// `S` is a state of this machine's 64-bit threads; any other does not compile.
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE")]
    pub const fn state<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE)
    }

    /// Makes `EXCEPTION_STATE_IDENTITY` with 64-bit codes: state, thread and task. For `S`, see [`state`](Self::state).
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE_IDENTITY")]
    pub const fn state_identity<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY)
    }

    /// Makes `EXCEPTION_STATE_IDENTITY_PROTECTED`: state, a token for the task, the thread's identifier. A hardened process may still
    /// register it (B5.3). macOS 15 and later. For `S`, see [`state`](Self::state).
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE_IDENTITY_PROTECTED")]
    pub const fn state_identity_protected<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY_PROTECTED)
    }

    /// Makes `EXCEPTION_IDENTITY_PROTECTED`: a token for the task, the thread's identifier, no state. macOS 12 and later.
    #[must_use]
    #[doc(alias = "EXCEPTION_IDENTITY_PROTECTED")]
    pub const fn identity_protected() -> Self {
        Self {
            behavior: Behavior::with_codes(BehaviorKind::IDENTITY_PROTECTED),
            flavor: None,
        }
    }

    /// Makes `EXCEPTION_DEFAULT` with 64-bit codes: thread and task, no state.
    #[must_use]
    #[doc(alias = "EXCEPTION_DEFAULT")]
    pub const fn identity() -> Self {
        Self {
            behavior: Behavior::with_codes(BehaviorKind::DEFAULT),
            flavor: None,
        }
    }

    const fn with_state<S: ThreadState>(kind: BehaviorKind) -> Self {
        const {
            assert!(
                is_deliverable(Flavor::new(S::MACHINE, S::FLAVOR)),
                "a 64-bit thread of this machine has no such state"
            );
        }
        Self {
            behavior: Behavior::with_codes(kind),
            flavor: Some(Flavor::new(S::MACHINE, S::FLAVOR)),
        }
    }

    /// Returns the same with 32-bit codes (`exc`): addresses lose their upper halves. Protected behaviors have no such form (B2.5).
    ///
    /// # Errors
    /// [`DeliveryError::Behavior`] for a protected behavior.
    pub const fn narrow(self) -> Result<Self, DeliveryError> {
        Self::new(
            Behavior::of(self.behavior.kind(), BehaviorModifiers::empty()),
            self.flavor,
        )
    }

    /// Returns the behavior, with its modifiers.
    #[must_use]
    pub const fn behavior(self) -> Behavior {
        self.behavior
    }

    /// Returns the flavor, where a state is sent.
    #[must_use]
    pub const fn flavor(self) -> Option<Flavor> {
        self.flavor
    }

    /// Returns whether the message names the task, so that its exceptions can be told from its children's. A token does not: each message
    /// has a new one, which compares with none (A7.10).
    #[must_use]
    pub const fn names_task(self) -> bool {
        matches!(
            self.behavior.kind(),
            BehaviorKind::DEFAULT | BehaviorKind::STATE_IDENTITY
        )
    }

    /// Returns whether the message carries a state.
    #[must_use]
    pub const fn has_state(self) -> bool {
        self.behavior.kind().has_state()
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.behavior)?;
        if let Some(flavor) = self.flavor {
            write!(f, " with {flavor}")?;
        }
        Ok(())
    }
}

/// Returns whether the kernel can send a state of this flavor for every 64-bit thread of this machine, as far as flavors decide it
/// (A4.2): not those of 32-bit threads, nor those that need a local descriptor table or branch records. Vector states that only
/// some processors have are among them.
const fn is_deliverable(flavor: Flavor) -> bool {
    let refused: &[thread_state_flavor_t] = match flavor.machine {
        Machine::X86_64 => &[
            x86_THREAD_STATE32,
            x86_FLOAT_STATE32,
            x86_EXCEPTION_STATE32,
            x86_DEBUG_STATE32,
            x86_AVX_STATE32,
            x86_AVX512_STATE32,
            x86_THREAD_FULL_STATE64,
            x86_LAST_BRANCH_STATE,
        ],
        Machine::Arm64 => &[
            ARM_EXCEPTION_STATE,
            ARM_DEBUG_STATE,
            ARM_THREAD_STATE32,
            ARM_DEBUG_STATE32,
            ARM_NEON_STATE,
        ],
    };
    let mut index = 0;
    while index < refused.len() {
        if refused[index] == flavor.raw {
            return false;
        }
        index += 1;
    }
    // `==` is no constant function for enums.
    matches!(
        (flavor.machine, Machine::NATIVE),
        (Machine::X86_64, Machine::X86_64) | (Machine::Arm64, Machine::Arm64)
    ) && flavor.count().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mach_sys::capabilities::Policy;

    const CODES: BehaviorModifiers = BehaviorModifiers::CODES;
    const FLAVOR: Option<Flavor> = Some(Flavor::new(Machine::NATIVE, NativeState::FLAVOR));

    fn refused(kind: BehaviorKind, modifiers: BehaviorModifiers, flavor: Option<Flavor>) -> bool {
        Delivery::new(Behavior::of(kind, modifiers), flavor).is_err()
    }

    fn native(raw: thread_state_flavor_t) -> Option<Flavor> {
        Some(Flavor::new(Machine::NATIVE, raw))
    }

    #[test]
    fn b2_7_what_the_kernel_takes_and_cannot_deliver_is_refused() {
        let none = Machine::NATIVE.thread_state_none().raw;
        for kind in [
            BehaviorKind::STATE,
            BehaviorKind::STATE_IDENTITY,
            BehaviorKind::STATE_IDENTITY_PROTECTED,
        ] {
            for flavor in [None, native(0), native(none), native(4711), native(-1)] {
                assert!(refused(kind, CODES, flavor), "{kind} {flavor:?}");
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
        // A flavor that is never sent.
        assert!(refused(BehaviorKind::DEFAULT, CODES, FLAVOR));
    }

    #[test]
    fn a4_2_flavors_that_no_64_bit_thread_of_this_machine_has_are_refused() {
        for machine in [Machine::X86_64, Machine::Arm64] {
            for raw in -1..=machine.thread_state_flavors() {
                let flavor = Flavor::new(machine, raw);
                let name = flavor.name().unwrap_or("");
                // By name: VFP and the composed ones are those of both widths.
                let narrow = (name.ends_with("32") || name.starts_with("i386_"))
                    || ["ARM_EXCEPTION_STATE", "ARM_DEBUG_STATE", "ARM_NEON_STATE"].contains(&name)
                    || ["x86_THREAD_FULL_STATE64", "x86_LAST_BRANCH_STATE"].contains(&name);
                let sent = machine == Machine::NATIVE && flavor.count().is_some() && !narrow;
                let made = Delivery::new(Behavior::with_codes(BehaviorKind::STATE), Some(flavor));
                assert_eq!(made.is_ok(), sent, "{machine} {flavor}: {made:?}");
            }
        }
    }

    #[test]
    fn b2_2_and_b2_5_behaviors_without_a_message_are_refused() {
        for kind in [0, 6, 7, 0x100] {
            assert!(refused(BehaviorKind::new(kind), CODES, None), "{kind}");
            assert!(refused(BehaviorKind::new(kind), CODES, FLAVOR), "{kind}");
        }
        let protected = BehaviorKind::IDENTITY_PROTECTED;
        assert!(refused(protected, BehaviorModifiers::empty(), None));
        assert!(!refused(protected, CODES, None));
        let backtrace = BehaviorModifiers::BACKTRACE_PREFERRED;
        assert!(refused(BehaviorKind::DEFAULT, backtrace, None));
        assert!(!refused(BehaviorKind::DEFAULT, backtrace | CODES, None));
    }

    #[test]
    fn b5_4_no_recommended_delivery_ends_the_process() {
        let policies = [
            (Some(Policy::Ordinary), true),
            (Some(Policy::HardenedRuntime), true),
            (Some(Policy::Restricted), false),
            (Some(Policy::Platform), false),
            (None, false),
        ];
        for (policy, usual) in policies {
            let mut capabilities = Capabilities::ORDINARY;
            capabilities.policy = policy;
            let task = Delivery::for_task(&capabilities);
            assert_eq!(task == Delivery::TASK, usual, "{policy:?}");
            for delivery in [task, Delivery::THREAD] {
                assert!(delivery.has_state());
                assert!(capabilities.allows(delivery.behavior()), "{policy:?}");
            }
        }
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
