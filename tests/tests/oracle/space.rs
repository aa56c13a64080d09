//! The process's name space during one case: recorded names against the names that this kernel gave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use mach_sys::kernel::system::task_self;
use mach_sys::kernel::{
    mach_port_deallocate, mach_port_destruct, mach_port_get_refs, mach_port_mod_refs,
    mach_port_names, mach_vm_deallocate,
};
use serde_json::Value;

use crate::report::{Difference, Outcome};

pub(crate) const NULL: u32 = 0;
pub(crate) const DEAD: u32 = u32::MAX;
/// A name that never existed: another one in each space, since a case may make the name exist.
static BOGUS: AtomicU32 = AtomicU32::new(0x00de_ad03);

pub(crate) const SEND: u32 = 0x1_0000;
pub(crate) const RECEIVE: u32 = 0x2_0000;
pub(crate) const SEND_ONCE: u32 = 0x4_0000;
pub(crate) const PORT_SET: u32 = 0x8_0000;
pub(crate) const DEAD_NAME: u32 = 0x10_0000;

/// The rights: name in the recording, number (C0.6), type bit.
pub(crate) const RIGHTS: [(&str, u32, u32); 5] = [
    ("SEND", 0, SEND),
    ("RECEIVE", 1, RECEIVE),
    ("SEND_ONCE", 2, SEND_ONCE),
    ("PORT_SET", 3, PORT_SET),
    ("DEAD_NAME", 4, DEAD_NAME),
];

pub(crate) fn right_number(name: &str) -> u32 {
    let right = RIGHTS.iter().find(|right| right.0 == name);
    right.unwrap_or_else(|| panic!("unknown right {name}")).1
}

/// The names of a space, with their type bits.
pub(crate) type Listing = BTreeMap<u32, u32>;

/// `mach_port_names` of the own task: it converts no dead name (C1.2).
pub(crate) fn listing() -> Listing {
    let (mut names, mut types) = (core::ptr::null_mut(), core::ptr::null_mut());
    let (mut names_count, mut types_count) = (0, 0);
    // SAFETY: four results, all valid for a write.
    let kr = unsafe {
        mach_port_names(
            task_self(),
            &mut names,
            &mut names_count,
            &mut types,
            &mut types_count,
        )
    };
    assert_eq!((kr, names_count), (0, types_count), "mach_port_names");
    let count = names_count as usize;
    // SAFETY: the call made both arrays, of this many entries.
    let (keys, values) = unsafe {
        (
            core::slice::from_raw_parts(names, count),
            core::slice::from_raw_parts(types, count),
        )
    };
    let listing = keys.iter().copied().zip(values.iter().copied()).collect();
    for array in [names.cast::<u32>(), types.cast::<u32>()] {
        // SAFETY: the arrays are not used any more.
        unsafe { mach_vm_deallocate(task_self(), array as u64, 4 * u64::from(names_count)) };
    }
    listing
}

/// User references of each right under a name.
pub(crate) fn references(name: u32, bits: u32) -> Vec<(&'static str, u32)> {
    let held = RIGHTS.iter().filter(|right| bits & right.2 != 0);
    held.map(|&(text, number, _)| {
        let mut count = 0;
        // SAFETY: one result, valid for a write.
        let kr = unsafe { mach_port_get_refs(task_self(), name, number, &mut count) };
        (text, if kr == 0 { count } else { u32::MAX })
    })
    .collect()
}

/// The space of one case.
pub(crate) struct Space {
    bogus: u32,
    /// The names from before the case, which do not concern it.
    before: Listing,
    /// Recorded name → name here.
    known: BTreeMap<String, u32>,
    /// The listing after the last step, without `before`.
    pub(crate) now: Listing,
    /// Values that ports of the case are guarded with.
    guards: Vec<u64>,
    /// The recording's type bits after the last step.
    pub(crate) recorded: BTreeMap<String, u32>,
}

