//! The inlet: a pair of interfaces through which what local programs send to VIPs comes in to the director. The kernel sends
//! it out by the *outer* end, by a table of its own; the *inner* end is one more port. Which VIPs that concerns, and how
//! the director is attached, is not decided here. All of it is named by the instance, so two never share one, and what is
//! there already is as good as a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::Hasher as _,
    io,
    net::IpAddr,
    path::Path,
};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage as Message,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    neighbour::{NeighbourAttribute, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use siphasher::sip::SipHasher13;

use super::{
    Link, NetError,
    classify::OWNER,
    kernel::{Kernel, about, family, refused},
    lanes::NEXT_HOPS,
    offload::complete_checksums,
};
use crate::{model::Mac, places::Instance};

/// The MACs of both ends, on every box: the pair leads nowhere else.
const INNER: Mac = Mac([2, b'v', b'i', b'p', 0, 1]);
const OUTER: Mac = Mac([2, b'v', b'i', b'p', 0, 2]);
/// Behind the rules of probes, before the tables of others. The kernel's own, of local addresses, comes first all the same.
const PREFERENCE: u32 = 119;
/// The bit of a table's number that none of a lane has.
const TABLES: u32 = 1 << 31;
/// What the kernel would do with the ends by itself: no addresses of their own, and nothing asked of routers.
const QUIET: [(&str, &str); 5] = [
    ("disable_ipv6", "0"),
    ("accept_dad", "0"),
    ("accept_ra", "0"),
    ("router_solicitations", "0"),
    ("addr_gen_mode", "1"),
];

/// What an instance's inlet is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// The end that is a port of the director.
    pub inner: String,
    /// The end that the kernel sends packets to VIPs out by.
    pub outer: String,
    /// Said of both ends (`ip link`: alias); by it an instance knows its own.
    alias: String,
    table: u32,
}

impl Names {
    /// The names of an instance: always the same. A name of an interface has no room for that of an instance, so they have
    /// a hash of it.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(instance.as_str().as_bytes());
        let [.., a, b, c, d] = hasher.finish().to_be_bytes();
        let table = u32::from_be_bytes([a, b, c, d]) | TABLES;
        Self {
            inner: format!("vip-in-{table:08x}"),
            outer: format!("vip-to-{table:08x}"),
            alias: format!("vip: local clients of instance {instance}"),
            table,
        }
    }
}

/// Makes both ends, or puts them right: with an MTU in bytes, switched on, and sending frames that are whole. Returns the
/// inner and the outer one.
///
/// # Errors
/// An interface of that name is somebody else's, or the kernel refuses something.
pub async fn make(names: &Names, mtu: u32) -> Result<(Link, Link), NetError> {
    let kernel = Kernel::connect()?;
    let has_both = own(&kernel, names, &names.inner).await?.is_some()
        && own(&kernel, names, &names.outer).await?.is_some();
    if !has_both {
        let message = Message::NewLink(pair(names, mtu));
        let made = kernel.one(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, "make the inlet").await?;
        made.map_err(|source| {
            refused(format!("make the interfaces {} and {}", names.inner, names.outer), source)
        })?;
    }
    let failed = |name: &str| {
        let what = format!("set up the interface {name}");
        move |source| refused(what, source)
    };
    // Nobody sends IPv6 to the inner end's kernel; the outer one takes in what the director answers.
    set(&names.inner, "disable_ipv6", "1").map_err(failed(&names.inner))?;
    for (setting, value) in QUIET {
        set(&names.outer, setting, value).map_err(failed(&names.outer))?;
    }
    complete_checksums(&names.outer).map_err(failed(&names.outer))?;
    for name in [&names.inner, &names.outer] {
        let up = Message::SetLink(up(names, name, mtu));
        kernel.one(up, NLM_F_ACK, "set up the inlet").await?.map_err(failed(name))?;
    }
    let gone = || failed(&names.inner)(io::ErrorKind::NotFound.into());
    let inner = own(&kernel, names, &names.inner).await?.ok_or_else(gone)?;
    let outer = own(&kernel, names, &names.outer).await?.ok_or_else(gone)?;
    Ok((inner, outer))
}

/// Has what local programs send to `vips` go out by the outer end, and to none of `others` any more. With each VIP is told to
/// whom this box would speak by the address that is to be the source; without, the kernel chooses one.
///
/// # Errors
/// The kernel refuses something; the rest is done.
pub async fn lead(
    names: &Names,
    outer: u32,
    vips: &BTreeMap<IpAddr, Option<IpAddr>>,
    others: &BTreeSet<IpAddr>,
) -> Result<(), NetError> {
    let kernel = Kernel::connect()?;
    let mut result = Ok(());
    for next_hop in NEXT_HOPS {
        let is_of_family = |vip: &IpAddr| vip.is_ipv4() == next_hop.is_ipv4();
        for vip in others.iter().filter(|vip| is_of_family(vip)) {
            let message = Message::DelRoute(route(names, outer, next_hop, *vip, None));
            // It went with the interface, or was never there.
            let _ = kernel.one(message, NLM_F_ACK, "remove a route to a VIP").await?;
        }
        let mut vips = vips.iter().filter(|(vip, _)| is_of_family(vip)).peekable();
        let rule = rule(names, next_hop);
        if vips.peek().is_none() {
            remove_rule(&kernel, rule).await?;
            continue;
        }
        let mut neighbour = about(outer, next_hop);
        neighbour.header.state = NeighbourState::Permanent;
        neighbour.attributes.push(NeighbourAttribute::LinkLayerAddress(INNER.0.to_vec()));
        neighbour.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(OWNER)));
        let replace = NLM_F_CREATE | NLM_F_REPLACE;
        result = result.and(tell(&kernel, Message::NewNeighbour(neighbour), replace).await);
        for (vip, towards) in vips {
            let source = match towards {
                Some(towards) => kernel.route(*towards).await?.source,
                None => None,
            };
            let source = source.filter(|source| source.is_ipv4() == vip.is_ipv4());
            let route = Message::NewRoute(route(names, outer, next_hop, *vip, source));
            result = result.and(tell(&kernel, route, replace).await);
        }
        result = result.and(tell(&kernel, Message::NewRule(rule), NLM_F_CREATE | NLM_F_EXCL).await);
    }
    result
}

