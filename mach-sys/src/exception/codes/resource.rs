//! Codes of `EXC_RESOURCE` (`kern/exc_resource.h`).

use crate::names::{display_by_name, open_set, raw_constants};

open_set! {
    /// Which resource it is.
    pub struct ResourceType(u32);
    CPU = RESOURCE_TYPE_CPU = 1;
    WAKEUPS = RESOURCE_TYPE_WAKEUPS = 2;
    MEMORY = RESOURCE_TYPE_MEMORY = 3;
    IO = RESOURCE_TYPE_IO = 4;
    THREADS = RESOURCE_TYPE_THREADS = 5;
    PORTS = RESOURCE_TYPE_PORTS = 6;
}
display_by_name!(ResourceType);

raw_constants! {
    u32; RESOURCE_FLAVORS;
    FLAVOR_CPU_MONITOR = 1;
    FLAVOR_CPU_MONITOR_FATAL = 2;
    FLAVOR_WAKEUPS_MONITOR = 1;
    FLAVOR_HIGH_WATERMARK = 1;
    FLAVOR_DIAG_MEMLIMIT = 2;
    FLAVOR_IO_PHYSICAL_WRITES = 1;
    FLAVOR_IO_LOGICAL_WRITES = 2;
    FLAVOR_THREADS_HIGH_WATERMARK = 1;
    FLAVOR_PORT_SPACE_FULL = 1;
}

/// The codes of an `EXC_RESOURCE`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResourceCode {
    /// The resource (bits 61 to 63 of the code).
    pub kind: ResourceType,
    /// The limit (bits 58 to 60): one of the resource's `FLAVOR_*`.
    pub flavor: u32,
    /// The limit's numbers (bits 0 to 57), in a layout that kind and flavor give.
    pub limit: u64,
    /// The subcode: what was observed.
    pub observed: u64,
}

impl ResourceCode {
    /// From code and subcode.
    pub const fn decode(code: i64, subcode: i64) -> Self {
        let code = code as u64;
        Self {
            kind: ResourceType::new((code >> 61) as u32),
            flavor: (code >> 58) as u32 & 7,
            limit: code & ((1 << 58) - 1),
            observed: subcode as u64,
        }
    }
}

impl core::fmt::Display for ResourceCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{} flavor {}, limit {:#x}, observed {:#x}",
            self.kind, self.flavor, self.limit, self.observed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_flavor_are_the_top_six_bits() {
        let code = ResourceCode::decode((3u64 << 61 | 2 << 58 | 50) as i64, 7);
        assert_eq!(code.kind, ResourceType::MEMORY);
        assert_eq!(
            (code.flavor, code.limit, code.observed),
            (FLAVOR_DIAG_MEMLIMIT, 50, 7)
        );
        assert_eq!(
            code.to_string(),
            "RESOURCE_TYPE_MEMORY flavor 2, limit 0x32, observed 0x7"
        );
    }
}
