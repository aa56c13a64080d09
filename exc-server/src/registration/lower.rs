//! The handlers below an installation, by exception type.
//!
//! A thread that forwards an exception reads them without a lock. They change when the installation below leaves: the handlers that it
//! displaced then lie below this one.
#![allow(unsafe_code)]

use crate::clock;
use crate::registration::previous::{Previous, PreviousHandler, Registration};
use crate::registration::target::{Key, Owner};
use alloc::sync::Arc;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use mach_sys::exception::{EXC_TYPES_COUNT, ExceptionMask, ExceptionType};
use mach_sys::rights::SendRight;

/// The most linked installations in a chain: a reader recurses from one to the next on a server's stack.
const DEPTH: u32 = 64;

/// The part of an installation that the installations above it and the list share.
pub(crate) struct Layer {
    pub(crate) target: Key,
    pub(crate) wanted: Registration,
    /// Keeps the port's name while an installation above refers to it.
    pub(crate) port: SendRight,
    /// Its index in the list.
    pub(super) place: AtomicUsize,
    /// Its serial number; later installations have greater ones.
    pub(super) serial: u64,
    /// The layer below, by exception type. Owned: from `Arc::into_raw`, or null if nothing was registered.
    lower: [AtomicPtr<Lower>; EXC_TYPES_COUNT],
    /// Number of threads that read `lower` now.
    readers: AtomicU32,
    /// The exception types for which another handler was registered over it after its port had died.
    replaced: AtomicU32,
}

/// The layer below an installation.
#[derive(Debug)]
pub(crate) struct Lower {
    /// The list that contains the handler.
    previous: Arc<Previous>,
    /// The installation that registered the handler; `None` if none of this process did.
    layer: Option<Arc<Layer>>,
}

/// The nearest handler below an installation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nearest<'a> {
    /// No handler was registered.
    Nothing,
    /// A handler whose port lives, or a slot that had a behavior and no port.
    Handler(&'a PreviousHandler),
    /// A handler whose port has died; the handler below it is not known.
    Dead(&'a PreviousHandler),
}

/// The registration that puts the nearest handler back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBack {
    pub(crate) registration: Registration,
    /// `true` if the handler to put back has died, so that none is registered.
    pub(crate) died: bool,
}

impl Layer {
    pub(super) fn new(target: &Owner, wanted: Registration, port: SendRight, serial: u64) -> Self {
        Self {
            target: target.key(),
            wanted,
            port,
            place: AtomicUsize::new(0),
            serial,
            lower: [const { AtomicPtr::new(ptr::null_mut()) }; EXC_TYPES_COUNT],
            readers: AtomicU32::new(0),
            replaced: AtomicU32::new(0),
        }
    }

