//! Lanes for probes: of each interface that backends are reached by, a rule, a table with one route, and a neighbour, by
//! which a marked packet leaves there whatever its destination, unasked. Who gets it, the classifier on the interface
//! says. What is in a lane is named by the interface's index, so two instances, which never share an interface, never
//! share a lane, and one that is there already is as good as a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use futures_util::StreamExt as _;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    neighbour::{NeighbourAttribute, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use vip_common::tables::{PROBE_MARK, PROBE_MASK};

use super::{
    Links, NetError,
    classify::OWNER,
    kernel::{Kernel, about, family, refused},
};
use crate::model::Mac;

/// The next hops of lanes: addresses that are on every link and on none. Nobody asks for them, as their MAC is stated.
pub(super) const NEXT_HOPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 118, 112)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x7669, 0x7000)),
];
/// Their MAC, on every link: nobody's. What the classifier does not lead elsewhere reaches nobody.
const NOBODY: Mac = Mac([2, b'v', b'i', b'p', 0, 0]);
/// A lane's table is this and its interface's index.
const TABLES: u32 = 0x7600_0000;
/// Before the tables of others. The kernel's own, of local addresses, comes first all the same; it leads nowhere for a
/// socket that is bound to another interface than the loopback.
const PREFERENCE: u32 = 118;

/// Makes the lanes of interfaces, by index and name, in the address families of `vips`. What is there already stays;
/// rules that are left of another name, or of an earlier interface of a name, are taken away.
///
/// # Errors
/// The kernel refuses one; the others are made.
pub async fn lay(ways: &BTreeMap<u32, String>, vips: &BTreeSet<IpAddr>) -> Result<(), NetError> {
    let kernel = Kernel::connect()?;
    let mut result = Ok(());
    for next_hop in NEXT_HOPS {
        if !vips.iter().any(|vip| vip.is_ipv4() == next_hop.is_ipv4()) {
            continue;
        }
        // A rule follows its interface's name, a table its index: either may have been another's before.
        let wrong = remove_rules(&kernel, family(next_hop), |table, oif| {
            let named = ways.iter().find(|(_, name)| oif == Some(name)).map(|(ifindex, _)| TABLES | ifindex);
            let is_ours = named.is_some() || ways.contains_key(&(table ^ TABLES));
            is_ours && named != Some(table)
        });
        let mut outcomes = vec![wrong.await];
        for (ifindex, name) in ways {
            outcomes.push(lay_one(&kernel, *ifindex, name, next_hop).await);
        }
        result = outcomes.into_iter().fold(result, Result::and);
    }
    result
}

