//! Compares the layouts of clang and Apple's MIG for Darwin's targets with this crate: every structure, every field's offset and size,
//! every count, id and size formula. A name that the crate lacks is a failure.

mod info;
mod messages;
mod resolve;
mod states;
mod types;

use serde_json::Value;

/// Reads a file of facts from `tests/data`.
fn facts(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Returns the members of an object.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().expect("an object").iter()
}

/// Returns a value as a number of bytes, words or elements.
fn number(value: &Value) -> usize {
    let number = value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    usize::try_from(number).expect("it fits")
}

/// Returns a value as a string.
fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
}
