//! A configuration that is read again: what it changes, what refuses it, and how it takes effect. Whatever refuses it does
//! so before anything has changed.

use std::{collections::BTreeSet, path::Path};

use log::{info, warn};

use super::{
    commands,
    differences::differences,
    run::{Loop, failed},
    start::{self, parse_config, read_config},
    tags, words,
};
use crate::{
    config::{self, Config},
    control::{
        Code, Command, Refused,
        protocol::{Caller, DiffRequest, Differences, Fate, Wish},
        socket,
    },
    dataplane::{self, KernelDataplane},
    model::{Backend, Intent, Link, Mac, World},
    net::Links,
    ring::RingKey,
};

/// A configuration that could take the place of the one that runs.
struct Next {
    /// With the wishes laid over its intent.
    config: Config,
    /// The secret; `None` to have one made.
    key: Option<RingKey>,
    wishes: Vec<Command>,
    differences: Differences,
}

impl Loop {
    /// Reads the file again and makes what runs what it says.
    ///
    /// # Errors
    /// Why that can't be; nothing has changed then.
    pub(super) async fn reload(
        &mut self,
        force: bool,
        reset: bool,
        by: Option<Caller>,
    ) -> Result<Differences, Refused> {
        let config = read_config(&self.options.config)?;
        let next = self.next(config, reset)?;
        let links = self.refuse(&next).await?;
        if next.differences.moves_flows && !force {
            return Err(moves_flows(&next.differences));
        }
        let differences = next.differences.clone();
        self.take(next, links)?;
        tell_of_wishes(&differences.wishes);
        self.tell_of_reload(&differences, by);
        Ok(differences)
    }

    /// The same on a signal: nobody waits for an answer, so it is logged.
    pub(super) async fn reload_on_signal(&mut self) {
        info!("SIGHUP: reading {} again", self.options.config.display());
        if let Err(refused) = self.reload(false, false, None).await {
            let remedy = refused.remedy.map_or_else(String::new, |remedy| format!(": {remedy}"));
            warn!("reload: refused, and nothing has changed: {}{remedy}", refused.message);
        }
    }

    /// What a reload would change.
    ///
    /// # Errors
    /// What would refuse it, but for `--force`.
    pub(super) async fn diff(&self, request: &DiffRequest) -> Result<Differences, Refused> {
        let config = match &request.config {
            Some(text) => {
                parse_config(text, Path::new(request.file.as_deref().unwrap_or("the configuration")))?
            }
            None => read_config(&self.options.config)?,
        };
        let next = self.next(config, request.reset)?;
        self.refuse(&next).await?;
        Ok(next.differences)
    }

    /// What runs, as the text of a configuration.
    pub(super) fn config_text(&self) -> String {
        config::write(&self.running())
    }

    /// The configuration that runs, with the wishes laid over it.
    fn running(&self) -> Config {
        Config { intent: Intent::clone(&self.controller.world().intent), ..self.config.clone() }
    }

    fn next(&self, mut config: Config, reset: bool) -> Result<Next, Refused> {
        let key = match config.seed {
            Some(seed) => Some(seed),
            None => self.memory.known_seed().map_err(failed)?,
        };
        if let Some(mode) = self.options.mode {
            config.mode = mode;
        }
        let (wishes, told) = if reset {
            let dropped = |wish| Wish { wish: words::of_wish(wish), fate: Fate::Dropped, why: None };
            (Vec::new(), self.wishes.iter().map(dropped).collect())
        } else {
            commands::lay_over(&mut config.intent, self.wishes.clone())
        };
        let changes = differences(&self.running(), &config, key != Some(self.key));
        let moves_flows = changes.iter().any(|change| change.moves_flows);
        Ok(Next { config, key, wishes, differences: Differences { changes, wishes: told, moves_flows } })
    }

