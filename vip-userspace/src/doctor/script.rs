//! The script that an operator runs on a backend: it looks whether the machine takes packets for the VIPs without answering
//! for them, and mends that if asked to. Pure: what stands in it are addresses and numbers, which need no quotes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::model::{Intent, Ports, Protocol};

/// What is asked of a backend.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Demands {
    /// The VIPs that it holds.
    pub vips: BTreeSet<IpAddr>,
    /// Addresses of backends: the interface that has one of them is the one that requests come in by.
    pub addresses: BTreeSet<IpAddr>,
    /// Where its programs listen: for each VIP, protocols and ports.
    pub ports: BTreeMap<IpAddr, BTreeSet<(Protocol, u16)>>,
}

impl Demands {
    /// What services ask of their backends, those of `vips` alone if that has any.
    #[must_use]
    pub fn of(intent: &Intent, vips: &BTreeSet<IpAddr>) -> Self {
        let mut demands = Self { vips: vips.clone(), ..Self::default() };
        for backend in intent.backends().values() {
            demands.addresses.extend(backend.addresses());
        }
        for service in intent.services().values() {
            let address = service.address;
            if !vips.is_empty() && !vips.contains(&address.vip) {
                continue;
            }
            demands.vips.insert(address.vip);
            // Where there are many, nobody listens on each of them.
            if let Ports::One(port) = address.ports
                && matches!(address.protocol, Protocol::Tcp | Protocol::Udp)
            {
                demands.ports.entry(address.vip).or_default().insert((address.protocol, port));
            }
        }
        demands
    }
}

/// The script, for any POSIX shell on a machine with iproute2.
#[must_use]
pub fn script(demands: &Demands) -> String {
    let words = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(" ");
    let of_family = |all: &BTreeSet<IpAddr>, ipv4: bool| {
        words(&mut all.iter().filter(|address| address.is_ipv4() == ipv4).map(ToString::to_string))
    };
    let ports = demands.ports.iter().flat_map(|(vip, ports)| {
        // In the way of `ss`: IPv6 addresses in brackets.
        let host = if vip.is_ipv4() { vip.to_string() } else { format!("[{vip}]") };
        ports.iter().map(move |(protocol, port)| format!("{protocol}/{host}:{port}"))
    });
    include_str!("backend.sh")
        .replace("@VIPS4@", &of_family(&demands.vips, true))
        .replace("@VIPS6@", &of_family(&demands.vips, false))
        .replace("@ADDRESSES4@", &of_family(&demands.addresses, true))
        .replace("@ADDRESSES6@", &of_family(&demands.addresses, false))
        .replace("@LISTENS@", &words(&mut ports.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const CONFIG: &str = r#"
interfaces = ["eth0"]
[service.web]
vip = "10.200.0.1"
port = 80
members = ["b1"]
[service.dns]
vip = "fd00:200::1"
port = 53
protocol = "udp"
members = ["b1"]
[service.media]
vip = "10.200.0.2"
port = "5000-5999"
protocol = "udp"
members = ["b1"]
[backend.b1]
address = ["10.0.0.11", "fd00::11"]
"#;

    #[test]
    fn a_script_has_vips_addresses_and_ports_of_services() {
        let intent = config::parse(CONFIG).expect("a configuration").intent;
        let all = script(&Demands::of(&intent, &BTreeSet::new()));
        for line in [
            "vips4=\"10.200.0.1 10.200.0.2\"\n",
            "vips6=\"fd00:200::1\"\n",
            "addresses4=\"10.0.0.11\"\n",
            "addresses6=\"fd00::11\"\n",
            "listens=\"tcp/10.200.0.1:80 udp/[fd00:200::1]:53\"\n",
        ] {
            assert!(all.contains(line), "{line}");
        }
        assert!(!all.contains('@') || !all.contains("@VIPS"), "all places are filled");
        assert!(all.starts_with("#!/bin/sh\n"));
    }

    #[test]
    fn a_script_for_some_vips_knows_no_others() {
        let intent = config::parse(CONFIG).expect("a configuration").intent;
        let stated = |vip: &str| Demands::of(&intent, &[vip.parse().expect("an address")].into());
        let some = script(&stated("10.200.0.2"));
        assert!(some.contains("vips4=\"10.200.0.2\"\nvips6=\"\"\n") && some.contains("listens=\"\"\n"));
        assert!(
            script(&stated("192.0.2.9")).contains("vips4=\"192.0.2.9\"\n"),
            "one that no service has yet"
        );
        assert_eq!(Demands::of(&Intent::default(), &BTreeSet::new()), Demands::default());
    }
}
