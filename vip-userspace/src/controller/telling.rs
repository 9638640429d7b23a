//! What the loop tells of, on the log and to whoever follows the changes.

use std::net::IpAddr;

use log::{Level, info, log};

use super::{Transition, drains::Ended, run::Loop, words};
use crate::{
    control::protocol::{Caller, ChangeAction, Differences, News, StandingWord},
    model::{Mac, NoNeighbour, Standing},
    net::{Link, NetEvent},
};

impl Loop {
    /// Members whose standing is another, and services that are short of them.
    pub(super) fn tell(&mut self, transitions: Vec<Transition>) {
        for transition in transitions {
            if transition.is_beginning() {
                continue;
            }
            let words = words::of_transition(&transition, self.controller.world());
            info!("{words}");
            let (service, backend) = transition.member;
            let standing = match transition.now {
                Standing::Eligible(_) => StandingWord::In,
                Standing::Draining(..) => StandingWord::KeepsFlows,
                Standing::Down(_) => StandingWord::Out,
            };
            self.herald.tell(News::Member { service, backend, standing }, words);
        }
        for (name, before, now) in self.controller.take_alarms() {
            let services = self.controller.world().intent.services();
            let Some(service) = services.get(&name) else { continue };
            for (is_bad, line) in words::of_alarm(service, now, before) {
                log!(if is_bad { Level::Warn } else { Level::Info }, "{line}");
                let (below_quorum, panics) = (now.is_short, now.panics);
                self.herald.tell(News::Shortage { service: name.clone(), below_quorum, panics }, line);
            }
        }
    }

    /// A link or a neighbour that is not what it was, before anybody else hears of it.
    pub(super) fn tell_of_net(&self, event: &NetEvent) {
        match event {
            NetEvent::Neighbour { address, result } => {
                let known = self.controller.world().neighbours.get(address);
                let (was, found) = (known.map(Result::is_ok), result.is_ok());
                if was == Some(found) || matches!(result, Err(NoNeighbour::Pending)) {
                    return;
                }
                let words = match result {
                    Ok(_) => format!("{address} is found on the link"),
                    Err(why) => format!("{address} is not found on the link: {why}"),
                };
                self.herald.tell(News::Neighbour { address: *address, found }, words);
            }
            NetEvent::Link(link) => self.tell_of_link(link, link.up, if link.up { "up" } else { "down" }),
            NetEvent::LinkGone(link) => self.tell_of_link(link, false, "gone"),
        }
    }

    /// Of interfaces that are none of the director's nothing is told.
    fn tell_of_link(&self, link: &Link, up: bool, word: &str) {
        let known = self.controller.world().links.get(&link.ifindex);
        let Some(was) = known.filter(|was| was.is_port || was.is_egress) else { return };
        if was.is_up != up {
            let words = format!("{}: the link is {word}", link.name);
            self.herald.tell(News::Link { interface: link.name.clone(), up }, words);
        }
    }

    /// Somebody answers for a VIP who should not, or does not any more.
    pub(super) fn tell_of_thief(&self, vip: IpAddr, mac: Mac, answers: bool) {
        let words = match answers {
            true => words::of_theft(vip, mac, self.controller.world()),
            false => format!("{mac} does not answer for {vip} any more"),
        };
        log!(if answers { Level::Warn } else { Level::Info }, "{words}");
        self.herald.tell(News::Thief { vip, mac, answers }, words);
    }

    /// A drain that has come to its end.
    pub(super) fn tell_of_drain(&self, ended: &Ended) {
        let words = words::of_drain(ended);
        info!("{words}");
        let (service, backend) = (ended.draining.service.clone(), ended.draining.backend.clone());
        let (timed_out, flows_left) = (ended.end.timed_out, ended.end.flows_left);
        self.herald.tell(News::Drained { service, backend, timed_out, flows_left }, words);
    }

    /// A configuration that was taken.
    pub(super) fn tell_of_reload(&self, differences: &Differences, by: Option<Caller>) {
        for line in words::of_differences(differences) {
            info!("{line}");
        }
        let [added, removed, changed] = [ChangeAction::Added, ChangeAction::Removed, ChangeAction::Changed]
            .map(|action| differences.count(action));
        let words = format!("reload: done: {added} added, {removed} removed, {changed} changed");
        info!("{words}{}", words::by(by));
        self.herald.tell(News::Reloaded { by, added, removed, changed }, words);
    }
}
