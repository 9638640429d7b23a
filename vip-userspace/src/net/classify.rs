//! What the kernel's answers about routes and neighbours say of a backend. Pure: it asks nobody.

use std::net::IpAddr;

use netlink_packet_route::{
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType, RouteVia},
};

use crate::model::{Mac, NoNeighbour};

/// The mark of who made a neighbour entry (`NDA_PROTOCOL`, shown as `proto 118`): only entries with it are ours to
/// remove.
pub const OWNER: u8 = b'v';

/// What the kernel knows of a neighbour's MAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// It is, or was lately, at this MAC.
    At(Mac),
    /// Nobody answered for it.
    Silent,
    /// It is being asked for, or nobody asked yet.
    Open,
}

/// Who takes care of a neighbour entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    /// The kernel keeps it resolved, for us.
    Ours,
    /// The operator wrote it: it never changes by itself.
    Operators,
    /// It would go stale unseen, since the director's packets do not pass the kernel's own way.
    Nobody,
}

/// The way to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By the interface with this index.
    Out(u32),
    /// It is an address of this box.
    Here,
}

/// Reads the answer to "which way to this address".
///
/// # Errors
/// The address is not on the link.
pub fn way(answer: &RouteMessage) -> Result<Way, NoNeighbour> {
    match answer.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Ok(Way::Here),
        _ => return Err(NoNeighbour::NoRoute),
    }
    let mut way = Err(NoNeighbour::NoRoute);
    for attribute in &answer.attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => return behind(*gateway),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => return behind(*gateway),
            RouteAttribute::Via(RouteVia::Inet(gateway)) => return behind(*gateway),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => return behind(*gateway),
            RouteAttribute::Oif(ifindex) => way = Ok(Way::Out(*ifindex)),
            _ => {}
        }
    }
    way
}

/// Reads which address of this box packets to there come from, out of the answer to "which way to this address".
#[must_use]
pub fn source(answer: &RouteMessage) -> Option<IpAddr> {
    answer.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(own)) => Some(IpAddr::V4(*own)),
        RouteAttribute::PrefSource(RouteAddress::Inet6(own)) => Some(IpAddr::V6(*own)),
        _ => None,
    })
}

/// An address of an interface, with the length of its network's prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Index of the interface.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of the prefix, in bits.
    pub length: u8,
}

/// The address of an interface that the kernel would ask for a neighbour by: one of the neighbour's network, or for IPv6 a
/// link-local one. There are hosts that answer no other (`arp_ignore=2`).
#[must_use]
pub fn asks_from(own: &[Own], ifindex: u32, neighbour: IpAddr) -> Option<IpAddr> {
    let its = || own.iter().filter(move |own| own.ifindex == ifindex);
    let is_near = |own: &&Own| prefix(own.address, own.length) == prefix(neighbour, own.length);
    let is_local = |own: &&Own| matches!(own.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let near = its().find(is_near);
    let found = near.or_else(|| its().find(is_local).filter(|_| neighbour.is_ipv6()));
    found.map(|own| own.address)
}

/// The network of an address: its family, and its first bits.
fn prefix(address: IpAddr, length: u8) -> (bool, u128) {
    let (bits, all) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let host = u32::saturating_sub(all, length.into());
    (address.is_ipv4(), bits.checked_shr(host).unwrap_or_default())
}

fn behind(gateway: impl Into<IpAddr>) -> Result<Way, NoNeighbour> {
    Err(NoNeighbour::NotOnLink { gateway: gateway.into() })
}

/// Reads what a neighbour entry says of the MAC. A stale one keeps it: whether it still serves is for checks to say.
#[must_use]
pub fn sight(entry: &NeighbourMessage) -> Sight {
    let mac = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
        _ => None,
    });
    match entry.header.state {
        NeighbourState::Reachable
        | NeighbourState::Stale
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Noarp
        | NeighbourState::Permanent => mac.filter(|mac| mac.is_unicast()).map_or(Sight::Silent, Sight::At),
        NeighbourState::Failed => Sight::Silent,
        _ => Sight::Open,
    }
}

/// Reads who takes care of a neighbour entry.
#[must_use]
pub fn care(entry: &NeighbourMessage) -> Care {
    let marked = entry.attributes.contains(&NeighbourAttribute::Protocol(RouteProtocol::Other(OWNER)));
    let managed = entry.attributes.iter().any(|attribute| {
        matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Managed))
    });
    match entry.header.state {
        NeighbourState::Permanent | NeighbourState::Noarp => Care::Operators,
        _ if marked && managed => Care::Ours,
        _ => Care::Nobody,
    }
}

