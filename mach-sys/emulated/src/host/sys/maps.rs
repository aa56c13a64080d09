//! The regions of the process's memory, as `/proc/self/maps` lists them: read piece by piece, without allocation.

use super::lines;
use core::ops::Range;

/// One region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) addresses: Range<u64>,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) executable: bool,
    pub(crate) shared: bool,
    /// Offset in the mapped file, in bytes.
    pub(crate) offset: u64,
    /// A number that the regions of one file have in common, of a file without a name too; 0 for memory without.
    pub(crate) object: u64,
    /// True if it is a file that has a name: what is in it is not memory of processes alone.
    pub(crate) named: bool,
    /// True for memory that the system itself writes to or runs code in, such as the time of its clocks.
    pub(crate) of_system: bool,
}

/// Returns the first region that ends above an address; `None` if there is none, or the system does not tell.
pub(crate) fn region_at_or_after(address: u64) -> Option<Region> {
    let mut found = None;
    each(|region| {
        if region.addresses.end > address {
            found = Some(region);
        }
        found.is_none()
    })?;
    found
}

/// All regions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) regions: u32,
    /// From the start of the lowest to the end of the highest.
    pub(crate) addresses: Range<u64>,
}

/// Returns how many regions the process has, and where; `None` if the system does not tell. A region of the system's own, in the upper
/// half of the addresses, does not count.
pub(crate) fn extent() -> Option<Extent> {
    let mut extent: Option<Extent> = None;
    each(|region| {
        if region.addresses.end <= u64::MAX / 2 {
            // They come in ascending order.
            let before = extent.take();
            let start = before.as_ref().map(|before| before.addresses.start);
            extent = Some(Extent {
                regions: before.map_or(0, |before| before.regions) + 1,
                addresses: start.unwrap_or(region.addresses.start)..region.addresses.end,
            });
        }
        true
    })?;
    extent
}

/// Shows each region, in ascending order, until `visit` returns `false`. `None` if the system does not tell.
fn each(mut visit: impl FnMut(Region) -> bool) -> Option<()> {
    lines::each(c"/proc/self/maps", |line| {
        parse(line).is_none_or(&mut visit)
    })
}

/// Parses the start of a line: `start-end rwxp offset major:minor inode path`.
pub(super) fn parse(line: &[u8]) -> Option<Region> {
    let line = core::str::from_utf8(line).ok().or_else(|| {
        // A path that is no text, or that is cut within a character.
        let valid = line.iter().position(|byte| !byte.is_ascii())?;
        core::str::from_utf8(&line[..valid]).ok()
    })?;
    let mut parts = line.split_ascii_whitespace();
    let (start, end) = parts.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let flags = parts.next()?.as_bytes();
    let has = |index: usize, flag| flags.get(index) == Some(&flag);
    let offset = number(parts.next()?)?;
    let device = parts.next().and_then(|device| device.split_once(':'));
    let device = device.and_then(|(major, minor)| Some(number(major)? << 32 ^ number(minor)?));
    let inode = parts.next().and_then(|inode| inode.parse::<u64>().ok());
    let inode = inode.unwrap_or(0);
    let path = parts.next().unwrap_or("");
    // Memory that processes share is a file of the system's own, without a place in its tree.
    let is_memory =
        path.starts_with("/dev/zero") || path.starts_with("/memfd:") || path.starts_with("/SYSV");
    Some(Region {
        addresses: number(start)?..number(end)?,
        readable: has(0, b'r'),
        writable: has(1, b'w'),
        executable: has(2, b'x'),
        shared: has(3, b's'),
        offset,
        object: match inode {
            0 => 0,
            inode => inode ^ device.unwrap_or(0).rotate_left(16),
        },
        named: inode != 0 && !is_memory,
        of_system: path.starts_with("[v"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_its_path() {
        let region = Region {
            addresses: 0x7f00_0000_1000..0x7f00_0000_3000,
            readable: true,
            writable: false,
            executable: true,
            shared: true,
            offset: 0x2000,
            object: 17 ^ ((8_u64 << 32 ^ 1) << 16),
            named: true,
            of_system: false,
        };
        for path in ["", " /lib/x", " /\u{e4}\u{f6}\u{fc}"] {
            let line = format!("7f0000001000-7f0000003000 r-xs 00002000 08:01 17 {path}");
            assert_eq!(parse(line.as_bytes()), Some(region.clone()));
            assert_eq!(
                parse(&line.as_bytes()[..line.len().min(53)]),
                Some(region.clone())
            );
        }
        for memory in ["/dev/zero (deleted)", "/memfd:x (deleted)", "/SYSV0000"] {
            let line = format!("1000-2000 rw-s 0 00:01 17 {memory}");
            let region = parse(line.as_bytes()).expect("a region");
            assert!(!region.named && region.object != 0, "{memory}");
        }
        for (name, of_system) in [("[heap]", false), ("[vvar]", true), ("[vdso]", true)] {
            let line = format!("1000-2000 rw-p 0 00:00 0 {name}");
            let region = parse(line.as_bytes()).expect("a region");
            assert_eq!((region.named, region.object), (false, 0), "{name}");
            assert_eq!(region.of_system, of_system, "{name}");
        }
        for bad in ["", "x", "1-2", "1-2 rw", "1-2 rwxp zz", "1 rwxp 0"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_own_stack_is_found_and_nothing_is_above_all() {
        let here = core::ptr::from_ref(&0_u8) as u64;
        let region = region_at_or_after(here).expect("a region");
        assert!(region.addresses.contains(&here) && region.readable);
        assert_eq!(region_at_or_after(u64::MAX), None);
        let first = region_at_or_after(0).expect("a region");
        assert!(first.addresses.start > 0);
        let extent = extent().expect("regions");
        assert_eq!(extent.addresses.start, first.addresses.start);
        assert!(extent.addresses.end >= region.addresses.end && extent.regions > 3);
    }
}
