//! The shapes that the tables must have in the kernel. It knows no pin and makes nothing.

use aya::maps::MapType;
use vip_common::tables::{REASON_ENTRIES, VIP_WORDS, names};

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
pub(super) fn shapes(capacity: Capacity, ports: u32) -> Vec<Shape> {
    let shape = |name, kind, (key, value), flags, entries| Shape { name, kind, key, value, flags, entries };
    let array = |name, value, entries| shape(name, MapType::Array, (4, value), 0, entries);
    let words = |name, value, entries| shape(name, MapType::Array, (4, value), MMAPABLE, entries);
    let hash = |name, sizes, entries| shape(name, MapType::Hash, sizes, NO_PREALLOC, entries);
    let wide = |name, key| shape(name, MapType::LpmTrie, (key, 32), NO_PREALLOC, capacity.wide_entries());
    let forgetting = |name, sizes, entries| shape(name, MapType::LruHash, sizes, 0, entries);
    let per_cpu = |name, value, entries| shape(name, MapType::PerCpuArray, (4, value), 0, entries);
    let (members, services) = (capacity.member_entries(), capacity.service_numbers());
    vec![
        words(names::PORTS, 8, ports),
        words(names::VIPS, 8, VIP_WORDS),
        hash(names::SERVICES4, (8, 32), capacity.service_entries()),
        hash(names::SERVICES6, (20, 32), capacity.service_entries()),
        wide(names::WIDE4, 12),
        wide(names::WIDE6, 24),
        words(names::RINGS, 8, capacity.slots),
        words(names::MEMBERS, 16, members),
        array(names::EGRESSES, 16, 256),
        hash(names::STATIONS, (8, 8), members),
        array(names::FLOW_KEY, 88, 1),
        forgetting(names::FLOWS4, (12, 24), capacity.flows),
        forgetting(names::FLOWS6, (24, 24), capacity.flows),
        words(names::TERMS, 16, services),
        forgetting(names::FRAGMENTS, (40, 24), capacity.fragments),
        per_cpu(names::TURNS, 4, services),
        per_cpu(names::INSERTS, 24, services),
        per_cpu(names::ANSWERS, 8, 1),
        per_cpu(names::MEMBER_COUNTS, 32, members),
        per_cpu(names::REASON_COUNTS, 8, REASON_ENTRIES),
        array(names::SWEEP, 24, 1),
        words(names::HELD, 8, capacity.slots.div_ceil(64)),
        words(names::MEMBER_FLOWS, 8, members),
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
