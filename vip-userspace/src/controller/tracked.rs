//! Which flows are tracked, with the names of things. It reads nothing: entries, tables and the time are arguments.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use vip_common::{
    MemberId,
    host::HostTables,
    tables::{Fate, FlowEntry, FlowState as State, TICK_BITS},
};

use crate::{
    control::protocol::{Code, FlowList, FlowState, Refused, TrackedFlow},
    dataplane::FlowEntries,
    model::{BackendName, Intent, MemberKey, Protocol, Service, ServiceName},
    plan::{Numbers, Tables},
};

/// Which flows are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Only those on this backend.
    pub backend: Option<BackendName>,
    /// Only those of this service.
    pub service: Option<ServiceName>,
    /// At most so many.
    pub limit: usize,
}

/// Whose the numbers are that entries name.
pub(super) struct Names<'a> {
    intent: &'a Intent,
    pub(super) members: BTreeMap<MemberId, MemberKey>,
    /// By number: the service, and the first slot of its ring.
    pub(super) services: BTreeMap<u32, (&'a Service, u32)>,
}

/// A flow's key, of either family.
struct Key {
    client: IpAddr,
    client_port: [u8; 2],
    port: [u8; 2],
    scope: u32,
}

impl<'a> Names<'a> {
    pub(super) fn new(intent: &'a Intent, numbers: &Numbers) -> Self {
        let service = |service: &'a Service| {
            let places = numbers.places_of(&service.name)?;
            Some((places.id, (service, places.ring.first)))
        };
        let services = intent.services().values().filter_map(service).collect();
        Self { intent, members: numbers.labels(), services }
    }

    /// # Errors
    /// What is asked for is not there.
    pub(super) fn check(&self, wanted: &Wanted) -> Result<(), Refused> {
        let (backends, services) = (self.intent.backends(), self.intent.services());
        if let Some(name) = wanted.backend.as_ref().filter(|name| !backends.contains_key(*name)) {
            let refused = Refused::new(Code::NoBackend, format!("there is no backend {name}"));
            return Err(refused.with_remedy("see `vip backend list`"));
        }
        if let Some(name) = wanted.service.as_ref().filter(|name| !services.contains_key(*name)) {
            let refused = Refused::new(Code::NoService, format!("there is no service {name}"));
            return Err(refused.with_remedy("see `vip service list`"));
        }
        Ok(())
    }

    /// The flows of entries that count at tick `now`.
    pub(super) fn list(&self, entries: &FlowEntries, tables: &Tables, now: u32, wanted: &Wanted) -> FlowList {
        let host = tables.in_memory();
        let keys4 = entries.flows4.iter().map(|(id, entry)| {
            let client = IpAddr::V4(Ipv4Addr::from(id.source));
            (Key { client, client_port: id.source_port, port: id.port, scope: id.scope }, entry)
        });
        let keys6 = entries.flows6.iter().map(|(id, entry)| {
            let client = IpAddr::V6(Ipv6Addr::from(id.source));
            (Key { client, client_port: id.source_port, port: id.port, scope: id.scope }, entry)
        });
        let asked = |flow: &TrackedFlow| {
            (wanted.backend.is_none() || wanted.backend == flow.backend)
                && (wanted.service.is_none() || wanted.service == flow.service)
        };
        let flows = keys4.chain(keys6).filter_map(|(key, entry)| self.flow(&key, entry, &host, now));
        let mut flows: Vec<_> = flows.filter(asked).collect();
        flows.sort_unstable();
        let more = flows.len().saturating_sub(wanted.limit);
        flows.truncate(wanted.limit);
        FlowList { flows, more }
    }

    /// One flow; `None` where its entry counts for nothing any more.
    fn flow(&self, key: &Key, entry: &FlowEntry, tables: &HostTables, now: u32) -> Option<TrackedFlow> {
        let id = key.scope >> 8;
        if entry.fate(tables, id, now) == Fate::Over {
            return None;
        }
        let service = self.services.get(&id);
        let port = |port: [u8; 2]| Some(u16::from_be_bytes(port)).filter(|port| *port != 0);
        // Another CPU's clock may be a little ahead.
        let silent = now.wrapping_sub(entry.seen).cast_signed().max(0).cast_unsigned();
        Some(TrackedFlow {
            service: service.map(|(service, _)| service.name.clone()),
            backend: self.members.get(&entry.member).map(|(_, backend)| backend.clone()),
            member: entry.member.0,
            client: key.client,
            client_port: port(key.client_port),
            vip: service.map(|(service, _)| service.address.vip),
            port: port(key.port),
            protocol: protocol(key.scope),
            state: state(entry),
            silent_seconds: (u64::from(silent) << TICK_BITS) / 1_000_000_000,
            slot: entry.slot.wrapping_sub(service.map_or(0, |(_, first)| *first)),
        })
    }
}

/// How far the flow of an entry is.
pub(super) fn state(entry: &FlowEntry) -> FlowState {
    if entry.is_pending() {
        FlowState::Pending
    } else if entry.state == State::Closing as u32 {
        FlowState::Closing
    } else {
        FlowState::Firm
    }
}

/// The name of the protocol in a flow's scope, or its number; `None` where the flow is of all protocols.
fn protocol(scope: u32) -> Option<String> {
    let number = u8::try_from(scope & 0xff).unwrap_or_default();
    let named = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter();
    let name = |protocol: Protocol| protocol.to_string();
    let found = named.filter(|protocol| protocol.number() == number).map(name).next();
    (number != 0).then(|| found.unwrap_or_else(|| number.to_string()))
}
