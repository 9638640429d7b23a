//! Where the fuzzer starts from: each packet case as an input of its own, with no more of the director than its packet
//! can meet, so that most of what is mutated matters.

use std::{collections::BTreeSet, slice};

use vip_common::{
    host::HostTables,
    tables::{Service, Slot},
};
use vip_fuzz::input::{Record, encode};

use vip_userspace::plan::Tables;

use crate::{
    cases::{self, Case},
    world::{PORT, on_host, tables, with_inlet, with_router},
};

/// Rings are cut down to so many slots.
const SLOTS: u32 = 7;

/// An input for each packet case, those of virtual routers among them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let seeds = cases().into_iter().map(|(case, tables)| encode(&records(&case, &on_host(&tables))));
    seeds.collect()
}

/// Each case with the director that it is about.
fn cases() -> Vec<(Case, Tables)> {
    let own = cases::all().into_iter().map(|case| (case, tables()));
    let routers = cases::of_virtual_routers().into_iter().map(|case| (case, with_router(tables())));
    let inlets = cases::of_inlets().into_iter().map(|case| (case, with_inlet(tables())));
    own.chain(routers).chain(inlets).collect()
}

fn records(case: &Case, tables: &HostTables) -> Vec<Record> {
    // All that the director sees.
    let frame = &[case.before.concat(), case.frame.clone()].concat();
    let ingress = u8::try_from(PORT).unwrap_or_default();
    let mut kept = Kept { frame, tables, slots: BTreeSet::new(), records: vec![Record::FlowKey(1)] };
    kept.records.extend(tables.ports.get(&PORT).map(|port| Record::Port(ingress, *port)));
    kept.records.extend(tables.egresses.iter().map(|(id, egress)| Record::Egress(*id, *egress)));
    for (mac, station) in tables.stations.iter().filter(|(mac, _)| holds(frame, *mac)) {
        kept.records.push(Record::Station(*mac, *station));
    }
    for (key, service) in tables.services4.iter().filter(|(key, _)| meets(frame, &key.vip, key.port)) {
        let service = kept.service(*service);
        kept.records.push(Record::Service4(*key, service));
    }
    for (key, service) in tables.services6.iter().filter(|(key, _)| meets(frame, &key.vip, key.port)) {
        let service = kept.service(*service);
        kept.records.push(Record::Service6(*key, service));
    }
    for (key, service) in tables.wide4.iter().filter(|(key, _)| holds(frame, &key.vip)) {
        let service = kept.service(*service);
        kept.records.push(Record::Wide4(*key, service));
    }
    for (key, service) in tables.wide6.iter().filter(|(key, _)| holds(frame, &key.vip)) {
        let service = kept.service(*service);
        kept.records.push(Record::Wide6(*key, service));
    }
    kept.members();
    // Tables that were read in no order make an input that is the same every time.
    kept.records.sort_by_cached_key(|record| encode(slice::from_ref(record)));
    kept.records.dedup();
    let frames = case.before.iter().chain([&case.frame]);
    kept.records.extend(frames.map(|frame| Record::Frame(ingress, frame.clone())));
    kept.records
}

/// Whether a frame could be to that service: its address and port are somewhere in it.
fn meets(frame: &[u8], vip: &[u8], port: [u8; 2]) -> bool {
    holds(frame, vip) && (port == [0; 2] || holds(frame, &port))
}

fn holds(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|window| window == part)
}

/// What is kept of the tables, and what that leads to.
struct Kept<'a> {
    frame: &'a [u8],
    tables: &'a HostTables,
    slots: BTreeSet<(u16, Slot)>,
    records: Vec<Record>,
}

impl Kept<'_> {
    /// The service with shorter rings, which are kept with its terms.
    fn service(&mut self, service: Service) -> Service {
        let terms = self.tables.terms.get(&service.id).map(|terms| Record::Terms(service.id, *terms));
        self.records.extend(terms);
        let ring_size = service.ring_size.min(SLOTS);
        let turns_size = service.turns_size.min(SLOTS);
        let peers = if service.peers_first == 0 { 0 } else { ring_size };
        for (first, size) in
            [(service.ring_first, ring_size), (service.turns_first, turns_size), (service.peers_first, peers)]
        {
            for index in first..first + size {
                let slot = self.tables.rings.get(index as usize).copied();
                self.slots.extend(u16::try_from(index).ok().zip(slot));
            }
        }
        Service { ring_size, turns_size, ..service }
    }

    /// Keeps the slots, the members that they name, and those with a MAC that is in the frame.
    fn members(&mut self) {
        let slots: Vec<_> = self.slots.iter().copied().collect();
        let mut members = BTreeSet::new();
        for run in
            slots.chunk_by(|(index, slot), (next_index, next)| *next_index == index + 1 && slot == next)
        {
            let (first, slot) = run[0];
            self.records.push(Record::Slots(first, u8::try_from(run.len()).unwrap_or(u8::MAX), slot));
            members.extend([slot.current, slot.settled()]);
        }
        for (id, entry) in &self.tables.members {
            if members.contains(id) || holds(self.frame, &entry.member.mac) {
                self.records.push(Record::Member(*id, *entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vip_common::host::HostFrame;
    use vip_fuzz::decide;

    use super::*;

    #[test]
    fn every_case_is_a_seed_whose_packet_gets_what_it_gets_from_the_whole_director() {
        for ((case, tables), seed) in cases().into_iter().zip(seeds()) {
            let actions =
                vip_fuzz::run(&seed, &decide).unwrap_or_else(|failure| panic!("{}: {failure}", case.name));
            let got = *actions.last().expect("a frame");
            let tables = on_host(&tables);
            for frame in &case.before {
                decide(&mut HostFrame::new(frame, PORT), &tables);
            }
            let wanted = decide(&mut HostFrame::new(&case.frame, PORT), &tables);
            assert_eq!((got.verb, got.reason), (wanted.verb, wanted.reason), "{}", case.name);
        }
    }
}
