//! What sets a configuration apart from the one that runs, row by row. Pure: it compares, and decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Config,
    control::protocol::{Change, ChangeAction, Thing},
    model::{Admin, Intent, Service},
};

/// Keys of a service that decide where its flows are: another value moves them.
const PLACING_KEYS: [&str; 4] = ["slots", "scheduler", "affinity", "fragments"];

/// All that a change from `running` to `next` is. Both have the wishes by command in their intents; of the seeds nothing
/// is known but whether they differ.
pub(super) fn differences(running: &Config, next: &Config, seed_differs: bool) -> Vec<Change> {
    let mut rows = Rows(Vec::new());
    rows.names(Thing::Interface, &running.interfaces, &next.interfaces);
    rows.names(Thing::EgressInterface, &running.egress_interfaces, &next.egress_interfaces);
    rows.names(Thing::Peer, &running.peers, &next.peers);
    rows.setting("local-clients", Some(running.local_clients), Some(next.local_clients));
    rows.setting("mode", Some(running.mode), Some(next.mode));
    rows.setting("virtual-router", running.virtual_router, next.virtual_router);
    for (key, (before, after)) in fields(&running.capacity, &next.capacity) {
        rows.setting(&format!("capacity.{key}"), before, after);
    }
    let (before, after) = (&running.access, &next.access);
    rows.setting("control.group", before.group.as_ref(), after.group.as_ref());
    rows.setting("control.others", Some(before.others), Some(after.others));
    if seed_differs {
        let (action, thing, name) = (ChangeAction::Changed, Thing::Setting, "seed".to_owned());
        rows.0.push(Change { action, thing, name, key: None, before: None, after: None, moves_flows: true });
    }
    rows.vips(&running.intent, &next.intent);
    rows.services(&running.intent, &next.intent);
    rows.backends(&running.intent, &next.intent);
    rows.0
}

struct Rows(Vec<Change>);

impl Rows {
    fn added(&mut self, thing: Thing, name: impl Display, after: Option<String>) {
        self.row(ChangeAction::Added, thing, name, (None, None, after));
    }

    fn removed(&mut self, thing: Thing, name: impl Display, before: Option<String>) {
        self.row(ChangeAction::Removed, thing, name, (None, before, None));
    }

    fn row(
        &mut self,
        action: ChangeAction,
        thing: Thing,
        name: impl Display,
        (key, before, after): (Option<String>, Option<String>, Option<String>),
    ) {
        let is_placing = |key: &str| PLACING_KEYS.contains(&key.split('.').next().unwrap_or(key));
        let moves_flows = thing == Thing::Service && key.as_deref().is_some_and(is_placing);
        self.0.push(Change { action, thing, name: name.to_string(), key, before, after, moves_flows });
    }

    fn names<'a, T: Display + Ord + 'a>(
        &mut self,
        thing: Thing,
        before: impl IntoIterator<Item = &'a T>,
        after: impl IntoIterator<Item = &'a T>,
    ) {
        let (before, after): (BTreeSet<_>, BTreeSet<_>) =
            (before.into_iter().collect(), after.into_iter().collect());
        before.difference(&after).for_each(|name| self.removed(thing, name, None));
        after.difference(&before).for_each(|name| self.added(thing, name, None));
    }

    fn setting(&mut self, name: &str, before: Option<impl Display>, after: Option<impl Display>) {
        let text = |value: Option<String>| value.filter(|value| !value.is_empty());
        let (before, after) =
            (text(before.map(|value| value.to_string())), text(after.map(|value| value.to_string())));
        if before != after {
            self.row(ChangeAction::Changed, Thing::Setting, name, (None, before, after));
        }
    }

    fn changed<T: Serialize>(&mut self, thing: Thing, name: &str, before: &T, after: &T, but: &[&str]) {
        for (key, (before, after)) in fields(before, after) {
            if before != after && !but.contains(&key.as_str()) {
                self.row(ChangeAction::Changed, thing, name, (Some(key), before, after));
            }
        }
    }

