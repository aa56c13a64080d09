//! The delivery of an exception: behavior, code width and flavor.

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

/// The behavior and flavor of a registration: the arguments of `*_set_exception_ports` besides port and mask.
///
/// A combination that the kernel would accept but could not deliver cannot be made. The state of another machine, whose flavor is the
/// number of an unrelated state here, does not compile:
///
/// ```compile_fail,E0080
/// use exc_server::Delivery;
/// use mach_sys::thread_state::{arm_thread_state64_t, x86_thread_state64_t};
///
/// let deliveries = (Delivery::state::<arm_thread_state64_t>(), Delivery::state::<x86_thread_state64_t>());
/// ```
///
/// Nor does a state that 64-bit threads do not have:
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
    /// registers. The kernel ends a hardened process that registers it; [`for_task`](Self::for_task) chooses.
    pub const TASK: Self = Self::state_identity::<NativeState>();

    /// Returns the recommended delivery for a task route of a process with these capabilities: [`TASK`](Self::TASK), or
    /// `EXCEPTION_STATE_IDENTITY_PROTECTED` if the kernel would end the process for registering `TASK` (B5.3, B5.4).
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

    /// Makes a delivery of any behavior and flavor that the kernel can deliver. A behavior with a state needs a flavor; one without a state
    /// takes none.
    ///
    /// # Errors
    /// Combinations that the kernel accepts but cannot deliver, or that crash it (B2.7):
    /// - [`DeliveryError::Behavior`]: the kernel does not know the behavior, or the behavior is protected or prefers a backtrace and has no
    ///   64-bit codes (B2.5).
    /// - [`DeliveryError::NoFlavor`]: the behavior has a state, and `flavor` is `None`.
    /// - [`DeliveryError::NeedlessFlavor`]: the behavior has no state, so that the flavor would never be sent.
    /// - [`DeliveryError::Flavor`]: the flavor belongs to another machine, or this machine's 64-bit threads do not have it (A4.2).
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

    /// Makes `EXCEPTION_STATE` with 64-bit codes: the request carries a state, the reply sets it, and no rights are sent. Use it for
    /// threads: the request names neither thread nor task, so that at task level a child's exceptions cannot be told from the task's own.
    ///
    /// `S` is a state of this machine's 64-bit threads; any other does not compile.
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE")]
    pub const fn state<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE)
    }

    /// Makes `EXCEPTION_STATE_IDENTITY` with 64-bit codes: the request carries state, thread and task. For `S`, see [`state`](Self::state).
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE_IDENTITY")]
    pub const fn state_identity<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY)
    }

    /// Makes `EXCEPTION_STATE_IDENTITY_PROTECTED`: the request carries a state, a token for the task, and the thread's identifier. A
    /// hardened process may register it too (B5.3). macOS 15 and later. For `S`, see [`state`](Self::state).
    #[must_use]
    #[doc(alias = "EXCEPTION_STATE_IDENTITY_PROTECTED")]
    pub const fn state_identity_protected<S: ThreadState>() -> Self {
        Self::with_state::<S>(BehaviorKind::STATE_IDENTITY_PROTECTED)
    }

    /// Makes `EXCEPTION_IDENTITY_PROTECTED`: the request carries a token for the task and the thread's identifier, and no state. macOS 12
    /// and later.
    #[must_use]
    #[doc(alias = "EXCEPTION_IDENTITY_PROTECTED")]
    pub const fn identity_protected() -> Self {
        Self {
            behavior: Behavior::with_codes(BehaviorKind::IDENTITY_PROTECTED),
            flavor: None,
        }
    }

    /// Makes `EXCEPTION_DEFAULT` with 64-bit codes: the request carries thread and task, and no state.
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

    /// Returns the same delivery with 32-bit codes (`exc`), in which addresses lose their upper halves.
    ///
    /// # Errors
    /// [`DeliveryError::Behavior`]: a protected behavior has no form with 32-bit codes (B2.5).
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

    /// Returns the flavor of the state; `None` if no state is sent.
    #[must_use]
    pub const fn flavor(self) -> Option<Flavor> {
        self.flavor
    }

    /// Returns whether the request names the task, so that the task's exceptions can be told from its children's. A token does not name
    /// it: each request has a new one, which equals no other (A7.10).
    #[must_use]
    pub const fn names_task(self) -> bool {
        matches!(
            self.behavior.kind(),
            BehaviorKind::DEFAULT | BehaviorKind::STATE_IDENTITY
        )
    }

    /// Returns whether the request carries a state.
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

/// Returns whether the kernel can send a state of this flavor for a 64-bit thread of this machine (A4.2). Returns `false` for the flavors
/// of 32-bit threads, and for those that need a local descriptor table or branch records. Returns `true` also for vector states that only
/// some processors have.
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
    // `==` of enums is not a constant function.
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
        // This combination would crash the kernel.
        let protected = BehaviorKind::STATE_IDENTITY_PROTECTED;
        assert!(refused(protected, BehaviorModifiers::empty(), FLAVOR));
        assert!(
            Delivery::state_identity_protected::<NativeState>()
                .narrow()
                .is_err()
        );
        // The flavor would never be sent.
        assert!(refused(BehaviorKind::DEFAULT, CODES, FLAVOR));
    }

    #[test]
    fn a4_2_flavors_that_no_64_bit_thread_of_this_machine_has_are_refused() {
        for machine in [Machine::X86_64, Machine::Arm64] {
            for raw in -1..=machine.thread_state_flavors() {
                let flavor = Flavor::new(machine, raw);
                let name = flavor.name().unwrap_or("");
                // By name: VFP and the unified flavors exist for both widths.
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

    /// G5.3: under each policy.
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
