//! What the tables hold that nobody here has written, part by part: what is compared is memory and small tables, so that
//! it can be done every second. It writes nothing.

use std::collections::BTreeMap;

use bytemuck::{Pod, cast};
use vip_common::{
    MemberId,
    tables::{EgressId, MemberEntry, Slot, Terms, names},
};

use super::{
    Maps, Result,
    entries::{all, all_wide, station_key, station_mac},
};
use crate::{
    dataplane::mapping::Words,
    plan::{Operation, Tables, runs},
    ring::Ring,
};

impl Maps {
    /// The operations that put right what is not as `published` says, in one part of `parts`: of the rings each has its
    /// share, of the other tables each its own.
    pub(in crate::dataplane) fn strays(
        &self,
        published: &Tables,
        part: usize,
        parts: usize,
    ) -> Result<Vec<Operation>> {
        let parts = parts.max(1);
        let mut strays = Vec::new();
        for table in (0..7).filter(|table| table % parts == part) {
            strays.extend(self.strays_of(table, published)?);
        }
        let rings = published.rings.iter().enumerate().filter(|(at, _)| at % parts == part);
        for (_, (first, slots)) in rings {
            strays.extend(self.stray_slots(*first, slots));
        }
        Ok(strays)
    }

    fn strays_of(&self, table: usize, published: &Tables) -> Result<Vec<Operation>> {
        Ok(match table {
            0 => self.stray_members(published),
            1 => self.stray_terms(published),
            2 => {
                let ports = words_of(published.ports.iter().map(|(index, port)| (*index, cast(*port))));
                let stray = |(index, _)| Operation::Port(index, published.ports.get(&index).copied());
                let strays = stray_words(&self.ports, ports).map(stray);
                let vips = stray_words(&self.vips, published.vip_words());
                let flow_key =
                    published.flow_key.filter(|_| self.read_flow_key().ok() != Some(published.flow_key));
                strays
                    .chain(vips.map(|(index, word)| Operation::VipWord(index, word)))
                    .chain(flow_key.map(Operation::FlowKey))
                    .collect()
            }
            3 => {
                let found = self.read_egresses()?;
                let egresses = stray_entries(&found, &published.egresses);
                egresses.map(|(id, egress): (EgressId, _)| Operation::Egress(id, egress)).collect()
            }
            4 => {
                let found: BTreeMap<u64, _> = all(names::STATIONS, self.stations.iter())?;
                // A key that no MAC has is met by no packet.
                let found = found.into_iter().filter(|(key, _)| station_key(station_mac(*key)) == *key);
                let found = found.map(|(key, station)| (station_mac(key), station)).collect();
                let stations = stray_entries(&found, &published.stations);
                stations.map(|(mac, station)| Operation::Station(mac, station)).collect()
            }
            5 => {
                let found = all(names::SERVICES4, self.services4.iter())?;
                let services = stray_entries(&found, &published.services4);
                let mut strays: Vec<_> = services.map(|(key, it)| Operation::Service4(key, it)).collect();
                let found = all(names::SERVICES6, self.services6.iter())?;
                let services = stray_entries(&found, &published.services6);
                strays.extend(services.map(|(key, it)| Operation::Service6(key, it)));
                strays
            }
            _ => {
                let found = all_wide(names::WIDE4, &self.wide4)?;
                let services = stray_entries(&found, &published.wide4);
                let mut strays: Vec<_> = services.map(|(key, it)| Operation::Wide4(key, it)).collect();
                let found = all_wide(names::WIDE6, &self.wide6)?;
                let services = stray_entries(&found, &published.wide6);
                strays.extend(services.map(|(key, it)| Operation::Wide6(key, it)));
                strays
            }
        })
    }

    fn stray_members(&self, published: &Tables) -> Vec<Operation> {
        let wanted = published.members.iter().map(|(id, entry)| (id.0, *entry));
        let mut strays = Vec::new();
        for (id, found) in stray_pairs::<MemberEntry>(&self.members, wanted) {
            let entry = published.members.get(&MemberId(id)).copied();
            let entry = entry.unwrap_or_else(bytemuck::Zeroable::zeroed);
            if found.generation != entry.generation {
                strays.push(Operation::Generation(MemberId(id), entry.generation));
            }
            if found.member != entry.member {
                let member = (entry.member.state != 0).then_some(entry.member);
                strays.push(Operation::Member(MemberId(id), member));
            }
        }
        strays
    }

    fn stray_terms(&self, published: &Tables) -> Vec<Operation> {
        let wanted = published.terms.iter().map(|(id, terms)| (*id, *terms));
        let strays = stray_pairs::<Terms>(&self.terms, wanted);
        strays.into_iter().map(|(id, _)| Operation::Terms(id, published.terms.get(&id).copied())).collect()
    }

    /// What puts the slots of a ring right.
    fn stray_slots(&self, first: u32, slots: &Ring) -> Vec<Operation> {
        // Past the end nothing can be put right, and nothing was written.
        let is_stray = |(index, slot): &(u32, Slot)| {
            self.rings.get(first + index).is_some_and(|word| word != cast::<_, u64>(*slot))
        };
        runs(first, (0..).zip(slots.iter()).filter(is_stray))
    }
}

fn words_of(words: impl Iterator<Item = (u32, u64)>) -> BTreeMap<u32, u64> {
    words.collect()
}

/// The words that are not as wanted, with what they should be; those that nobody names should be zero.
fn stray_words(found: &Words, wanted: BTreeMap<u32, u64>) -> impl Iterator<Item = (u32, u64)> {
    (0..found.len()).filter_map(move |index| {
        let word = wanted.get(&index).copied().unwrap_or_default();
        (found.get(index) != Some(word)).then_some((index, word))
    })
}

/// The values of two words that are not as `wanted`, which is in the order of indices: each with what it is.
fn stray_pairs<T: Pod>(found: &Words, wanted: impl Iterator<Item = (u32, T)>) -> Vec<(u32, T)> {
    let mut wanted = wanted.peekable();
    let word = |index| found.get(index).unwrap_or_default();
    let mut strays = Vec::new();
    for index in 0..found.len() / 2 {
        let value = [word(index * 2), word(index * 2 + 1)];
        let next = wanted.next_if(|(wanted, _)| *wanted == index);
        if next.map_or([0; 2], |(_, wanted)| cast(wanted)) != value {
            strays.push((index, cast(value)));
        }
    }
    strays
}

/// The keys whose entries are not as wanted, with what they should have.
fn stray_entries<'a, K: Ord + Copy, V: PartialEq + Copy>(
    found: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, Option<V>)> + use<'a, K, V> {
    let surplus = found.keys().filter(|key| !wanted.contains_key(key)).map(|key| (*key, None));
    let others = wanted.iter().filter(|(key, value)| found.get(key) != Some(value));
    surplus.chain(others.map(|(key, value)| (*key, Some(*value))))
}
