//! The library's configurations.

use mach_sys::darwin::DarwinSignal;
use mach_sys::emulated::{Config, WhenDisplaced};
use thread_mgr::{HandlerStack, ManagerBuilder};

/// A configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    pub(crate) displaced: WhenDisplaced,
    hardware_words: Option<bool>,
    pub(crate) stack: HandlerStack,
    blocked: Option<u32>,
}

pub(crate) const POLICIES: [Policy; 4] = [
    Policy {
        name: "leave",
        displaced: WhenDisplaced::Leave,
        hardware_words: None,
        stack: HandlerStack::Interrupted,
        blocked: None,
    },
    Policy {
        name: "take back",
        displaced: WhenDisplaced::TakeBack,
        hardware_words: None,
        stack: HandlerStack::Interrupted,
        blocked: None,
    },
    Policy {
        name: "leave, alternate stack, blocked signals, no hardware words",
        displaced: WhenDisplaced::Leave,
        hardware_words: Some(false),
        stack: HandlerStack::Alternate,
        blocked: Some(DarwinSignal::USR2.mask()),
    },
    Policy {
        name: "take back, alternate stack, blocked signals, no hardware words",
        displaced: WhenDisplaced::TakeBack,
        hardware_words: Some(false),
        stack: HandlerStack::Alternate,
        blocked: Some(DarwinSignal::USR2.mask()),
    },
];

impl Policy {
    pub(crate) fn takes_back(&self) -> bool {
        self.displaced == WhenDisplaced::TakeBack
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.threads = 64;
        config.ports = 4096;
        config.displaced = self.displaced;
        config.hardware_words = self.hardware_words;
        config
    }

    pub(crate) fn apply(&self, builder: ManagerBuilder) -> ManagerBuilder {
        let builder = builder.handler_stack(self.stack);
        match self.blocked {
            Some(signals) => builder.block_signals(signals),
            None => builder,
        }
    }
}
