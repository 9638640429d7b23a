//! Lets neighbour solicitations for VIPs in. A VIP is on no interface of the director, so the kernel does not join its
//! solicited-node group by itself, and a NIC or a switch that filters would keep them out. What answers them is not
//! known here.

use std::{collections::BTreeSet, io, net::Ipv6Addr, os::fd::AsFd as _};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::{
    Links,
    ioctl::{Change, change_multicast},
};
use crate::model::Mac;

/// An interface's part in a link-layer group. It outlives the controller, so it is to be written down for
/// [`leave`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// Index of the interface.
    pub ifindex: u32,
    /// MAC of the group.
    pub mac: Mac,
}

/// An interface that can't be brought into a group, or out of it.
#[derive(Debug, thiserror::Error)]
#[error("{interface} can't {action} the group {group}: {source}")]
pub struct GroupError {
    /// Name of the interface.
    pub interface: String,
    /// `join` or `leave`.
    pub action: &'static str,
    /// The group, as an address.
    pub group: String,
    /// Why not.
    pub source: io::Error,
}

/// The solicited-node group of an address: `ff02::1:ff00:0/104` with the address's last three bytes (RFC 4291, section
/// 2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The MAC of an IPv6 group: `33:33:` and its last four bytes (RFC 2464, section 7).
#[must_use]
pub const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The groups that ports are in, for as long as this lives; the link-layer side stays until [`leave`].
///
/// The kernel's own side (`IPV6_ADD_MEMBERSHIP`) sends the reports by which snooping switches learn. It ends with the
/// process, and the kernel says so to the switch; what a NIC lets in does not.
#[derive(Debug)]
pub struct Groups {
    socket: Socket,
    joined: BTreeSet<(u32, Ipv6Addr)>,
}

impl Groups {
    /// In no group yet; in the network namespace of this thread.
    ///
    /// # Errors
    /// There is no IPv6 here, or no more sockets.
    pub fn new() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(Domain::IPV6, Type::DGRAM, None)?, joined: BTreeSet::new() })
    }

    /// The link-layer memberships of all `ports` (by index) for all `vips`: what [`join`](Self::join) leaves behind.
    #[must_use]
    pub fn memberships(ports: &BTreeSet<u32>, vips: &BTreeSet<Ipv6Addr>) -> BTreeSet<Membership> {
        pairs(ports, vips).map(|(ifindex, group)| Membership { ifindex, mac: group_mac(group) }).collect()
    }

    /// Makes the groups those of `vips` on `ports`, by index: joins what is missing, leaves what is not wanted any more.
    /// What is in order stays as it is, so it can be called at each change. All that can be done is done, whatever
    /// fails.
    pub fn join(
        &mut self,
        ports: &BTreeSet<u32>,
        vips: &BTreeSet<Ipv6Addr>,
        links: &Links,
    ) -> Vec<GroupError> {
        let wanted: BTreeSet<_> = pairs(ports, vips).collect();
        let missing: Vec<_> = wanted.difference(&self.joined).copied().collect();
        let surplus: Vec<_> = self.joined.difference(&wanted).copied().collect();
        let mut errors = Vec::new();
        for (ifindex, group) in surplus {
            self.joined.remove(&(ifindex, group));
            // An interface that is gone has left its groups.
            let _ = self.socket.leave_multicast_v6(&group, ifindex);
            errors.extend(self.on_link(ifindex, group_mac(group), Change::Remove, links).err());
        }
        for (ifindex, group) in missing {
            self.joined.insert((ifindex, group));
            errors.extend(self.on_link(ifindex, group_mac(group), Change::Add, links).err());
            if let Err(source) = self.socket.join_multicast_v6(&group, ifindex) {
                // Tried again at the next call.
                self.joined.remove(&(ifindex, group));
                let interface = links.name_of(ifindex);
                errors.push(GroupError { interface, action: "join", group: group.to_string(), source });
            }
        }
        errors
    }

    fn on_link(&self, ifindex: u32, mac: Mac, change: Change, links: &Links) -> Result<(), GroupError> {
        on_link(&self.socket, Membership { ifindex, mac }, change, links)
    }
}

/// Takes interfaces out of link-layer groups, also of an earlier run. Those that are gone, or not in the group, are
/// out of it.
///
/// # Errors
/// One that could not be taken out; the others were.
pub fn leave(memberships: &BTreeSet<Membership>, links: &Links) -> Result<(), GroupError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(|source| GroupError {
        interface: "this box".to_owned(),
        action: "leave",
        group: "of any VIP".to_owned(),
        source,
    })?;
    let results: Vec<_> =
        memberships.iter().map(|membership| on_link(&socket, *membership, Change::Remove, links)).collect();
    results.into_iter().collect()
}

fn pairs(ports: &BTreeSet<u32>, vips: &BTreeSet<Ipv6Addr>) -> impl Iterator<Item = (u32, Ipv6Addr)> {
    ports.iter().flat_map(|port| vips.iter().map(|vip| (*port, solicited_node(*vip))))
}

fn on_link(
    socket: &Socket,
    Membership { ifindex, mac }: Membership,
    change: Change,
    links: &Links,
) -> Result<(), GroupError> {
    let interface = links.name_of(ifindex);
    match (change_multicast(socket.as_fd(), &interface, mac, change), change) {
        (Ok(()), _) => Ok(()),
        (Err(error), Change::Remove) if links.by_index(ifindex).is_none() || is_absent(&error) => Ok(()),
        (Err(source), change) => {
            let action = if change == Change::Add { "join" } else { "leave" };
            Err(GroupError { interface, action, group: mac.to_string(), source })
        }
    }
}

/// True if the interface does not exist, or was not in the group.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_an_address_has_its_last_three_bytes() {
        let address: Ipv6Addr = "fd00:200::12ab:cdef".parse().expect("an address");
        let group = solicited_node(address);
        assert_eq!(group.to_string(), "ff02::1:ffab:cdef");
        assert_eq!(group_mac(group).to_string(), "33:33:ff:ab:cd:ef");
    }

    #[test]
    fn vips_that_share_a_group_share_a_membership() {
        let vips = ["fd00::1:0:1", "fd00::2:0:1", "fd00::2"].map(|text| text.parse().expect("an address"));
        let memberships = Groups::memberships(&BTreeSet::from([3, 5]), &BTreeSet::from(vips));
        let macs = ["33:33:ff:00:00:01", "33:33:ff:00:00:02"].map(|text| text.parse().expect("a MAC"));
        let expected = [3, 5].into_iter().flat_map(|ifindex| macs.map(|mac| Membership { ifindex, mac }));
        assert_eq!(memberships, expected.collect());
    }
}
