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

/// The system does not tell: there is no `/proc`, or no file can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTold;

/// Returns the first region that ends above an address; `Ok(None)` if there is none.
pub(crate) fn region_at_or_after(address: u64) -> Result<Option<Region>, NotTold> {
    let mut found = None;
    each_after(address, |region| {
        found = Some(region);
        false
    })?;
    Ok(found)
}

/// All regions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) regions: u32,
    /// From the start of the lowest to the end of the highest.
    pub(crate) addresses: Range<u64>,
}

/// Returns how many regions the process has, and where; `None` for a process without any.
pub(crate) fn extent() -> Result<Option<Extent>, NotTold> {
    let mut extent: Option<Extent> = None;
    each_after(0, |region| {
        // They come in ascending order.
        let before = extent.take();
        let start = before.as_ref().map(|before| before.addresses.start);
        extent = Some(Extent {
            regions: before.map_or(0, |before| before.regions) + 1,
            addresses: start.unwrap_or(region.addresses.start)..region.addresses.end,
        });
        true
    })?;
    Ok(extent)
}

/// Shows each region that ends above an address, in ascending order, until `visit` returns `false`: all of them in one reading, which
/// takes time for each region of the process.
pub(crate) fn each_after(
    address: u64,
    mut visit: impl FnMut(Region) -> bool,
) -> Result<(), NotTold> {
    lines::each(c"/proc/self/maps", |line| {
        let region = match addresses(line) {
            // Most lines are of regions below: they are not looked at any further.
            Some((Range { end, .. }, _)) if end <= address => None,
            _ => parse(line),
        };
        region.is_none_or(&mut visit)
    })
    .ok_or(NotTold)
}

/// The end of the addresses that programs can have. A region of the system's own above it is none of the process.
const HIGHEST: u64 = u64::MAX / 2;

/// Returns whether a line is a region's first, one of the system's own included.
pub(super) fn starts_region(line: &[u8]) -> bool {
    addresses(line).is_some()
}

/// Parses the addresses at the start of a line, and returns the rest of it.
fn addresses(line: &[u8]) -> Option<(Range<u64>, &[u8])> {
    let (start, line) = hexadecimal(line)?;
    let (end, line) = hexadecimal(line.strip_prefix(b"-")?)?;
    Some((start..end, line))
}

/// Parses a number at the start of a text, and returns the rest of it.
fn hexadecimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    let mut length = 0;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => break,
        };
        number = number.checked_mul(16)? | u64::from(digit);
        length += 1;
    }
    (length > 0).then_some((number, &text[length..]))
}

/// Parses the start of a line: `start-end rwxp offset major:minor inode path`. `None` for a region of the system's own.
pub(super) fn parse(line: &[u8]) -> Option<Region> {
    let (addresses, line) = addresses(line)?;
    if addresses.end > HIGHEST {
        return None;
    }
    let line = core::str::from_utf8(line).ok().or_else(|| {
        // A path that is no text, or that is cut within a character.
        let valid = line.iter().position(|byte| !byte.is_ascii())?;
        core::str::from_utf8(&line[..valid]).ok()
    })?;
    let mut parts = line.split_ascii_whitespace();
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
        addresses,
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
        let system = "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]";
        let bad = [
            "",
            "x",
            "1-2",
            "1-2 rw",
            "1-2 rwxp zz",
            "1 rwxp 0",
            "-2 rwxp 0",
            system,
        ];
        for bad in bad {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_own_stack_is_found_and_nothing_is_above_all() {
        let here = core::ptr::from_ref(&0_u8) as u64;
        let region_at = |address| region_at_or_after(address).expect("told");
        let region = region_at(here).expect("a region");
        assert!(region.addresses.contains(&here) && region.readable);
        let first = region_at(0).expect("a region");
        assert!(first.addresses.start > 0);
        let extent = extent().expect("told").expect("regions");
        // Above the last one is nothing, though the system lists a page of its own there.
        for beyond in [extent.addresses.end, u64::MAX] {
            assert_eq!(region_at(beyond), None, "{beyond:#x}");
        }
        assert_eq!(extent.addresses.start, first.addresses.start);
        assert!(extent.addresses.end >= region.addresses.end && extent.regions > 3);
    }
}
