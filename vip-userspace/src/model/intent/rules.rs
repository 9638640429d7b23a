//! What one service or one backend must be by itself.

use std::{net::IpAddr, time::Duration};

use super::{
    super::{
        Affinity, Backend, OnDead, Ports, Protocol, Service, ServiceName,
        backend::{MAX_TAGS, MAX_VLAN},
        duration,
        service::{MAX_QUORUM, MAX_SLOTS, MAX_SLOW_START, MAX_WINDOW, MIN_SLOW_START},
    },
    Refusal,
    checks::check,
};

/// What a backend must be, whatever others there are.
pub(super) fn backend(backend: &Backend) -> Result<(), Refusal> {
    let name = || backend.name.clone();
    if backend.addresses().next().is_none() {
        return Err(Refusal::NoAddress(name()));
    }
    if let Some(address) = backend.addresses().find(|address| !is_one_machine(*address)) {
        return Err(Refusal::BadBackendAddress(name(), address));
    }
    if let Some(mac) = backend.mac.filter(|mac| !mac.is_unicast()) {
        return Err(Refusal::BadMac(name(), mac));
    }
    let vlans = backend.vlans.as_deref().unwrap_or_default();
    if vlans.len() > MAX_TAGS {
        return Err(Refusal::TooManyTags(name(), vlans.len()));
    }
    match vlans.iter().find(|vlan| !(1..=MAX_VLAN).contains(*vlan)) {
        Some(vlan) => Err(Refusal::BadVlan(name(), *vlan)),
        None => Ok(()),
    }
}

/// What a service must be, whatever others there are.
pub(super) fn service(service: &Service) -> Result<(), Refusal> {
    let name = &service.name;
    if !is_one_machine(service.address.vip) {
        return Err(Refusal::BadVip(name.clone(), service.address.vip));
    }
    ports(service)?;
    within(name, "slots", service.slots, 1, MAX_SLOTS)?;
    if let Affinity::Source { ipv4_prefix, ipv6_prefix } = service.affinity {
        within(name, "IPv4 affinity prefix", ipv4_prefix.into(), 1, 32)?;
        within(name, "IPv6 affinity prefix", ipv6_prefix.into(), 1, 128)?;
    }
    times(service)?;
    standing(service)?;
    service.check.as_ref().map_or(Ok(()), |its| check(service, its))
}

fn ports(service: &Service) -> Result<(), Refusal> {
    let (name, largest) = (&service.name, u32::from(u16::MAX));
    if service.address.protocol == Protocol::Any && service.address.ports != Ports::Any {
        return Err(Refusal::PortOfAnyProtocol(name.clone()));
    }
    let (first, last) = service.address.ports.bounds();
    within(name, "port", first.into(), 1, largest)?;
    match service.address.ports {
        Ports::Range(..) => {
            within(name, "last port", last.into(), u32::from(first).saturating_add(1), largest)
        }
        Ports::One(_) | Ports::Any => Ok(()),
    }
}

fn times(service: &Service) -> Result<(), Refusal> {
    let (name, window, idle) = (&service.name, service.window(), service.idle());
    within_time(name, "window", window, Duration::ZERO, MAX_WINDOW)?;
    if idle < window {
        return Err(Refusal::IdleTooShort { service: name.clone(), idle, window });
    }
    within_time(name, "idle", idle, Duration::ZERO, MAX_WINDOW)?;
    if window.is_zero() && service.on_dead != OnDead::Move {
        return Err(Refusal::OnDeadNeedsWindow { service: name.clone(), on_dead: service.on_dead });
    }
    Ok(())
}

/// Who is eligible, and for how much.
fn standing(service: &Service) -> Result<(), Refusal> {
    let name = &service.name;
    within(name, "quorum", service.quorum, 1, MAX_QUORUM)?;
    within(name, "quorum hysteresis", service.quorum_hysteresis, 0, MAX_QUORUM)?;
    if let Some(over) = service.slow_start {
        within_time(name, "slow-start", over, MIN_SLOW_START, MAX_SLOW_START)?;
    }
    match service.panic_threshold {
        Some(_) if service.check.is_none() => Err(Refusal::PanicNeedsCheck(name.clone())),
        Some(threshold) => within(name, "panic threshold", threshold, 1, 100),
        None => Ok(()),
    }
}

pub(super) fn within(
    service: &ServiceName,
    what: &'static str,
    value: u32,
    low: u32,
    high: u32,
) -> Result<(), Refusal> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let (value, range) = (value.to_string(), format!("{low} to {high}"));
    Err(Refusal::OutOfRange { service: service.clone(), what, value, range })
}

pub(super) fn within_time(
    service: &ServiceName,
    what: &'static str,
    value: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), Refusal> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let (value, range) =
        (duration::print(value), format!("{} to {}", duration::print(low), duration::print(high)));
    Err(Refusal::OutOfRange { service: service.clone(), what, value, range })
}

/// An address that one machine can have, and packets can bear: no group, no broadcast, not unspecified, not the
/// machine's own loopback, no IPv4 address in the clothes of an IPv6 one (RFC 4291, section 2.5.5.2).
pub(super) fn is_one_machine(address: IpAddr) -> bool {
    let unfit = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !(unfit || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}
