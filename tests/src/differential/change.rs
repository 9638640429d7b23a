//! Other tables for the same director: members that die and return, slots that move and remember, services that are told
//! something else, and entries that point nowhere. Which keys there are does not change.

use fastrand::Rng;
use vip_common::{
    MemberId,
    tables::{Egress, Member, Service, Slot, Station},
};
use vip_userspace::plan::Tables;

use crate::world::{MEMBER_ENTRIES, RING_ENTRIES, TERMS};

/// All flags of [`Service`], and one that has no meaning.
const FLAGS: u32 = 12;
/// States that members have, and one that they don't.
const STATES: [u8; 6] = [0, Member::UP, Member::DOWN, Member::DRAINING, Member::HERE, 99];
const TAGS: [u8; 5] = [0, 1, 2, 3, Egress::AS_IT_CAME];
const SOURCE_BITS: [u8; 8] = [0, 1, 24, 32, 33, 64, 128, 255];

/// Changes tables here and there.
pub(super) fn change(tables: &mut Tables, rng: &mut Rng) {
    // Services without a number have terms, too: in the kernel, an array has an entry for each number.
    tables.terms.entry(0).or_insert(TERMS);
    members(tables, rng);
    let exact = tables.services4.values_mut().chain(tables.services6.values_mut());
    let all = exact.chain(tables.wide4.values_mut()).chain(tables.wide6.values_mut());
    all.for_each(|service| self::service(service, rng));
    for ring in tables.rings.values_mut() {
        if seldom(rng) {
            *ring = ring.iter().map(|slot| if rng.bool() { self::slot(rng) } else { slot }).collect();
        }
    }
    for egress in tables.egresses.values_mut() {
        if seldom(rng) {
            egress.tags = one(&TAGS, rng);
            egress.vlans = [rng.u16(..).to_be_bytes(), rng.u16(..).to_be_bytes()];
        }
    }
    for terms in tables.terms.values_mut() {
        if seldom(rng) {
            terms.period = rng.u32(..4);
            terms.allowance = one(&[0, 1, 1 << 20], rng);
            terms.idle = rng.u32(..3) * 60;
            terms.always = rng.u32(..2);
        }
    }
    for station in tables.stations.values_mut() {
        if seldom(rng) {
            station.flags ^= Station::DIRECTOR;
        }
    }
    for port in tables.ports.values_mut() {
        if seldom(rng) {
            port.router = rng.u8(..3);
        }
    }
}

/// Once in eight times.
fn seldom(rng: &mut Rng) -> bool {
    rng.u8(..8) == 0
}

fn one<T: Copy>(of: &[T], rng: &mut Rng) -> T {
    of[rng.usize(..of.len())]
}

fn members(tables: &mut Tables, rng: &mut Rng) {
    let ids: Vec<_> = tables.members.keys().copied().collect();
    for id in ids {
        let Some(entry) = tables.members.get_mut(&id) else { continue };
        if seldom(rng) {
            entry.member.state = one(&STATES, rng);
        }
        if seldom(rng) {
            entry.generation += rng.u32(..3);
        }
        if seldom(rng) {
            entry.member.egress.0 = rng.u8(..6);
        }
    }
}

fn service(service: &mut Service, rng: &mut Rng) {
    if seldom(rng) {
        service.flags ^= 1 << rng.u32(..FLAGS);
    }
    if seldom(rng) {
        service.on_dead = rng.u8(..5);
    }
    if seldom(rng) {
        service.source_bits = one(&SOURCE_BITS, rng);
    }
    if rng.u8(..64) == 0 {
        let place = rng.u32(..RING_ENTRIES + 2);
        let size = rng.u32(..4) * 7;
        match rng.u8(..3) {
            0 => (service.ring_first, service.ring_size) = (place, size),
            1 => (service.turns_first, service.turns_size) = (place, size),
            _ => service.peers_first = place,
        }
    }
}

/// A slot of anybody, or of nobody, or of one that no table has.
fn slot(rng: &mut Rng) -> Slot {
    let mut member = || MemberId(if rng.u8(..16) == 0 { 1 << 20 } else { rng.u32(..MEMBER_ENTRIES) });
    let (current, settled) = (member(), member());
    match rng.u8(..4) {
        0 => Slot::of(current),
        1 => Slot::tracked(current, current),
        _ => Slot::tracked(current, settled),
    }
}
