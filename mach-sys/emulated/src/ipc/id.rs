//! Identifiers of kernel objects.

use core::num::NonZeroU32;

/// Identifies one kind of object of one kernel.
pub(crate) trait Id: Copy {
    /// Returns the identifier of a slot, counted from 1.
    fn from_slot(slot: NonZeroU32) -> Self;
    /// Returns the slot, counted from 1.
    fn slot(self) -> NonZeroU32;

    /// Returns the identifier as a word, which is never 0 and never all ones.
    fn to_word(self) -> u32 {
        self.slot().get()
    }

    /// Returns the identifier in a word; `None` for 0.
    fn from_word(word: u32) -> Option<Self> {
        NonZeroU32::new(word).map(Self::from_slot)
    }
}

/// Declares an identifier of a kind of object. An `Option` of it takes four bytes.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub(crate) struct $name(core::num::NonZeroU32);

        impl $crate::ipc::id::Id for $name {
            fn from_slot(slot: core::num::NonZeroU32) -> Self {
                Self(slot)
            }

            fn slot(self) -> core::num::NonZeroU32 {
                self.0
            }
        }
    };
}
pub(crate) use id;

id! {
    /// Identifies a port of a kernel.
    PortId
}

id! {
    /// Identifies a port set of a kernel.
    SetId
}

id! {
    /// Identifies a port's membership in a set.
    LinkId
}

id! {
    /// Identifies a notification request that is armed on a name.
    RequestId
}

id! {
    /// Identifies an alarm that is set.
    AlarmId
}

id! {
    /// Identifies a thread's wait for a semaphore.
    WaiterId
}
