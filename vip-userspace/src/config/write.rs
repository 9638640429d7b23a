//! Writes a configuration as the text of a file, from which the same is read back. It knows no file, and never writes the
//! seed: that is a secret, and what it makes is shown.

mod check;

use std::{fmt::Display, time::Duration};

use super::Config;
use crate::model::{
    Access, Admin, Affinity, Backend, Capacity, Intent, Maintenance, Member, Service, VipSettings, duration,
    service::DEFAULT_WEIGHT,
};

/// The text of a configuration, but for its seed: where one is stated, a comment stands in its place. What is wanted of
/// VIPs that no service has is left out, for a file can't say it.
#[must_use]
pub fn write(config: &Config) -> String {
    let mut text = Text::default();
    text.network(config);
    text.capacity(config.capacity);
    text.control(&config.access);
    text.vips(&config.intent);
    for service in config.intent.services().values() {
        text.service(service, &config.intent);
    }
    for backend in config.intent.backends().values() {
        text.backend(backend, &config.intent);
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, key: &str, value: impl Display) {
        self.0 += &format!("{key} = {value}\n");
    }

    fn table(&mut self, kind: &str, name: &str) {
        self.0 += &format!("\n[{kind}.{}]\n", quoted(name));
    }

    fn network(&mut self, config: &Config) {
        let Config {
            interfaces, egress_interfaces, local_clients, virtual_router, peers, mode, seed, ..
        } = config;
        self.line("interfaces", list(interfaces.iter().map(quoted)));
        if !egress_interfaces.is_empty() {
            self.line("egress-interfaces", list(egress_interfaces.iter().map(quoted)));
        }
        if *local_clients {
            self.line("local-clients", local_clients);
        }
        if let Some(router) = virtual_router {
            self.line("virtual-router", router);
        }
        if !peers.is_empty() {
            self.line("peers", list(peers.iter().map(quoted)));
        }
        self.line("mode", quoted(mode));
        if seed.is_some() {
            self.0 += "# The seed is a secret and is not written here: put the line `seed = \"…\"` of the former file in this place.\n";
        }
    }

    fn capacity(&mut self, capacity: Capacity) {
        let Capacity { slots, members, services, flows, fragments } = capacity;
        self.0 += "\n[capacity]\n";
        let sizes = [slots, members, services, flows, fragments];
        for (key, size) in super::CAPACITY_KEYS.into_iter().zip(sizes) {
            self.line(key, size);
        }
    }

    fn control(&mut self, access: &Access) {
        let Access { group, others } = access;
        if *access == Access::default() {
            return;
        }
        self.0 += "\n[control]\n";
        if let Some(group) = group {
            self.line("group", quoted(group));
        }
        self.line("others", quoted(others));
    }

    fn vips(&mut self, intent: &Intent) {
        for (vip, settings) in intent.stated_vips() {
            let VipSettings { role, echo, unknown_port } = settings;
            self.table("vip", &vip.to_string());
            self.line("role", quoted(role));
            self.line("echo", quoted(echo));
            self.line("unknown-port", quoted(unknown_port));
        }
    }

    fn service(&mut self, service: &Service, intent: &Intent) {
        let Service {
            name,
            address,
            slots,
            ttl,
            scheduler,
            affinity,
            on_dead,
            window,
            idle,
            fragments,
            no_backend,
            quorum,
            quorum_hysteresis,
            panic_threshold,
            slow_start,
            check,
            members,
        } = service;
        self.table("service", name.as_str());
        self.line("vip", quoted(address.vip));
        self.line("port", quoted(address.ports));
        self.line("protocol", quoted(address.protocol));
        self.line("slots", slots);
        self.line("ttl", quoted(ttl));
        self.line("scheduler", quoted(scheduler));
        if let Affinity::Source { .. } = affinity {
            self.line("affinity", quoted("source"));
            self.line("affinity-prefix", service.source_bits());
        }
        self.line("on-dead", quoted(on_dead));
        self.time("window", *window);
        self.time("idle", *idle);
        self.line("fragments", quoted(fragments));
        self.line("no-backend", quoted(no_backend));
        self.line("quorum", quorum);
        self.line("quorum-hysteresis", quorum_hysteresis);
        if let Some(threshold) = panic_threshold {
            self.line("panic-threshold", threshold);
        }
        self.time("slow-start", *slow_start);
        let members = members.iter().map(|one| member(one, intent.own_admin(name, &one.backend)));
        self.line("members", list(members));
        if let Some(check) = check {
            self.0 += &format!("[service.{}.check]\n", quoted(name));
            self.check(check);
        }
    }

    fn time(&mut self, key: &str, time: Option<Duration>) {
        if let Some(time) = time {
            self.line(key, quoted(duration::print(time)));
        }
    }

    fn backend(&mut self, backend: &Backend, intent: &Intent) {
        let Backend { name, ipv4: _, ipv6: _, mac, vlans, director } = backend;
        self.table("backend", name.as_str());
        self.line("address", list(backend.addresses().map(quoted)));
        if let Some(mac) = mac {
            self.line("mac", quoted(mac));
        }
        if let Some(vlans) = vlans {
            self.line("vlans", list(vlans.iter().map(ToString::to_string)));
        }
        if *director {
            self.line("director", true);
        }
        match intent.maintenance(name) {
            Maintenance::Off => {}
            kind => self.line("maintenance", quoted(kind)),
        }
    }
}

/// A member: its name alone, if there is no more to say.
fn member(member: &Member, admin: Admin) -> String {
    let Member { backend, weight, backup } = member;
    if (*weight, *backup, admin) == (DEFAULT_WEIGHT, false, Admin::Enabled) {
        return quoted(backend);
    }
    let mut text = format!("{{ backend = {}, weight = {weight}", quoted(backend));
    if *backup {
        text += ", backup = true";
    }
    if admin != Admin::Enabled {
        text += &format!(", admin = {}", quoted(admin));
    }
    text + " }"
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A basic string of TOML: what is written as in JSON is one, but for the last control character.
fn quoted(text: impl Display) -> String {
    serde_json::Value::from(text.to_string()).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests;
