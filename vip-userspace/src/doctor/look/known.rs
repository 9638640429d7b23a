//! What the director should do, and what it does: from a controller, a file, or what is pinned.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::super::{
    Scope,
    facts::{Director, Told},
};
use crate::{
    config::{self, Config},
    control::{Code, Refused, Status, client::Client},
    controller::{Memory, read_config},
    dataplane::{self, Inspection},
    model::{Intent, Mac},
    places::{CONFIG, Instance, Places},
};

/// What is known before the machine is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What is judged.
    pub(crate) director: Director,
    /// Interfaces that the director is attached to, by index.
    pub(crate) attached: BTreeSet<u32>,
    /// MACs of backends, as the controller knows them.
    pub(crate) macs: BTreeMap<Mac, crate::model::BackendName>,
}

/// Asks the controller, and looks at pins and files.
///
/// # Errors
/// The file that was asked for is no configuration.
pub(crate) async fn known(scope: &Scope, client: &Client) -> Result<Known, Refused> {
    let (controller, status) = match client.status().await {
        Ok(status) => (Ok(true), Some(status)),
        Err(refused) if refused.code == Code::NoController => (Ok(false), None),
        Err(refused) => (Err(refused.message), None),
    };
    let pinned = inspect(&scope.places);
    let wanted = wanted(scope, client, status.is_some(), &pinned).await?;
    let attached = match (&pinned, &status) {
        (Ok(Some(pinned)), _) => {
            pinned.interfaces.iter().filter(|one| one.mode.is_some()).map(|one| one.ifindex).collect()
        }
        (_, Some(status)) => status.interfaces.iter().map(|one| one.ifindex).collect(),
        _ => BTreeSet::new(),
    };
    let services = status.iter().flat_map(|status| &status.services);
    let idle = services.filter(|service| service.eligible == 0).map(|service| service.name.to_string());
    let director = Director {
        config: wanted.config,
        source: wanted.source,
        bad_file: wanted.bad_file,
        controller,
        pinned: pinned.map(|pinned| pinned.is_some()),
        idle_services: idle.collect(),
    };
    Ok(Known { director, attached, macs: status.as_ref().map(macs).unwrap_or_default() })
}

fn inspect(places: &Places) -> Told<Option<Inspection>> {
    match dataplane::preflight::is_permitted() {
        Ok(true) => dataplane::inspect(places).map_err(|error| format!("{:#}", anyhow::Error::new(error))),
        _ => Err("only root may look at it".to_owned()),
    }
}

fn macs(status: &Status) -> BTreeMap<Mac, crate::model::BackendName> {
    let addresses = status.backends.iter().flat_map(|backend| {
        backend.addresses.iter().filter_map(|address| Some((address.mac?, backend.name.clone())))
    });
    addresses.collect()
}

#[derive(Default)]
struct Wanted {
    config: Option<Config>,
    source: String,
    bad_file: Option<String>,
}

/// The configuration: one that was asked for, what runs, the usual file, what is pinned.
async fn wanted(
    scope: &Scope,
    client: &Client,
    runs: bool,
    pinned: &Told<Option<Inspection>>,
) -> Result<Wanted, Refused> {
    if let Some(file) = &scope.config {
        let source = file.display().to_string();
        return Ok(Wanted { config: Some(read_config(file)?), source, bad_file: None });
    }
    if runs && let Ok(text) = client.config().await {
        let read = config::parse(&text);
        let bad_file =
            read.as_ref().err().map(|problems| format!("what runs can't be read here: {problems}"));
        return Ok(Wanted { config: read.ok(), source: "the running controller".to_owned(), bad_file });
    }
    let mut wanted = Wanted::default();
    let file = Path::new(CONFIG);
    if scope.places.instance == Instance::default() && file.exists() {
        match read_config(file) {
            Ok(config) => {
                return Ok(Wanted { config: Some(config), source: CONFIG.to_owned(), bad_file: None });
            }
            Err(refused) => wanted.bad_file = Some(refused.message),
        }
    }
    if let Ok(Some(pinned)) = pinned {
        wanted.config = from_pins(&scope.places, pinned);
        wanted.source = "what is pinned".to_owned();
    }
    Ok(wanted)
}

/// As far as pins and their names tell: not which interfaces lead to backends alone.
fn from_pins(places: &Places, pinned: &Inspection) -> Option<Config> {
    let labels = Memory::at(&places.state_dir()).labels().ok()??;
    let is_port = |ifindex| pinned.tables.ports.get(&ifindex).is_some_and(|port| !port.is_inlet());
    let ports = pinned.interfaces.iter().filter(|one| is_port(one.ifindex));
    Some(Config {
        interfaces: ports.filter_map(|one| one.name.clone()).collect(),
        intent: Intent::clone(&labels.intent),
        ..Config::empty()
    })
}