    /// Meets all that could refuse it, and returns the interfaces that there are. Changes nothing.
    async fn refuse(&self, next: &Next) -> Result<Links, Refused> {
        let config = &next.config;
        let (ours, theirs) = (self.config.capacity, config.capacity);
        if ours != theirs {
            let message =
                format!("the tables are made for {ours}, and the file says {theirs}: that is fixed");
            return Err(Refused::new(Code::Fixed, message).with_remedy(
                "leave [capacity] as it was; or `vip detach` (forwarding stops) and `vip run` make other tables",
            ));
        }
        socket::group(&config.access)?;
        // Nobody tells of an interface that was none of ours.
        let links = Links::list().await.map_err(failed)?;
        start::refuse_missing(config, &links)?;
        let named = config.interfaces.iter().chain(&config.egress_interfaces);
        let wanted: Vec<_> = named.map(|name| (name.as_str(), config.mode)).collect();
        dataplane::check(&self.places, config.capacity, &wanted).map_err(start::refused)?;
        start::refuse_gateways(config.intent.backends().values().flat_map(Backend::addresses)).await?;
        let mut numbers = self.controller.numbers().clone();
        let full = |full: crate::plan::Full| Refused::new(Code::TableFull, full.to_string());
        numbers.assign(&config.intent, self.controller.published()).map_err(full)?;
        Ok(links)
    }

    /// An interface is there that the configuration names, and that is attached to no more, or not yet: it was removed and made
    /// again, or another one has got its name.
    pub(super) async fn attach_again(&mut self, name: &str) {
        let config = self.running();
        let result = match Links::list().await.map_err(failed) {
            Ok(links) => {
                let mut there = config.clone();
                there.interfaces.retain(|name| links.by_name(name).is_some());
                there.egress_interfaces.retain(|name| links.by_name(name).is_some());
                let differences = Differences { changes: Vec::new(), wishes: Vec::new(), moves_flows: false };
                let (key, wishes) = (Some(self.key), self.wishes.clone());
                self.take(Next { config: there, key, wishes, differences }, links)
            }
            Err(refused) => Err(refused),
        };
        // What is still missing is named all the same.
        self.config.interfaces = config.interfaces;
        self.config.egress_interfaces = config.egress_interfaces;
        match result {
            Ok(()) => info!("{name}: an interface of that name is there again: attached to it"),
            Err(refused) => warn!("{name}: there again, but it can't be attached to: {}", refused.message),
        }
    }

    /// An interface is gone that was attached to. Its link goes with it.
    pub(super) fn detach_gone(&mut self, gone: &crate::net::Link) {
        if !self.is_attached(gone.ifindex) {
            return;
        }
        if !self.lost_inlet(gone.ifindex) {
            warn!(
                "{}: the interface is gone; an interface of that name will be attached to when it is there",
                gone.name
            );
        }
        self.interfaces.retain(|interface| interface.ifindex != gone.ifindex);
        let kept = attached(self.controller.dataplane());
        let kept =
            kept.map(|kept| kept.into_iter().filter(|ifindex| *ifindex != gone.ifindex).collect::<Vec<_>>());
        if let Err(refused) = kept.and_then(|kept| self.release_but(&kept)) {
            warn!("{}: {}", gone.name, refused.message);
        }
    }

