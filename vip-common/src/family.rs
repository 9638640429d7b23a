//! What differs between IPv4 and IPv6: headers, keys, checksums. The decision itself is written once.

use bytemuck::Pod;

use crate::{
    FlowKey, Frame, Tables, checksum,
    flow::{Flow, Flow4, Flow6},
    headers::{ICMP, ICMPV6, Ipv4, Ipv6},
    owner::{Found, Place},
    tables::{
        FlowEntry, FlowId4, FlowId6, FragmentId, Service, ServiceKey4, ServiceKey6, WideKey4, WideKey6,
        own_bit4, own_bit6, vip_bit4, vip_bit6,
    },
};

/// One of the two.
pub trait Family {
    /// An address, in network order.
    type Address: Pod + PartialEq;
    /// The fixed part of the header.
    type Header: Pod;
    /// A flow in the flow table.
    type FlowId;

    /// IP protocol number of its ICMP.
    const ICMP: u8;
    /// Headers may stand between the IP header and the payload: of a later fragment, or of a packet that was cut short, the
    /// payload's protocol may not be known.
    const EXTENDS: bool;

    /// True if the header says that it is of this version.
    fn is_version(header: &Self::Header) -> bool;
    /// Source address.
    fn source(header: &Self::Header) -> Self::Address;
    /// Destination address.
    fn destination(header: &Self::Header) -> Self::Address;
    /// TTL or hop limit.
    fn hops(header: &Self::Header) -> u8;
    /// Takes one hop off the header at `at`.
    fn hop<F: Frame>(frame: &mut F, at: usize) -> Option<()>;

    /// True for an address that is no one machine's: a group, or none.
    fn is_no_machine(address: Self::Address) -> bool;
    /// The bit of a VIP in `VIPS`.
    fn vip_bit(address: Self::Address) -> u32;
    /// The bit of an own address in `VIPS`.
    fn own_bit(address: Self::Address) -> u32;
    /// The service with exactly this port and protocol.
    fn service<T: Tables>(tables: &T, vip: Self::Address, port: [u8; 2], protocol: u8) -> Option<&Service>;
    /// The VIP's own entry.
    fn vip<T: Tables>(tables: &T, address: Self::Address) -> Option<&Service>;
    /// True for an address of the director itself.
    fn is_own<T: Tables>(tables: &T, address: Self::Address) -> bool;
    /// The service of many ports that this port, or all of this protocol, belongs to.
    fn wide<T: Tables>(
        tables: &T,
        vip: Self::Address,
        port: Option<[u8; 2]>,
        protocol: u8,
    ) -> Option<&Service>;

    /// The flow's hash.
    fn hash(key: &FlowKey, flow: &Flow<Self::Address>) -> u32;
    /// The first `bits` bits of an address; at least 1.
    fn leading(address: Self::Address, bits: u8) -> Self::Address;
    /// The flow in the flow table.
    fn flow_id(flow: &Flow<Self::Address>, service: u32) -> Self::FlowId;
    /// The flow's entry.
    fn entry<'a, T: Tables>(tables: &'a T, id: &Self::FlowId) -> Option<T::Entry<'a>>;
    /// Writes the flow's entry.
    fn insert<T: Tables>(tables: &T, id: &Self::FlowId, entry: &FlowEntry, replace: bool) -> bool;
    /// What the flow table says of a flow of a slot that remembers: the word of a [`Found`](crate::Found).
    fn found<T: Tables>(tables: &T, service: &Service, id: &Self::FlowId, place: &Place) -> u64;
    /// Gives a place to a flow that has none: the word of its owner.
    fn placed<T: Tables>(
        tables: &T,
        service: &Service,
        id: &Self::FlowId,
        place: &Place,
        found: Found,
    ) -> u64;
    /// The datagram of a fragment. Of IPv6 the protocol does not matter (RFC 8200, section 4.5).
    fn fragment_id(
        source: Self::Address,
        destination: Self::Address,
        id: [u8; 4],
        protocol: u8,
    ) -> FragmentId;
}

/// IPv4.
pub struct V4;

impl Family for V4 {
    type Address = [u8; 4];
    type Header = Ipv4;
    type FlowId = FlowId4;

    const ICMP: u8 = ICMP;
    const EXTENDS: bool = false;

    #[inline(always)]
    fn is_version(header: &Ipv4) -> bool {
        header.version() == 4
    }

    #[inline(always)]
    fn source(header: &Ipv4) -> [u8; 4] {
        header.source
    }

    #[inline(always)]
    fn destination(header: &Ipv4) -> [u8; 4] {
        header.destination
    }

    #[inline(always)]
    fn hops(header: &Ipv4) -> u8 {
        header.ttl
    }

