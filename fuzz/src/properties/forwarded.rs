//! A forwarded packet: to a member that the tables name for its VIP, changed in nothing but MACs, tags, TTL and the
//! checksum of an IPv4 header.

use vip_common::{
    Action, Verb,
    host::{HostFrame, HostTables},
    tables::{Egress, Member, OnDead, Service},
};

use super::{
    ensure, owns,
    tables::Vip,
    view::{View, sum},
};

/// Where TTL and checksum are in an IPv4 header.
const TTL4: usize = 8;
const CHECKSUM4: usize = 10;
/// Where the hop limit is in an IPv6 header.
const HOP_LIMIT6: usize = 7;
const TCP: u8 = 6;

pub(super) fn check(
    before: &HostFrame,
    after: &HostFrame,
    action: Action,
    tables: &HostTables,
) -> Result<(), String> {
    let old = View::of(&before.bytes).ok_or("a frame without a header was forwarded")?;
    let new = View::of(&after.bytes).ok_or("a frame was forwarded without its header")?;
    let port = tables.ports.get(&before.ingress).ok_or("a frame was forwarded that came in by no port")?;
    ensure(owns(port, old.destination()), || "a frame for others was forwarded".into())?;
    let address = old.ip_destination().ok_or("something was forwarded that is no IP packet")?;
    ensure(old.ip_source() != Some(address), || "a packet to its own sender was forwarded".into())?;
    let vip = Vip::of(address, tables).ok_or("a packet to no VIP was forwarded")?.met_by(&old);
    let egress = addressed_to(action, before.ingress, &old, &new, &vip, tables)?;
    ensure(vip.names(action.member), || {
        format!("{:?} is in no ring of a service that the packet could be to", action.member)
    })?;
    tags(&old, &new, egress)?;
    unchanged(&old, &new, &vip)?;
    ensure(!action.opens || opens(&old, &vip), || "a packet opens a flow that is no SYN".into())
}

/// The member gets packets, and the frame is addressed to it, from the port that it leaves by: the egress.
fn addressed_to<'t>(
    action: Action,
    ingress: u32,
    old: &View<'_>,
    new: &View<'_>,
    vip: &Vip<'_>,
    tables: &'t HostTables,
) -> Result<&'t Egress, String> {
    let id = action.member;
    let member = tables.members.get(&id).ok_or_else(|| format!("{id:?} is unknown"))?.member;
    let gets = match member.state {
        Member::UP | Member::DRAINING => true,
        Member::DOWN => vip.has_on_dead(OnDead::Keep),
        _ => false,
    };
    ensure(gets, || format!("{id:?} has state {}, and got a packet", member.state))?;
    ensure(new.destination() == member.mac, || format!("the frame is not addressed to {id:?}"))?;
    ensure(old.source() != member.mac, || format!("{id:?} got back what it sent"))?;
    let egress = tables.egresses.get(&member.egress).filter(|egress| egress.ifindex != 0);
    let egress = egress.ok_or_else(|| format!("{id:?} has no way out"))?;
    ensure(new.source() == egress.mac, || "the source is not the egress port's MAC".into())?;
    let leaves_by = match action.verb {
        Verb::Transmit => ingress,
        _ => action.egress,
    };
    ensure(leaves_by == egress.ifindex, || format!("it leaves by {leaves_by}, not by {}", egress.ifindex))?;
    ensure((action.verb == Verb::Transmit) == (egress.ifindex == ingress), || {
        format!("{:?} is not the way to {}", action.verb, egress.ifindex)
    })?;
    Ok(egress)
}

/// The tags are as they came, or those of the egress with the priority of the outermost one.
fn tags(old: &View<'_>, new: &View<'_>, egress: &Egress) -> Result<(), String> {
    ensure(old.ethertype() == new.ethertype(), || "the EtherType was changed".into())?;
    let (came, left) = (old.tags(), new.tags());
    if egress.tags == Egress::AS_IT_CAME {
        return ensure(came == left, || "the tags were changed".into());
    }
    let wanted = usize::from(egress.tags.min(2));
    ensure(left.len() == wanted * 4, || format!("the frame has {} bytes of tags", left.len()))?;
    for (tag, id) in left.chunks(4).zip(egress.vlans) {
        ensure([tag[2] & 0x0f, tag[3]] == [id[0] & 0x0f, id[1]], || {
            format!("a tag has another id: {tag:?}")
        })?;
    }
    if let Some(outermost) = left.get(2) {
        let priority = came.get(2).map_or(0, |control| control & 0xf0);
        ensure(outermost & 0xf0 == priority, || "the priority was changed".into())?;
    }
    Ok(())
}

fn unchanged(old: &View<'_>, new: &View<'_>, vip: &Vip<'_>) -> Result<(), String> {
    let (before, after) = (old.network(), new.network());
    ensure(before.len() == after.len(), || format!("{} bytes became {}", before.len(), after.len()))?;
    let (ttl_at, checksum) =
        if old.is_ipv4() { (TTL4, CHECKSUM4..CHECKSUM4 + 2) } else { (HOP_LIMIT6, 0..0) };
    let other = before
        .iter()
        .zip(after)
        .enumerate()
        .find(|(at, (old, new))| old != new && *at != ttl_at && !checksum.contains(at));
    if let Some((at, (old, new))) = other {
        return Err(format!("byte {at} of the packet was {old:#04x} and became {new:#04x}"));
    }
    let (ttl, left) = (before[ttl_at], after[ttl_at]);
    if ttl == left {
        ensure(vip.has(Service::KEEP_TTL), || {
            "the TTL was kept where no service of the VIP keeps it".into()
        })?;
        return ensure(before == after, || "a checksum was changed, but no TTL".into());
    }
    ensure(ttl > 1 && left == ttl - 1, || format!("a TTL of {ttl} became {left}"))?;
    let header = if old.is_ipv4() { old.ipv4_header_len().min(before.len()) } else { 0 };
    // The sum includes the checksum: whether that was right or wrong, it must be so still (RFC 1624).
    ensure(sum(&before[..header]) == sum(&after[..header]), || "the checksum does not fit the TTL".into())
}

/// A TCP segment with SYN and without ACK, or a packet of another protocol, which may be known to be new.
fn opens(view: &View<'_>, vip: &Vip<'_>) -> bool {
    let Some(payload) = view.payload() else { return false };
    match (payload.protocol, payload.bytes.get(13)) {
        (TCP, Some(flags)) => flags & 0x12 == 0x02,
        // An SCTP INIT.
        (132, _) => payload.bytes.get(12) == Some(&1) || vip.tracks(),
        _ => vip.tracks(),
    }
}
