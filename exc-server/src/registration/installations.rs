//! The list of this process's installations. Each knows the one that it lies over, so that they may leave in any order.

use crate::registration::lock::{Lock, Locked};
use crate::registration::lower::{Layer, PutBack};
use crate::registration::previous::{Previous, Registration};
use crate::registration::target::Owner;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use mach_sys::exception::{ExceptionMask, ExceptionType};
use mach_sys::rights::{Right, SendRight};

/// The installations of this process that have not left.
static INSTALLED: Lock<List> = Lock::new(List {
    layers: Vec::new(),
    next: 0,
});

#[derive(Default)]
struct List {
    layers: Vec<Arc<Layer>>,
    /// The serial number of the next installation.
    next: u64,
}

/// The locked list: no installation is added or leaves meanwhile.
pub(crate) struct Installations {
    list: Locked<'static, List>,
}

/// The other installations on the target of an installation that leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbors {
    /// The exception types for which another installation lay directly over it and was not itself replaced.
    pub(crate) over_it: ExceptionMask,
    /// The exception types for which installations above registered the same port: a registration with that port belongs to them.
    pub(crate) same_port: ExceptionMask,
    /// The exception types for which another handler was registered over it after its port had died.
    pub(crate) replaced: ExceptionMask,
    /// `true` if no installation lay over it, nor it over another.
    pub(crate) alone: bool,
}

/// Number of references on a layer while nothing lies over it: the list's, and the installation's.
const OWN_REFERENCES: usize = 2;

impl Installations {
    /// Locks the list.
    pub(crate) fn lock() -> Self {
        Self {
            list: INSTALLED.lock(),
        }
    }

    /// Adds an installation that was just registered, over the installations that it displaced.
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

    /// Returns the installation whose registration was displaced. A dead port reads as `MACH_PORT_DEAD`, which does not identify it (B3.5):
    /// the latest installation with the same behavior and flavor whose port has died is returned.
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

    /// Removes an installation; those over it inherit the handlers that it displaced. Returns the others on its target. Allocates nothing.
    pub(crate) fn leave(&mut self, layer: &Arc<Layer>) -> Neighbors {
        let mut neighbors = Neighbors {
            over_it: ExceptionMask::empty(),
            same_port: ExceptionMask::empty(),
            replaced: layer.replaced(),
            alone: Arc::strong_count(layer) <= OWN_REFERENCES && !layer.knows_lower(),
        };
        if !neighbors.alone {
            for above in self.above(layer) {
                neighbors.over_it |= above.lies_over(layer) & !above.replaced();
                if above.wanted.port == layer.wanted.port {
                    neighbors.same_port |= above.wanted.mask;
                }
                above.inherit(layer);
            }
        }
        self.forget(layer);
        neighbors
    }

    /// Returns the installations on the same target that were installed later.
    fn above<'a>(&'a self, layer: &'a Layer) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.list
            .layers
            .iter()
            .filter(|above| above.target == layer.target && above.serial > layer.serial)
    }

    /// Returns the registration to put over a dead one after an installation has left: that of the highest installation above it, or, if
    /// that one's port has died, of the nearest handler below.
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

    /// Records that a handler was put back for these exception types: installations with dead ports are not in place any more.
    pub(crate) fn note_put_back(&self, left: &Layer, mask: ExceptionMask) {
        for layer in &self.list.layers {
            if layer.target == left.target && layer.port.is_dead() {
                layer.replace(mask);
            }
        }
    }

    /// Removes an installation from the list only. Those over it still put it back.
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
            if self.list.layers.is_empty() {
                // A library that contains this list may be unloaded.
                self.list.layers = Vec::new();
            }
        }
    }
}
