//! What the wire says: to which backend the director sent each connection, and which way the answers took. It believes
//! neither the director nor the servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use anyhow::Result;

use crate::{
    load::Request,
    net::{Seen, Tap, Topology},
};

/// Somebody who listens on the switch.
#[derive(Debug)]
pub struct Witness {
    tap: Tap,
    director: [u8; 6],
    /// Addresses of the director.
    own: [IpAddr; 2],
    backends: BTreeMap<[u8; 6], String>,
}

/// A SYN that the director sent on.
#[derive(Debug)]
struct Opening {
    at: Instant,
    to_mac: [u8; 6],
}

/// What was seen up to a moment.
#[derive(Debug)]
pub struct Testimony<'a> {
    backends: &'a BTreeMap<[u8; 6], String>,
    /// SYNs that the director sent on, by VIP and source port.
    openings: BTreeMap<(IpAddr, u16), Vec<Opening>>,
    /// SYNs that the director was sent, by VIP and source port.
    asked: BTreeMap<(IpAddr, u16), usize>,
    /// Connections whose acceptance went from a backend to the client.
    pub straight: usize,
    /// Frames from a VIP that the director sent or was sent.
    pub by_director: usize,
}

impl Witness {
    /// Listens from now on.
    ///
    /// # Errors
    /// The switch can't be listened on.
    pub fn listen(topology: &Topology) -> Result<Self> {
        let (director, vips) = (topology.director.mac, topology.vips.clone());
        let tap = Tap::start(topology.switch(), move |seen| {
            let opening = seen.opens() && vips.contains(&seen.to);
            let detour = seen.from_mac == director || seen.to_mac == director;
            opening || vips.contains(&seen.from) && (seen.accepts() || detour)
        })?;
        let backends = topology.backends.iter().map(|host| (host.mac, host.name.clone())).collect();
        let own = [topology.director.address4.into(), topology.director.address6.into()];
        Ok(Self { tap, director, own, backends })
    }

    /// What was seen before this call.
    ///
    /// # Errors
    /// There is too much to be seen.
    pub fn testimony(&self) -> Result<Testimony<'_>> {
        let mut openings: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut accepted = BTreeSet::new();
        let (mut asked, mut by_director) = (BTreeMap::new(), 0);
        for seen in self.tap.seen()? {
            let Seen { at, from_mac, to_mac, from, to, from_port, to_port, .. } = seen;
            // The director's probes go to the VIPs, too.
            if self.own.contains(&from) || self.own.contains(&to) {
                continue;
            }
            if seen.opens() && to_mac == self.director {
                *asked.entry((to, from_port)).or_default() += 1;
            } else if seen.opens() && from_mac == self.director {
                openings.entry((to, from_port)).or_default().push(Opening { at, to_mac });
            } else if from_mac == self.director || to_mac == self.director {
                by_director += 1;
            } else if self.backends.contains_key(&from_mac) {
                accepted.insert((from, to_port, seen.sequence));
            }
        }
        Ok(Testimony { backends: &self.backends, openings, asked, straight: accepted.len(), by_director })
    }
}

impl Testimony<'_> {
    /// VIPs and source ports of which the director sent fewer SYNs on than it was sent: those were lost in it. Each frame is
    /// seen twice, where it enters the switch and where it leaves that.
    #[must_use]
    pub fn lost(&self) -> Vec<(IpAddr, u16)> {
        let sent_on = |ends| self.openings.get(ends).map_or(0, Vec::len);
        self.asked.iter().filter(|(ends, asked)| sent_on(ends) < **asked).map(|(ends, _)| *ends).collect()
    }

    /// The backend that a request's SYN was sent to; none if the director sent it to none.
    #[must_use]
    pub fn owner(&self, request: &Request) -> Option<&str> {
        let openings = self.openings.get(&(request.server.ip(), request.port))?;
        // Ports are used again.
        let opening = openings.iter().find(|opening| opening.at >= request.started)?;
        self.backends.get(&opening.to_mac).map(String::as_str)
    }
}