    #[inline(always)]
    fn hop<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let [ttl, protocol, high, low] = frame.read::<[u8; 4]>(at + 8)?;
        let [high, low] = checksum::after_hop([high, low]);
        frame.write(at + 8, [ttl.wrapping_sub(1), protocol, high, low])
    }

    #[inline(always)]
    fn is_no_machine(address: [u8; 4]) -> bool {
        // Multicast is 224.0.0.0/4 (RFC 1112); 255.255.255.255 is everybody (RFC 919).
        address[0] & 0xf0 == 0xe0 || address == [0; 4] || address == [0xff; 4]
    }

    #[inline(always)]
    fn vip_bit(address: [u8; 4]) -> u32 {
        vip_bit4(address)
    }

    #[inline(always)]
    fn own_bit(address: [u8; 4]) -> u32 {
        own_bit4(address)
    }

    #[inline(always)]
    fn service<T: Tables>(tables: &T, vip: [u8; 4], port: [u8; 2], protocol: u8) -> Option<&Service> {
        tables.service4(&ServiceKey4 { vip, port, protocol, zero: 0 })
    }

    #[inline(always)]
    fn vip<T: Tables>(tables: &T, address: [u8; 4]) -> Option<&Service> {
        tables.service4(&ServiceKey4::vip(address))
    }

    #[inline(always)]
    fn is_own<T: Tables>(tables: &T, address: [u8; 4]) -> bool {
        tables.may_be_vip(own_bit4(address)) && tables.service4(&ServiceKey4::own(address)).is_some()
    }

    #[inline(always)]
    fn wide<T: Tables>(tables: &T, vip: [u8; 4], port: Option<[u8; 2]>, protocol: u8) -> Option<&Service> {
        let bits = if port.is_some() { WideKey4::PORT } else { WideKey4::PROTOCOL };
        tables.wide4(&WideKey4 { bits, vip, protocol, port: port.unwrap_or_default(), zero: 0 })
    }

    #[inline(always)]
    fn hash(key: &FlowKey, flow: &Flow4) -> u32 {
        key.hash4(flow)
    }

    #[inline(always)]
    fn leading(address: [u8; 4], bits: u8) -> [u8; 4] {
        let mask = u32::MAX << (u32::from(32_u8.wrapping_sub(bits)) & 31);
        (u32::from_be_bytes(address) & mask).to_be_bytes()
    }

    #[inline(always)]
    fn flow_id(flow: &Flow4, service: u32) -> FlowId4 {
        let Flow { source, source_port, destination_port, protocol, .. } = *flow;
        FlowId4 { source, source_port, port: destination_port, scope: service << 8 | u32::from(protocol) }
    }

    #[inline(always)]
    fn entry<'a, T: Tables>(tables: &'a T, id: &FlowId4) -> Option<T::Entry<'a>> {
        tables.flow4(id)
    }

    #[inline(always)]
    fn insert<T: Tables>(tables: &T, id: &FlowId4, entry: &FlowEntry, replace: bool) -> bool {
        tables.insert4(id, entry, replace)
    }

    #[inline(always)]
    fn found<T: Tables>(tables: &T, service: &Service, id: &FlowId4, place: &Place) -> u64 {
        tables.found4(service, id, place)
    }

    #[inline(always)]
    fn placed<T: Tables>(tables: &T, service: &Service, id: &FlowId4, place: &Place, found: Found) -> u64 {
        tables.placed4(service, id, place, found)
    }

    #[inline(always)]
    fn fragment_id(source: [u8; 4], destination: [u8; 4], id: [u8; 4], protocol: u8) -> FragmentId {
        FragmentId {
            source: mapped(source),
            destination: mapped(destination),
            id,
            protocol,
            version: 4,
            zero: [0; 2],
        }
    }
}

/// IPv6.
pub struct V6;

impl Family for V6 {
    type Address = [u8; 16];
    type Header = Ipv6;
    type FlowId = FlowId6;

    const ICMP: u8 = ICMPV6;
    const EXTENDS: bool = true;

    #[inline(always)]
    fn is_version(header: &Ipv6) -> bool {
        header.version() == 6
    }

    #[inline(always)]
    fn source(header: &Ipv6) -> [u8; 16] {
        header.source
    }

    #[inline(always)]
    fn destination(header: &Ipv6) -> [u8; 16] {
        header.destination
    }

    #[inline(always)]
    fn hops(header: &Ipv6) -> u8 {
        header.hop_limit
    }

    #[inline(always)]
    fn hop<F: Frame>(frame: &mut F, at: usize) -> Option<()> {
        let [hops] = frame.read::<[u8; 1]>(at + 7)?;
        frame.write(at + 7, [hops.wrapping_sub(1)])
    }

    #[inline(always)]
    fn is_no_machine(address: [u8; 16]) -> bool {
        is_group6(address) || halves(address) == [0; 2]
    }

    #[inline(always)]
    fn vip_bit(address: [u8; 16]) -> u32 {
        vip_bit6(address)
    }

    #[inline(always)]
    fn own_bit(address: [u8; 16]) -> u32 {
        own_bit6(address)
    }

    #[inline(always)]
    fn service<T: Tables>(tables: &T, vip: [u8; 16], port: [u8; 2], protocol: u8) -> Option<&Service> {
        tables.service6(&ServiceKey6 { vip, port, protocol, zero: 0 })
    }

