//! What the tables say of a VIP, all of it: which services it has, and whom a packet to it could go to at all.

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    host::HostTables,
    tables::{Entry as _, OnDead, Service, ServiceKey4, ServiceKey6, Slot, WideKey4, WideKey6},
};

/// A VIP: its own entry, and all services of it, of one port and of many.
pub(super) struct Vip<'t> {
    /// Zeros where it has none: a service is published before its VIP's own entry.
    pub(super) own: Service,
    pub(super) is_whole: bool,
    services: Vec<Service>,
    address: &'t [u8],
    tables: &'t HostTables,
}

impl<'t> Vip<'t> {
    /// The VIP with this address, of 4 or 16 bytes, if the tables name one.
    pub(super) fn of(address: &'t [u8], tables: &'t HostTables) -> Option<Self> {
        let own = own(address, tables);
        let exact4 = tables.services4.iter().filter(|(key, _)| key.vip == address && is_service4(key));
        let exact6 = tables.services6.iter().filter(|(key, _)| key.vip == address && is_service6(key));
        let exact = exact4.map(|(_, service)| service).chain(exact6.map(|(_, service)| service));
        let wide4 = tables.wide4.iter().filter(|(key, _)| fits4(key, address)).map(|(_, service)| service);
        let wide6 = tables.wide6.iter().filter(|(key, _)| fits6(key, address)).map(|(_, service)| service);
        let mut services: Vec<_> = exact.copied().collect();
        if own.is_some() {
            services.extend(wide4.chain(wide6));
        }
        (!services.is_empty()).then(|| Self {
            own: own.unwrap_or(Service::zeroed()),
            is_whole: own.is_some(),
            services,
            address,
            tables,
        })
    }

    /// A service of it has a flag.
    pub(super) fn has(&self, flag: u32) -> bool {
        self.services.iter().any(|service| service.has(flag))
    }

    /// A service of it does this where a member is dead.
    pub(super) fn has_on_dead(&self, on_dead: OnDead) -> bool {
        self.services.iter().any(|service| service.on_dead == on_dead as u8)
    }

    /// A slot of a service of it remembers, or a service takes turns: flows are tracked.
    pub(super) fn tracks(&self) -> bool {
        self.has(Service::TAKES_TURNS) || self.slots().any(Slot::is_tracked)
    }

    /// A slot, a turn, a flow or a fragment of it names the member.
    pub(super) fn names(&self, member: MemberId) -> bool {
        let in_slot = |slot: &Slot| slot.current == member || slot.settled() == member;
        self.slots().any(in_slot) || self.remembers(member)
    }

    fn remembers(&self, member: MemberId) -> bool {
        let of_vip = |scope: u32| self.services.iter().any(|service| service.id == scope >> 8);
        let (flows4, flows6) = (self.tables.flows4.borrow(), self.tables.flows6.borrow());
        let mut named4 = flows4.iter().filter(|(id, _)| of_vip(id.scope)).map(|(_, entry)| entry.flow());
        let mut named6 = flows6.iter().filter(|(id, _)| of_vip(id.scope)).map(|(_, entry)| entry.flow());
        let fragments = self.tables.fragments.borrow();
        let mut first = fragments.iter().filter(|(id, _)| id.destination.starts_with(self.address));
        named4.any(|flow| flow.member == member)
            || named6.any(|flow| flow.member == member)
            || first.any(|(_, owner)| owner.member == member)
    }

    /// All slots of all its rings, turns and rings without directors.
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let rings = self.services.iter().flat_map(|service| {
            let peers = if service.peers_first == 0 { 0 } else { service.ring_size };
            [
                (service.ring_first, service.ring_size),
                (service.turns_first, service.turns_size),
                (service.peers_first, peers),
            ]
        });
        rings.flat_map(|(first, size)| self.tables.rings.iter().skip(first as usize).take(size as usize))
    }
}

fn own(address: &[u8], tables: &HostTables) -> Option<Service> {
    if let Ok(address) = address.try_into() {
        return tables.services4.get(&ServiceKey4::vip(address)).copied();
    }
    tables.services6.get(&ServiceKey6::vip(address.try_into().ok()?)).copied()
}

/// Not the mark of an address of the director itself, nor a key that nobody asks for.
fn is_service4(key: &ServiceKey4) -> bool {
    *key != ServiceKey4::own(key.vip) && key.zero == 0
}

fn is_service6(key: &ServiceKey6) -> bool {
    *key != ServiceKey6::own(key.vip) && key.zero == 0
}

/// Whether packets to an address can be to that service: shorter prefixes are for more than one address.
fn fits4(key: &WideKey4, address: &[u8]) -> bool {
    address.len() == 4 && agree(&key.vip, address, key.bits.min(WideKey4::VIP))
}

fn fits6(key: &WideKey6, address: &[u8]) -> bool {
    address.len() == 16 && agree(&key.vip, address, key.bits.min(WideKey6::VIP))
}

/// True if the first `bits` bits are the same.
fn agree(one: &[u8], other: &[u8], bits: u32) -> bool {
    (0..bits as usize).all(|bit| (one[bit / 8] ^ other[bit / 8]) >> (7 - bit % 8) & 1 == 0)
}
