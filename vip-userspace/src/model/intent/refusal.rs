//! Why a change of the intent is refused: a closed list, each with its words.

use std::{net::IpAddr, time::Duration};

use super::super::{
    BackendName, Fragments, Mac, OnDead, ServiceAddress, ServiceName,
    backend::{MAX_TAGS, MAX_VLAN},
    drain::TIMEOUTS,
    duration,
};

/// Why a change of the intent is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum Refusal {
    #[error("there is a service {0} already")]
    ServiceExists(ServiceName),
    #[error("service {new} has the address {address} of service {old}")]
    AddressTaken { new: ServiceName, old: ServiceName, address: ServiceAddress },
    #[error("service {new}: {address} overlaps {other} of service {old}")]
    AddressOverlaps { new: ServiceName, old: ServiceName, address: ServiceAddress, other: ServiceAddress },
    #[error("service {0}: any protocol has no port of its own: its port is \"*\"")]
    PortOfAnyProtocol(ServiceName),
    #[error("there is no service {0}")]
    NoService(ServiceName),
    #[error("there is a backend {0} already")]
    BackendExists(BackendName),
    #[error("backend {new} has the address {address} of backend {old}")]
    BackendAddressTaken { new: BackendName, old: BackendName, address: IpAddr },
    #[error("there is no backend {0}")]
    NoBackend(BackendName),
    #[error("backend {0} has no address")]
    NoAddress(BackendName),
    #[error("backend {0}: {1} is not the address of one machine")]
    BadBackendAddress(BackendName, IpAddr),
    #[error("backend {0}: the MAC {1} is not that of one NIC")]
    BadMac(BackendName, Mac),
    #[error("backend {0}: VLAN {1} is out of range: 1 to {max}", max = MAX_VLAN)]
    BadVlan(BackendName, u16),
    #[error("backend {0}: {1} VLAN tags are too many: a frame has {max} at most", max = MAX_TAGS)]
    TooManyTags(BackendName, usize),
    #[error("service {0}: {1} is not an address that a VIP can have")]
    BadVip(ServiceName, IpAddr),
    #[error("{address} is the VIP of service {service} and the address of backend {backend}")]
    VipIsBackend { address: IpAddr, service: ServiceName, backend: BackendName },
    #[error("backend {backend} is no member of service {service}")]
    NoMember { service: ServiceName, backend: BackendName },
    #[error("backend {backend} is a member of service {service} already")]
    MemberExists { service: ServiceName, backend: BackendName },
    #[error("backend {backend} is a member of service {service}: remove it there first")]
    BackendInUse { service: ServiceName, backend: BackendName },
    #[error("backend {0} is a member of no service")]
    NoMembership(BackendName),
    #[error(
        "service {service} has an {} VIP, but backend {backend} has no {} address: give it one (or its `mac`, and \
         the service no check)", family(.vip), family(.vip)
    )]
    WrongFamily { service: ServiceName, backend: BackendName, vip: IpAddr },
    #[error("service {service}: {what} {value} is out of range: {range}")]
    OutOfRange { service: ServiceName, what: &'static str, value: String, range: String },
    #[error("service {service}: {path:?} is no path: it starts with '/' and has no blanks")]
    BadPath { service: ServiceName, path: String },
    #[error("service {service}: {host:?} is no host name")]
    BadHost { service: ServiceName, host: String },
    #[error("service {service}: {key} {value:?}: {advice}")]
    BadSetting { service: ServiceName, key: &'static str, value: String, advice: &'static str },
    #[error(
        "service {0}: a check by script is stated in the configuration file alone: who may give commands does not \
         thereby run programs as the controller"
    )]
    ScriptByCommand(ServiceName),
    #[error("service {service}: {what} can't be checked on its own port by {probe}: give the check a `port`")]
    CheckNeedsPort { service: ServiceName, what: &'static str, probe: &'static str },
    #[error(
        "service {service}: idle {} is shorter than its window, {}: a flow would be forgotten while its slot remembers",
        duration::print(*.idle), duration::print(*.window)
    )]
    IdleTooShort { service: ServiceName, idle: Duration, window: Duration },
    #[error(
        "service {service}: on-dead {on_dead} needs a window: with {} nothing is remembered of a dead member",
        duration::print(Duration::ZERO)
    )]
    OnDeadNeedsWindow { service: ServiceName, on_dead: OnDead },
    #[error("service {0}: a panic threshold needs a check: without one nobody knows who is healthy")]
    PanicNeedsCheck(ServiceName),
    #[error(
        "service {new}: service {old} of the same VIP has fragments {fragments} already: packets without ports go to one",
        fragments = Fragments::Addresses
    )]
    TwoByAddresses { new: ServiceName, old: ServiceName },
    #[error("only a drain has a timeout: leave it out, or drain")]
    NothingToTimeOut,
    #[error(
        "a timeout of {} is out of range: {} to {}",
        duration::print(*.0), duration::print(TIMEOUTS.0), duration::print(TIMEOUTS.1)
    )]
    BadTimeout(Duration),
    #[error("no service has the VIP {0}")]
    NoVip(IpAddr),
}

fn family(vip: &IpAddr) -> &'static str {
    if vip.is_ipv4() { "IPv4" } else { "IPv6" }
}
