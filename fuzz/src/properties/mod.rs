//! What holds for every packet: pure functions of a frame before, the frame after, what was decided and the tables.
//! They read headers by themselves, so that a mistake of the decision is not theirs too; they do not decide which
//! member or reason is right, only which can't be.

mod answered;
mod forwarded;
mod padding;
mod refused;
mod tables;
mod view;

use vip_common::{
    Action, MemberId, Reason, Verb,
    host::{HostFrame, HostTables},
    tables::{Member, Port},
};

pub use self::padding::{other_padding, same_but_padding};
use self::{tables::Vip, view::View};

/// Says what is wrong with one decision. `tables` are as the decision left them.
///
/// # Errors
/// What was decided, or done to the frame, can't be right.
pub fn check(
    before: &HostFrame,
    after: &HostFrame,
    action: Action,
    tables: &HostTables,
) -> Result<(), String> {
    let Action { verb, reason, member, egress, opens } = action;
    ensure(verbs(reason).contains(&verb), || format!("{} is no reason for {verb:?}", reason.name()))?;
    if is_forwarded(reason) {
        ensure(member != MemberId::NOBODY, || "forwarded to nobody".into())?;
        return forwarded::check(before, after, action, tables);
    }
    ensure(egress == 0 && !opens, || format!("{} has a way out or opens a flow", reason.name()))?;
    let has_member = member != MemberId::NOBODY;
    let may_have = match reason {
        Reason::Bounced => true,
        Reason::LocalMember => {
            let here = |id| tables.members.get(&id).is_some_and(|entry| entry.member.state == Member::HERE);
            ensure(here(member), || format!("{member:?} is not this box"))?;
            true
        }
        _ => false,
    };
    ensure(may_have || !has_member, || format!("{} has member {member:?}", reason.name()))?;
    match verb {
        Verb::Pass => ensure(before == after, || "a passed frame was changed".into()),
        Verb::Drop => dropped(before, tables),
        Verb::Transmit | Verb::Redirect => answered::check(before, after, reason, tables),
    }
}

/// True if the tables are whole for a frame: a service is published before its VIP's own entry, and until that is there
/// the paths of the decision need not agree. Nor by terms that no controller writes: a flow that may be silent for half a turn
/// of the clock, some 70 years, is over as soon as it is not pending any more, and so for the path that looks second.
#[must_use]
pub fn is_whole(frame: &HostFrame, tables: &HostTables) -> bool {
    let view = View::of(&frame.bytes);
    let address = view.and_then(|view| view.ip_destination());
    let are_terms = tables.terms.values().all(|terms| terms.idle < MOST_IDLE);
    are_terms && address.and_then(|address| Vip::of(address, tables)).is_none_or(|vip| vip.is_whole)
}

/// Ticks of silence that no terms allow: with the sixteenth that is added to them, less than half a turn of the clock.
const MOST_IDLE: u32 = 1 << 30;

/// Reasons that are counted beside a member who gets the packet.
const fn is_forwarded(reason: Reason) -> bool {
    matches!(reason, Reason::Forwarded | Reason::QuoteWithoutPorts | Reason::FragmentBeforeFirst)
}

/// What a packet can get for a reason.
const fn verbs(reason: Reason) -> &'static [Verb] {
    match reason {
        Reason::Forwarded | Reason::QuoteWithoutPorts | Reason::FragmentBeforeFirst => {
            &[Verb::Transmit, Verb::Redirect]
        }
        Reason::ArpAnswered
        | Reason::NeighbourAnswered
        | Reason::EchoAnswered
        | Reason::ResetDeadMember
        | Reason::ResetNoBackend
        | Reason::ResetUnknownPort => &[Verb::Transmit],
        Reason::NotForUs
        | Reason::NotIp
        | Reason::NoVip
        | Reason::LocalVip
        | Reason::DuplicateVip
        | Reason::LocalMember
        | Reason::ChosenByPeer => &[Verb::Pass],
        Reason::Malformed => &[Verb::Pass, Verb::Drop],
        Reason::TtlExpired
        | Reason::NoBackend
        | Reason::UnknownPort
        | Reason::NoRoom
        | Reason::BrokenTable
        | Reason::Land
        | Reason::BadSource
        | Reason::Bounced
        | Reason::TinyFragment
        | Reason::PeerLoop
        | Reason::DeadMember
        | Reason::ResetLimited
        | Reason::Standby => &[Verb::Drop],
    }
}

/// Nothing is dropped before its address is known to be a VIP, nor what came in elsewhere or is for others.
fn dropped(before: &HostFrame, tables: &HostTables) -> Result<(), String> {
    let view = View::of(&before.bytes).ok_or("a frame without a header was dropped")?;
    let port = tables.ports.get(&before.ingress).ok_or("a frame was dropped that came in by no port")?;
    let asked = view.question_to().is_some() && view.destination()[0] & 1 != 0;
    ensure(owns(port, view.destination()) || asked, || "a frame for others was dropped".into())?;
    let to_vip = view.ip_destination().into_iter().chain(view.question_to());
    ensure(to_vip.into_iter().any(|address| Vip::of(address, tables).is_some()), || {
        "a frame that is for no VIP was dropped".into()
    })
}

/// True for the port's own MAC and those of its virtual router (RFC 9568, section 7.3).
fn owns(port: &Port, mac: &[u8]) -> bool {
    let of_router = |family| port.router != 0 && mac == [0, 0, 0x5e, 0, family, port.router];
    mac == port.mac || of_router(1) || of_router(2)
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

#[cfg(test)]
mod tests;
