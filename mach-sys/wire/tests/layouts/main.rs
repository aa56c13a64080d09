//! Walks the layouts that clang and Apple's MIG give for Darwin's targets: every structure, every field's offset and size,
//! every count, id and size formula. A name that this crate lacks is a failure, or stands in a short list with the reason.

mod messages;
mod resolve;
mod states;
mod types;

use serde_json::Value;

/// A file of facts beside this test.
fn facts(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The members of an object.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().expect("an object").iter()
}

/// A number of bytes, words or elements.
fn number(value: &Value) -> usize {
    let number = value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    usize::try_from(number).expect("it fits")
}

/// A string.
fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
}