    /// Links the layer to those below it: for each exception type, to the installation that `which` returns.
    pub(super) fn lay_over<'a>(
        &mut self,
        previous: &Arc<Previous>,
        which: impl Fn(ExceptionType) -> Option<&'a Arc<Layer>>,
    ) {
        let mut last: Option<Arc<Lower>> = None;
        for kind in self.wanted.mask.kinds() {
            // Nothing was registered, as on a new thread: there is nothing to put back.
            if previous.is_unused(kind) {
                continue;
            }
            let layer = which(kind).filter(|layer| layer.depth(kind) < DEPTH);
            let same = last.take().filter(|last| last.is_of(layer));
            let lower = same.unwrap_or_else(|| {
                Arc::new(Lower {
                    previous: Arc::clone(previous),
                    layer: layer.cloned(),
                })
            });
            if let Some(slot) = self.own_slot(kind) {
                debug_assert!(slot.is_null(), "laid over once");
                *slot = Arc::into_raw(Arc::clone(&lower)).cast_mut();
            }
            last = Some(lower);
        }
    }

    fn slot(&self, kind: ExceptionType) -> Option<&AtomicPtr<Lower>> {
        self.lower.get(usize::try_from(kind.raw()).ok()?)
    }

    /// Returns the slot of a layer that no other thread has.
    fn own_slot(&mut self, kind: ExceptionType) -> Option<&mut *mut Lower> {
        let slot = self.lower.get_mut(usize::try_from(kind.raw()).ok()?)?;
        Some(slot.get_mut())
    }

    /// Returns whether there is a layer below, at this moment.
    fn has_lower(&self, kind: ExceptionType) -> bool {
        self.slot(kind)
            .is_some_and(|slot| !slot.load(Ordering::SeqCst).is_null())
    }

    /// Calls `look` with the layer below, which stays valid while `look` runs.
    fn look<R>(&self, kind: ExceptionType, look: impl FnOnce(Option<&Lower>) -> R) -> R {
        if !self.has_lower(kind) {
            return look(None);
        }
        // Sequentially consistent, as in `exchange`: either the reader's count is seen there, or the reader sees the new pointer.
        self.readers.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.readers);
        let lower = self.slot(kind).map(|slot| slot.load(Ordering::SeqCst));
        // SAFETY: null, or from `Arc::into_raw`. The pointer was in place after this reader was counted, so that the thread that removes it
        // waits for `_leave` before it gives the reference up.
        look(lower.and_then(|lower| unsafe { lower.as_ref() }))
    }

    /// Replaces the layer below, waits for the threads that read the old one, and returns it.
    fn exchange(&self, kind: ExceptionType, lower: Option<Arc<Lower>>) -> Option<Arc<Lower>> {
        let new = lower.map_or(ptr::null(), Arc::into_raw);
        let Some(slot) = self.slot(kind) else {
            // SAFETY: null, or from `Arc::into_raw` just now.
            return (!new.is_null()).then(|| unsafe { Arc::from_raw(new) });
        };
        let old = slot.swap(new.cast_mut(), Ordering::SeqCst);
        if old.is_null() {
            return None;
        }
        while self.readers.load(Ordering::SeqCst) != 0 {
            clock::yield_now();
        }
        // SAFETY: every pointer in the slots came from `Arc::into_raw`, and the swap gave this one to this thread alone. A thread that read
        // it before the swap was counted then, and is done; a thread that is counted after the swap reads the new pointer.
        Some(unsafe { Arc::from_raw(old) })
    }

    /// Returns a new reference on the layer below. The caller must keep all other threads from [`exchange`](Self::exchange).
    fn share(&self, kind: ExceptionType) -> Option<Arc<Lower>> {
        let lower = self.slot(kind)?.load(Ordering::SeqCst);
        if lower.is_null() {
            return None;
        }
        // SAFETY: from `Arc::into_raw`, and the slot's reference stays, since no other thread exchanges it meanwhile.
        unsafe {
            Arc::increment_strong_count(lower);
            Some(Arc::from_raw(lower))
        }
    }

    /// Returns the exception types for which this layer lies directly over `layer`.
    pub(super) fn lies_over(&self, layer: &Arc<Layer>) -> ExceptionMask {
        let mut over = ExceptionMask::empty();
        for kind in self.wanted.mask.kinds() {
            if self.look(kind, |lower| {
                lower.is_some_and(|lower| lower.is_of(Some(layer)))
            }) {
                over |= kind.mask();
            }
        }
        over
    }

    /// Takes over the layers below `leaving`, for the exception types for which this one lies directly over it. Allocates nothing. Must be
    /// called under the list's lock.
    pub(super) fn inherit(&self, leaving: &Arc<Layer>) {
        for kind in self.lies_over(leaving).kinds() {
            drop(self.exchange(kind, leaving.share(kind)));
        }
    }

    /// Calls `see` with the nearest handler below. A handler whose port has died is skipped if its installation is known.
    pub(crate) fn nearest<R>(
        &self,
        kind: ExceptionType,
        see: impl FnOnce(Nearest<'_>) -> R,
    ) -> Option<R> {
        let mut see = Some(see);
        let mut seen = None;
        self.descend(kind, &mut |nearest| {
            seen = see.take().map(|see| see(nearest));
        });
        seen
    }

    /// Does the work of [`nearest`](Self::nearest), from layer to layer.
    fn descend(&self, kind: ExceptionType, see: &mut dyn FnMut(Nearest<'_>)) {
        self.look(kind, |lower| {
            let Some((lower, handler)) = lower.and_then(|lower| {
                let handler = lower.previous.entry(kind)?;
                Some((lower, handler))
            }) else {
                return see(Nearest::Nothing);
            };
            let died = match &handler.port {
                Some(port) => port.is_dead(),
                None => lower.previous.was_dead(kind),
            };
            match &lower.layer {
                _ if !died => see(Nearest::Handler(handler)),
                Some(layer) => layer.descend(kind, see),
                None => see(Nearest::Dead(handler)),
            }
        });
    }

    /// Returns the exception types for which another handler was registered after the port died. Must be called under the list's lock.
    pub(super) fn replaced(&self) -> ExceptionMask {
        ExceptionMask::from_bits_retain(self.replaced.load(Ordering::Relaxed))
    }

    /// Records that another handler was registered for these exception types after the port had died.
    pub(super) fn replace(&self, mask: ExceptionMask) {
        self.replaced.fetch_or(mask.bits(), Ordering::Relaxed);
    }

    /// Returns whether this layer lies over an installation of this process.
    pub(super) fn knows_lower(&self) -> bool {
        let mut kinds = self.wanted.mask.kinds();
        kinds.any(|kind| self.depth(kind) > 0)
    }

    /// Returns the number of installations of this process in the chain below this one.
    fn depth(&self, kind: ExceptionType) -> u32 {
        self.look(kind, |lower| {
            let layer = lower.and_then(|lower| lower.layer.as_ref());
            layer.map_or(0, |layer| 1 + layer.depth(kind))
        })
    }

    /// Returns the registration that puts the nearest handler back for an exception type. Its port's name is valid until an installation
    /// below leaves.
    pub(crate) fn put_back(&self, kind: ExceptionType) -> PutBack {
        let mask = kind.mask();
        let found = self.nearest(kind, |nearest| match nearest {
            Nearest::Nothing => None,
            Nearest::Handler(handler) => Some((handler.registration(mask), false)),
            Nearest::Dead(handler) => Some((handler.registration(mask), true)),
        });
        let (registration, died) = found.flatten().unwrap_or((Registration::none(mask), false));
        PutBack { registration, died }
    }
}

impl Lower {
    /// Returns whether `layer` registered the handler; for `None`, whether no installation of this process did.
    fn is_of(&self, layer: Option<&Arc<Layer>>) -> bool {
        match (&self.layer, layer) {
            (None, None) => true,
            (Some(own), Some(layer)) => Arc::ptr_eq(own, layer),
            _ => false,
        }
    }
}

/// Counts a reader out when dropped.
struct Leave<'a>(&'a AtomicU32);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        for kind in self.wanted.mask.kinds() {
            let Some(slot) = self.own_slot(kind) else {
                continue;
            };
            if !slot.is_null() {
                // SAFETY: from `Arc::into_raw`; no other thread has the layer any more.
                drop(unsafe { Arc::from_raw(*slot) });
                *slot = ptr::null_mut();
            }
        }
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("target", &self.target)
            .field("wanted", &self.wanted)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
