//! Finds a C field by its path in a layout of this crate, and compares a whole structure.

use mach_wire::pod::{BitField, Layout};
use serde_json::Value;

use crate::{number, text};

/// C names that differ from this crate's by more than leading underscores, by structure.
const RENAMED: &[(&str, &str, &str)] = &[
    // A keyword in Rust.
    ("*", "type", "type_"),
    // arm64 declares padding where arm64e declares flags, and arm64e renames the signed registers.
    ("arm_thread_state64_t", "pad", "flags"),
    ("arm_thread_state64_t", "opaque_flags", "flags"),
    ("arm_thread_state64_t", "opaque_fp", "fp"),
    ("arm_thread_state64_t", "opaque_lr", "lr"),
    ("arm_thread_state64_t", "opaque_sp", "sp"),
    ("arm_thread_state64_t", "opaque_pc", "pc"),
];

/// Registers that C does not number from 0, with their first number.
const FIRST: &[(&str, usize)] = &[("fpu_zmm", 16)];

/// The name that the facts have for C's unnamed bit-fields: the last word of their type.
const UNNAMED: &str = "short";

/// The position of a field, in bits from the structure's start.
#[derive(Debug, Clone, Copy)]
struct Place {
    layout: &'static Layout,
    bit: usize,
    bits: usize,
}

fn part(layout: &'static Layout, bit: usize, part: &BitField) -> Place {
    Place {
        layout,
        bit: bit + part.low as usize,
        bits: part.width as usize,
    }
}

/// Finds a member by its C name, without leading underscores.
fn member(place: Place, name: &str) -> Option<Place> {
    let layout = place.layout;
    let renamed = RENAMED
        .iter()
        .find(|(of, c, _)| (*of == "*" || *of == layout.name) && *c == name);
    let name = renamed.map_or(name, |(_, _, rust)| rust);
    let at = |field: &mach_wire::pod::Field| Place {
        layout: field.layout,
        bit: place.bit + 8 * field.offset,
        bits: 8 * field.layout.size,
    };
    if let Some(field) = layout.fields.iter().find(|field| field.name == name) {
        return Some(at(field));
    }
    if let Some(found) = layout.parts.iter().find(|part| part.name == name) {
        return Some(part(layout, place.bit, found));
    }
    // A bit-field of the structure itself, which is part of a word here.
    for field in layout.fields {
        if let Some(found) = field.layout.parts.iter().find(|part| part.name == name) {
            return Some(part(field.layout, at(field).bit, found));
        }
    }
    // A numbered field, which is an element here.
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let base = name.strip_suffix(digits)?;
    let field = layout.fields.iter().find(|field| field.name == base)?;
    let first = FIRST
        .iter()
        .find(|(of, _)| *of == base)
        .map_or(0, |(_, first)| *first);
    let index = digits.parse::<usize>().ok()?.checked_sub(first)?;
    let (element, count) = field.layout.element?;
    (index < count).then_some(Place {
        layout: element,
        bit: at(field).bit + 8 * index * element.size,
        bits: 8 * element.size,
    })
}

/// Compares size, alignment and every field; returns how many fields were compared.
pub(crate) fn compare(name: &str, layout: &'static Layout, facts: &Value, fields: &Value) -> usize {
    assert_eq!(layout.size, number(&facts["sizeof"]), "size of {name}");
    assert_eq!(
        layout.align,
        number(&facts["alignof"]),
        "alignment of {name}"
    );
    let mut compared = 0;
    for field in fields.as_array().expect("fields") {
        let path = text(&field["name"]);
        if path.ends_with(&format!(".{UNNAMED}")) {
            continue;
        }
        let whole = Place {
            layout,
            bit: 0,
            bits: 8 * layout.size,
        };
        let found = path.split('.').try_fold(whole, |place, step| {
            member(place, step.trim_start_matches('_'))
        });
        let place = found.unwrap_or_else(|| panic!("{name} has no field {path}"));
        let (bit, bits) = match field.get("bit_offset") {
            Some(bit) => (number(bit), Some(number(&field["bit_width"]))),
            None => (
                8 * number(&field["offset"]),
                field["size"].as_u64().map(|size| 8 * size as usize),
            ),
        };
        assert_eq!(place.bit, bit, "first bit of {name}.{path}");
        // An unnamed union's size is not among the facts.
        if let Some(bits) = bits {
            assert_eq!(place.bits, bits, "bits of {name}.{path}");
        }
        compared += 1;
    }
    compared
}
