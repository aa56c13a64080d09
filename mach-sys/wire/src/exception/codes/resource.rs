//! Codes of `EXC_RESOURCE` (`kern/exc_resource.h`).

use crate::names::{display_by_name, open_set, raw_constants};

open_set! {
    /// The kind of the resource.
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

/// The decoded codes of an `EXC_RESOURCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ResourceCode {
    /// The resource (bits 61 to 63 of the code).
    pub kind: ResourceType,
    /// The limit (bits 58 to 60): one of the resource's `FLAVOR_*`.
    pub flavor: u32,
    /// The limit and the observed value.
    pub usage: ResourceUsage,
}

/// The limit of a resource, with the observed value where the codes have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceUsage {
    /// Processor time.
    #[error("{observed} % of the processor, at most {limit} % over {interval} s")]
    Cpu {
        /// Percent allowed.
        limit: u32,
        /// Percent consumed.
        observed: u32,
        /// Seconds of observation.
        interval: u32,
    },
    /// Wakeups of an idle processor.
    #[error("{observed} wakeups a second, at most {limit} over {interval} s")]
    Wakeups {
        /// Wakeups a second allowed.
        limit: u32,
        /// Wakeups a second observed.
        observed: u32,
        /// Seconds of observation.
        interval: u32,
    },
    /// Use of memory.
    #[error("more than {limit} MB of memory")]
    Memory {
        /// Megabytes allowed.
        limit: u32,
    },
    /// Writes to storage.
    #[error("{observed} MB written, at most {limit} in {interval} s")]
    Io {
        /// Megabytes allowed.
        limit: u32,
        /// Megabytes observed.
        observed: u32,
        /// Seconds of observation.
        interval: u32,
    },
    /// Number of threads.
    #[error("more than {limit} threads")]
    Threads {
        /// Threads allowed.
        limit: u32,
    },
    /// Number of port names.
    #[error("{allocated} port names")]
    Ports {
        /// Names in use.
        allocated: u32,
    },
    /// A resource of an unknown kind.
    #[error("limit {limit:#x}, observed {observed:#x}")]
    Unknown {
        /// Bits 0 to 57 of the code.
        limit: u64,
        /// The subcode.
        observed: u64,
    },
}

impl ResourceCode {
    /// Decodes code and subcode.
    pub const fn decode(code: i64, subcode: i64) -> Self {
        let (code, subcode) = (code as u64, subcode as u64);
        let kind = ResourceType::new((code >> 61) as u32);
        let usage = match kind {
            ResourceType::CPU => ResourceUsage::Cpu {
                limit: bits(code, 0, 7),
                observed: bits(subcode, 0, 7),
                interval: bits(code, 7, 25),
            },
            ResourceType::WAKEUPS => ResourceUsage::Wakeups {
                limit: bits(code, 0, 20),
                observed: bits(subcode, 0, 20),
                interval: bits(code, 20, 12),
            },
            ResourceType::MEMORY => ResourceUsage::Memory {
                limit: bits(code, 0, 13),
            },
            ResourceType::IO => ResourceUsage::Io {
                limit: bits(code, 0, 15),
                observed: bits(subcode, 0, 15),
                interval: bits(code, 15, 17),
            },
            ResourceType::THREADS => ResourceUsage::Threads {
                limit: bits(code, 0, 15),
            },
            ResourceType::PORTS => ResourceUsage::Ports {
                allocated: bits(code, 0, 24),
            },
            _ => ResourceUsage::Unknown {
                limit: code & ((1 << 58) - 1),
                observed: subcode,
            },
        };
        Self {
            kind,
            flavor: bits(code, 58, 3),
            usage,
        }
    }
}

/// Returns `width` bits of a code, at most 32, starting at bit `low`.
const fn bits(code: u64, low: u32, width: u32) -> u32 {
    (code >> low) as u32 & (u32::MAX >> (u32::BITS - width))
}

impl core::fmt::Display for ResourceCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} flavor {}: {}", self.kind, self.flavor, self.usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(kind: u64, flavor: u64, low: u64, subcode: i64) -> ResourceCode {
        ResourceCode::decode((kind << 61 | flavor << 58 | low) as i64, subcode)
    }

    #[test]
    fn each_resource_has_its_own_numbers() {
        let cpu = decode(1, 2, 180 << 7 | 50, 93);
        assert_eq!(
            (cpu.kind, cpu.flavor),
            (ResourceType::CPU, FLAVOR_CPU_MONITOR_FATAL)
        );
        assert_eq!(
            cpu.to_string(),
            "RESOURCE_TYPE_CPU flavor 2: 93 % of the processor, at most 50 % over 180 s"
        );
        let wakeups = decode(2, 1, 300 << 20 | 150, 4000).usage;
        assert_eq!(
            wakeups,
            ResourceUsage::Wakeups {
                limit: 150,
                observed: 4000,
                interval: 300
            }
        );
        assert_eq!(
            decode(3, 1, 512, 0).usage,
            ResourceUsage::Memory { limit: 512 }
        );
        let io = decode(4, 2, 86_400 << 15 | 8000, 9000).usage;
        assert_eq!(
            io,
            ResourceUsage::Io {
                limit: 8000,
                observed: 9000,
                interval: 86_400
            }
        );
        assert_eq!(
            decode(5, 1, 4096, 0).usage,
            ResourceUsage::Threads { limit: 4096 }
        );
        assert_eq!(
            decode(6, 1, 0x2_0000, 0).usage,
            ResourceUsage::Ports {
                allocated: 0x2_0000
            }
        );
        let unknown = decode(7, 7, 5, -1).usage;
        assert_eq!(
            unknown,
            ResourceUsage::Unknown {
                limit: 5,
                observed: u64::MAX
            }
        );
    }
}
