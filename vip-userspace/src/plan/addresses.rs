//! Services' addresses as keys of the tables: one port is a key of `SERVICES4` or `SERVICES6`, many ports are prefixes of
//! `WIDE4` or `WIDE6`. Pure.

use std::net::IpAddr;

use vip_common::tables::{Service as ServiceEntry, ServiceKey4, ServiceKey6, WideKey4, WideKey6};

use super::Tables;
use crate::model::{Ports, Protocol, ServiceAddress};

/// Enters a service under all keys that its address has.
pub(super) fn put(tables: &mut Tables, address: &ServiceAddress, entry: ServiceEntry) {
    let protocol = address.protocol.number();
    match (address.vip, blocks(address)) {
        (IpAddr::V4(vip), Blocks::Port(port)) => {
            tables.services4.insert(exact4(vip.octets(), port, protocol), entry);
        }
        (IpAddr::V6(vip), Blocks::Port(port)) => {
            tables.services6.insert(exact6(vip.octets(), port, protocol), entry);
        }
        (IpAddr::V4(vip), Blocks::Wide(blocks)) => {
            tables
                .wide4
                .extend(blocks.into_iter().map(|block| (wide4(vip.octets(), protocol, block), entry)));
        }
        (IpAddr::V6(vip), Blocks::Wide(blocks)) => {
            tables
                .wide6
                .extend(blocks.into_iter().map(|block| (wide6(vip.octets(), protocol, block), entry)));
        }
    }
}

/// The entry of a service in published tables.
#[must_use]
pub fn entry_of(tables: &Tables, address: &ServiceAddress) -> Option<ServiceEntry> {
    let protocol = address.protocol.number();
    match (address.vip, blocks(address)) {
        (IpAddr::V4(vip), Blocks::Port(port)) => tables.services4.get(&exact4(vip.octets(), port, protocol)),
        (IpAddr::V6(vip), Blocks::Port(port)) => tables.services6.get(&exact6(vip.octets(), port, protocol)),
        (IpAddr::V4(vip), Blocks::Wide(blocks)) => {
            tables.wide4.get(&wide4(vip.octets(), protocol, *blocks.first()?))
        }
        (IpAddr::V6(vip), Blocks::Wide(blocks)) => {
            tables.wide6.get(&wide6(vip.octets(), protocol, *blocks.first()?))
        }
    }
    .copied()
}

/// Enters a service for what says of no port: the VIP's own entry where `protocol` is 0.
pub(super) fn put_portless(tables: &mut Tables, vip: IpAddr, protocol: u8, entry: ServiceEntry) {
    match vip {
        IpAddr::V4(vip) => tables.services4.insert(exact4(vip.octets(), 0, protocol), entry),
        IpAddr::V6(vip) => tables.services6.insert(exact6(vip.octets(), 0, protocol), entry),
    };
}

/// Lists an address of the director itself.
pub(super) fn put_own(tables: &mut Tables, address: IpAddr) {
    let entry = bytemuck::Zeroable::zeroed();
    match address {
        IpAddr::V4(address) => tables.services4.insert(ServiceKey4::own(address.octets()), entry),
        IpAddr::V6(address) => tables.services6.insert(ServiceKey6::own(address.octets()), entry),
    };
}

/// The keys of a service's address, but for VIP and protocol.
enum Blocks {
    Port(u16),
    Wide(Vec<Block>),
}

/// What a prefix covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Block {
    AnyProtocol,
    /// A first port, and how many of its leading bits count: none for any port.
    Ports(u16, u32),
}

fn blocks(address: &ServiceAddress) -> Blocks {
    match (address.protocol, address.ports) {
        (Protocol::Any, _) => Blocks::Wide(vec![Block::AnyProtocol]),
        (_, Ports::One(port)) => Blocks::Port(port),
        (_, Ports::Any) => Blocks::Wide(vec![Block::Ports(0, 0)]),
        (_, Ports::Range(first, last)) => Blocks::Wide(prefixes(first, last)),
    }
}

