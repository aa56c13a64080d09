//! Finds a C field by its path in a layout of this crate, and compares a whole structure.

use mach_wire::pod::{BitField, Layout};
use serde_json::Value;

use crate::{number, text};

/// C's names that differ from this crate's beyond leading underscores, by structure.
const RENAMED: &[(&str, &str, &str)] = &[
    // The keyword.
    ("*", "type", "type_"),
    // arm64 declares padding where arm64e declares flags, and arm64e renames what is signed.
    ("arm_thread_state64_t", "pad", "flags"),
    ("arm_thread_state64_t", "opaque_flags", "flags"),
    ("arm_thread_state64_t", "opaque_fp", "fp"),
    ("arm_thread_state64_t", "opaque_lr", "lr"),
    ("arm_thread_state64_t", "opaque_sp", "sp"),
    ("arm_thread_state64_t", "opaque_pc", "pc"),
];

/// Registers that C numbers from another number than 0.
const FIRST: &[(&str, usize)] = &[("fpu_zmm", 16)];

/// C's bit-fields without a name, which the facts carry as the type's last word.
const UNNAMED: &str = "short";

/// A field found: bits from the structure's start.
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

/// A member by its C name, without leading underscores.
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
    // Bit-fields of the structure itself, which are a word here.
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