impl Space {
    pub(crate) fn new() -> Self {
        Self {
            bogus: BOGUS.fetch_add(1 << 8, Ordering::Relaxed),
            before: listing(),
            known: BTreeMap::new(),
            now: Listing::new(),
            guards: vec![0],
            recorded: BTreeMap::new(),
        }
    }

    /// Notes a value that a port may be guarded with.
    pub(crate) fn guard_seen(&mut self, value: u64) {
        self.guards.push(value);
    }

    /// A name that a call is given.
    pub(crate) fn argument(&self, recorded: &Value) -> Result<u32, Difference> {
        let text = recorded.as_str().expect("a name");
        match text {
            "NULL" => Ok(NULL),
            "DEAD" => Ok(DEAD),
            "BOGUS" => Ok(self.bogus),
            "self" => Ok(task_self()),
            text => self
                .known
                .get(text)
                .copied()
                .ok_or_else(|| Difference::new("argument", text, "never seen here")),
        }
    }

    /// A name in an answer: what it is known as, or, for one that is new, a name that nothing else is known as.
    pub(crate) fn answer(
        &mut self,
        field: &str,
        recorded: &Value,
        name: u32,
    ) -> Result<(), Difference> {
        let text = recorded.as_str().expect("a name");
        let same = match text {
            "NULL" => name == NULL,
            "DEAD" => name == DEAD,
            "self" => name == task_self(),
            text => match self.known.get(text) {
                Some(&known) => known == name,
                None => {
                    let taken = name == NULL || name == DEAD || self.before.contains_key(&name);
                    let other = self
                        .known
                        .iter()
                        .any(|(other, &known)| known == name && self.recorded.contains_key(other));
                    if !(taken || other) {
                        self.known.insert(text.to_owned(), name);
                    }
                    !(taken || other)
                }
            },
        };
        if same {
            Ok(())
        } else {
            Err(Difference::new(field, text, &self.describe(name)))
        }
    }

    /// A name as the recording would call it, if it knows it.
    pub(crate) fn describe(&self, name: u32) -> String {
        let mut known = self.known.iter().filter(|(_, known)| **known == name);
        match name {
            NULL => "NULL".to_owned(),
            DEAD => "DEAD".to_owned(),
            _ => known
                .next_back()
                .map_or_else(|| format!("{name:#x}"), |(text, _)| text.clone()),
        }
    }

    /// Returns the type of the recording's name before the step, for reports: `SEND_RECEIVE`, `gone`, `NULL`, …
    pub(crate) fn kind(&self, recorded: &Value) -> String {
        let text = recorded.as_str().unwrap_or("?");
        if matches!(text, "NULL" | "DEAD" | "BOGUS" | "self") {
            return text.to_owned();
        }
        let bits = self.recorded.get(text).copied().unwrap_or(0);
        let held: Vec<&str> = RIGHTS
            .iter()
            .filter(|right| bits & right.2 != 0)
            .map(|right| right.0)
            .collect();
        if held.is_empty() {
            "gone".to_owned()
        } else {
            held.join("+")
        }
    }

