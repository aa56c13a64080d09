//! The process's memory by kind, from `/proc/self/status`, read without allocation.

use super::proc_file::read_file;

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct Kinds {
    /// Resident memory of files.
    pub(in crate::host) file: u64,
    /// Memory that is swapped out.
    pub(in crate::host) swapped: u64,
    /// Page tables.
    pub(in crate::host) tables: u64,
}

/// Reads the process's memory by kind; `None` where the system does not say.
pub(in crate::host) fn memory_by_kind() -> Option<Kinds> {
    let mut path = [0; 64];
    let name = b"/proc/self/status";
    path[..name.len()].copy_from_slice(name);
    // A line for each supplementary group's list, and a name, come before.
    let mut text = [0; 4096];
    let length = read_file(&path, &mut text);
    parse(text.get(..length)?)
}

fn parse(status: &[u8]) -> Option<Kinds> {
    let kib = |name: &[u8]| -> Option<u64> {
        let mut lines = status.split(|byte| *byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(name))?;
        let number = line.strip_suffix(b" kB")?.trim_ascii();
        let number: u64 = core::str::from_utf8(number).ok()?.parse().ok()?;
        number.checked_mul(1024)
    };
    Some(Kinds {
        file: kib(b"RssFile:")?,
        swapped: kib(b"VmSwap:").unwrap_or(0),
        tables: kib(b"VmPTE:").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::{Kinds, parse};

    #[test]
    fn the_lines_are_found_and_read() {
        let text = b"Name:\tx\nRssAnon:\t 9 kB\nRssFile:\t  12 kB\nVmPTE:\t 3 kB\nVmSwap:\t 1 kB\n";
        let kinds = Kinds {
            file: 12 * 1024,
            swapped: 1024,
            tables: 3 * 1024,
        };
        assert_eq!(parse(text), Some(kinds));
        // A system that does not swap.
        let text = b"RssFile:\t12 kB\nVmPTE:\t3 kB\n";
        assert_eq!(
            parse(text),
            Some(Kinds {
                swapped: 0,
                ..kinds
            })
        );
        assert_eq!(parse(b"RssAnon:\t 12 kB\n"), None);
        assert_eq!(parse(b"RssFile:\t zz kB\n"), None);
    }
}