/// Takes the inlet of an instance away, with all that leads there. What is not there need not be.
///
/// # Errors
/// The kernel can't be asked, or refuses.
pub async fn remove(names: &Names) -> Result<(), NetError> {
    let kernel = Kernel::connect()?;
    for next_hop in NEXT_HOPS {
        remove_rule(&kernel, rule(names, next_hop)).await?;
    }
    // The other end, routes and neighbours go with it.
    for name in [&names.outer, &names.inner] {
        let Ok(Some(link)) = own(&kernel, names, name).await else { continue };
        let mut message = LinkMessage::default();
        message.header.index = link.ifindex;
        let removed = kernel.one(Message::DelLink(message), NLM_F_ACK, "remove an interface").await?;
        removed.map_err(|source| refused(format!("remove the interface {name}"), source))?;
    }
    Ok(())
}

/// The instance's interface of that name, if it is there.
async fn own(kernel: &Kernel, names: &Names, name: &str) -> Result<Option<Link>, NetError> {
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let found = match kernel.one(Message::GetLink(question), 0, "look at an interface").await? {
        Ok(Some(Message::NewLink(found))) => found,
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
            return Err(refused(format!("look at the interface {name}"), error));
        }
        _ => return Ok(None),
    };
    let link = Link::read(&found);
    let alias = found.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
        _ => None,
    });
    // An end without an alias was left half-made.
    let is_own = link.as_ref().and_then(|link| link.mac).is_some_and(|mac| [INNER, OUTER].contains(&mac))
        && alias.is_none_or(|alias| alias == names.alias);
    if is_own {
        return Ok(link);
    }
    let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and not this instance's");
    Err(refused(format!("make the interface {name}"), source))
}

/// A refusal unless it is that the thing is there.
async fn tell(kernel: &Kernel, message: Message, flags: u16) -> Result<(), NetError> {
    let what = "lead local clients to the director";
    match kernel.one(message, NLM_F_ACK | flags, what).await? {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(refused(what.to_owned(), source)),
        _ => Ok(()),
    }
}

async fn remove_rule(kernel: &Kernel, rule: RuleMessage) -> Result<(), NetError> {
    let what = "remove a routing rule";
    match kernel.one(Message::DelRule(rule), NLM_F_ACK, what).await? {
        // The family may be missing as a whole.
        Err(source) if !matches!(source.raw_os_error(), Some(libc::ENOENT | libc::EAFNOSUPPORT)) => {
            Err(refused(what.to_owned(), source))
        }
        _ => Ok(()),
    }
}

/// Both ends, not yet switched on.
fn pair(names: &Names, mtu: u32) -> LinkMessage {
    let end = |name: &String, mac: Mac| {
        vec![
            LinkAttribute::IfName(name.clone()),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Mtu(mtu),
            // Frames that are to be cut later, by a NIC, are no frames to the director: they are cut before.
            LinkAttribute::GsoMaxSegs(1),
        ]
    };
    let mut inner = LinkMessage::default();
    inner.attributes = end(&names.inner, INNER);
    let mut pair = LinkMessage::default();
    pair.attributes = end(&names.outer, OUTER);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
    ]));
    pair
}

/// One end, switched on.
fn up(names: &Names, name: &str, mtu: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::IfAlias(names.alias.clone()),
    ];
    message
}

fn route(names: &Names, outer: u32, next_hop: IpAddr, vip: IpAddr, source: Option<IpAddr>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family(vip);
    route.header.destination_prefix_length = if vip.is_ipv4() { 32 } else { 128 };
    route.header.protocol = RouteProtocol::Other(OWNER);
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.header.flags = RouteFlags::Onlink;
    route.attributes = vec![
        RouteAttribute::Table(names.table),
        RouteAttribute::Destination(vip.into()),
        RouteAttribute::Oif(outer),
        RouteAttribute::Gateway(next_hop.into()),
    ];
    route.attributes.extend(source.map(|source| RouteAttribute::PrefSource(source.into())));
    route
}

/// Packets of this box's own programs, and of no other box, look at the table.
fn rule(names: &Names, next_hop: IpAddr) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family(next_hop);
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(PREFERENCE),
        RuleAttribute::Iifname("lo".to_owned()),
        RuleAttribute::Table(names.table),
        RuleAttribute::Protocol(RouteProtocol::Other(OWNER)),
    ];
    rule
}

/// Sets what the kernel has of an interface for IPv6. Without IPv6 there is nothing to be set.
fn set(interface: &str, setting: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(interface).join(setting);
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_an_interface_and_are_an_instances_own() {
        let of = |name: &str| Names::of(&name.parse().expect(name));
        let (one, other) = (of("default"), of("an-instance-with-a-very-long-name"[..32].as_ref()));
        assert_eq!(one, of("default"));
        for name in [&one.inner, &one.outer, &other.inner, &other.outer] {
            assert_eq!(name.len(), 15, "{name}");
        }
        assert_ne!((&one.inner, one.table), (&other.inner, other.table));
        assert_ne!(one.inner, one.outer);
    }
}
