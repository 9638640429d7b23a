//! Facts about VIPs and backends: where the kernel has them, and who says on the wire that they are his.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    super::facts::{Backend, Interface, Part, Vip, Way, Who},
    failed,
    interfaces::Seen,
    known::Known,
};
use crate::{
    config::Config,
    control::Refused,
    model::{BackendName, Mac, NoNeighbour, Target},
    net::{
        self,
        claims::{Claims, by_arp, by_solicitation},
        counters,
    },
};

/// First bytes of the MACs of a virtual router, for IPv4 and IPv6 (RFC 9568, section 7.3).
const VIRTUAL_ROUTER: [[u8; 5]; 2] = [[0, 0, 0x5e, 0, 1], [0, 0, 0x5e, 0, 2]];

/// Asks the kernel and the links about VIPs and backends.
///
/// # Errors
/// The kernel can't be asked.
pub(crate) async fn on_wire(known: &Known, seen: &Seen) -> Result<(Vec<Vip>, Vec<Backend>), Refused> {
    let Some(config) = &known.director.config else { return Ok((Vec::new(), Vec::new())) };
    let backends = backends(config, seen).await?;
    let mut vips = vips(config, seen).await?;
    let wanted =
        vips.iter().map(|vip| vip.address).chain(backends.iter().map(|backend| backend.address)).collect();
    let on_links: Vec<_> = seen.interfaces.iter().filter(|one| one.part != Part::Egress && one.up).collect();
    let asked = futures_util::future::join_all(on_links.iter().map(|one| ask(one, seen, &wanted))).await;
    let mut people = people(config, known);
    let claims = || asked.iter().flat_map(|answers| answers.claims.iter());
    for (address, macs) in claims() {
        for backend in backends.iter().filter(|backend| backend.address == *address) {
            let who = of_backend(config, &backend.name);
            people.extend(macs.iter().map(|mac| (*mac, who.clone())));
        }
    }
    let own: BTreeSet<Mac> = seen.links.iter().filter_map(|link| link.mac).collect();
    for vip in &mut vips {
        for (interface, answers) in on_links.iter().zip(&asked) {
            if let Some(why) = answers.refused(vip.address) {
                vip.unasked.insert(interface.name.clone(), why.clone());
                continue;
            }
            let macs =
                answers.claims.get(&vip.address).into_iter().flatten().filter(|mac| !own.contains(mac));
            let owners = macs.map(|mac| (*mac, people.get(mac).cloned().unwrap_or(Who::Stranger))).collect();
            vip.owners.insert(interface.name.clone(), owners);
        }
    }
    Ok((vips, backends))
}

async fn backends(config: &Config, seen: &Seen) -> Result<Vec<Backend>, Refused> {
    let all = config.intent.backends().values();
    let routes = net::routes(all.clone().flat_map(crate::model::Backend::addresses)).await.map_err(failed)?;
    let facts = all.flat_map(|backend| {
        let vips: BTreeSet<_> =
            config.intent.services_of(&backend.name).map(|service| service.address.vip).collect();
        let tags = backend.vlans.as_ref().map_or(0, Vec::len);
        let (routes, seen) = (&routes, &seen.links);
        backend.addresses().map(move |address| Backend {
            name: backend.name.clone(),
            address,
            vips: vips.clone(),
            way: match routes.get(&address) {
                Some(Ok(net::Way::Here)) => Ok(Way::Here),
                Some(Ok(net::Way::Out(ifindex))) => Ok(Way::Out(seen.name_of(*ifindex))),
                Some(Err(why)) => Err(why.clone()),
                None => Err(NoNeighbour::NoRoute),
            },
            tags: u32::try_from(tags).unwrap_or_default(),
        })
    });
    Ok(facts.collect())
}

async fn vips(config: &Config, seen: &Seen) -> Result<Vec<Vip>, Refused> {
    let services = config.intent.services().values();
    let addresses: BTreeSet<IpAddr> = services.clone().map(|service| service.address.vip).collect();
    let routes = net::routes(addresses.iter().copied()).await.map_err(failed)?;
    let here = counters::addresses_of_links().await.map_err(failed)?;
    let facts = addresses.into_iter().map(|address| Vip {
        address,
        role: config.intent.vip(address).role,
        local: here
            .iter()
            .filter(|(_, local)| *local == address)
            .map(|(link, _)| seen.links.name_of(*link))
            .collect(),
        route: match routes.get(&address) {
            Some(Ok(net::Way::Out(ifindex))) => Some(*ifindex),
            _ => None,
        },
        is_probed: services.clone().any(|service| {
            let probed = service.check.as_ref().is_some_and(|check| check.target == Target::Vip);
            service.address.vip == address && probed
        }),
        owners: BTreeMap::new(),
        unasked: BTreeMap::new(),
    });
    Ok(facts.collect())
}

/// What a link answered.
struct Answers {
    claims: Claims,
    refused4: Option<String>,
    refused6: Option<String>,
}

impl Answers {
    fn refused(&self, address: IpAddr) -> Option<&String> {
        if address.is_ipv4() { self.refused4.as_ref() } else { self.refused6.as_ref() }
    }
}

async fn ask(interface: &Interface, seen: &Seen, addresses: &BTreeSet<IpAddr>) -> Answers {
    let (mut four, mut six) = (BTreeSet::<Ipv4Addr>::new(), BTreeSet::<Ipv6Addr>::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => four.insert(*address),
            IpAddr::V6(address) => six.insert(*address),
        };
    }
    let Some(link) = seen.links.by_index(interface.ifindex) else {
        let why = Some("it is gone".to_owned());
        return Answers { claims: Claims::new(), refused4: why.clone(), refused6: why };
    };
    let (four, six) = tokio::join!(by_arp(link, &four), by_solicitation(link, &six));
    let split = |asked: io::Result<Claims>| match asked {
        Ok(claims) => (claims, None),
        Err(error) => (Claims::new(), Some(error.to_string())),
    };
    let ((mut claims, refused4), (claims6, refused6)) = (split(four), split(six));
    claims.extend(claims6);
    Answers { claims, refused4, refused6 }
}

/// Who has which MAC, before the links are asked.
fn people(config: &Config, known: &Known) -> BTreeMap<Mac, Who> {
    let mut people: BTreeMap<Mac, Who> =
        known.macs.iter().map(|(mac, name)| (*mac, of_backend(config, name))).collect();
    for backend in config.intent.backends().values() {
        people.extend(backend.mac.map(|mac| (mac, of_backend(config, &backend.name))));
    }
    people.extend(config.peers.iter().map(|mac| (*mac, Who::Director)));
    if let Some(id) = config.virtual_router {
        let mac = |[a, b, c, d, e]: [u8; 5]| Mac([a, b, c, d, e, id]);
        people.extend(VIRTUAL_ROUTER.map(|start| (mac(start), Who::Director)));
    }
    people
}

/// A backend that is a director as well answers as one.
fn of_backend(config: &Config, name: &BackendName) -> Who {
    match config.intent.backends().get(name) {
        Some(backend) if backend.director => Who::Director,
        _ => Who::Backend(name.clone()),
    }
}
