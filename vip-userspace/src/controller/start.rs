//! How a controller starts: it looks at everything that could refuse it before it changes anything, adopts what is
//! pinned, and attaches.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use log::{info, warn};
use tokio::{
    net::UnixListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    Controller, Memory, commands,
    core::adopt,
    inlet,
    memory::Labels,
    reload::tell_of_wishes,
    run::{RunOptions, failed},
    tags,
};
use crate::{
    config::{self, Config},
    control::{
        Code, Command, Desk, Herald, Limits, Refused, Request,
        protocol::{Fate, InterfaceStatus, Rules, Wish},
        server,
        socket::{self, Bound},
    },
    dataplane::{self, Attachment, Dataplane as _, DataplaneError, KernelDataplane, Mode, preflight},
    model::{AttachMode, Backend, Drains, Link, Mac, NoNeighbour, World},
    net::{Asker, Groups, Links, NetError, NetEvent, Owners, Watcher, routes},
    plan::Numbers,
    ring::RingKey,
};

/// What the loop starts from.
pub(super) struct Started {
    pub(super) controller: Controller<KernelDataplane>,
    pub(super) memory: Memory,
    pub(super) wishes: Vec<Command>,
    pub(super) config: Config,
    pub(super) key: RingKey,
    pub(super) drains: Drains,
    pub(super) interfaces: Vec<InterfaceStatus>,
    pub(super) net: Net,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) server: JoinHandle<()>,
    pub(super) herald: Herald,
    pub(super) rules: watch::Sender<Rules>,
    pub(super) labels: Labels,
    pub(super) place: Bound,
}

/// The kernel's view of the links, and what keeps it up to date.
pub(super) struct Net {
    pub(super) links: Links,
    pub(super) watcher: Watcher,
    pub(super) events: mpsc::Receiver<Result<NetEvent, NetError>>,
    pub(super) groups: Groups,
    pub(super) asker: Asker,
    pub(super) owners: mpsc::Receiver<Owners>,
}

/// Starts a controller.
///
/// # Errors
/// Why it can't start; nothing has changed then.
pub(super) async fn start(options: &RunOptions) -> Result<Started, Refused> {
    let mut config = read_config(&options.config)?;
    let mode = options.mode.unwrap_or(config.mode);
    config.mode = mode;
    let (links, listener, place, rules) = look_first(options, &config, mode).await?;

    let memory = Memory::open(&options.places.state_dir()).map_err(failed)?;
    let key = config.seed.map_or_else(|| memory.seed(), Ok).map_err(failed)?;
    let mut labels = memory.labels().map_err(failed)?.unwrap_or_default();
    let took_tags = labels.took_tags.clone();
    let drains = memory.drains().map_err(failed)?;
    let (mut dataplane, adopted) =
        KernelDataplane::open(&options.places, config.capacity, options.log_packets).map_err(refused)?;
    for attached in &adopted.interfaces {
        let name = attached.name.as_deref().unwrap_or("an interface that is not seen here");
        info!("found forwarding on {name}");
    }
    let known = if options.reset { Vec::new() } else { memory.wishes().map_err(failed)? };
    let prepared = prepare(&config, known, &labels, &dataplane, key).and_then(|prepared| {
        tags::leave(&memory, &mut labels, &ports(&config, &links), &links, &config.intent)?;
        let (interfaces, mut keep) = attach(&mut dataplane, &config, mode, &links, &[])?;
        keep.extend(inlet::found(&options.places.instance, &links).filter(|_| config.local_clients));
        release(&mut dataplane, &keep)?;
        Ok((prepared, interfaces))
    });
    let (Prepared { mut world, numbers, wishes, told }, interfaces) = match prepared {
        Ok(prepared) => prepared,
        Err(refused) => {
            dataplane.undo().map_err(failed)?;
            tags::restore(&memory, &mut labels, &took_tags, &links);
            return Err(refused);
        }
    };
    tell_of_wishes(&told);
    if options.reset || told.iter().any(|wish| wish.fate != Fate::Holds) {
        memory.keep_wishes(&wishes).map_err(failed)?;
    }
    world.links = ways_out(&config, &interfaces, &links);
    if options.log_packets {
        let packets = dataplane.packet_log(|line| info!("packet {line}")).map_err(failed)?;
        tokio::spawn(packets.run());
    }
    let controller = Controller::new(world, numbers, key, dataplane).map_err(failed)?;
    let (to_us, requests) = mpsc::channel(64);
    let (rules, watched) = watch::channel(rules);
    let (herald, listening) = Herald::new();
    let desk = Desk::new(to_us, listening, watched, Limits::default());
    let server = tokio::spawn(server::serve(listener, desk));
    let (watcher, net_events) = Watcher::start().map_err(failed)?;
    let groups = Groups::new().map_err(failed)?;
    let (asker, owners) = Asker::start().map_err(failed)?;
    let net = Net { links, watcher, events: net_events, groups, asker, owners };
    Ok(Started {
        controller,
        memory,
        wishes,
        drains,
        config,
        key,
        interfaces,
        net,
        requests,
        server,
        herald,
        rules,
        labels,
        place,
    })
}

