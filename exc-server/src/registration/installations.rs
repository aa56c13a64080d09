//! The list of this process's installations: each knows which of them it lies over, so that they leave in any order.

use crate::registration::lock::{Lock, Locked};
use crate::registration::lower::{Layer, PutBack};
use crate::registration::previous::{Previous, Registration};
use crate::registration::target::Owner;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::rights::{Right, SendRight};

/// Installations of this process that have not left.
static INSTALLED: Lock<List> = Lock::new(List {
    layers: Vec::new(),
    next: 0,
});

#[derive(Default)]
struct List {
    layers: Vec<Arc<Layer>>,
    /// The number of the next.
    next: u64,
}

/// The list, locked: no installation comes or leaves meanwhile.
pub(crate) struct Installations {
    list: Locked<'static, List>,
}

/// The other installations on the target of one that leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Company {
    /// The exceptions for which others lay directly over it, but for those that were passed over.
    pub(crate) over_it: ExceptionMask,
    /// The exceptions that others above have registered with the same port: while that is registered, it is theirs.
    pub(crate) same_port: ExceptionMask,
    /// The exceptions for which it was passed over after its port had died.
    pub(crate) replaced: ExceptionMask,
    /// Whether no other lay over it, nor it over another.
    pub(crate) alone: bool,
}

/// References on a layer while nothing lies over it: the list's, and the installation's.
const OWN_REFERENCES: usize = 2;

impl Installations {
    pub(crate) fn lock() -> Self {
        Self {
            list: INSTALLED.lock(),
        }
    }

    /// Adds an installation that was just registered, over what it displaced.
    pub(crate) fn add(
        &mut self,
        target: &Owner,
        wanted: Registration,
        port: SendRight,
        previous: &Arc<Previous>,
    ) -> Arc<Layer> {
        let mut layer = Layer::new(target, wanted, port, self.list.next);
        self.list.next += 1;
        if !previous.handlers().is_empty() {
            layer.lay_over(previous, |kind| self.registrant(target, previous, kind));
        }
        let layer = Arc::new(layer);
        layer.place.store(self.list.layers.len(), Ordering::Relaxed);
        self.list.layers.push(Arc::clone(&layer));
        layer
    }

    /// The installation whose registration was displaced. A dead port reads as `MACH_PORT_DEAD` and does not identify its port (B3.5): it
    /// is taken for that of the latest installation of the same form whose port has died.
    fn registrant(
        &self,
        target: &Owner,
        previous: &Previous,
        kind: ExceptionType,
    ) -> Option<&Arc<Layer>> {
        let handler = previous.entry(kind)?;
        let name = handler.port.as_ref().map(Right::name);
        let dead = previous.was_dead(kind);
        if name.is_none() && !dead {
            return None;
        }
        self.list
            .layers
            .iter()
            .filter(|layer| {
                layer.target == target.key()
                    && layer.wanted.mask.has(kind)
                    && layer.wanted.has_form(handler.behavior, handler.flavor.raw)
                    && match name {
                        Some(name) => layer.port.name() == name,
                        None => layer.port.is_dead(),
                    }
            })
            .max_by_key(|layer| layer.serial)
    }

    /// An installation leaves: those over it lie over what it displaced. Allocates nothing.
    pub(crate) fn leave(&mut self, layer: &Arc<Layer>) -> Company {
        let mut company = Company {
            over_it: ExceptionMask::empty(),
            same_port: ExceptionMask::empty(),
            replaced: layer.replaced(),
            alone: Arc::strong_count(layer) <= OWN_REFERENCES && !layer.knows_lower(),
        };
        if !company.alone {
            for above in self.above(layer) {
                company.over_it |= above.lies_over(layer) & !above.replaced();
                if above.wanted.port == layer.wanted.port {
                    company.same_port |= above.wanted.mask;
                }
                above.inherit(layer);
            }
        }
        self.forget(layer);
        company
    }

    fn above<'a>(&'a self, layer: &'a Layer) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.list
            .layers
            .iter()
            .filter(|above| above.target == layer.target && above.serial > layer.serial)
    }

    /// What is to be registered over a dead registration, once an installation has left: the highest one over it, or what lies
    /// below that.
    pub(crate) fn highest(&self, left: &Layer, kind: ExceptionType) -> PutBack {
        let highest = self
            .above(left)
            .filter(|above| above.wanted.mask.has(kind))
            .max_by_key(|above| above.serial);
        match highest {
            None => left.put_back(kind),
            Some(highest) if highest.port.is_dead() => highest.put_back(kind),
            Some(highest) => PutBack {
                registration: Registration {
                    mask: kind.mask(),
                    ..highest.wanted
                },
                died: false,
            },
        }
    }

    /// A handler was put back for these exceptions: the registrations of dead ports that were in place are no more.
    pub(crate) fn note_put_back(&self, left: &Layer, mask: ExceptionMask) {
        for layer in &self.list.layers {
            if layer.target == left.target && layer.port.is_dead() {
                layer.replace(mask);
            }
        }
    }

    /// An installation stays registered for good, and is listed no more. Those over it put it back.
    pub(crate) fn forget(&mut self, layer: &Arc<Layer>) {
        let place = layer.place.load(Ordering::Relaxed);
        if self
            .list
            .layers
            .get(place)
            .is_some_and(|found| Arc::ptr_eq(found, layer))
        {
            drop(self.list.layers.swap_remove(place));
            if let Some(moved) = self.list.layers.get(place) {
                moved.place.store(place, Ordering::Relaxed);
            }
        }
    }
}