    /// What is wanted of the VIPs that services have.
    fn vips(&mut self, running: &Intent, next: &Intent) {
        let served: BTreeSet<_> = next.services().values().map(|service| service.address.vip).collect();
        for vip in served {
            self.changed(Thing::Vip, &vip.to_string(), &running.vip(vip), &next.vip(vip), &[]);
        }
    }

    fn services(&mut self, running: &Intent, next: &Intent) {
        let summary = |service: &Service| {
            let count = service.members.len();
            Some(format!("{}, {count} member{}", service.address, if count == 1 { "" } else { "s" }))
        };
        for (name, service) in running.services() {
            if !next.services().contains_key(name) {
                self.removed(Thing::Service, name, summary(service));
            }
        }
        for (name, service) in next.services() {
            let Some(before) = running.services().get(name) else {
                self.added(Thing::Service, name, summary(service));
                continue;
            };
            self.changed(Thing::Service, name.as_str(), before, service, &["members"]);
            self.members((before, running), (service, next));
        }
    }

    fn members(&mut self, (before, running): (&Service, &Intent), (after, next): (&Service, &Intent)) {
        let members = |service: &Service, intent: &Intent| -> BTreeMap<_, _> {
            let part = |member: &crate::model::Member| Part {
                weight: member.weight,
                backup: member.backup,
                admin: intent.own_admin(&service.name, &member.backend),
            };
            service.members.iter().map(|member| (member.backend.clone(), part(member))).collect()
        };
        let (before, name, after) = (members(before, running), &after.name, members(after, next));
        for (backend, part) in &before {
            if !after.contains_key(backend) {
                self.removed(Thing::Member, format!("{name}/{backend}"), Some(part.words()));
            }
        }
        for (backend, part) in &after {
            let member = format!("{name}/{backend}");
            match before.get(backend) {
                None => self.added(Thing::Member, member, Some(part.words())),
                Some(old) => self.changed(Thing::Member, &member, old, part, &[]),
            }
        }
    }

    fn backends(&mut self, running: &Intent, next: &Intent) {
        let addresses = |backend: &crate::model::Backend| {
            Some(backend.addresses().map(|address| address.to_string()).collect::<Vec<_>>().join(", "))
        };
        for (name, backend) in running.backends() {
            if !next.backends().contains_key(name) {
                self.removed(Thing::Backend, name, addresses(backend));
            }
        }
        for (name, backend) in next.backends() {
            match running.backends().get(name) {
                None => self.added(Thing::Backend, name, addresses(backend)),
                Some(before) => self.changed(Thing::Backend, name.as_str(), before, backend, &[]),
            }
        }
    }
}

/// What is wanted of a member.
#[derive(Serialize)]
struct Part {
    weight: u32,
    backup: bool,
    admin: Admin,
}

impl Part {
    fn words(&self) -> String {
        let backup = if self.backup { ", backup" } else { "" };
        let admin = if self.admin == Admin::Enabled { String::new() } else { format!(", {}", self.admin) };
        format!("weight {}{backup}{admin}", self.weight)
    }
}

/// The values of both by key, as the file names keys: those of a table within have a dot.
fn fields<T: Serialize>(before: &T, after: &T) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let flat = |value: &T| {
        let mut flat = BTreeMap::new();
        // What can't be written as JSON has no keys.
        flatten("", &serde_json::to_value(value).unwrap_or_default(), &mut flat);
        flat
    };
    let (before, after) = (flat(before), flat(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    keys.into_iter()
        .map(|key| {
            let values = (before.get(&key).cloned(), after.get(&key).cloned());
            (key, values)
        })
        .collect()
}

fn flatten(prefix: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('_', "-");
                flatten(&if prefix.is_empty() { key } else { format!("{prefix}.{key}") }, value, flat);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(flat.insert(prefix.to_owned(), text.clone())),
        other => drop(flat.insert(prefix.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests;
