//! The pages of the process's regions, as `/proc/self/smaps` counts them. The system looks at the tables of all pages of the regions up to the
//! one that is asked for: a call costs more the more memory lies below it.

use super::call::page_size;
use super::lines::{self, number_after};
use super::maps::{self, NotTold, Region};
use core::sync::atomic::{AtomicU8, Ordering};

/// A region's pages. Those that are counted in none of these are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) resident: u64,
    /// Resident, and mapped more than once.
    pub(crate) shared: u64,
    /// Resident, and written to since they were read in.
    pub(crate) dirty: u64,
    /// Resident, and of no file: all of memory without one, and written copies of a file's pages.
    pub(crate) anonymous: u64,
    /// Resident, and given up: the system may take them.
    pub(crate) given_up: u64,
    pub(crate) swapped: u64,
}

/// Returns the first region that ends above an address, and its pages; `Ok(None)` if there is none.
///
/// # Errors
/// The system does not tell, or an emulator shows the memory of its own process.
pub(crate) fn region_at_or_after(address: u64) -> Result<Option<(Region, Counts)>, NotTold> {
    if !is_own() {
        return Err(NotTold);
    }
    look(address).ok_or(NotTold)
}

fn look(address: u64) -> Option<Option<(Region, Counts)>> {
    let mut found: Option<(Region, Counts)> = None;
    let page = page_size() as u64;
    lines::each(c"/proc/self/smaps", |line| {
        let Some((_, counts)) = &mut found else {
            let region = maps::parse(line).filter(|region| region.addresses.end > address);
            found = region.map(|region| (region, Counts::default()));
            return true;
        };
        // The region's lines end with the next region's first.
        if maps::starts_region(line) {
            return false;
        }
        let pages = |name| number_after(line, name).map(|kib| kib.saturating_mul(1024) / page);
        let fields: [(&[u8], &mut u64); 4] = [
            (b"Rss:", &mut counts.resident),
            (b"Anonymous:", &mut counts.anonymous),
            (b"LazyFree:", &mut counts.given_up),
            (b"Swap:", &mut counts.swapped),
        ];
        for (name, field) in fields {
            if let Some(pages) = pages(name) {
                *field = pages;
            }
        }
        if let Some(pages) = pages(b"Shared_Clean:") {
            counts.shared += pages;
        }
        if let Some(pages) = pages(b"Shared_Dirty:") {
            counts.shared += pages;
            counts.dirty += pages;
        }
        if let Some(pages) = pages(b"Private_Dirty:") {
            counts.dirty += pages;
        }
        true
    })?;
    Some(found)
}

/// Returns whether the file is about this process. Some processors' emulators show their own memory there, and this process's in
/// `/proc/self/maps` only.
fn is_own() -> bool {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    static OWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    match OWN.load(Ordering::Relaxed) {
        UNKNOWN => {
            // In the program's own file, where nothing is mapped or unmapped.
            let here = core::ptr::from_ref(&OWN) as u64;
            let (Ok(told), Some(counted)) = (maps::region_at_or_after(here), look(here)) else {
                // Not noted: the next look may be told.
                return false;
            };
            let told = told.map(|region| region.addresses);
            let own = told.is_some() && told == counted.map(|(region, _)| region.addresses);
            OWN.store(if own { YES } else { NO }, Ordering::Relaxed);
            own
        }
        own => own == YES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_written_to_is_resident_dirty_and_anonymous() {
        let page = page_size();
        let base = crate::host::mappings::anywhere(8 * page).expect("pages");
        let counts = || match region_at_or_after(base as u64) {
            Ok(found) => {
                let (region, counts) = found.expect("a region");
                // The system may have joined it with a neighbour.
                assert!(region.addresses.contains(&(base as u64)));
                Some(counts)
            }
            Err(NotTold) => None,
        };
        let Some(before) = counts() else {
            return;
        };
        for index in 0..3 {
            let at = (base + index * page) as *mut u8;
            #[allow(unsafe_code)]
            // SAFETY: mapped above.
            unsafe {
                at.write_volatile(1);
            }
        }
        let after = counts().expect("as before");
        assert!(after.resident >= before.resident + 3 && after.dirty >= before.dirty + 3);
        assert!(after.anonymous >= before.anonymous + 3);
        #[allow(unsafe_code)]
        // SAFETY: mapped above, and used by nothing else.
        unsafe {
            crate::host::pages::release(base, 8 * page).expect("mapped above");
        }
    }

    #[test]
    fn nothing_is_above_all() {
        if is_own() {
            assert_eq!(look(u64::MAX), Some(None));
        }
    }
}
