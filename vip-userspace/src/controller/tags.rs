//! Sees to it that NICs leave VLAN tags in the frames that the program sees, and that they do as before when the director is
//! gone. What was changed is written down before it is changed: whoever ends half-way leaves nothing behind that nobody
//! knows of.

use std::collections::BTreeSet;

use log::{info, warn};

use super::{Memory, memory::Labels, run::failed};
use crate::{
    control::{Code, Refused},
    model::Intent,
    net::{self, Link, Links, TookTags},
};

/// Has the NICs of `ports` leave tags where they are, and those of interfaces that are no ports any more do as before.
///
/// # Errors
/// One does not let itself be told, and tags are used: nothing has changed then. Where they are not, that is only said.
pub(super) fn leave(
    memory: &Memory,
    labels: &mut Labels,
    ports: &[&Link],
    links: &Links,
    intent: &Intent,
) -> Result<(), Refused> {
    let before = labels.took_tags.clone();
    for port in ports {
        if let Err(refused) = leave_one(memory, labels, port, intent) {
            restore(memory, labels, &before, links);
            return Err(refused);
        }
    }
    let is_port = |took: &TookTags| ports.iter().any(|port| port.ifindex == took.ifindex);
    let keep: BTreeSet<_> = labels.took_tags.iter().copied().filter(is_port).collect();
    restore(memory, labels, &keep, links);
    Ok(())
}

/// Lets all NICs but those of `keep` do as before.
pub(super) fn restore(memory: &Memory, labels: &mut Labels, keep: &BTreeSet<TookTags>, links: &Links) {
    let others: BTreeSet<_> = labels.took_tags.difference(keep).copied().collect();
    if others.is_empty() {
        return;
    }
    if let Err(error) = net::give_back_tags(&others, links) {
        warn!("{error}");
    }
    labels.took_tags.retain(|took| keep.contains(took));
    if let Err(error) = memory.keep_labels(labels) {
        warn!("{error:#}");
    }
}

fn leave_one(memory: &Memory, labels: &mut Labels, port: &Link, intent: &Intent) -> Result<(), Refused> {
    let name = &port.name;
    let takes = net::takes_tags(name).unwrap_or_else(|error| {
        warn!("{error}: a tagged frame may leave without its tag");
        false
    });
    if !takes {
        return Ok(());
    }
    let took = TookTags { ifindex: port.ifindex };
    labels.took_tags.insert(took);
    memory.keep_labels(labels).map_err(failed)?;
    match net::leave_tags(name) {
        Ok(()) => {
            info!(
                "{name}: rxvlan is off, or tagged frames would lose their tags; `vip detach` turns it on again"
            );
            Ok(())
        }
        Err(error) => {
            labels.took_tags.remove(&took);
            memory.keep_labels(labels).map_err(failed)?;
            if intent.backends().values().any(|backend| backend.vlans.is_some()) {
                return Err(Refused::new(Code::Failed, format!("{error}, and backends have `vlans`"))
                    .with_remedy("take packets in by another interface, or leave `vlans` out"));
            }
            warn!("{error}: tagged frames lose their tags on the way through");
            Ok(())
        }
    }
}