async fn lay_one(kernel: &Kernel, ifindex: u32, name: &str, next_hop: IpAddr) -> Result<(), NetError> {
    let mut neighbour = about(ifindex, next_hop);
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.attributes.push(NeighbourAttribute::LinkLayerAddress(NOBODY.0.to_vec()));
    neighbour.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(OWNER)));
    let route = route(ifindex, next_hop);
    let rule = rule(ifindex, name, next_hop);
    let (replace, once) = (NLM_F_CREATE | NLM_F_REPLACE, NLM_F_CREATE | NLM_F_EXCL);
    for (message, flags) in [
        (Message::NewNeighbour(neighbour), replace),
        (Message::NewRoute(route), replace),
        (Message::NewRule(rule), once),
    ] {
        match kernel.one(message, NLM_F_ACK | flags, "make a lane for probes").await? {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused(format!("make the lane for probes on {name}"), source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is missing of an interface's lane, in the address families of `vips`, in words.
///
/// # Errors
/// The kernel can't be asked.
pub async fn missing(ifindex: u32, name: &str, vips: &BTreeSet<IpAddr>) -> Result<Vec<String>, NetError> {
    let kernel = Kernel::connect()?;
    let mut missing = Vec::new();
    for next_hop in NEXT_HOPS.into_iter().filter(|hop| vips.iter().any(|vip| vip.is_ipv4() == hop.is_ipv4()))
    {
        let version = if next_hop.is_ipv4() { "IPv4" } else { "IPv6" };
        let rules = rules(&kernel, family(next_hop)).await?;
        let is_there = |rule: &RuleMessage| {
            table_of(rule) == Some(TABLES | ifindex) && oif_of(rule).is_some_and(|oif| oif == name)
        };
        if !rules.iter().any(is_there) {
            missing.push(format!("the {version} rule of its mark"));
        }
        let neighbour = kernel.neighbour(ifindex, next_hop).await?;
        if neighbour.is_none_or(|entry| entry.header.state != NeighbourState::Permanent) {
            missing.push(format!("the neighbour {next_hop}"));
        }
    }
    Ok(missing)
}

/// Takes the lanes of interfaces away, by index. What is not there need not be.
///
/// # Errors
/// The kernel can't be asked, or refuses.
pub async fn clear(ways: &BTreeSet<u32>) -> Result<(), NetError> {
    let kernel = Kernel::connect()?;
    for next_hop in NEXT_HOPS {
        remove_rules(&kernel, family(next_hop), |table, _| ways.contains(&(table ^ TABLES))).await?;
        for ifindex in ways {
            let route = Message::DelRoute(route(*ifindex, next_hop));
            // It went with the interface, or was never there.
            let _ = kernel.one(route, NLM_F_ACK, "remove a lane for probes").await?;
            kernel.forget(*ifindex, next_hop).await?;
        }
    }
    Ok(())
}

/// Lets an IPv4 interface take packets from addresses of this box, or not; true if that was otherwise before.
///
/// # Errors
/// The kernel's setting can't be read or written.
pub fn accept_local(interface: &str, accepts: bool) -> io::Result<bool> {
    let (path, wanted) = (setting(interface, "accept_local"), if accepts { "1" } else { "0" });
    if fs::read_to_string(&path)?.trim() == wanted {
        return Ok(false);
    }
    fs::write(path, wanted).map(|()| true)
}

/// Undoes [`accept_local`] of interfaces, by index; those that are gone need nothing.
///
/// # Errors
/// The kernel's setting can't be read or written.
pub fn close(opened: &BTreeSet<u32>, links: &Links) -> io::Result<()> {
    let mut links = opened.iter().filter_map(|ifindex| links.by_index(*ifindex));
    links.try_for_each(|link| accept_local(&link.name, false).map(drop))
}

/// Whether packets are dropped there whose source is routed elsewhere (`rp_filter` 1, RFC 3704). The larger of the
/// interface's own setting and of that for all holds.
#[must_use]
pub fn is_strict(interface: &str) -> bool {
    larger(interface, "rp_filter") == Some(1)
}

/// Whether an IPv4 interface takes packets from addresses of this box (`accept_local`).
#[must_use]
pub fn accepts_local(interface: &str) -> bool {
    larger(interface, "accept_local").is_some_and(|value| value > 0)
}

/// A setting of an interface of which the larger one counts, its own or that for all.
fn larger(interface: &str, name: &str) -> Option<u8> {
    let read = |of| fs::read_to_string(setting(of, name)).ok()?.trim().parse().ok();
    read(interface).max(read("all"))
}

/// Where the kernel has a setting of an interface, for IPv4.
fn setting(interface: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(interface).join(name)
}

/// Removes the rules of lanes that `is_wrong` says so of, by their table and the name of their interface.
async fn remove_rules(
    kernel: &Kernel,
    family: AddressFamily,
    is_wrong: impl Fn(u32, Option<&String>) -> bool,
) -> Result<(), NetError> {
    let wrong = rules(kernel, family).await?.into_iter().filter(|rule| {
        let (table, oif) = (table_of(rule), oif_of(rule));
        table.is_some_and(|table| is_wrong(table, oif))
    });
    for rule in wrong {
        match kernel.one(Message::DelRule(rule), NLM_F_ACK, "remove a routing rule").await? {
            Err(source) if source.raw_os_error() != Some(libc::ENOENT) => {
                return Err(refused("remove a routing rule".to_owned(), source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The rules of all lanes.
async fn rules(kernel: &Kernel, family: AddressFamily) -> Result<Vec<RuleMessage>, NetError> {
    let what = "list routing rules";
    let mut question = RuleMessage::default();
    question.header.family = family;
    let mut answers = kernel.ask(Message::GetRule(question), NLM_F_DUMP, what)?;
    let mut rules = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.map_err(|source| refused(what.to_owned(), source))? {
            Message::NewRule(rule) if is_ours(&rule) => rules.push(rule),
            _ => continue,
        }
    }
    Ok(rules)
}

fn is_ours(rule: &RuleMessage) -> bool {
    rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::Other(OWNER)))
        && rule.attributes.contains(&RuleAttribute::FwMark(PROBE_MARK))
}

fn table_of(rule: &RuleMessage) -> Option<u32> {
    rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    })
}

fn oif_of(rule: &RuleMessage) -> Option<&String> {
    rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Oifname(name) => Some(name),
        _ => None,
    })
}

fn route(ifindex: u32, next_hop: IpAddr) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family(next_hop);
    route.header.protocol = RouteProtocol::Other(OWNER);
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    route.header.flags = RouteFlags::Onlink;
    route.attributes = vec![
        RouteAttribute::Table(TABLES | ifindex),
        RouteAttribute::Oif(ifindex),
        RouteAttribute::Gateway(next_hop.into()),
    ];
    route
}

fn rule(ifindex: u32, name: &str, next_hop: IpAddr) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family(next_hop);
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(PREFERENCE),
        RuleAttribute::Oifname(name.to_owned()),
        RuleAttribute::FwMark(PROBE_MARK),
        RuleAttribute::FwMask(PROBE_MASK),
        RuleAttribute::Table(TABLES | ifindex),
        RuleAttribute::Protocol(RouteProtocol::Other(OWNER)),
    ];
    rule
}
