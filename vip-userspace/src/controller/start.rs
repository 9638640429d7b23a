//! How a controller starts: it looks at everything that could refuse it before it changes anything, adopts what is
//! pinned, and attaches.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use anyhow::Context as _;
use log::{info, warn};
use tokio::sync::mpsc;

use super::{
    Controller, Memory,
    core::adopt,
    memory::Labels,
    run::RunOptions,
};
use crate::{
    config::{self, Config},
    control::{
        protocol::{Code, Command, InterfaceStatus, Refused},
        server::{self, Request},
    },
    dataplane::{self, Dataplane as _, Mode, kernel::KernelDataplane, preflight},
    model::{Mac, NoNeighbour, World},
    net::{Links, Watcher},
    plan::{Numbers, Tables},
    ring::RingKey,
};

/// What the loop starts from.
pub(super) struct Started {
    pub(super) controller: Controller<KernelDataplane>,
    pub(super) memory: Memory,
    pub(super) wishes: Vec<Command>,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) watcher: Watcher,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) labels: Labels,
}

/// Starts a controller.
///
/// # Errors
/// Why it can't start; nothing has changed then.
pub(super) async fn start(options: &RunOptions) -> Result<Started, Refused> {
    let places = &options.places;
    let config = read_config(&options.config)?;
    preflight::check(places).map_err(|error| Refused::new(Code::Failed, error.to_string()))?;
    let links = Links::list().await.map_err(anyhow::Error::from)?;
    for interface in &config.interfaces {
        if links.by_name(interface).is_none() {
            return Err(no_interface(interface, &links));
        }
    }
    let watcher = Watcher::start().await.map_err(anyhow::Error::from)?;
    refuse_gateways(&watcher, config.intent.backends().values().flat_map(|backend| backend.addresses())).await?;

    let bound = server::bind(places)?;
    let memory = Memory::open(&places.state_dir())?;
    let key = match config.seed {
        Some(key) => key,
        None => memory.seed()?,
    };
    let (mut dataplane, adopted) = KernelDataplane::open(places, config.capacity, options.log_packets)?;
    let published = dataplane.read()?;
    let prepared = prepare(&config, &memory, &published, key).and_then(|prepared| {
        let interfaces = attach(&mut dataplane, &config, options, &links)?;
        Ok((prepared, interfaces))
    });
    let ((mut world, numbers, wishes), interfaces) = match prepared {
        Ok(prepared) => prepared,
        Err(refused) => {
            // What this start has made goes again; what an earlier one has made stays.
            if adopted.fresh {
                dataplane::detach(places)?;
            }
            return Err(refused);
        }
    };
    for interface in &interfaces {
        let link = crate::model::Link { name: interface.name.clone(), mac: interface.mac.unwrap_or(Mac([0; 6])), is_port: true };
        world.links.insert(interface.ifindex, link);
    }
    let labels = memory.labels()?.unwrap_or_default();
    let controller = Controller::new(world, numbers, key, dataplane)?;
    let (to_us, requests) = mpsc::channel(64);
    tokio::spawn(bound.serve(to_us));
    Ok(Started { controller, memory, wishes, interfaces, watcher, requests, labels })
}

/// Reads and validates the configuration; all its problems are told at once.
fn read_config(path: &Path) -> Result<Config, Refused> {
    let text = fs::read_to_string(path).map_err(|error| {
        Refused::new(Code::BadConfig, format!("can't read the configuration {}: {error}", path.display()))
    })?;
    config::parse(&text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        Refused::new(Code::BadConfig, lines.join("\n"))
    })
}

fn no_interface(name: &str, links: &Links) -> Refused {
    let others: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    Refused::new(Code::NoInterface, format!("there is no interface {name}"))
        .with_remedy(format!("set `interfaces` to some of: {}", others.join(", ")))
}

/// A backend behind a gateway can't be served by direct server return: its MAC would be the gateway's.
pub(super) async fn refuse_gateways(
    watcher: &Watcher,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), Refused> {
    for address in addresses {
        if let Err(why @ NoNeighbour::NotOnLink { .. }) = watcher.route(address).await {
            return Err(Refused::new(Code::NotOnLink, format!("backend address {address}: {why}")));
        }
    }
    Ok(())
}

/// The world to begin with: the configuration, the operator's wishes, and what the pinned tables tell.
fn prepare(
    config: &Config,
    memory: &Memory,
    published: &Tables,
    key: RingKey,
) -> Result<(World, Numbers, Vec<Command>), Refused> {
    if published.flow_key.is_some_and(|pinned| pinned != key.flow_key()) {
        let message = "the seed differs from that of the pinned tables: another seed moves all flows";
        return Err(Refused::new(Code::BadConfig, message).with_remedy("set the old seed, or `vip detach` first"));
    }
    let mut world = World { intent: config.intent.clone(), ..World::default() };
    let mut wishes = memory.wishes()?;
    wishes.retain(|wish| match super::commands::apply(&mut world.intent, wish) {
        Ok(()) => true,
        Err(refusal) => {
            warn!("{}: no longer holds: {refusal}", super::words::of_command(wish));
            false
        }
    });
    let labels = memory.labels()?.unwrap_or_default().by_id();
    let mut numbers = Numbers::adopt(config.capacity, published, &labels, &world.intent)
        .map_err(|resized| Refused::new(Code::BadConfig, resized.to_string()))?;
    numbers
        .assign(&world.intent, published)
        .map_err(|full| Refused::new(Code::TableFull, full.to_string()))?;
    adopt(&mut world, published, &labels);
    Ok((world, numbers, wishes))
}

fn attach(
    dataplane: &mut KernelDataplane,
    config: &Config,
    options: &RunOptions,
    links: &Links,
) -> Result<Vec<InterfaceStatus>, Refused> {
    let wanted = options.mode.unwrap_or(config.mode);
    let mut interfaces = Vec::new();
    for name in &config.interfaces {
        let attachment = dataplane.attach(name, wanted)?;
        let mode = attachment.mode;
        if let Some(why) = &attachment.fell_back {
            warn!("{name}: GENERIC mode, several times as dear as native: its driver refused native mode: {why}");
        }
        info!("attached to {name}: {mode}{}", if attachment.adopted { ", taking over" } else { "" });
        let mac = links.by_name(name).map(|link| link.mac);
        interfaces.push(InterfaceStatus { name: name.clone(), ifindex: attachment.ifindex, mode, mac });
    }
    Ok(interfaces)
}
