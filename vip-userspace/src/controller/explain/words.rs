//! The words for what the decision saw, and for what the packet gets.

use vip_common::{
    Action, MemberId, Verb,
    host::HostTables,
    tables::{Egress, FlowEntry, Member, Port, Service, Slot, TICK_BITS, tick},
};

use super::{
    Outcome,
    observed::{Entry, Seen},
};
use crate::{
    control::protocol::{Explanation, Step},
    controller::tracked::{Names, state},
    dataplane::interface,
    model::Mac,
};

/// What things are called.
pub(super) struct Told<'a> {
    pub(super) names: &'a Names<'a>,
    pub(super) host: &'a HostTables,
}

impl Told<'_> {
    pub(super) fn explanation(
        &self,
        seen: &[Seen],
        action: &Action,
        frame: &[u8],
        outcome: &Outcome,
        agrees: bool,
    ) -> Explanation {
        let entries = seen.iter().rev().filter_map(|seen| match seen {
            Seen::Service(service, entry) => Some((*service, *entry)),
            _ => None,
        });
        let last = entries.clone().next().map(|(service, _)| service);
        // The VIP's own entry has the ring of a service: that gets the packet only if one of its members does.
        let mut owners =
            entries.filter(|(_, entry)| *entry == Entry::Service || action.member != MemberId::NOBODY);
        let named = owners.next().and_then(|(service, _)| self.names.services.get(&service.id));
        let is_egress = |seen: &&Seen| matches!(seen, Seen::Egress(_));
        let words = |seen: &Seen| self.step(seen, last.as_ref());
        let mut steps: Vec<_> = seen.iter().filter(|seen| !is_egress(seen)).filter_map(words).collect();
        if action.member != MemberId::NOBODY {
            steps.push(step("backend", self.backend_in_full(action.member)));
        }
        steps.extend(seen.iter().filter(is_egress).filter_map(words));
        if matches!(action.verb, Verb::Transmit | Verb::Redirect) {
            steps.push(step("MACs", macs(frame)));
        }
        let kernel = match agrees {
            true => "the program decides just so".to_owned(),
            false => format!(
                "it DISAGREES: {}, {}, {}; this is a bug: please report it",
                verb(outcome.verb),
                outcome.reason.name(),
                macs(&outcome.frame)
            ),
        };
        steps.push(step("kernel", kernel));
        let backend = self.names.members.get(&action.member).map(|(_, backend)| backend.clone());
        Explanation {
            steps,
            action: verb(action.verb).to_owned(),
            reason: action.reason.name().to_owned(),
            meaning: action.reason.meaning().trim().to_owned(),
            service: named.map(|(service, _)| service.name.clone()),
            backend,
            agrees,
        }
    }

    fn step(&self, seen: &Seen, service: Option<&Service>) -> Option<Step> {
        Some(match seen {
            Seen::Port(ifindex, port) => step("port", self.port(*ifindex, *port)),
            Seen::Service(service, entry) => step("service", self.service(service, *entry)),
            Seen::Slot(index, slot) => step("slot", self.slot(*index, slot, service?)),
            Seen::Flow(entry) => step("flow", self.flow(entry.as_ref())),
            Seen::Written(entry) => {
                let (state, backend) = (state(entry).name(), self.backend(entry.member));
                step("flow", format!("a real packet's would be written: {state}, at {backend}"))
            }
            Seen::Refused => {
                step("flow", "no allowance is left to write it: the service's is used up".to_owned())
            }
            Seen::Fragment(owner) if owner.counts_at(self.host.now.get()) => {
                step("fragment", format!("the first one went to {}", self.backend(owner.member)))
            }
            Seen::Fragment(_) => step("fragment", "the first one was not seen lately".to_owned()),
            Seen::Remembered => {
                step("fragment", "a real one would be remembered for those that follow it".to_owned())
            }
            Seen::Egress(egress) => step("egress", way_out(egress)),
        })
    }

    fn port(&self, ifindex: u32, port: Option<Port>) -> String {
        let name = interface_name(ifindex);
        match port {
            Some(port) => format!("{name}, {}", Mac(port.mac)),
            None => format!("{name}, which is no port of the director"),
        }
    }

    fn service(&self, service: &Service, entry: Entry) -> String {
        match (self.names.services.get(&service.id), entry) {
            (Some((named, _)), Entry::Service) => format!("{}, {}", named.name, named.address),
            (Some((named, _)), Entry::Vip) => {
                format!("none: the VIP's own entry, with the ring of {}", named.name)
            }
            (None, Entry::Service) => format!("number {}, whose name nobody knows", service.id),
            (None, Entry::Vip) => "none: the VIP's own entry".to_owned(),
        }
    }

    fn slot(&self, index: u32, slot: &Slot, service: &Service) -> String {
        let is_turn = index.wrapping_sub(service.turns_first) < service.turns_size;
        let of = |id| self.backend(id);
        if is_turn {
            return format!("turn {}: {}", index - service.turns_first, of(slot.current));
        }
        let is_peers =
            service.peers_first != 0 && index.wrapping_sub(service.peers_first) < service.ring_size;
        let first = if is_peers { service.peers_first } else { service.ring_first };
        let number = format!("{} of {}", index.wrapping_sub(first), service.ring_size);
        let (current, settled) = (of(slot.current), of(slot.settled()));
        match slot.is_tracked() {
            false => format!("{number}, at rest: {current}"),
            true => format!("{number}, remembers: new flows to {current}, older ones to {settled}"),
        }
    }

    fn flow(&self, entry: Option<&FlowEntry>) -> String {
        let Some(entry) = entry else { return "not in the flow table".to_owned() };
        let now = tick(self.host.now.get());
        let silent = now.wrapping_sub(entry.seen).cast_signed().max(0).cast_unsigned();
        let seconds = (u64::from(silent) << TICK_BITS) / 1_000_000_000;
        let generation = self.host.members.get(&entry.member).map(|member| member.generation);
        let older =
            if generation == Some(entry.generation) { "" } else { ", before it returned: it does not count" };
        format!(
            "{}, at {}{older}, silent for at most {seconds}s",
            state(entry).name(),
            self.backend(entry.member)
        )
    }

    fn backend(&self, id: MemberId) -> String {
        match self.names.members.get(&id) {
            Some((_, backend)) => backend.to_string(),
            None if id == MemberId::NOBODY => "nobody".to_owned(),
            None => format!("member {}", id.0),
        }
    }

    fn backend_in_full(&self, id: MemberId) -> String {
        let entry = self.host.members.get(&id).map(|entry| entry.member);
        let state = match entry.map(|member| member.state) {
            Some(Member::UP) => "up",
            Some(Member::DOWN) => "down",
            Some(Member::DRAINING) => "draining",
            Some(Member::HERE) => "this very box",
            _ => "unused",
        };
        let mac = entry.map_or(Mac([0; 6]), |member| Mac(member.mac));
        format!("{}, {state}, {mac}", self.backend(id))
    }
}

fn step(name: &str, found: String) -> Step {
    Step { step: name.to_owned(), found }
}

const fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Pass => "pass",
        Verb::Drop => "drop",
        Verb::Transmit => "transmit",
        Verb::Redirect => "redirect",
    }
}

fn macs(frame: &[u8]) -> String {
    let mac =
        |at: usize| frame.get(at..at + 6).and_then(|bytes| bytes.try_into().ok()).map_or(Mac([0; 6]), Mac);
    format!("from {} to {}", mac(6), mac(0))
}

fn interface_name(ifindex: u32) -> String {
    let found = interface::by_index(ifindex).ok().flatten();
    found.map_or_else(|| format!("interface {ifindex}"), |found| found.name)
}

fn way_out(egress: &Egress) -> String {
    let tags = match egress.tags {
        Egress::AS_IT_CAME => ", VLAN tags as they came".to_owned(),
        0 => ", without VLAN tags".to_owned(),
        tags => {
            let ids =
                egress.vlans.iter().take(usize::from(tags)).map(|id| u16::from_be_bytes(*id).to_string());
            format!(", VLAN {}", ids.collect::<Vec<_>>().join("."))
        }
    };
    format!("{}, {}{tags}", interface_name(egress.ifindex), Mac(egress.mac))
}