/// The interfaces that backends may be reached by, by index.
fn ways_out(config: &Config, ports: &[InterfaceStatus], links: &Links) -> BTreeMap<u32, Link> {
    let link = |name: &str, mac: Option<Mac>, is_port| Link {
        name: name.to_owned(),
        mac: mac.unwrap_or(Mac([0; 6])),
        is_port,
        is_egress: !is_port,
        is_inlet: false,
        is_up: true,
    };
    let ports = ports.iter().map(|port| (port.ifindex, link(&port.name, port.mac, true)));
    let egresses = config.egress_interfaces.iter().filter_map(|name| links.by_name(name));
    ports.chain(egresses.map(|egress| (egress.ifindex, link(&egress.name, egress.mac, false)))).collect()
}

/// Meets all that could refuse a start before anything is changed, and takes the controller's place.
async fn look_first(
    options: &RunOptions,
    config: &Config,
    mode: AttachMode,
) -> Result<(Links, UnixListener, Bound, Rules), Refused> {
    preflight::check(&options.places).map_err(failed)?;
    let links = Links::list().await.map_err(failed)?;
    refuse_missing(config, &links)?;
    refuse_gateways(config.intent.backends().values().flat_map(Backend::addresses)).await?;
    let (listener, place) = socket::bind(&options.places, &options.socket)?;
    let rules = place.permit(&config.access)?;
    let named = config.interfaces.iter().chain(&config.egress_interfaces);
    let wanted: Vec<_> = named.map(|name| (name.as_str(), mode)).collect();
    dataplane::check(&options.places, config.capacity, &wanted).map_err(refused)?;
    Ok((links, listener, place, rules))
}

/// A refusal of the dataplane, with a code for programs.
pub(super) fn refused(error: DataplaneError) -> Refused {
    let code = match &error {
        DataplaneError::NoInterface(_) => Code::NoInterface,
        DataplaneError::OtherProgram { .. } => Code::InterfaceTaken,
        _ => Code::Kernel,
    };
    Refused { code, ..failed(error) }
}

/// Reads and validates a configuration file; all its problems are told at once.
///
/// # Errors
/// The file can't be read, or is no valid configuration.
pub fn read_config(path: &Path) -> Result<Config, Refused> {
    let text = fs::read_to_string(path).map_err(|error| {
        Refused::new(Code::BadConfig, format!("can't read the configuration {}: {error}", path.display()))
    })?;
    parse_config(&text, path)
}

/// Validates the text of a configuration, which is that of the file at `path`.
pub(super) fn parse_config(text: &str, path: &Path) -> Result<Config, Refused> {
    config::parse(text).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        Refused::new(Code::BadConfig, lines.join("\n"))
    })
}

/// All interfaces that a configuration names must be there.
pub(super) fn refuse_missing(config: &Config, links: &Links) -> Result<(), Refused> {
    let mut named = config.interfaces.iter().chain(&config.egress_interfaces);
    match named.find(|name| links.by_name(name).is_none()) {
        Some(missing) => Err(no_interface(missing, links)),
        None => Ok(()),
    }
}

fn no_interface(name: &str, links: &Links) -> Refused {
    let others: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    Refused::new(Code::NoInterface, format!("there is no interface {name}"))
        .with_remedy(format!("set `interfaces` and `egress-interfaces` to some of: {}", others.join(", ")))
}

