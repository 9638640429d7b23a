//! The shapes that the tables must have in the kernel. It knows no pin and makes nothing.

use aya::maps::MapType;
use vip_common::tables::{VIP_WORDS, names};

use super::Capacity;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

/// What a table is in the kernel. Sizes in bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) kind: MapType,
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) flags: u32,
    pub(super) entries: u32,
}

/// All tables, for a capacity and a number of ports.
pub(super) fn shapes(capacity: Capacity, ports: u32) -> [Shape; 10] {
    let shape = |name, kind, (key, value), flags, entries| Shape { name, kind, key, value, flags, entries };
    let array = |name, value, entries| shape(name, MapType::Array, (4, value), 0, entries);
    let words = |name, entries| shape(name, MapType::Array, (4, 8), MMAPABLE, entries);
    let services = |name, key| shape(name, MapType::Hash, (key, 16), NO_PREALLOC, capacity.service_entries());
    let counts = |name, value, entries| shape(name, MapType::PerCpuArray, (4, value), 0, entries);
    [
        words(names::PORTS, ports),
        words(names::VIPS, VIP_WORDS),
        services(names::SERVICES4, 8),
        services(names::SERVICES6, 20),
        words(names::RINGS, capacity.slots),
        words(names::MEMBERS, capacity.member_entries()),
        array(names::EGRESSES, 16, 256),
        array(names::FLOW_KEY, 88, 1),
        counts(names::MEMBER_COUNTS, 24, capacity.member_entries()),
        counts(names::REASON_COUNTS, 8, 64),
    ]
}

/// Entries of `PORTS` for interfaces up to index `largest`, with room for some that come later.
pub(super) fn port_entries(largest: u32) -> u32 {
    largest.saturating_add(1024).checked_next_power_of_two().unwrap_or(u32::MAX).max(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_ports_that_come_later() {
        for (largest, entries) in [(0, 4096), (3072, 4096), (3073, 8192), (u32::MAX, u32::MAX)] {
            assert_eq!(port_entries(largest), entries, "{largest}");
        }
    }
}
