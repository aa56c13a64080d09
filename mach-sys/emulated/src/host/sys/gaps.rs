//! Gaps between the regions of the process's memory.

use super::maps::{self, NotTold};

/// Returns the first address at or above `from` without any bit of a mask, from which on so many bytes are free and end at `end` or below.
/// `Ok(None)` if there is none.
pub(super) fn first(
    from: usize,
    mask: usize,
    size: usize,
    end: usize,
) -> Result<Option<usize>, NotTold> {
    let aligned = |address: usize| address.checked_add(mask).map(|address| address & !mask);
    let ends = |start: usize| start.checked_add(size).filter(|last| *last <= end);
    let mut found = aligned(from).filter(|start| ends(*start).is_some());
    let Some(start) = found else {
        return Ok(None);
    };
    maps::each_after(start as u64, |region| {
        let Some(last) = found.and_then(ends) else {
            return false;
        };
        if region.addresses.start >= last as u64 {
            return false;
        }
        let start = aligned(region.addresses.end as usize);
        found = start.filter(|start| ends(*start).is_some());
        true
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_behind_what_is_mapped() {
        const END: usize = 1 << 47;
        let here = first as *const () as usize;
        let found = first(here, 0xfff, 4096, END).expect("told").expect("a gap");
        assert!(found > here && found % 4096 == 0);
        assert_eq!(first(found, 0xfff, 4096, END), Ok(Some(found)));
        let aligned = first(found + 1, 0xf_ffff, 4096, END).expect("told");
        assert!(aligned.is_some_and(|aligned| aligned > found && aligned & 0xf_ffff == 0));
        for (from, mask, size) in [
            (END, 0xfff, 4096),
            (usize::MAX, 0xfff, 4096),
            (here, usize::MAX, 4096),
            (here, 0xfff, usize::MAX),
            (here, 0xfff, END),
        ] {
            assert_eq!(first(from, mask, size, END), Ok(None), "{from:#x}");
        }
    }
}