/// A backend behind a gateway can't be served by direct server return: its MAC would be the gateway's.
pub(super) async fn refuse_gateways(addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Refused> {
    for (address, route) in routes(addresses).await.map_err(failed)? {
        if let Err(why @ NoNeighbour::NotOnLink { .. }) = route {
            return Err(Refused::new(Code::NotOnLink, format!("backend address {address}: {why}")));
        }
    }
    Ok(())
}

/// What the loop begins with.
struct Prepared {
    world: World,
    numbers: Numbers,
    wishes: Vec<Command>,
    told: Vec<Wish>,
}

/// The configuration, the operator's wishes, and what the pinned tables tell.
fn prepare(
    config: &Config,
    known: Vec<Command>,
    labels: &Labels,
    dataplane: &KernelDataplane,
    key: RingKey,
) -> Result<Prepared, Refused> {
    let published = dataplane.read().map_err(failed)?;
    if published.flow_key.is_some_and(|pinned| pinned != key.flow_key()) {
        let message = "the seed differs from that of the pinned tables: another seed moves all flows";
        return Err(
            Refused::new(Code::BadConfig, message).with_remedy("set the old seed, or `vip detach` first")
        );
    }
    let mut world = World {
        intent: config.intent.clone().into(),
        peers: config.peers.clone(),
        virtual_router: config.virtual_router,
        ..World::default()
    };
    let (wishes, told) = commands::lay_over(&mut world.intent, known);
    let labels = labels.by_id();
    let mut numbers = Numbers::adopt(config.capacity, &published, &labels, &world.intent)
        .map_err(|resized| Refused::new(Code::BadConfig, resized.to_string()))?;
    numbers
        .assign(&world.intent, &published)
        .map_err(|full| Refused::new(Code::TableFull, full.to_string()))?;
    adopt(&mut world, &published, &labels);
    Ok(Prepared { world, numbers, wishes, told })
}

/// Attaches the program to an interface, and says how, unless it is `known` to be attached.
fn attach_one(
    dataplane: &mut KernelDataplane,
    name: &str,
    mode: AttachMode,
    known: &[u32],
) -> Result<Attachment, DataplaneError> {
    let attachment = dataplane.attach(name, mode)?;
    if known.contains(&attachment.ifindex) {
        return Ok(attachment);
    }
    if let Some(why) = &attachment.fell_back {
        warn!("{name}: GENERIC mode, several times as dear as native: its driver refused native mode: {why}");
    }
    let how = if attachment.adopted { ", in place of the program that was there" } else { "" };
    info!("attached to {name}: {} mode{how}", attachment.mode);
    Ok(attachment)
}

/// The links of a configuration's ports.
pub(super) fn ports<'a>(config: &Config, links: &'a Links) -> Vec<&'a crate::net::Link> {
    config.interfaces.iter().filter_map(|name| links.by_name(name)).collect()
}

/// Attaches to all interfaces of a configuration; those that are attached stay so. Returns the ports, and the indices of
/// all. Of those with the indices `known` nothing is logged.
pub(super) fn attach(
    dataplane: &mut KernelDataplane,
    config: &Config,
    mode: AttachMode,
    links: &Links,
    known: &[u32],
) -> Result<(Vec<InterfaceStatus>, Vec<u32>), Refused> {
    let (mut interfaces, mut keep) = (Vec::new(), Vec::new());
    for name in &config.interfaces {
        let attachment = attach_one(dataplane, name, mode, known).map_err(refused)?;
        keep.push(attachment.ifindex);
        let mac = links.by_name(name).and_then(|link| link.mac);
        interfaces.push(InterfaceStatus {
            name: name.clone(),
            ifindex: attachment.ifindex,
            mode: attachment.mode,
            mac,
        });
    }
    let natively = |port: &&InterfaceStatus| port.mode == Mode::Native;
    let native = interfaces.iter().find(natively).map(|port| port.name.clone());
    if let (Some(native), Some(generic)) = (&native, interfaces.iter().find(|port| !natively(port))) {
        warn!(
            "{}: what {native} takes in natively may be lost where it leads; with mode = \"generic\" it is not",
            generic.name
        );
    }
    // To a way out as well: a driver makes room for redirected frames only while a program is attached. It passes all that
    // comes in there, which is no port. What comes in natively leaves natively, or is lost without a word.
    for name in &config.egress_interfaces {
        let mode = if native.is_some() { AttachMode::Native } else { mode };
        let attachment = attach_one(dataplane, name, mode, known).map_err(|error| match &native {
            Some(native) => refused(error).with_remedy(format!(
                "{native} is attached natively, and what it takes in could not leave by {name}: \
                 set mode = \"generic\", or reach the backends by another interface"
            )),
            None => refused(error),
        })?;
        keep.push(attachment.ifindex);
    }
    Ok((interfaces, keep))
}

/// Detaches from all interfaces but those with the indices `keep`.
pub(super) fn release(dataplane: &mut KernelDataplane, keep: &[u32]) -> Result<(), Refused> {
    for other in dataplane.release_others(keep).map_err(refused)? {
        let name = other.name.unwrap_or_else(|| format!("interface {}", other.ifindex));
        info!("detached from {name}: the configuration does not name it");
    }
    Ok(())
}
