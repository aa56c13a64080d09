//! `docs/calls.md` lists the kernel calls that there are.

use mach_sys::kernel::CALLS;

/// The calls in the first column of the table under a heading.
fn listed<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let rows = section
        .expect("the section")
        .lines()
        .filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('|').nth(1))
        .flat_map(|calls| calls.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_page_lists_each_call_once() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/calls.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let mut present = listed(&page, "Present");
    present.sort_unstable();
    let mut calls = CALLS.to_vec();
    calls.sort_unstable();
    assert_eq!(present, calls);
    for absent in listed(&page, "Absent") {
        assert!(!CALLS.contains(&absent), "{absent} is not absent");
    }
}