/// The fewest prefixes that cover just the ports from `first` to `last`: 30 at most.
fn prefixes(first: u16, last: u16) -> Vec<Block> {
    let (mut next, last) = (u32::from(first), u32::from(last));
    let mut blocks = Vec::new();
    while next <= last {
        // The largest block that begins here and ends in time.
        let free =
            (0..=16).rev().find(|free| next.is_multiple_of(1 << free) && next + (1 << free) - 1 <= last);
        let free = free.unwrap_or_default();
        blocks.push(Block::Ports(u16::try_from(next).unwrap_or(u16::MAX), 16 - free));
        next += 1 << free;
    }
    blocks
}

const fn exact4(vip: [u8; 4], port: u16, protocol: u8) -> ServiceKey4 {
    ServiceKey4 { vip, port: port.to_be_bytes(), protocol, zero: 0 }
}

const fn exact6(vip: [u8; 16], port: u16, protocol: u8) -> ServiceKey6 {
    ServiceKey6 { vip, port: port.to_be_bytes(), protocol, zero: 0 }
}

const fn wide4(vip: [u8; 4], protocol: u8, block: Block) -> WideKey4 {
    match block {
        Block::AnyProtocol => WideKey4 { bits: WideKey4::VIP, vip, protocol: 0, port: [0; 2], zero: 0 },
        Block::Ports(port, bits) => {
            WideKey4 { bits: WideKey4::PROTOCOL + bits, vip, protocol, port: port.to_be_bytes(), zero: 0 }
        }
    }
}

const fn wide6(vip: [u8; 16], protocol: u8, block: Block) -> WideKey6 {
    match block {
        Block::AnyProtocol => WideKey6 { bits: WideKey6::VIP, vip, protocol: 0, port: [0; 2], zero: 0 },
        Block::Ports(port, bits) => {
            WideKey6 { bits: WideKey6::PROTOCOL + bits, vip, protocol, port: port.to_be_bytes(), zero: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(block: Block, port: u16) -> bool {
        match block {
            Block::AnyProtocol => true,
            Block::Ports(first, bits) => bits == 0 || (first ^ port) >> (16 - bits) == 0,
        }
    }

    #[test]
    fn a_range_is_the_fewest_blocks() {
        assert_eq!(prefixes(8000, 8007), [Block::Ports(8000, 13)]);
        assert_eq!(prefixes(80, 82), [Block::Ports(80, 15), Block::Ports(82, 16)]);
        assert_eq!(prefixes(1, u16::MAX).len(), 16);
        assert_eq!(prefixes(1, u16::MAX - 1).len(), 30);
    }

    #[test]
    fn an_entry_is_found_under_the_address_that_it_was_put_under() {
        let entry = |id| ServiceEntry { id, ..bytemuck::Zeroable::zeroed() };
        let texts = [
            "10.0.0.1:80",
            "10.0.0.1:80/udp",
            "10.0.0.1:80-90",
            "10.0.0.1:81-90",
            "10.0.0.1:*/tcp",
            "10.0.0.1:*/any",
            "[fd00::1]:80",
            "[fd00::1]:1-65534/udp",
            "[fd00::1]:*/tcp",
            "[fd00::1]:*/any",
        ];
        let addresses = texts.map(|text| text.parse::<ServiceAddress>().expect("an address"));
        for address in &addresses {
            let mut tables = Tables::default();
            put(&mut tables, address, entry(7));
            for other in &addresses {
                let found = entry_of(&tables, other).map(|entry| entry.id);
                assert_eq!(found, (other == address).then_some(7), "{other} of {address}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_range_covers_its_ports_and_no_others(one in 1..=u16::MAX, other in 1..=u16::MAX, port: u16) {
            let (first, last) = (one.min(other), one.max(other));
            let blocks = prefixes(first, last);
            prop_assert!(blocks.len() <= 30);
            for port in [port, first, last, first - 1, last.wrapping_add(1)] {
                let covering = blocks.iter().filter(|block| covers(**block, port)).count();
                prop_assert_eq!(covering, usize::from((first..=last).contains(&port)));
            }
        }
    }
}
