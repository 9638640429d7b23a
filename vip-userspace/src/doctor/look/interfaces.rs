//! Facts about interfaces: which ones are looked at, and what kernel and drivers tell of them.

use std::{collections::BTreeSet, fmt::Display, net::IpAddr};

use super::{
    super::facts::{Abilities, Amount, Interface, Offloads, Part, Program, Told},
    failed,
    known::Known,
};
use crate::{
    control::{Code, Refused},
    dataplane::{interface, program_name},
    model::Mac,
    net::{
        Link, Links, counters,
        ethtool::{Ethtool, Size},
        lanes,
        netdev::{XdpFeatures, xdp_features},
    },
};

/// The interfaces.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Those that are looked at.
    pub(crate) interfaces: Vec<Interface>,
    /// Those that the configuration names and that are not there.
    pub(crate) missing: Vec<String>,
    /// All that there are.
    pub(crate) links: Links,
}

/// Looks at one interface, or at all that the configuration names, or, without one, at all that could forward.
///
/// # Errors
/// The one is not there, or the kernel can't be asked.
pub(crate) async fn interfaces(known: &Known, only: Option<&str>) -> Result<Seen, Refused> {
    let links = Links::list().await.map_err(failed)?;
    let (wanted, missing) = match only {
        Some(name) => (vec![named(name, &links)?], Vec::new()),
        None => chosen(known, &links),
    };
    let vips: BTreeSet<IpAddr> = known
        .director
        .config
        .iter()
        .flat_map(|config| config.intent.services().values())
        .map(|one| one.address.vip)
        .collect();
    let mut interfaces = Vec::new();
    for link in wanted {
        interfaces.push(look_at(link, known, &vips).await);
    }
    Ok(Seen { interfaces, missing, links: links.clone() })
}

fn named<'a>(name: &str, links: &'a Links) -> Result<&'a Link, Refused> {
    links.by_name(name).ok_or_else(|| {
        let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
        Refused::new(Code::NoInterface, format!("there is no interface {name}"))
            .with_remedy(format!("name one of these: {}", names.join(", ")))
    })
}

fn chosen<'a>(known: &Known, links: &'a Links) -> (Vec<&'a Link>, Vec<String>) {
    match &known.director.config {
        Some(config) => {
            let names = || config.interfaces.iter().chain(&config.egress_interfaces);
            let missing = names().filter(|name| links.by_name(name).is_none()).cloned().collect();
            (names().filter_map(|name| links.by_name(name)).collect(), missing)
        }
        None => {
            let could = |link: &&Link| link.up && link.mac.is_some_and(Mac::is_unicast);
            (links.iter().filter(could).collect(), Vec::new())
        }
    }
}

fn part(name: &str, known: &Known) -> Part {
    let has = |names: &[String]| names.iter().any(|one| one == name);
    match &known.director.config {
        Some(config) if has(&config.interfaces) => Part::Port,
        Some(config) if has(&config.egress_interfaces) => Part::Egress,
        _ => Part::Candidate,
    }
}

async fn look_at(link: &Link, known: &Known, vips: &BTreeSet<IpAddr>) -> Interface {
    let (name, ifindex) = (link.name.clone(), link.ifindex);
    let xdp = interface::by_index(ifindex).ok().flatten().and_then(|found| found.xdp);
    let program = xdp.map(|xdp| Program {
        id: xdp.program,
        name: program_name(xdp.program),
        mode: xdp.mode,
        is_ours: known.attached.contains(&ifindex),
    });
    let (queues, ring, offloads) = from_driver(&name).await;
    Interface {
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        part: part(&name, known),
        program,
        driver: counters::driver(&name).map(|driver| driver.name).map_err(words),
        abilities: xdp_features(ifindex).await.map(|told| told.map(abilities)).map_err(words),
        queues,
        ring,
        offloads,
        is_strict: lanes::is_strict(&name),
        accepts_local: lanes::accepts_local(&name),
        missing_lane: lanes::missing(ifindex, &name, vips).await.map_err(words),
        name,
        ifindex,
    }
}

async fn from_driver(name: &str) -> (Told<Option<Amount>>, Told<Option<Amount>>, Told<Offloads>) {
    let mut ethtool = match Ethtool::connect() {
        Ok(ethtool) => ethtool,
        Err(error) => {
            let why = words(error);
            return (Err(why.clone()), Err(why.clone()), Err(why));
        }
    };
    let amount = |size: Option<Size>| size.map(|size| Amount { now: size.now, most: size.most });
    let queues = ethtool.queues(name).await.map(amount).map_err(words);
    let ring = ethtool.ring(name).await.map(amount).map_err(words);
    let features = ethtool.features(name).await.map_err(words);
    (queues, ring, features.map(|features| Offloads { on: features.on, changeable: features.changeable }))
}

fn abilities(features: XdpFeatures) -> Abilities {
    Abilities {
        basic: features.has(XdpFeatures::BASIC),
        redirect: features.has(XdpFeatures::REDIRECT),
        transmit: features.has(XdpFeatures::NDO_XMIT),
        fragments: features.has(XdpFeatures::RX_SG),
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}
