//! All tables of the director, as one value: what is published, or what is wanted. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use imbl::OrdMap;
use vip_common::{
    FlowKey, MemberId,
    host::HostTables,
    tables::{
        Egress, EgressId, MemberEntry, Port, Service, ServiceKey4, ServiceKey6, Slot, Station, Terms,
        VIP_WORDS, WideKey4, WideKey6, own_bit4, own_bit6, vip_bit4, vip_bit6,
    },
};

use crate::ring::{MAX_TURNS, Ring};

/// What `PORTS`, `SERVICES4`, `SERVICES6`, `WIDE4`, `WIDE6`, `RINGS`, `MEMBERS`, `EGRESSES`, `STATIONS`, `TERMS` and
/// `FLOW_KEY` hold. Zero values are left out. `VIPS` follows from the services.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tables {
    /// Ports by interface index.
    pub ports: BTreeMap<u32, Port>,
    /// IPv4 services, an entry for each VIP itself, and one for each address of the director itself.
    pub services4: BTreeMap<ServiceKey4, Service>,
    /// IPv6 services, an entry for each VIP itself, and one for each address of the director itself.
    pub services6: BTreeMap<ServiceKey6, Service>,
    /// IPv4 services of many ports.
    pub wide4: BTreeMap<WideKey4, Service>,
    /// IPv6 services of many ports.
    pub wide6: BTreeMap<WideKey6, Service>,
    /// The slots of each ring and of each order of turns, by the index of its first slot. They do not overlap. Shared, so
    /// that one that has not changed is neither copied nor compared.
    pub rings: BTreeMap<u32, Ring>,
    /// Members by id. Ids that nobody has any more keep their generation. Shared like rings: there may be very many.
    pub members: OrdMap<MemberId, MemberEntry>,
    /// Ways out by id.
    pub egresses: BTreeMap<EgressId, Egress>,
    /// Whose a MAC is.
    pub stations: BTreeMap<[u8; 6], Station>,
    /// Services' parts of the flow table, by service id.
    pub terms: BTreeMap<u32, Terms>,
    /// The secret of the flow hash.
    pub flow_key: Option<FlowKey>,
}

impl Tables {
    /// The words of `VIPS`: the bit of every VIP is set, and that of every own address as a source.
    #[must_use]
    pub fn vip_words(&self) -> BTreeMap<u32, u64> {
        let bit4 = |key: &ServiceKey4| if *key == ServiceKey4::own(key.vip) { own_bit4 } else { vip_bit4 };
        let bit6 = |key: &ServiceKey6| if *key == ServiceKey6::own(key.vip) { own_bit6 } else { vip_bit6 };
        let bits4 = self.services4.keys().map(|key| bit4(key)(key.vip));
        let bits6 = self.services6.keys().map(|key| bit6(key)(key.vip));
        let mut words = BTreeMap::new();
        for bit in bits4.chain(bits6) {
            *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
        }
        debug_assert!(words.keys().all(|word| *word < VIP_WORDS));
        words
    }

    /// The same tables as [`direct`](vip_common::direct()) reads them on the host: without flows and fragments, at time 0.
    #[must_use]
    pub fn in_memory(&self) -> HostTables {
        let end = self.rings.iter().map(|(first, slots)| *first as usize + slots.len()).max();
        let mut rings = vec![Slot::of(MemberId::NOBODY); end.unwrap_or_default()];
        for (first, slots) in &self.rings {
            rings[*first as usize..].iter_mut().zip(slots.iter()).for_each(|(place, slot)| *place = slot);
        }
        let bits = |(index, word): (u32, u64)| {
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| (index * 64 + bit, true))
        };
        HostTables {
            ports: copied(&self.ports),
            vip_bits: self.vip_words().into_iter().flat_map(bits).collect(),
            services4: copied(&self.services4),
            services6: copied(&self.services6),
            wide4: copied(&self.wide4),
            wide6: copied(&self.wide6),
            flow_key: self.flow_key,
            rings,
            members: self.members.iter().map(|(id, entry)| (*id, *entry)).collect(),
            egresses: copied(&self.egresses),
            stations: copied(&self.stations),
            terms: copied(&self.terms),
            ..HostTables::default()
        }
    }

    /// All entries that name rings: of services of one port and of many, and of VIPs.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        let exact = self.services4.values().chain(self.services6.values());
        exact.chain(self.wide4.values()).chain(self.wide6.values())
    }

    /// Where rings lie that services name, each once: first slot and number of slots.
    #[must_use]
    pub fn places(&self) -> std::collections::BTreeSet<(u32, u32)> {
        self.services().flat_map(places_of).collect()
    }
}

fn copied<K: Copy + Eq + Hash, V: Copy>(table: &BTreeMap<K, V>) -> HashMap<K, V> {
    table.iter().map(|(key, value)| (*key, *value)).collect()
}

/// Where the rings lie that an entry names.
fn places_of(service: &Service) -> impl Iterator<Item = (u32, u32)> {
    let turns = (service.turns_size > 0).then_some((service.turns_first, MAX_TURNS));
    let peers = (service.peers_first > 0).then_some((service.peers_first, service.ring_size));
    let ring = (service.ring_first, service.ring_size);
    [Some(ring), turns, peers].into_iter().flatten().filter(|(_, len)| *len > 0)
}
