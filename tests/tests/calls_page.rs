//! `docs/calls.md` lists the kernel calls that there are, `docs/clients.md` those that clients make.

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

/// Reads a page of the documentation.
fn page(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the page")
}

#[test]
fn the_page_lists_each_call_once() {
    let page = page("calls.md");
    let mut present = listed(&page, "Present");
    present.sort_unstable();
    let mut calls = CALLS.to_vec();
    calls.sort_unstable();
    assert_eq!(present, calls);
    for absent in listed(&page, "Absent") {
        assert!(!CALLS.contains(&absent), "{absent} is not absent");
    }
}

#[test]
fn each_call_of_a_client_is_present_or_absent_as_its_page_says() {
    let clients = page("clients.md");
    let (present, absent) = (listed(&clients, "Present"), listed(&clients, "Absent"));
    for call in &present {
        assert!(CALLS.contains(call), "{call} is not present");
    }
    for call in &absent {
        assert!(!CALLS.contains(call), "{call} is not absent");
    }
    let mut all = [present, absent].concat();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a call is listed twice");
    assert!(count > 80);
    // Each row names clients of the first table.
    let known: Vec<_> = clients
        .lines()
        .skip_while(|line| !line.starts_with("| client |"))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .filter_map(|row| row.split('|').nth(1))
        .map(str::trim)
        .collect();
    assert_eq!(known.len(), 9);
    let rows = clients.lines().filter(|line| line.starts_with("| `"));
    for row in rows {
        let named = row.split('|').nth(2).expect("the clients").trim();
        for client in named.split(", ") {
            assert!(known.contains(&client), "{client} of {row}");
        }
    }
}