/// The interface's index and the address that an entry is about.
#[must_use]
pub fn subject(entry: &NeighbourMessage) -> Option<(u32, IpAddr)> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
            Some((entry.header.ifindex, IpAddr::V4(*v4)))
        }
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
            Some((entry.header.ifindex, IpAddr::V6(*v6)))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

    #[test]
    fn a_route_leads_to_the_link_or_says_why_not() {
        let out = RouteAttribute::Oif(7);
        let via = |gateway: IpAddr| Err(NoNeighbour::NotOnLink { gateway });
        let rows = [
            (
                "on the link",
                RouteType::Unicast,
                vec![RouteAttribute::Table(254), out.clone()],
                Ok(Way::Out(7)),
            ),
            (
                "behind an IPv4 gateway",
                RouteType::Unicast,
                vec![out.clone(), RouteAttribute::Gateway(RouteAddress::Inet(V4))],
                via(V4.into()),
            ),
            (
                "behind an IPv6 gateway",
                RouteType::Unicast,
                vec![RouteAttribute::Gateway(RouteAddress::Inet6(V6)), out.clone()],
                via(V6.into()),
            ),
            (
                "IPv4 behind an IPv6 gateway",
                RouteType::Unicast,
                vec![RouteAttribute::Via(RouteVia::Inet6(V6)), out.clone()],
                via(V6.into()),
            ),
            ("of this box", RouteType::Local, vec![out.clone()], Ok(Way::Here)),
            ("unreachable", RouteType::Unreachable, vec![out.clone()], Err(NoNeighbour::NoRoute)),
            ("a broadcast address", RouteType::Broadcast, vec![out], Err(NoNeighbour::NoRoute)),
            ("without a way out", RouteType::Unicast, vec![], Err(NoNeighbour::NoRoute)),
        ];
        for (name, kind, attributes, expected) in rows {
            let mut answer = RouteMessage::default();
            answer.header.kind = kind;
            answer.attributes = attributes;
            assert_eq!(way(&answer), expected, "{name}");
        }
    }

    #[test]
    fn a_neighbour_is_asked_for_by_an_address_of_its_network() {
        let own = |ifindex, address: &str, length| Own {
            ifindex,
            address: address.parse().expect("an address"),
            length,
        };
        let all = [
            own(7, "192.0.2.1", 24),
            own(8, "10.0.0.2", 24),
            own(7, "10.0.0.1", 24),
            own(7, "fe80::1", 64),
            own(7, "fd00::1", 64),
            own(8, "fe80::2", 64),
        ];
        for (neighbour, ifindex, expected) in [
            ("10.0.0.9", 7, Some("10.0.0.1")),
            ("10.0.0.9", 8, Some("10.0.0.2")),
            ("192.0.2.200", 7, Some("192.0.2.1")),
            ("198.51.100.1", 7, None),
            ("fd00::9", 7, Some("fd00::1")),
            ("fd00::9", 8, Some("fe80::2")),
            ("fd00::9", 9, None),
        ] {
            let expected = expected.map(|address| address.parse::<IpAddr>().expect("an address"));
            let neighbour = neighbour.parse().expect("an address");
            assert_eq!(asks_from(&all, ifindex, neighbour), expected, "{neighbour} by {ifindex}");
        }
    }

    fn entry(state: NeighbourState, attributes: Vec<NeighbourAttribute>) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        entry.header.ifindex = 7;
        entry.header.state = state;
        entry.attributes = attributes;
        entry
    }

    #[test]
    fn an_entry_with_a_mac_counts_in_every_state_but_failed_and_incomplete() {
        let mac = [2, 0, 0, 0, 0, 9];
        let at = Sight::At(Mac(mac));
        for (state, expected) in [
            (NeighbourState::Reachable, at),
            (NeighbourState::Stale, at),
            (NeighbourState::Delay, at),
            (NeighbourState::Probe, at),
            (NeighbourState::Permanent, at),
            (NeighbourState::Noarp, at),
            (NeighbourState::Failed, Sight::Silent),
            (NeighbourState::Incomplete, Sight::Open),
            (NeighbourState::None, Sight::Open),
        ] {
            let entry = entry(state, vec![NeighbourAttribute::LinkLayerAddress(mac.to_vec())]);
            assert_eq!(sight(&entry), expected, "{state}");
        }
    }

    #[test]
    fn an_entry_without_the_mac_of_one_nic_is_silent() {
        for bytes in [vec![], vec![0; 6], vec![0xff; 6], vec![2; 8]] {
            let address = NeighbourAttribute::LinkLayerAddress(bytes.clone());
            assert_eq!(sight(&entry(NeighbourState::Noarp, vec![address])), Sight::Silent, "{bytes:?}");
        }
        assert_eq!(sight(&entry(NeighbourState::Reachable, vec![])), Sight::Silent);
    }

    #[test]
    fn an_entry_is_ours_by_mark_and_flag_and_the_operators_if_it_never_changes() {
        let mark = NeighbourAttribute::Protocol(RouteProtocol::Other(OWNER));
        let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
        let both = vec![mark.clone(), managed.clone()];
        assert_eq!(care(&entry(NeighbourState::Stale, both.clone())), Care::Ours);
        assert_eq!(care(&entry(NeighbourState::Stale, vec![mark])), Care::Nobody);
        assert_eq!(care(&entry(NeighbourState::Stale, vec![managed])), Care::Nobody);
        assert_eq!(care(&entry(NeighbourState::Permanent, both)), Care::Operators);
    }

    #[test]
    fn an_entry_is_about_an_address_on_an_interface() {
        let about = |address| entry(NeighbourState::Stale, vec![NeighbourAttribute::Destination(address)]);
        assert_eq!(subject(&about(NeighbourAddress::Inet(V4))), Some((7, V4.into())));
        assert_eq!(subject(&about(NeighbourAddress::Inet6(V6))), Some((7, V6.into())));
        assert_eq!(subject(&entry(NeighbourState::Stale, vec![])), None);
    }
}