    /// Makes it what runs: new interfaces first, and those that are left out last.
    fn take(&mut self, next: Next, now: Links) -> Result<(), Refused> {
        let Next { config, key, wishes, differences: _ } = next;
        let key = key.map_or_else(|| self.memory.seed(), Ok).map_err(failed)?;
        let before = attached(self.controller.dataplane())?;
        tags::leave(&self.memory, &mut self.labels, &start::ports(&config, &now), &now, &config.intent)?;
        let dataplane = self.controller.dataplane_mut();
        let (interfaces, mut keep) = match start::attach(dataplane, &config, config.mode, &now, &before) {
            Ok(attached) => attached,
            Err(refused) => return Err(self.back_to(&before, &now, refused)),
        };
        keep.extend(self.inlet.port.as_ref().map(|port| port.ifindex).filter(|_| config.local_clients));
        let old = self.controller.world();
        let world = World {
            intent: config.intent.clone().into(),
            peers: config.peers.clone(),
            virtual_router: config.virtual_router,
            links: links(&config, old, &now),
            ..old.clone()
        };
        let transitions = match self.controller.reconfigure(world, key) {
            Ok(transitions) => transitions,
            Err(refused) => return Err(self.back_to(&before, &now, refused)),
        };
        self.interfaces = interfaces;
        self.net.links = now;
        // The file's own intent is not needed any more: what runs has it, with the wishes.
        self.config = config;
        self.key = key;
        self.wishes = wishes;
        match self.place.permit(&self.config.access) {
            Ok(rules) => drop(self.rules.send_replace(rules)),
            Err(refused) => warn!("{}: who may use the control socket stays as it was", refused.message),
        }
        if let Err(error) = self.release_but(&keep) {
            warn!("{}: an interface that the configuration does not name goes on forwarding", error.message);
        }
        self.intent_changed();
        if let Err(error) = self.memory.keep_wishes(&self.wishes) {
            warn!("{error:#}: wishes by command may come back at the next start");
        }
        self.tell(transitions);
        Ok(())
    }

    /// Makes interfaces what they were before a refusal, which is returned; or why that can't be.
    fn back_to(&mut self, before: &[u32], now: &Links, refused: Refused) -> Refused {
        let ports = start::ports(&self.config, now);
        let tags = tags::leave(&self.memory, &mut self.labels, &ports, now, &self.config.intent);
        self.release_but(before).and(tags).err().unwrap_or(refused)
    }

    fn release_but(&mut self, keep: &[u32]) -> Result<(), Refused> {
        start::release(self.controller.dataplane_mut(), keep)
    }
}

/// The indices of the interfaces that the program is attached to.
fn attached(dataplane: &KernelDataplane) -> Result<Vec<u32>, Refused> {
    let attached = dataplane.interfaces().map_err(start::refused)?;
    Ok(attached.iter().map(|attached| attached.ifindex).collect())
}

/// The interfaces that are known, each with its part by the configuration.
fn links(config: &Config, world: &World, now: &Links) -> std::collections::BTreeMap<u32, Link> {
    let mut links = world.links.clone();
    let (ports, egresses): (BTreeSet<_>, BTreeSet<_>) =
        (config.interfaces.iter().collect(), config.egress_interfaces.iter().collect());
    for name in ports.union(&egresses) {
        if let Some(link) = now.by_name(name) {
            let mac = link.mac.unwrap_or(Mac([0; 6]));
            let entry = Link {
                name: link.name.clone(),
                mac,
                is_port: false,
                is_egress: false,
                is_inlet: false,
                is_up: link.up,
            };
            links.entry(link.ifindex).or_insert(entry);
        }
    }
    for link in links.values_mut() {
        link.is_port = ports.contains(&link.name);
        link.is_egress = egresses.contains(&link.name);
    }
    links
}

/// Says which changes want force.
fn moves_flows(differences: &Differences) -> Refused {
    let moving = differences.changes.iter().filter(|change| change.moves_flows);
    let words: Vec<_> = moving
        .map(|change| match (&change.key, &change.before, &change.after) {
            (Some(key), before, after) => {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                format!("{} {}: {key} {} → {}", change.thing.word(), change.name, value(before), value(after))
            }
            _ => format!("another {}", change.name),
        })
        .collect();
    let message = format!("flows would move to other backends, and break: {}", words.join("; "));
    Refused::new(Code::MovesFlows, message)
        .with_remedy("`vip reload --force` does it nevertheless; `vip diff` shows all that would change")
}

/// What nobody may overlook of wishes.
pub(super) fn tell_of_wishes(wishes: &[Wish]) {
    for Wish { wish, fate, why } in wishes {
        match fate {
            Fate::Holds => {}
            Fate::Fulfilled => info!("a wish by command is the file's now: {wish}"),
            Fate::Dropped => info!("a wish by command is dropped: {wish}"),
            Fate::Lost => {
                let why = why.as_deref().unwrap_or_default();
                warn!("a wish by command is forgotten, for it does not hold any more: {wish}: {why}");
            }
        }
    }
}
