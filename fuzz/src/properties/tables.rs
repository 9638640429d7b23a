//! What the tables say of a VIP, all of it: which services it has, and whom a packet to it could go to at all.

use bytemuck::Zeroable as _;
use vip_common::{
    MemberId,
    host::HostTables,
    tables::{
        Entry as _, FragmentOwner, OnDead, Service, ServiceKey4, ServiceKey6, Slot, WideKey4, WideKey6,
    },
};

use super::view::View;

/// A VIP: its own entry, and all services of it, of one port and of many.
pub(super) struct Vip<'t> {
    /// Zeros where it has none: a service is published before its VIP's own entry.
    pub(super) own: Service,
    pub(super) is_whole: bool,
    services: Vec<(Ports, Service)>,
    /// A packet may be where its datagram's first fragment went.
    has_fragments: bool,
    address: &'t [u8],
    tables: &'t HostTables,
}

/// Which packets with a port a service is for: so many leading bits of protocol and port are theirs. None has those of a
/// VIP's own entry, and of what says of no port.
type Ports = Option<(u32, [u8; 3])>;

impl<'t> Vip<'t> {
    /// The VIP with this address, of 4 or 16 bytes, if the tables name one.
    pub(super) fn of(address: &'t [u8], tables: &'t HostTables) -> Option<Self> {
        let own = own(address, tables);
        let exact4 = tables.services4.iter().filter(|(key, _)| key.vip == address && is_service4(key));
        let exact6 = tables.services6.iter().filter(|(key, _)| key.vip == address && is_service6(key));
        let exact4 = exact4.map(|(key, service)| (one(key.protocol, key.port), *service));
        let exact6 = exact6.map(|(key, service)| (one(key.protocol, key.port), *service));
        let mut services: Vec<_> = exact4.chain(exact6).collect();
        if own.is_some() {
            let wide4 = tables.wide4.iter().filter(|(key, _)| fits4(key, address));
            services.extend(
                wide4.map(|(key, service)| (many(key.bits, WideKey4::VIP, key.protocol, key.port), *service)),
            );
            let wide6 = tables.wide6.iter().filter(|(key, _)| fits6(key, address));
            services.extend(
                wide6.map(|(key, service)| (many(key.bits, WideKey6::VIP, key.protocol, key.port), *service)),
            );
        }
        (!services.is_empty()).then(|| Self {
            own: own.unwrap_or(Service::zeroed()),
            is_whole: own.is_some(),
            services,
            has_fragments: true,
            address,
            tables,
        })
    }

    /// The VIP with those services alone that a packet could be to. What says of no port could be to each: fragments, errors
    /// about a flow, other protocols.
    pub(super) fn met_by(self, packet: &View<'_>) -> Self {
        let Some((protocol, port)) = packet.payload().and_then(|payload| payload.port()) else { return self };
        let said = [protocol, port[0], port[1]];
        let takes = |ports: &Ports| ports.is_some_and(|(bits, ports)| agree(&ports, &said, bits));
        let services = self.services.into_iter().filter(|(ports, _)| takes(ports)).collect();
        Self { services, has_fragments: false, ..self }
    }

    /// A service of it has a flag.
    pub(super) fn has(&self, flag: u32) -> bool {
        self.services().any(|service| service.has(flag)) || self.first_fragment(|first| first.has(flag))
    }

    /// A service of it does this where a member is dead.
    pub(super) fn has_on_dead(&self, on_dead: OnDead) -> bool {
        self.services().any(|service| service.on_dead == on_dead as u8)
            || self.first_fragment(|first| first.on_dead == on_dead as u8)
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
        let of_vip = |scope: u32| self.services().any(|service| service.id == scope >> 8);
        let (flows4, flows6) = (self.tables.flows4.borrow(), self.tables.flows6.borrow());
        let mut named4 = flows4.iter().filter(|(id, _)| of_vip(id.scope)).map(|(_, entry)| entry.flow());
        let mut named6 = flows6.iter().filter(|(id, _)| of_vip(id.scope)).map(|(_, entry)| entry.flow());
        named4.any(|flow| flow.member == member)
            || named6.any(|flow| flow.member == member)
            || self.first_fragment(|first| first.member == member)
    }

    /// A packet may follow a first fragment that is so.
    fn first_fragment(&self, is: impl Fn(&FragmentOwner) -> bool) -> bool {
        let fragments = self.tables.fragments.borrow();
        let mut of_vip = fragments.iter().filter(|(id, _)| id.destination.starts_with(self.address));
        self.has_fragments && of_vip.any(|(_, first)| is(first))
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().map(|(_, service)| service)
    }

    /// All slots of all its rings, turns and rings without directors.
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let rings = self.services().flat_map(|service| {
            let peers = if service.peers_first == 0 { 0 } else { service.ring_size };
            [
                (service.ring_first, service.ring_size),
                (service.turns_first, service.turns_size),
                (service.peers_first, peers),
            ]
        });
        rings.flat_map(|(first, size)| {
            // Indices are counted as the director does: the one after the last number is 0.
            let anew = (u64::from(first) + u64::from(size)).saturating_sub(1 << u32::BITS);
            let anew = usize::try_from(anew).unwrap_or(usize::MAX);
            let slots = self.tables.rings.iter();
            slots.clone().skip(first as usize).take(size as usize).chain(slots.take(anew))
        })
    }
}

fn own(address: &[u8], tables: &HostTables) -> Option<Service> {
    if let Ok(address) = address.try_into() {
        return tables.services4.get(&ServiceKey4::vip(address)).copied();
    }
    tables.services6.get(&ServiceKey6::vip(address.try_into().ok()?)).copied()
}

/// A service of one port, or of packets that say of none.
fn one(protocol: u8, port: [u8; 2]) -> Ports {
    (port != [0; 2]).then_some((24, [protocol, port[0], port[1]]))
}

/// A service of many ports, whose key has so many bits, the VIP's among them.
fn many(bits: u32, of_vip: u32, protocol: u8, port: [u8; 2]) -> Ports {
    Some((bits.saturating_sub(of_vip).min(24), [protocol, port[0], port[1]]))
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