    #[inline(always)]
    fn vip<T: Tables>(tables: &T, address: [u8; 16]) -> Option<&Service> {
        tables.service6(&ServiceKey6::vip(address))
    }

    #[inline(always)]
    fn is_own<T: Tables>(tables: &T, address: [u8; 16]) -> bool {
        tables.may_be_vip(own_bit6(address)) && tables.service6(&ServiceKey6::own(address)).is_some()
    }

    #[inline(always)]
    fn wide<T: Tables>(tables: &T, vip: [u8; 16], port: Option<[u8; 2]>, protocol: u8) -> Option<&Service> {
        let bits = if port.is_some() { WideKey6::PORT } else { WideKey6::PROTOCOL };
        tables.wide6(&WideKey6 { bits, vip, protocol, port: port.unwrap_or_default(), zero: 0 })
    }

    #[inline(always)]
    fn hash(key: &FlowKey, flow: &Flow6) -> u32 {
        key.hash6(flow)
    }

    #[inline(always)]
    fn leading(address: [u8; 16], bits: u8) -> [u8; 16] {
        let bits = u32::from(bits);
        let [high, low] = bytemuck::cast::<_, [[u8; 8]; 2]>(address).map(u64::from_be_bytes);
        let mask = |bits: u32| if bits >= 64 { u64::MAX } else { !(u64::MAX >> (bits & 63)) };
        let parts = [high & mask(bits), low & mask(bits.saturating_sub(64))];
        bytemuck::cast(parts.map(u64::to_be_bytes))
    }

    #[inline(always)]
    fn flow_id(flow: &Flow6, service: u32) -> FlowId6 {
        let Flow { source, source_port, destination_port, protocol, .. } = *flow;
        FlowId6 { source, source_port, port: destination_port, scope: service << 8 | u32::from(protocol) }
    }

    #[inline(always)]
    fn entry<'a, T: Tables>(tables: &'a T, id: &FlowId6) -> Option<T::Entry<'a>> {
        tables.flow6(id)
    }

    #[inline(always)]
    fn insert<T: Tables>(tables: &T, id: &FlowId6, entry: &FlowEntry, replace: bool) -> bool {
        tables.insert6(id, entry, replace)
    }

    #[inline(always)]
    fn found<T: Tables>(tables: &T, service: &Service, id: &FlowId6, place: &Place) -> u64 {
        tables.found6(service, id, place)
    }

    #[inline(always)]
    fn placed<T: Tables>(tables: &T, service: &Service, id: &FlowId6, place: &Place, found: Found) -> u64 {
        tables.placed6(service, id, place, found)
    }

    #[inline(always)]
    fn fragment_id(source: [u8; 16], destination: [u8; 16], id: [u8; 4], _protocol: u8) -> FragmentId {
        FragmentId { source, destination, id, protocol: 0, version: 6, zero: [0; 2] }
    }
}

/// The halves of an IPv6 address as little-endian words.
///
/// Taken apart otherwise, the compiler would store pieces of it off their alignment, which the verifier refuses.
#[inline(always)]
pub(crate) fn halves(address: [u8; 16]) -> [u64; 2] {
    bytemuck::cast::<_, [[u8; 8]; 2]>(address).map(u64::from_le_bytes)
}

/// True for a group's address: ff00::/8 (RFC 4291, section 2.7).
#[inline(always)]
pub(crate) fn is_group6(address: [u8; 16]) -> bool {
    halves(address)[0] & 0xff == 0xff
}

/// An IPv4 address in the place of an IPv6 one.
#[inline(always)]
fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_bits_are_those_of_the_network() {
        for (bits, wanted) in [
            (32, [10, 1, 2, 255]),
            (31, [10, 1, 2, 254]),
            (24, [10, 1, 2, 0]),
            (8, [10, 0, 0, 0]),
            (1, [0; 4]),
        ] {
            assert_eq!(V4::leading([10, 1, 2, 255], bits), wanted, "/{bits}");
        }
        for bits in 1..=128_u8 {
            let kept = u128::MAX << (128 - u32::from(bits));
            assert_eq!(u128::from_be_bytes(V6::leading([0xff; 16], bits)), kept, "/{bits}");
        }
    }

    #[test]
    fn groups_and_nobody_are_no_machine() {
        for address in [[224, 0, 0, 1], [239, 255, 255, 255], [0; 4], [255; 4]] {
            assert!(V4::is_no_machine(address), "{address:?}");
        }
        for address in [[223, 0, 0, 1], [240, 0, 0, 1], [0, 0, 0, 1], [127, 0, 0, 1]] {
            assert!(!V4::is_no_machine(address), "{address:?}");
        }
        let mut one = [0; 16];
        assert!(V6::is_no_machine(one));
        one[15] = 1;
        assert!(!V6::is_no_machine(one));
        one[0] = 0xff;
        assert!(V6::is_no_machine(one));
    }
}