    /// The names whose type bits changed with the step.
    pub(crate) fn compare_changes(&mut self, recorded: Option<&Value>) -> Outcome {
        let mut after = listing();
        after.retain(|name, _| !self.before.contains_key(name));
        let mut changed: Listing = after
            .iter()
            .filter(|(name, bits)| self.now.get(name) != Some(bits))
            .map(|(name, bits)| (*name, *bits))
            .collect();
        changed.extend(
            self.now
                .keys()
                .filter(|name| !after.contains_key(name))
                .map(|name| (*name, 0)),
        );
        self.now = after;
        let empty = serde_json::Map::new();
        let recorded = recorded.map_or(&empty, |value| value.as_object().expect("changes"));
        for (text, bits) in recorded {
            let bits = bits.as_u64().expect("type bits") as u32;
            let name = match self.known.get(text) {
                Some(name) => Some(*name),
                // A name that no answer showed: the one that changed so and that is not known yet.
                None => {
                    let known: Vec<u32> = self.known.values().copied().collect();
                    changed
                        .iter()
                        .find(|(name, here)| **here == bits && !known.contains(name))
                        .map(|(name, _)| *name)
                }
            };
            let here = name.and_then(|name| changed.remove(&name));
            if here != Some(bits) {
                let here = here.map_or_else(|| "unchanged".to_owned(), |here| format!("{here:#x}"));
                let was = self.kind(&Value::from(text.as_str()));
                return Err(Difference::new(
                    "changed",
                    &format!("{was} becomes {bits:#x}"),
                    &here,
                ));
            }
            if let Some(name) = name {
                self.known.insert(text.clone(), name);
            }
            if bits == 0 {
                self.recorded.remove(text);
            } else {
                self.recorded.insert(text.clone(), bits);
            }
        }
        if let Some((name, bits)) = changed.first_key_value() {
            let text = format!("{} becomes {bits:#x}", self.describe(*name));
            return Err(Difference::new("changed", "unchanged", &text));
        }
        Ok(())
    }

    /// The space at the end: types and user references of every name.
    pub(crate) fn compare_census(&self, recorded: &Value) -> Outcome {
        let recorded = recorded.as_object().expect("a census");
        if recorded.len() != self.now.len() {
            let (theirs, ours) = (recorded.len().to_string(), self.now.len().to_string());
            return Err(Difference::new("census.len", &theirs, &ours));
        }
        for (text, row) in recorded {
            let name = self.argument(&Value::from(text.as_str()))?;
            let bits = row["type"].as_u64().expect("type bits") as u32;
            let here = self.now.get(&name).copied().unwrap_or(0);
            Difference::unless_equal("census.type", bits, here)?;
            for (right, count) in references(name, bits) {
                let recorded = row[right].as_u64().expect("references") as u32;
                Difference::unless_equal(&format!("census.{right}"), recorded, count)?;
            }
        }
        Ok(())
    }

    /// Takes away what the case left. Panics if something stays: the next case would not start from an empty space.
    pub(crate) fn clear(self) {
        let left = |before: &Listing| {
            let mut left = listing();
            left.retain(|name, _| !before.contains_key(name));
            left
        };
        let release = |name: u32, right: u32, delta: i32| {
            // SAFETY: the case's own names; no other code relies on them.
            unsafe { mach_port_mod_refs(task_self(), name, right, delta) }
        };
        // Receive rights first: what the rest sends when it goes has nowhere to go then.
        for (name, bits) in left(&self.before) {
            if bits & RECEIVE != 0 && release(name, 1, -1) != 0 {
                let destroyed = self.guards.iter().any(|guard| {
                    // SAFETY: as above.
                    unsafe { mach_port_destruct(task_self(), name, 0, *guard) == 0 }
                });
                assert!(destroyed, "{name:#x} has an unknown guard");
            }
        }
        for (name, bits) in left(&self.before) {
            match bits {
                PORT_SET => drop(release(name, 3, -1)),
                // SAFETY: as above.
                SEND_ONCE => drop(unsafe { mach_port_deallocate(task_self(), name) }),
                bits => {
                    let right = if bits & DEAD_NAME != 0 { 4 } else { 0 };
                    let mut count = 0;
                    // SAFETY: one result, valid for a write.
                    unsafe { mach_port_get_refs(task_self(), name, right, &mut count) };
                    release(name, right, -(count as i32));
                }
            }
        }
        let left = left(&self.before);
        assert!(left.is_empty(), "the case left {left:x?}");
        let mut before = listing();
        before.retain(|name, bits| self.before.get(name) != Some(bits));
        assert!(
            before.is_empty(),
            "the case changed the process's own names: {before:x?}"
        );
    }
}
