//! Interfaces, as the kernel lists them. What they are used for is not known here.

use std::collections::BTreeMap;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp};

use super::{NetError, NetEvent, kernel::Kernel};
use crate::model::Mac;

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its index: of its own in the network namespace, and never used twice while that lives.
    pub ifindex: u32,
    /// Its name, which can change.
    pub name: String,
    /// Its MAC, where it has one.
    pub mac: Option<Mac>,
    /// Most bytes of a packet, without the Ethernet header.
    pub mtu: u32,
    /// True if it is switched on and has a carrier.
    pub up: bool,
    /// Id of the XDP program on it.
    pub xdp: Option<u32>,
}

impl Link {
    /// Reads the kernel's message; `None` if it has no name, which no interface lacks.
    #[must_use]
    pub fn read(message: &LinkMessage) -> Option<Self> {
        let (mut name, mut mac, mut mtu, mut xdp) = (None, None, 0, None);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text.clone()),
                LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
                LinkAttribute::Mtu(bytes) => mtu = *bytes,
                LinkAttribute::Xdp(parts) => {
                    xdp = parts.iter().find_map(|part| match part {
                        LinkXdp::ProgId(id) => Some(*id),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        Some(Self { ifindex: message.header.index, name: name?, mac, mtu, up, xdp })
    }
}

/// All interfaces of a network namespace.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Links(BTreeMap<u32, Link>);

impl Links {
    /// Asks the kernel for all interfaces.
    ///
    /// # Errors
    /// The kernel can't be asked.
    pub async fn list() -> Result<Self, NetError> {
        Ok(Kernel::connect()?.links().await?.into_iter().collect())
    }

    /// The interface of that name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.0.values().find(|link| link.name == name)
    }

    /// The interface of that index.
    #[must_use]
    pub fn by_index(&self, ifindex: u32) -> Option<&Link> {
        self.0.get(&ifindex)
    }

    /// Its name, or its index in words where it is gone.
    #[must_use]
    pub fn name_of(&self, ifindex: u32) -> String {
        self.by_index(ifindex).map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone())
    }

    /// All of them, by index.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.values()
    }

    /// Follows an event; events of other kinds change nothing.
    pub fn apply(&mut self, event: &NetEvent) {
        match event {
            NetEvent::Link(link) => {
                self.0.insert(link.ifindex, link.clone());
            }
            NetEvent::LinkGone(link) => {
                self.0.remove(&link.ifindex);
            }
            NetEvent::Neighbour { .. } => {}
        }
    }

    /// The events that lead from these interfaces to `now`: what is gone comes first, for its name may be taken again.
    #[must_use]
    pub fn changes(&self, now: &Self) -> Vec<NetEvent> {
        let gone = self.iter().filter(|link| now.by_index(link.ifindex).is_none());
        let changed = now.iter().filter(|link| self.by_index(link.ifindex) != Some(link));
        gone.cloned().map(NetEvent::LinkGone).chain(changed.cloned().map(NetEvent::Link)).collect()
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<T: IntoIterator<Item = Link>>(links: T) -> Self {
        Self(links.into_iter().map(|link| (link.ifindex, link)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, name: &str, up: bool) -> Link {
        Link { ifindex, name: name.to_owned(), mac: Some(Mac([2, 0, 0, 0, 0, 1])), mtu: 1500, up, xdp: None }
    }

    #[test]
    fn a_message_gives_name_mac_mtu_carrier_and_program() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Broadcast;
        assert_eq!(Link::read(&message), None, "without a name");
        message.attributes = vec![
            LinkAttribute::IfName("eth0".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Xdp(vec![LinkXdp::ProgId(42)]),
        ];
        assert_eq!(Link::read(&message), Some(Link { xdp: Some(42), ..link(7, "eth0", true) }));
        message.header.flags = LinkFlags::Up;
        message.attributes[1] = LinkAttribute::Address(vec![]);
        let without_carrier = Link::read(&message).expect("a link");
        assert!(!without_carrier.up, "switched on, but no carrier");
        assert_eq!(without_carrier.mac, None);
    }

    #[test]
    fn changes_lead_from_one_list_to_the_other() {
        let before = Links::from_iter([link(1, "lo", true), link(2, "eth0", true), link(3, "eth1", true)]);
        let now = Links::from_iter([link(1, "lo", true), link(3, "eth1", false), link(4, "eth0", true)]);
        let changes = before.changes(&now);
        assert_eq!(
            changes,
            [
                NetEvent::LinkGone(link(2, "eth0", true)),
                NetEvent::Link(link(3, "eth1", false)),
                NetEvent::Link(link(4, "eth0", true)),
            ]
        );
        let mut followed = before;
        changes.iter().for_each(|event| followed.apply(event));
        assert_eq!(followed, now);
        assert_eq!(now.by_name("eth0").map(|link| link.ifindex), Some(4));
        assert_eq!((now.name_of(4).as_str(), now.name_of(2).as_str()), ("eth0", "interface 2"));
    }
}
